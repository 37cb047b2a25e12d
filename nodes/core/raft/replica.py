"""Raft behind `ReplicatedLog`: one replica, what all its roles share, and the rules of terms.

A replica is built from its journal's records, then told what happened; `drain` returns what to do. It is always in one
role (`follower`, `candidate`, `leader`); every role votes (`voter`). Inside this folder the paper's `commit_index` is
the last slot known to be chosen.

*Invariants*: the term, the commit index and the delivered slot never go back (after a restart both begin at what the
store has applied); at most one leader a term; entries are delivered when they are chosen and durable here, or come
with a store. The paper, figure 2 and section 7; of members, the dissertation, chapter 4.
"""

from __future__ import annotations

import random
from typing import Any

from nodes.core.membership import Configuration, Joined, Members
from nodes.core.raft import saved, voter
from nodes.core.raft.candidate import Candidate, PreCandidate
from nodes.core.raft.follower import Follower
from nodes.core.raft.leader import Leader
from nodes.core.raft.log import RaftLog
from nodes.core.raft.messages import (
    NOBODY,
    Append,
    Appended,
    AppendRefused,
    Compacted,
    Declined,
    HardState,
    Heartbeat,
    HeartbeatReply,
    HigherTerm,
    LogSuffix,
    PreVote,
    RequestPreVote,
    RequestVote,
    TimeoutNow,
    Vote,
)
from nodes.core.raft.outbox import Outbox
from nodes.core.raft.role import Role
from nodes.core.replicated_log import START, Entry, LogEffects, NotLeader, Point, ReplicatedLog, Timing
from nodes.errors import Corrupt

_NEVER = -(1 << 60)  # A tick before all others.
_EAGER_TICKS = (1, 3)
_LEADER_LOST_TICKS = (1, 4)

_FROM_LEADERS = frozenset({Append, Heartbeat, TimeoutNow})
_ANSWERS = frozenset({Appended, AppendRefused, HeartbeatReply, Vote, PreVote, Declined, HigherTerm})
_VOTER_HANDLERS: dict[type, Any] = {
    RequestPreVote: voter.on_request_pre_vote,
    RequestVote: voter.on_request_vote,
}


