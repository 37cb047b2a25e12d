"""One replica of a Multi-Paxos log, as `ReplicatedLog` wants it: events in, effects out.

It decides nothing of the protocol (`member.py` does), only what a drain holds and in which order. *Invariants*: the
epoch shown is the highest ballot whose promise is durable here, so it does not fall over a restart; what is known as
chosen is journalled beside other records, or alone at most once a heartbeat.
"""

from __future__ import annotations

from typing import Any

from nodes.core.membership import Configuration, Members, encode_members
from nodes.core.paxos.candidate import Preparing
from nodes.core.paxos.leader import Leader
from nodes.core.paxos.member import NEVER, SOON_TICKS, Member
from nodes.core.replicated_log import Entry, LogEffects, NotLeader, Point, ReplicatedLog

CHOSEN_UNWRITTEN = 64  # slots: so far the journal may trail in what is chosen before it gets a record of its own


class PaxosReplica(Member, ReplicatedLog):
    """See `ReplicatedLog`; the epoch is the ballot. ValueError for members that are no node numbers 1..255."""

    # -- what happened
    def tick(self, clock_ms: int) -> None:
        self._now_ticks += 1
        self._heard_ticks += 1
        self._clocks_ms[self._me] = max(self._clocks_ms[self._me], clock_ms)
        if self._timing.is_beat(self._now_ticks):
            self._beat()
        if isinstance(self._role, Leader):
            if not self._role.tick(self._now_ticks):
                self._follow(None)
            return
        self._wait_ticks -= 1
        if self._wait_ticks <= 0:
            self._ask()
        elif self._role is not None:
            self._resend(self._role)

    def _beat(self) -> None:
        if self._acceptor.chosen_unwritten() >= CHOSEN_UNWRITTEN:
            self._acceptor.write_records(0)
        if self._unanswered is not None:
            self._answer(self._unanswered)

    def receive(self, sender: int, message: Any) -> None:
        handler = self._handlers.get(type(message))
        if handler is not None:
            handler(sender, message)

    def on_durable(self, mark: int) -> None:
        self._outbox.on_durable(mark)
        if isinstance(self._role, Leader):
            self._count(self._role)
        elif isinstance(self._role, Preparing):
            self._lead_if_prepared(self._role)

    def on_peer_lost(self, peer: int) -> None:
        if peer != self._leader:
            return
        self._leader = None
        self._heard_ticks = NEVER
        self._wait_at_most(SOON_TICKS)

    # -- what is asked
    def propose(self, data: bytes, epoch: int) -> int:
        role = self._role
        if not isinstance(role, Leader) or role.ballot != epoch:
            raise NotLeader(self.leader)
        if not data:
            raise ValueError("an entry without data is nothing, and nothing is not proposed")
        slot = self._acceptor.last_slot + 1
        self._acceptor.append(Entry(slot, epoch, data))
        return slot

    def change(self, members: Members, epoch: int) -> int:
        role = self._role
        if not isinstance(role, Leader) or role.ballot != epoch:
            raise NotLeader(self.leader)
        slot = self._acceptor.last_slot + 1
        role.change(slot, members, self._acceptor.chosen)
        return self.propose(encode_members(members), epoch)

    def confirm(self, token: int) -> None:
        if isinstance(self._role, Leader):
            self._role.confirm(token)
        else:
            self._reads.append((token, False))

    def transfer(self, to: int | None = None) -> None:
        role = self._role
        if isinstance(role, Leader):
            self._hand_over(role, to)

    def decline(self, sender: int) -> None:
        """Nothing: a leader that asked to be replaced goes on until it is."""

    def compact(self, slot: int) -> None:
        assert slot <= self._learner.delivered, "what is not delivered is still needed"
        if slot >= self._acceptor.first_slot:
            self._acceptor.trim(slot)

    def install(self, applied: Point, epoch: int, known: Configuration | None = None) -> None:
        assert not self.leads, "a leader has everything"
        assert applied.slot > self._learner.delivered, "an older store than the own one is of no use"
        self._acceptor.install(applied)
        self._learner.install(applied, known)

    def drain(self) -> LogEffects:
        effects = LogEffects()
        role = self._role
        if isinstance(role, Leader):
            if role.wants_round():
                self._broadcast_heartbeat(role)
            self._outbox.sends.extend(role.accepts(self._acceptor))
            self._take_confirmed(role)
        effects.entries = self._learner.deliver()
        self._acceptor.write_records(NEVER)
        self._outbox.drain_into(effects, self._acceptor.promised)
        effects.reads, self._reads = self._reads, []
        return effects

    # -- what is seen
    @property
    def leads(self) -> bool:
        return isinstance(self._role, Leader)

    @property
    def configuration(self) -> Configuration:
        return self._role.configuration if isinstance(self._role, Leader) else self._learner.configuration

    @property
    def is_settled(self) -> bool:
        return isinstance(self._role, Leader) and self._role.is_settled(self._learner.delivered)

    @property
    def handed_over(self) -> bool:
        return self._handed_over

    def is_heard(self, peer: int) -> bool:
        return isinstance(self._role, Leader) and self._role.is_heard(peer)

    def is_near(self, peer: int) -> bool:
        return isinstance(self._role, Leader) and self._role.is_near(peer, self._acceptor.last_slot)

    @property
    def epoch(self) -> int:
        return self._outbox.durable_ballot

    @property
    def leader(self) -> int | None:
        return self._leader

    @property
    def chosen_slot(self) -> int:
        return self._acceptor.chosen

    @property
    def last_slot(self) -> int:
        return self._acceptor.last_slot

    @property
    def highest_slot(self) -> int:
        return self._acceptor.last_slot  # nothing is ever cut

    @property
    def first_slot(self) -> int:
        return self._acceptor.first_slot

    def held_bytes(self) -> int:
        return sum(len(entry.data) for entry in self._acceptor.entries.values())

    def laggards(self) -> list[int]:
        if not isinstance(self._role, Leader):
            return []
        return [node for node, peer in self._role.peers.items() if peer.needs_store]

    def state_records(self, entries: bool) -> list[Any]:
        return list[Any](self._acceptor.state_records(entries))

    @property
    def majority_clock_ms(self) -> int:
        members = self._members
        clocks = [self._clocks_ms.get(voter, 0) for voter in members.voters]
        return sorted(clocks, reverse=True)[members.quorum - 1]

    def progress(self) -> dict[int, int]:
        if not isinstance(self._role, Leader):
            return {}
        own = min(self._acceptor.last_slot, self._outbox.durable_slot())
        return {self._me: own, **{node: peer.durable_slot for node, peer in self._role.peers.items()}}

    def needs_drain(self) -> bool:
        role = self._role
        if isinstance(role, Leader) and (role.wants_round() or role.has_unsent(self._acceptor.last_slot)):
            return True
        return self._outbox.has_any() or bool(self._reads) or self._acceptor.has_fresh() or self._learner.has_more()
