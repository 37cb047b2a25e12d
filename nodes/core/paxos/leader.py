"""The leader's side of phase 2: who has accepted what, what to send to whom, and whether it still leads.

It decides when a slot is chosen: when a majority has durably accepted it, and every slot before, under this one ballot
(P10, P11); the own acceptance comes in as a durable slot like every other. A change of members counts from the slot
behind it on; up to it those of before do. It is the whole state of one leadership and is thrown away with it.

*Invariants*: `chosen` never falls; a confirmed token was asked for before its round began. *Left out*: choosing out of
order: a slot is reported as chosen with all before it. Paxos Made Simple 3; the quorum round for reads is that of
Ongaro's dissertation, 6.4.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from nodes.core.membership import ChangeRefused, Configuration, Members, check_change
from nodes.core.paxos.acceptor import ENTRY_OVERHEAD, Acceptor
from nodes.core.paxos.messages import Accept
from nodes.core.replicated_log import NEAR_ENTRIES, Entry, Timing


class Peer:
    """What the leader knows of one other member."""

    __slots__ = (
        "_run", "accepted", "durable_slot", "heard_ticks", "inflight", "inflight_bytes", "known_slot", "needs_store",
        "next_slot", "quiet_ticks", "ranges", "round",
    )  # fmt: skip

    def __init__(self, chosen: int) -> None:
        self.accepted = chosen  # every slot up to here is accepted there, or chosen without it
        self.ranges: dict[int, int] = {}  # accepted above that, behind a hole: first -> last slot
        self.next_slot = chosen + 1
        self.inflight: deque[tuple[int, int]] = deque()  # (last slot, bytes) of each batch sent, not answered
        self.inflight_bytes = 0
        self.quiet_ticks = 0  # for so long no answer has moved `accepted` while one was waited for
        self.heard_ticks = 0
        self.round = 0
        self.needs_store = False  # it asked for entries that are gone here
        self.durable_slot = 0  # what it is known to hold from slot 1 on
        self.known_slot = 0  # up to there it knows for good what is chosen, as far as that changed the members
        self._run = (0, 0)  # what it accepted last without a hole, first and last slot: it may join that

    def on_accepted(self, first: int, last: int) -> None:
        """It holds `first`..`last` durably under the leader's ballot."""
        begun, ended = self._run
        self._run = (begun, max(ended, last)) if begun <= first <= ended + 1 else (first, last)
        self.on_holds(self.durable_slot)
        if first <= self.accepted + 1:
            if last > self.accepted:
                self.quiet_ticks = 0
            self._raise_accepted(last)
        else:
            self.ranges[first] = max(last, self.ranges.get(first, 0))
        while self.inflight and self.inflight[0][0] <= last:
            self.inflight_bytes -= self.inflight.popleft()[1]

    def on_holds(self, slot: int) -> None:
        """It is known to hold everything up to there."""
        first, last = self._run
        self.durable_slot = max(self.durable_slot, slot, last if first <= slot + 1 else 0)

    def skip_to(self, chosen: int) -> None:
        """What is chosen need not be accepted there any more: the peer learns it."""
        self._raise_accepted(chosen)
        self.next_slot = max(self.next_slot, self.accepted + 1)

    def _raise_accepted(self, last: int) -> None:
        if last <= self.accepted:
            return
        self.accepted = last
        while joined := [first for first in self.ranges if first <= self.accepted + 1]:
            for first in joined:
                self.accepted = max(self.accepted, self.ranges.pop(first))

    def waits(self) -> bool:
        """Was it sent something that it has not answered? Also when that is chosen without it by now: until it answers
        or the time is up, its share of the window is taken."""
        return bool(self.inflight) or self.accepted + 1 < self.next_slot

    def sent(self, entries: list[Entry]) -> None:
        if not self.waits():
            self.quiet_ticks = 0
        size = sum(len(entry.data) + ENTRY_OVERHEAD for entry in entries)
        self.inflight.append((entries[-1].slot, size))
        self.inflight_bytes += size
        self.next_slot = entries[-1].slot + 1

    def send_again(self) -> None:
        self.next_slot = self.accepted + 1
        self.inflight.clear()
        self.inflight_bytes = self.quiet_ticks = 0