class RaftReplica(ReplicatedLog):
    """One replica of one group. Ticks are counted from its construction."""

    def __init__(
        self,
        me: int,
        known: Configuration,
        records: list[Any],
        rng: random.Random,
        timing: Timing,
        eager: bool,
        applied: Point = START,
    ) -> None:
        """As in `ReplicatedLog`; Corrupt if the records cannot be what one replica wrote."""
        assert NOBODY not in known.members.all, "nobody is no member"
        self.me = me
        self.timing = timing
        self.log = RaftLog()
        self._joined: Joined | None = None  # How it began, if not with the founding.
        self.outbox = Outbox()
        self.term, self.vote = 0, NOBODY
        self.commit_index = self.delivered_slot = applied.slot
        self.now = self.clock_ms = 0
        self._leader: int | None = None
        self._heard_at = _NEVER
        self._handed_over = False
        self._rng = rng
        self._clocks: dict[int, int] = {}
        self._recover(records, applied, known)
        self.members = self.log.configuration.members
        self.is_voter, self._quorum = me in self.members.voters, self.members.quorum
        self.role: Role = Follower(self)
        self.arm_election()
        if eager:
            self.election_at = rng.randint(*_EAGER_TICKS)

    def _recover(self, records: list[Any], applied: Point, known: Configuration) -> None:
        recovered = saved.read(records, known)
        self.log, self._joined = recovered.log, recovered.joined
        self.term, self.vote = recovered.term, recovered.vote
        if applied.slot < self.log.base.slot:
            words = f"the journal has let go of everything up to slot {self.log.base.slot}"
            raise Corrupt(f"the store has applied slot {applied.slot} only, but {words}")
        if not self.log.has(*applied):
            # The store came from another replica, and this process ended before its log was told.
            self._begin_behind(applied)
            if applied.epoch > self.term:
                self._set_hard_state(applied.epoch, NOBODY)

    def _begin_behind(self, applied: Point) -> None:
        self.log = RaftLog(applied, self.log.highest_slot, self.log.chosen_configuration)
        self.outbox.compacted = Compacted(*applied, emptied=True)

    # -- what happened
    def tick(self, clock_ms: int) -> None:
        self.now += 1
        self.clock_ms = clock_ms
        self.role.tick()

    def receive(self, sender: int, message: Any) -> None:
        kind = type(message)
        if kind in _FROM_LEADERS:
            if self._hear_leader(sender, message.term):
                self.role.receive(sender, message)
        elif kind in _ANSWERS:
            self._take_answer(sender, message)
        elif kind in _VOTER_HANDLERS:
            _VOTER_HANDLERS[kind](self, sender, message)

    def _hear_leader(self, sender: int, term: int) -> bool:
        """Follow the sender, unless its term is over."""
        if term < self.term:
            self.outbox.reply(sender, HigherTerm(self.term))
            return False
        if term > self.term or not isinstance(self.role, Follower):
            assert term > self.term or not self.leads, "a term has one leader"
            self.follow(term, sender)
        assert self._leader in (None, sender), "a term has one leader"
        self._leader = sender
        if self._heard_at != self.now:
            self._heard_at = self.now
            self.arm_election()
        return True

    def _take_answer(self, sender: int, message: Any) -> None:
        """A higher term ends ours, an answer in an older one is stale; but a pre-vote is given in the voter's own."""
        if message.term > self.term:
            self.follow(message.term, None)
        elif message.term == self.term or type(message) is PreVote:
            self.role.receive(sender, message)

    def on_durable(self, mark: int) -> None:
        self.outbox.on_durable(mark)
        self.log.on_durable(mark)
        self.role.on_durable()

    def on_peer_lost(self, peer: int) -> None:
        self.role.on_peer_lost(peer)

    # -- what is asked
    def propose(self, data: bytes, epoch: int) -> int:
        role = self.role
        if epoch != self.term or not isinstance(role, Leader):
            raise NotLeader(self._leader)
        assert data, "an empty entry is the leader's own"
        return role.propose(data)

    def confirm(self, token: int) -> None:
        if isinstance(self.role, Leader):
            self.role.reads.ask(token)
        else:
            self.outbox.fail([token])

    def change(self, members: Members, epoch: int) -> int:
        role = self.role
        if epoch != self.term or not isinstance(role, Leader):
            raise NotLeader(self._leader)
        return role.change(members)

    def transfer(self, to: int | None = None) -> None:
        if isinstance(self.role, Leader):
            self.role.transfer(to)

    def decline(self, sender: int) -> None:
        self.outbox.reply(sender, Declined(self.term))

    def compact(self, slot: int) -> None:
        assert slot <= self.delivered_slot, "what is not delivered is still needed"
        if slot >= self.log.first_slot:
            self.log.compact(slot)
            self.outbox.compacted = Compacted(*self.log.base)
            self.role.on_compacted()

    def install(self, applied: Point, epoch: int, known: Configuration | None = None) -> None:
        assert not self.leads, "a leader has everything"
        assert applied.slot > self.delivered_slot, "an older store than the own one is of no use"
        if epoch > self.term:
            self.follow(epoch, None)  # leaders of older terms may lack what is in the store
        elif not isinstance(self.role, Follower):
            self.follow(self.term, None)  # others may be members now: who was asked before counts no more
        if self.log.has(*applied):
            self.log.compact(applied.slot)  # what stands behind it may have been acknowledged
            # Where nothing does, the cut of what did may not be recorded yet, and never will be otherwise.
            self.outbox.compacted = Compacted(*applied, emptied=self.log.last_slot == applied.slot)
        else:
            self._begin_behind(applied)
        if known is not None:
            self.log.know(known)
        self.follow_members()
        self.commit_index = max(self.commit_index, applied.slot)
        self.delivered_slot = applied.slot
        self.role.on_installed()

    def drain(self) -> LogEffects:
        self.role.flush()
        effects = self.outbox.collect(self.log)
        effects.entries = self._deliver() if self.commit_index > self.delivered_slot else []
        if isinstance(self.role, Leader):
            effects.reads += self.role.take_reads()
        return effects

    def _deliver(self) -> list[Entry]:
        """The entries that have become deliverable since the last drain."""
        first, self.delivered_slot = self.delivered_slot + 1, self.deliverable_slot
        return self.log.between(first, self.delivered_slot)

    def needs_drain(self) -> bool:
        if self.commit_index > self.delivered_slot < self.log.durable_slot:
            return True
        return self.outbox.has_work(self.log) or self.role.has_work()

    # -- what is seen
    @property
    def leads(self) -> bool:
        return isinstance(self.role, Leader)

    @property
    def epoch(self) -> int:
        return self.term

    @property
    def leader(self) -> int | None:
        return self._leader

    @leader.setter
    def leader(self, node: int | None) -> None:
        self._leader = node

    @property
    def chosen_slot(self) -> int:
        return self.commit_index

    @property
    def last_slot(self) -> int:
        return self.log.last_slot

    @property
    def configuration(self) -> Configuration:
        return self.log.configuration

    @property
    def is_settled(self) -> bool:
        return self.leads and self.commit_index >= self.log.configuration.slot

    @property
    def handed_over(self) -> bool:
        return self._handed_over

    def is_heard(self, peer: int) -> bool:
        return isinstance(self.role, Leader) and self.role.is_heard(peer)

    def is_near(self, peer: int) -> bool:
        return isinstance(self.role, Leader) and self.role.is_near(peer)

    @property
    def highest_slot(self) -> int:
        return self.log.highest_slot

    @property
    def first_slot(self) -> int:
        return self.log.first_slot

    def held_bytes(self) -> int:
        return sum(len(entry.data) for entry in self.log.between(self.log.first_slot, self.log.last_slot))

    def laggards(self) -> list[int]:
        if not isinstance(self.role, Leader):
            return []
        return [peer for peer, progress in self.role.peers.items() if progress.needs_store]

    def state_records(self, entries: bool) -> list[Any]:
        records: list[Any] = [self._joined] if self._joined is not None else []
        records += [HardState(self.term, self.vote), Compacted(*self.log.base)]
        held = self.log.between(self.log.first_slot, self.log.last_slot)
        return [*records, LogSuffix(held)] if entries and held else records

    @property
    def majority_clock_ms(self) -> int:
        clocks, me = self._clocks, self.me
        return self.majority_of(
            [self.clock_ms if voter == me else clocks.get(voter, 0) for voter in self.members.voters]
        )

    def progress(self) -> dict[int, int]:
        if not isinstance(self.role, Leader):
            return {}
        peers = {peer: progress.match_slot for peer, progress in self.role.peers.items()}
        return {self.me: self.log.durable_slot, **peers}

    # -- what the roles do with the shared state
    @property
    def deliverable_slot(self) -> int:
        """The last slot that is chosen and durable here."""
        return min(self.commit_index, self.log.durable_slot)

    def follow_members(self) -> None:
        """The members are those that the log names last."""
        members = self.log.configuration.members
        if members is not self.members:
            self.members = members
            self.is_voter, self._quorum = self.me in members.voters, members.quorum
            if isinstance(self.role, Leader):
                self.role.on_members()

    def majority_of(self, values: list[int]) -> int:
        """The largest value that a majority of the voters has reached; each that may have has its own in `values`."""
        return sorted(values, reverse=True)[self._quorum - 1]

    def note_clock(self, peer: int, clock_ms: int) -> None:
        """`peer` reported its wall clock; a report that was overtaken, or a clock set back, takes nothing away."""
        self._clocks[peer] = max(self._clocks.get(peer, 0), clock_ms)

    def advance_commit(self, slot: int) -> None:
        """Everything up to `slot` is chosen; an older value is news to nobody."""
        if slot <= self.commit_index:
            return
        assert slot <= self.log.last_slot, "what is chosen by our word is in our log"
        self.commit_index = slot

    def arm_election(self) -> None:
        """Draw a new election time-out, from now on."""
        self.election_at = self.now + self._rng.randint(self.timing.election_min, self.timing.election_max)

    def hasten_election(self) -> None:
        """The leader's connection broke: wait only a little for it, and do not protect it."""
        self._heard_at = _NEVER
        self.election_at = min(self.election_at, self.now + self._rng.randint(*_LEADER_LOST_TICKS))

    def protects_a_leader(self) -> bool:
        """Was a leader heard from within the least election time-out? A leader hears itself."""
        return self.leads or (self._leader is not None and self.now - self._heard_at < self.timing.election_min)

    def enter_term(self, term: int, vote: int) -> None:
        """Begin a term; it is durable before anything is said in it that promises."""
        assert term > self.term, "terms rise"
        self._set_hard_state(term, vote)

    def give_vote(self, candidate: int) -> None:
        """Vote in the current term; a follower again, that gives the candidate time to win."""
        assert self.vote in (NOBODY, candidate), "one vote a term"
        if self.vote == NOBODY:
            self._set_hard_state(self.term, candidate)
        self.follow(self.term, None)
        self.arm_election()

    def follow(self, term: int, leader: int | None) -> None:
        """Be a follower in `term`, ours or a higher one."""
        if term > self.term:
            self.enter_term(term, NOBODY)
        if not isinstance(self.role, Follower):
            self.arm_election()
        self._leader = leader
        self._become(Follower(self))

    def campaign(self) -> None:
        """Ask whether an election could be won."""
        self._handed_over = False
        self._become(PreCandidate(self))

    def take_over(self) -> None:
        """The leader asks this replica to stand in its place."""
        self._handed_over = True
        self.stand(transfer=True)

    def stand(self, transfer: bool) -> None:
        """Begin a term and ask for votes in it; `transfer` at the leader's wish, which may be this replica itself."""
        self._handed_over = self._handed_over and not self.leads
        self._become(Candidate(self, transfer))

    def lead(self) -> None:
        """A majority voted for us in the current term."""
        assert self.vote == self.me, "who leads voted for itself"
        assert self.outbox.term_is_durable, "who leads did so durably"
        self._become(Leader(self))

    def _become(self, role: Role) -> None:
        self.role.end()
        self.role = role
        role.start()

    def _set_hard_state(self, term: int, vote: int) -> None:
        self.term, self.vote = term, vote
        self.outbox.hard_state = HardState(term, vote)
