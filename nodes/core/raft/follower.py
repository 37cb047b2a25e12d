"""The follower: takes the leader's log, answers its heartbeats, stands for election when the leader is silent.

A heartbeat that begins a round is answered at once, for reads wait for it. Any other only keeps the leadership alive:
its answer leaves in the tick in which the groups of this node beat, in one message with all they have to say; or when
the next one comes, should this node be slower than its leader.

*Invariants*: only what conflicts with the leader's log is cut, and never what is chosen; the commit index goes no
further than what is known to equal the leader's log; one acknowledgement for all appends between two drains, sent
when they are durable. The paper, section 5.3; cases R03, R04, R07.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from nodes.core.raft.messages import Append, Appended, AppendRefused, Heartbeat, HeartbeatReply, TimeoutNow
from nodes.core.raft.role import Role
from nodes.core.replicated_log import Entry, Point

if TYPE_CHECKING:
    from nodes.core.raft.replica import RaftReplica

_NONE = -1


def is_malformed_append(message: Append) -> bool:
    """Do the ends of its entries not fit the place and the term it names?"""
    entries = message.entries
    if not entries:
        return False
    first, last = entries[0], entries[-1]
    follows = first.slot == message.prev_slot + 1 and first.epoch >= message.prev_epoch
    return not follows or last.slot != message.prev_slot + len(entries) or last.epoch > message.term


def _above(message: Append, base: Point) -> Append:
    """The part of it above the base: up to there every log of the group is the same."""
    entries = message.entries[base.slot - message.prev_slot :]
    return Append(message.term, base.slot, base.epoch, entries, message.commit)


class Follower(Role):
    """One term, or part of one, as a follower; the leader may not be known yet."""

    __slots__ = ("_matched_slot", "_heard_round", "_answered_round", "_is_answer_due")

    def __init__(self, replica: RaftReplica) -> None:
        super().__init__(replica)
        self._matched_slot = _NONE  # To be acknowledged with the next drain.
        self._heard_round = self._answered_round = _NONE
        self._is_answer_due = False

    def tick(self) -> None:
        replica = self.replica
        self._is_answer_due |= self._heard_round != _NONE and replica.timing.is_beat(replica.now)
        if replica.now >= replica.election_at and replica.is_voter:
            replica.campaign()

    def on_peer_lost(self, peer: int) -> None:
        if peer == self.replica.leader:
            self.replica.hasten_election()

    def on_append(self, sender: int, message: Append) -> None:
        if is_malformed_append(message):
            return
        log = self.replica.log
        if message.prev_slot < log.first_slot - 1:
            message = _above(message, log.base)
        if not log.has(message.prev_slot, message.prev_epoch):
            self._refuse(sender, message)
            return
        self._take(message.entries)
        self.replica.follow_members()
        matched = message.prev_slot + len(message.entries)
        self._matched_slot = max(self._matched_slot, matched)
        self.replica.advance_commit(min(message.commit, matched))

    def on_heartbeat(self, sender: int, message: Heartbeat) -> None:
        self._is_answer_due |= message.round > self._answered_round or self._heard_round != _NONE
        self._heard_round = max(self._heard_round, message.round)
        self.replica.advance_commit(message.commit)

    def on_timeout_now(self, sender: int, message: TimeoutNow) -> None:
        if self.replica.is_voter:
            self.replica.take_over()

    def on_installed(self) -> None:
        if self.replica.leader is not None:
            self._matched_slot = max(self._matched_slot, self.replica.log.base.slot)

    def has_work(self) -> bool:
        return self._matched_slot != _NONE or self._is_answer_due

    def flush(self) -> None:
        replica, leader = self.replica, self.replica.leader
        if leader is None:
            return
        if self._is_answer_due:
            replica.outbox.reply(leader, HeartbeatReply(replica.term, self._heard_round, replica.clock_ms))
            self._answered_round, self._heard_round, self._is_answer_due = self._heard_round, _NONE, False
        if self._matched_slot != _NONE:
            replica.outbox.promises.append((leader, Appended(replica.term, self._matched_slot)))
            self._matched_slot = _NONE

    def _refuse(self, sender: int, message: Append) -> None:
        log = self.replica.log
        hint = log.last_slot_below(message.prev_slot, message.prev_epoch)
        answer = AppendRefused(self.replica.term, message.prev_slot, hint, log.epoch_at(hint))
        self.replica.outbox.reply(sender, answer)

    def _take(self, entries: list[Entry]) -> None:
        """Append what is new; cut the log only where an entry differs from the leader's."""
        log = self.replica.log
        if not entries:
            return
        if entries[0].slot == log.last_slot + 1:
            log.extend(entries)
            return
        for index, entry in enumerate(entries):
            if not log.has(entry.slot, entry.epoch):
                assert entry.slot > self.replica.commit_index, "what is chosen is never cut"
                log.truncate(entry.slot)
                log.extend(entries[index:])
                return

    handlers: ClassVar[dict[type, Callable[[Any, int, Any], None]]] = {
        Append: on_append,
        Heartbeat: on_heartbeat,
        TimeoutNow: on_timeout_now,
    }