class Leader:
    """One leadership, under `ballot`."""

    __slots__ = (
        "_configurations",
        "_confirming",
        "_first_own_slot",
        "_is_voter",
        "_me",
        "_quorum",
        "_timing",
        "_voting",
        "_waiting",
        "ballot",
        "heartbeat_due",
        "peers",
        "round",
    )

    def __init__(
        self, ballot: int, me: int, configurations: list[Configuration], timing: Timing, chosen: int, first_own: int
    ) -> None:
        """`configurations`: the members that count behind what is `chosen`, then those of slots that are not chosen."""
        self.ballot = ballot
        self.peers: dict[int, Peer] = {}
        self._me = me
        self._configurations = configurations
        self._first_own_slot = first_own
        self._follow_members(chosen)
        self.round = 1
        self.heartbeat_due = True  # announce it: round 1
        self._timing = timing
        self._waiting: list[int] = []  # tokens asked for since the last drain
        self._confirming: deque[tuple[int, list[int]]] = deque()  # (round, its tokens)

    # -- members
    @property
    def configuration(self) -> Configuration:
        """The members that count for the slot behind what is chosen."""
        return self._configurations[0]

    def is_settled(self, own_known_slot: int) -> bool:
        """See ReplicatedLog."""
        known_slot = self._majority_of(own_known_slot, [peer.known_slot for peer in self._voting])
        return len(self._configurations) == 1 and known_slot >= self.configuration.slot

    @property
    def is_dismissed(self) -> bool:
        """Is this node no voter any more?"""
        return not self._is_voter

    def change(self, slot: int, members: Members, chosen: int) -> None:
        """`members` count behind `slot`, where they are to be appended; ChangeRefused if that cannot be, or not now."""
        if len(self._configurations) > 1 or chosen < self._first_own_slot:
            raise ChangeRefused("what changed the members last is not chosen yet, or nothing under this ballot is")
        check_change(self.configuration.members, members, self._me)
        self._configurations.append(Configuration(slot, members))
        self._follow_members(chosen)

    def _follow_members(self, chosen: int) -> None:
        known = self.peers
        nodes = dict.fromkeys(node for each in self._configurations for node in each.members.others(self._me))
        self.peers = {node: known.get(node) or Peer(chosen) for node in nodes}
        voters = self.configuration.members.voters
        self._voting = [self.peers[node] for node in voters if node != self._me]
        self._is_voter, self._quorum = self._me in voters, self.configuration.members.quorum

    def _majority_of(self, own: int, others: list[int]) -> int:
        """The largest value that a majority of the voters has reached."""
        values = sorted([own, *others] if self._is_voter else others, reverse=True)
        return values[self._quorum - 1]

    def is_near(self, node: int, last_slot: int) -> bool:
        """Is it heard, and known to lack but a few entries?"""
        return self.is_heard(node) and self.peers[node].durable_slot >= max(1, last_slot - NEAR_ENTRIES)

    def is_heard(self, node: int) -> bool:
        return node in self.peers and self.peers[node].heard_ticks <= self._timing.election_min

    def heirs(self) -> list[int]:
        """The other voters: first those who are heard, of them first who holds most."""

        def rank(node: int) -> tuple[bool, int, int]:
            return self.is_heard(node), self.peers[node].durable_slot, -node

        voters = [node for node in self.configuration.members.voters if node != self._me]
        return sorted(voters, key=rank, reverse=True)

    # -- accepting
    def accepts(self, acceptor: Acceptor) -> Iterator[tuple[int, Accept]]:
        """To each peer all that it was not sent and that may be under way to it. Equal messages are one object."""
        made: dict[int, Accept] = {}
        for node, peer in self.peers.items():
            while self._may_send(peer, acceptor.last_slot):
                message = made.get(peer.next_slot)
                if message is None:
                    entries = acceptor.batch(peer.next_slot, acceptor.last_slot)
                    message = made[peer.next_slot] = Accept(self.ballot, acceptor.chosen, entries)
                peer.sent(message.entries)
                yield node, message

    def chosen(self, own_durable: int, before: int) -> int:
        """The last slot that a majority has accepted, with all before it; `before` is what was known."""
        chosen = max(before, self._majority_of(own_durable, [peer.accepted for peer in self._voting]))
        while len(self._configurations) > 1 and chosen >= self._configurations[1].slot:
            chosen = self._configurations[1].slot  # what lies behind is for the new members to choose
            del self._configurations[0]
            self._follow_members(chosen)
            chosen = max(chosen, self._majority_of(own_durable, [peer.accepted for peer in self._voting]))
        for peer in self.peers.values():
            peer.skip_to(chosen)
        return chosen

    def has_unsent(self, last_slot: int) -> bool:
        return any(self._may_send(peer, last_slot) for peer in self.peers.values())

    def _may_send(self, peer: Peer, last_slot: int) -> bool:
        return peer.next_slot <= last_slot and peer.inflight_bytes < self._timing.max_inflight_bytes

    # -- rounds
    def confirm(self, token: int) -> None:
        self._waiting.append(token)

    def wants_round(self) -> bool:
        return self.heartbeat_due or bool(self._waiting)

    def begin_round(self) -> int:
        """The round of a heartbeat that leaves now: a new one if anybody waits for it."""
        self.heartbeat_due = False
        if self._waiting:
            self.round += 1
            self._confirming.append((self.round, self._waiting))
            self._waiting = []
        return self.round

    def confirmed(self) -> list[int]:
        """The tokens whose round, or a later one, a majority has answered by now. Taken once."""
        tokens: list[int] = []
        if not self._confirming:
            return tokens
        answered = self._majority_of(self.round, [peer.round for peer in self._voting])
        while self._confirming and self._confirming[0][0] <= answered:
            tokens.extend(self._confirming.popleft()[1])
        return tokens

    def unconfirmed(self) -> list[int]:
        """On stepping down: all tokens that get no confirmation."""
        return [token for _, tokens in self._confirming for token in tokens] + self._waiting

    # -- time
    def tick(self, now: int) -> bool:
        """The tick `now`; False: no majority was heard of for an election time-out, so this leadership is over."""
        self.heartbeat_due |= self._timing.is_beat(now)
        for peer in self.peers.values():
            peer.heard_ticks += 1
            if peer.waits():
                peer.quiet_ticks += 1
                if peer.quiet_ticks >= self._timing.retransmit:
                    peer.send_again()
        near = sum(peer.heard_ticks <= self._timing.election_min for peer in self._voting)
        return near + self._is_voter >= self._quorum
