"""The leader: appends, replicates, decides what is chosen, proves that it still leads, hands over.

*Invariants*: it appends an entry of its own first (case R06) and counts replicas only for entries of its own term
(R05); it never changes its log but at the end; a majority unheard for the least election time-out ends it (R13, R15);
its own copy counts when it is durable; a read is confirmed by a round begun after it was asked for (R23). Members
change one voter at a time, when the entry that changed them last and one of its own are chosen (R16); the new ones
count from the moment that they are appended. The paper, sections 5.3 and 5.4.2; the dissertation, 3.10, 4, 6.2 and 6.4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from nodes.core.membership import ChangeRefused, Members, check_change, encode_members
from nodes.core.raft.messages import Append, Appended, AppendRefused, Declined, Heartbeat, HeartbeatReply, TimeoutNow
from nodes.core.raft.progress import Progress
from nodes.core.raft.reads import ReadRounds
from nodes.core.raft.role import Role
from nodes.core.replicated_log import NEAR_ENTRIES, Entry, NotLeader

if TYPE_CHECKING:
    from nodes.core.raft.replica import RaftReplica

_Batches = dict[tuple[int, int], tuple[Append, int]]


class Leader(Role):
    """One term as its leader."""

    __slots__ = (
        "peers", "reads", "first_own_slot", "_heartbeat_due", "_transfer_to", "_transfer_ends", "_handed_at", "_voting",
    )  # fmt: skip

    def __init__(self, replica: RaftReplica) -> None:
        super().__init__(replica)
        log = replica.log
        self.peers: dict[int, Progress] = {}
        self._voting: list[Progress] = []
        self.reads = ReadRounds()
        self.first_own_slot = log.last_slot + 1
        self._heartbeat_due = True
        self._transfer_to: int | None = None
        self._transfer_ends = self._handed_at = replica.now
        self.on_members()

    def on_members(self) -> None:
        """Others may be members now than before."""
        replica, known = self.replica, self.peers
        members = replica.members
        self.peers = {
            peer: known.get(peer) or Progress(replica.log.last_slot + 1, replica.now)
            for peer in members.others(replica.me)
        }
        self._voting = [self.peers[peer] for peer in members.voters if peer != replica.me]

    def receive(self, sender: int, message: Any) -> None:
        if sender in self.peers:  # else it was a member once
            super().receive(sender, message)

    def start(self) -> None:
        replica = self.replica
        replica.leader = replica.me
        replica.log.append(Entry(self.first_own_slot, replica.term, b""))

    def end(self) -> None:
        self.replica.outbox.fail(self.reads.all_tokens())

    # -- what is asked
    def propose(self, data: bytes) -> int:
        """Append one entry; refused while the leadership is being handed over (case R22)."""
        replica = self.replica
        if self._transfer_to is not None:
            raise NotLeader(self._transfer_to)
        slot = replica.log.last_slot + 1
        replica.log.append(Entry(slot, replica.term, data))
        return slot

    def change(self, members: Members) -> int:
        """Append other members; ChangeRefused unless the step is a safe one, and the last one is done."""
        replica, log = self.replica, self.replica.log
        if self._transfer_to is not None:
            raise NotLeader(self._transfer_to)
        if replica.commit_index < max(self.first_own_slot, log.configuration.slot):
            raise ChangeRefused("what changed the members last is not chosen yet, or nothing in this term is")
        check_change(replica.members, members, replica.me)
        slot = self.propose(encode_members(members))
        replica.follow_members()
        return slot

    def transfer(self, to: int | None) -> None:
        """Begin to hand over, unless that is under way; given up after the least election time-out.

        Then this replica stands itself, in a new term: what was refused meanwhile was never appended, and who counted
        on it learns of that by the end of the leadership, as always."""
        to = self._most_caught_up() if to is None else to
        if to not in self.peers or to not in self.replica.members.voters or self._transfer_to is not None:
            return
        self._transfer_to = to
        self._transfer_ends = self.replica.now + self.replica.timing.election_min
        self._hand_over()

    def _most_caught_up(self) -> int | None:
        """The peer with the longest known log among those last heard from; the smaller number of equals."""

        def rank(peer: int) -> tuple[bool, int, int]:
            progress = self.peers[peer]
            return self._is_heard(progress), progress.match_slot, -peer

        return max((peer for peer in self.peers if peer in self.replica.members.voters), key=rank, default=None)

    def _hand_over(self) -> None:
        """Tell the successor to stand, once it has the whole log."""
        to = self._transfer_to
        if to in self.peers and self.peers[to].match_slot == self.replica.log.last_slot:
            self._handed_at = self.replica.now
            self.replica.outbox.sends.append((to, TimeoutNow(self.replica.term)))

    # -- what happened
    def tick(self) -> None:
        now, timing = self.replica.now, self.replica.timing
        heard = 1 + sum([self._is_heard(progress) for progress in self._voting])
        if heard < self.replica.members.quorum:
            self.replica.follow(self.replica.term, None)
            return
        self._heartbeat_due |= timing.is_beat(now)
        if self._transfer_to is not None:
            if now >= self._transfer_ends:
                self.replica.stand(transfer=True)
                return
            if now - self._handed_at >= timing.retransmit:
                self._hand_over()
        for peer, progress in self.peers.items():
            if progress.is_behind and now - progress.sent_at >= timing.retransmit:
                self._ask_again(peer, progress)

    def on_durable(self) -> None:
        self._advance_commit()

    def on_compacted(self) -> None:
        for progress in self.peers.values():
            self._keep_within_log(progress)

    def _keep_within_log(self, progress: Progress) -> None:
        """What is asked next must still be there; if the peer is further behind, it will say so."""
        first_slot = self.replica.log.first_slot
        if progress.next_slot < first_slot:
            progress.probe(first_slot)

    def on_peer_lost(self, peer: int) -> None:
        progress = self.peers.get(peer)
        if progress is not None:
            progress.probe(progress.match_slot + 1)
            self._keep_within_log(progress)

    def on_appended(self, sender: int, message: Appended) -> None:
        progress = self.peers[sender]
        progress.heard_at = self.replica.now
        if message.slot > self.replica.log.last_slot:
            return  # its store came from a later leader
        is_news = progress.acknowledged(message.slot, self.replica.now)
        self._keep_within_log(progress)
        if is_news:
            self._advance_commit()
            if sender == self._transfer_to:
                self._hand_over()

    def on_append_refused(self, sender: int, message: AppendRefused) -> None:
        progress = self.peers[sender]
        progress.heard_at = self.replica.now
        if progress.is_stale_refusal(message.prev_slot):
            return
        log = self.replica.log
        # No slot between the two hints can match: there our epochs are above the follower's.
        progress.probe(log.last_slot_below(message.hint_slot, message.hint_epoch) + 1)
        if message.hint_slot < log.base.slot or message.hint_epoch < log.base.epoch:
            progress.wait_for_store()  # the logs part below what is held here

    def on_heartbeat_reply(self, sender: int, message: HeartbeatReply) -> None:
        progress = self.peers[sender]
        progress.heard_at = self.replica.now
        progress.round = max(progress.round, message.round)
        self.replica.note_clock(sender, message.clock_ms)

    def on_declined(self, sender: int, message: Declined) -> None:
        if sender == self._transfer_to:
            self._transfer_ends = self.replica.now  # given up at the next tick

    # -- what is done at a drain
    def has_work(self) -> bool:
        if (self._heartbeat_due and self.peers) or self.reads.has_asked or self._reads_are_ready():
            return True
        return any(self._room(progress) is not None for progress in self.peers.values())

    def flush(self) -> None:
        if self.reads.has_asked:
            self.reads.begin(max(self.replica.commit_index, self.first_own_slot))
            self._heartbeat_due = True
        if self._heartbeat_due:
            self._heartbeat_due = False
            self._send_heartbeats()
        batches: _Batches = {}
        for peer, progress in self.peers.items():
            self._replicate(peer, progress, batches)

    def take_reads(self) -> list[tuple[int, bool]]:
        """The tokens whose round is answered and whose read index is delivered."""
        if not self.reads.is_running:
            return []
        confirmed = self.reads.confirmed(self._answered_round(), self.replica.delivered_slot)
        return [(token, True) for token in confirmed]

    def _reads_are_ready(self) -> bool:
        return self.reads.is_running and self.reads.is_ready(self._answered_round(), self.replica.deliverable_slot)

    def _answered_round(self) -> int:
        rounds = [progress.round for progress in self._voting]
        return self.replica.majority_of([self.reads.round, *rounds])

    def _send_heartbeats(self) -> None:
        replica = self.replica
        for peer, progress in self.peers.items():
            commit = min(replica.commit_index, progress.match_slot)
            replica.outbox.sends.append((peer, Heartbeat(replica.term, commit, self.reads.round)))

    def _replicate(self, peer: int, progress: Progress, batches: _Batches) -> None:
        """Send `peer` all that fits; peers at the same place share the message."""
        while (room := self._room(progress)) is not None:
            key = (progress.next_slot, room)
            if key not in batches:
                batches[key] = self._append_message(progress.next_slot, room)
            message, size = batches[key]
            progress.sent(message.prev_slot + len(message.entries), size, self.replica.now)
            self.replica.outbox.sends.append((peer, message))

    def _room(self, progress: Progress) -> int | None:
        """The most bytes of the next message to this peer, or None if none should leave now. 0 asks without entries."""
        timing = self.replica.timing
        if progress.probing:
            if progress.waits:
                return None
            return timing.max_batch_bytes if self._is_heard(progress) and not progress.needs_store else 0
        log = self.replica.log
        if progress.next_slot > log.last_slot:
            return None
        room = progress.room(timing.max_inflight_bytes)
        if progress.inflight_bytes > 0 and (room <= 0 or log.size_at(progress.next_slot) > room):
            return None
        return min(room, timing.max_batch_bytes)

    def _append_message(self, first: int, most_bytes: int) -> tuple[Append, int]:
        replica, log = self.replica, self.replica.log
        entries, size = log.batch(first, most_bytes) if most_bytes else ([], 0)
        return Append(replica.term, first - 1, log.epoch_at(first - 1), entries, replica.commit_index), size

    def _ask_again(self, peer: int, progress: Progress) -> None:
        """No answer came: repeat the probe, or ask without entries whether what is in flight has arrived."""
        progress.sent_at = self.replica.now
        if progress.probing:
            progress.waits = False
        else:
            self.replica.outbox.sends.append((peer, self._append_message(progress.next_slot, 0)[0]))

    def is_near(self, peer: int) -> bool:
        enough = max(1, self.replica.log.last_slot - NEAR_ENTRIES)  # of who said nothing yet it is not known
        return self.is_heard(peer) and self.peers[peer].match_slot >= enough

    def is_heard(self, peer: int) -> bool:
        return peer in self.peers and self._is_heard(self.peers[peer])

    def _is_heard(self, progress: Progress) -> bool:
        return self.replica.now - progress.heard_at < self.replica.timing.election_min

    def _advance_commit(self) -> None:
        replica, log = self.replica, self.replica.log
        matches = [progress.match_slot for progress in self._voting]
        slot = replica.majority_of([log.durable_slot, *matches])
        if slot >= self.first_own_slot:
            replica.advance_commit(slot)

    handlers: ClassVar[dict[type, Callable[[Any, int, Any], None]]] = {
        Appended: on_appended,
        AppendRefused: on_append_refused,
        HeartbeatReply: on_heartbeat_reply,
        Declined: on_declined,
    }
