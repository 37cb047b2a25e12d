"""One member of a Multi-Paxos group: its roles, and what each message does to them.

It decides who may lead. A follower that hears no leader for a random time-out asks whether others miss it too
(pre-vote); with a majority behind it, it runs phase 1 over everything not known to be chosen, proposes again what it
found, then nothing, as its own first entry; then it leads.

*Invariants*: a message under a ballot below the promised one changes nothing; a leader that learns of a higher ballot
is one no longer; a ballot leaves this node only when the promise of it is durable here; nobody leads who lacks what a
member of its majority has trimmed. Members count from the slot behind the entry that names them on; who has that
entry delivered as a voter may ask for the lead. *Left out*: leases. Lamport, Paxos Made Simple; Chandra et al.,
Paxos Made Live.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from nodes.core.membership import Configuration, Members, newer
from nodes.core.paxos.acceptor import Acceptor
from nodes.core.paxos.ballots import next_ballot, node_of
from nodes.core.paxos.candidate import Asking, Preparing
from nodes.core.paxos.leader import Leader
from nodes.core.paxos.learner import Learner
from nodes.core.paxos.messages import (
    Accept,
    Accepted,
    Ask,
    AskReply,
    Chosen,
    Heartbeat,
    HeartbeatReply,
    Learn,
    Message,
    Prepare,
    Promise,
    Refused,
    TakeOver,
)
from nodes.core.replicated_log import START, Entry, Point, Timing
from nodes.ids import MAX_NODE

SOON_TICKS = 4  # the longest wait for an election that has a reason, such as the leader's broken connection
NEVER = 1 << 30  # ticks


class Member:
    """The roles of this folder, wired by their messages."""

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
        if not all(1 <= node <= MAX_NODE for node in (me, *known.members.all)):
            raise ValueError("members are node numbers 1..255")
        self._me = me
        self._rng = rng
        self._timing = timing
        self._acceptor = Acceptor(records, timing.max_batch_bytes, applied)
        self._outbox = self._acceptor.outbox
        if (joined := self._acceptor.joined) is not None:
            known = newer(known, joined.configuration)
        self._learner = Learner(self._acceptor, timing.retransmit, applied, known)
        self._role: Asking | Preparing | Leader | None = None
        self._leader: int | None = None
        self._reads: list[tuple[int, bool]] = []
        self._seen = self._acceptor.promised  # the highest ballot heard of: the next own one is above
        self._now_ticks = 0
        self._heard_ticks = NEVER  # since a live leader was heard
        self._handed_over = False
        self._wait_ticks = rng.randint(1, 3) if eager else self._timeout()
        self._resend_ticks = 0
        self._clocks_ms = {me: 0}
        self._unanswered: Heartbeat | None = None
        self._answered = (0, 0)  # the newest ballot of which a heartbeat was answered, and its round
        self._handlers: dict[type, Callable[[int, Any], None]] = {
            Ask: self._on_ask,
            AskReply: self._on_ask_reply,
            Prepare: self._on_prepare,
            Promise: self._on_promise,
            Accept: self._on_accept,
            Accepted: self._on_accepted,
            Heartbeat: self._on_heartbeat,
            HeartbeatReply: self._on_heartbeat_reply,
            Refused: self._on_refused,
            Learn: self._on_learn,
            Chosen: self._on_chosen,
            TakeOver: self._on_take_over,
        }

    # -- the follower: time-outs and leaders
    def _timeout(self) -> int:
        return self._rng.randint(self._timing.election_min, self._timing.election_max)

    def _wait_at_most(self, ticks: int) -> None:
        self._wait_ticks = min(self._wait_ticks, self._rng.randint(1, ticks))

    def _follow(self, leader: int | None) -> None:
        """Be a follower, of `leader` if one is known; a leadership held until now ends unconfirmed."""
        if isinstance(self._role, Leader):
            self._reads.extend((token, False) for token in self._role.unconfirmed())
        self._role = None
        self._leader = leader
        self._wait_ticks = self._timeout()

    def _hear_leader(self, leader: int) -> None:
        self._heard_ticks = 0
        if self._role is not None:
            self._follow(leader)
        self._leader = leader
        self._wait_ticks = self._timeout()

    def _refuse(self, sender: int, ballot: int) -> None:
        self._send(sender, Refused(ballot, self._acceptor.promised))

    def _on_refused(self, sender: int, message: Refused) -> None:
        self._seen = max(self._seen, message.promised)
        role = self._role
        if isinstance(role, Preparing | Leader) and role.ballot == message.ballot < message.promised:
            self._follow(None)
            self._wait_at_most(SOON_TICKS)  # a rival that lives is heard of before; an old promise is only outbid

    # -- the question
    @property
    def _members(self) -> Members:
        return self._learner.configuration.members

    def _may_stand(self) -> bool:
        """A voter; or one that was removed and not told so by a leader yet: others may lack what it has let go of."""
        return self._me in self._members.voters + self._members.former

    def _ask(self) -> None:
        self._leader = None
        self._wait_ticks = self._timeout()
        if not self._may_stand():
            return
        self._role = role = Asking(self._rng.getrandbits(32), self._acceptor.chosen, self._me, self._members)
        self._resend_ticks = 0
        self._outbox.sends.extend(role.unanswered())
        self._prepare_if_granted(role)

    def _on_ask(self, sender: int, message: Ask) -> None:
        misses_leader = self._heard_ticks >= self._timing.election_min or sender == self._leader
        is_behind = message.chosen < self._acceptor.first_slot - 1
        # A leader that asks leads no more.
        granted = misses_leader and not is_behind and not isinstance(self._role, Leader)
        self._send(sender, AskReply(message.attempt, granted, self._acceptor.promised))

    def _on_ask_reply(self, sender: int, message: AskReply) -> None:
        self._seen = max(self._seen, message.promised)
        role = self._role
        if isinstance(role, Asking) and role.attempt == message.attempt and message.granted:
            role.granted.add(sender)
            self._prepare_if_granted(role)

    def _prepare_if_granted(self, role: Asking) -> None:
        if role.is_granted():
            self._handed_over = False
            self._prepare()

    # -- phase 1
    def _prepare(self) -> None:
        """Promise oneself a new ballot, which leaves this node when that is durable."""
        ballot = next_ballot(max(self._seen, self._acceptor.promised), self._me)
        self._follow(None)
        self._acceptor.promise(ballot)
        self._role = role = Preparing(ballot, self._acceptor.chosen + 1, self._me)
        self._resend_ticks = 0
        self._outbox.promises.extend(role.ask(self._members))

    def _on_prepare(self, sender: int, message: Prepare) -> None:
        if node_of(message.ballot) != sender:
            return
        if message.ballot < self._acceptor.promised:
            self._refuse(sender, message.ballot)
            return
        if message.ballot > self._acceptor.promised:
            self._follow(None)
            self._acceptor.promise(message.ballot)
        proposals, next_slot = self._acceptor.page(message.from_slot)
        trimmed = self._acceptor.first_slot - 1
        promise = Promise(message.ballot, message.from_slot, proposals, next_slot, trimmed)
        self._outbox.promises.append((sender, promise))

    def _on_promise(self, sender: int, message: Promise) -> None:
        role = self._role
        if not isinstance(role, Preparing) or role.ballot != message.ballot or not role.take_page(sender, message):
            return
        if message.trimmed >= role.from_slot:
            self._follow(None)
            return
        self._wait_ticks = self._timeout()
        if message.next_slot:
            self._send(sender, Prepare(role.ballot, message.next_slot))
        self._lead_if_prepared(role)

    def _lead_if_prepared(self, role: Preparing) -> None:
        if self._outbox.durable_ballot != role.ballot or not role.is_answered(self._members):
            return
        assert self._acceptor.promised == role.ballot, "a candidate that promised itself away"
        learnt, again = role.recovered(self._acceptor.proposals(role.from_slot), self._acceptor.chosen)
        for configuration in self._learner.configurations(learnt + again):
            if not role.is_answered(configuration.members):
                self._outbox.sends.extend(role.ask(configuration.members))  # the promise is durable
                return
        self._lead(role, learnt, again)

    def _lead(self, role: Preparing, learnt: list[Entry], again: list[Entry]) -> None:
        """Phase 1 is complete: keep what must be kept, then the own first entry."""
        self._acceptor.learn(learnt)
        configurations = self._learner.configurations(again)
        for entry in again:
            self._acceptor.append(entry)
        chosen, first_own = self._acceptor.chosen, self._acceptor.last_slot + 1
        self._role = Leader(role.ballot, self._me, configurations, self._timing, chosen, first_own)
        self._leader = self._me
        self._acceptor.append(Entry(first_own, role.ballot, b""))

    def _on_take_over(self, sender: int, message: TakeOver) -> None:
        if message.ballot == self._acceptor.promised and sender == self._leader and self._may_stand():
            self._handed_over = sender in self._members.voters  # else it went because it had to
            self._prepare()

    # -- phase 2
    def _on_accept(self, sender: int, message: Accept) -> None:
        if not self._obeys(sender, message.ballot):
            return
        entries = message.entries
        if not entries or entries[-1].slot - entries[0].slot + 1 != len(entries):
            return
        self._acceptor.accept(message.ballot, entries)
        self._outbox.promises.append((sender, Accepted(message.ballot, entries[0].slot, entries[-1].slot)))
        self._acceptor.learn_accepted(message.ballot, message.chosen)

    def _obeys(self, sender: int, ballot: int) -> bool:
        """Is it from a leader whose ballot nothing promised here is above? Then it is the leader."""
        if node_of(ballot) != sender:
            return False
        if ballot < self._acceptor.promised:
            self._refuse(sender, ballot)
            return False
        self._hear_leader(sender)
        return True

    def _on_accepted(self, sender: int, message: Accepted) -> None:
        role = self._role
        peer = role.peers.get(sender) if isinstance(role, Leader) else None
        if isinstance(role, Leader) and role.ballot == message.ballot and peer is not None:
            peer.heard_ticks = 0
            peer.on_accepted(message.first, message.last)
            self._count(role)

    def _count(self, role: Leader) -> None:
        own = min(self._acceptor.last_slot, self._outbox.durable_slot())
        self._acceptor.learn_accepted(role.ballot, role.chosen(own, self._acceptor.chosen))
        self._end_if_dismissed(role)

    def _end_if_dismissed(self, role: Leader) -> None:
        """Who is no voter any more, by what a leader of before had begun, leads until the others can do without.

        It asks one of them to take over: else others who were removed, and do not know, might be faster each time."""
        if role.is_dismissed and role.is_settled(self._learner.delivered):
            self._hand_over(role)
            self._follow(None)

    def _hand_over(self, role: Leader, to: int | None = None) -> None:
        """To `to`, or the best heir; nothing if there is none."""
        heirs = role.heirs()
        heir = to or next(iter(heirs), None)
        if heir in heirs:
            self._send(heir, TakeOver(role.ballot))

    # -- heartbeats and read rounds
    def _broadcast_heartbeat(self, role: Leader) -> None:
        heartbeat = Heartbeat(role.ballot, self._acceptor.chosen, role.begin_round())
        self._outbox.sends.extend((node, heartbeat) for node in role.peers)

    def _on_heartbeat(self, sender: int, message: Heartbeat) -> None:
        if not self._obeys(sender, message.ballot):
            return
        if message.ballot > self._acceptor.promised:
            self._acceptor.promise(message.ballot)
        self._acceptor.learn_accepted(message.ballot, message.chosen)
        if self._unanswered is not None or (message.ballot, message.round) > self._answered:
            self._answer(message)
        else:
            self._unanswered = message
        self._learn_up_to(sender, message.chosen)

    def _answer(self, heartbeat: Heartbeat) -> None:
        """At once if it begins a round, for reads wait for it; else in the tick in which this node beats itself, or
        when the next one comes, should this node be slower than its leader."""
        self._unanswered, self._answered = None, (heartbeat.ballot, heartbeat.round)
        clock_ms, chosen = self._clocks_ms[self._me], self._learner.deliverable()
        self._send(node_of(heartbeat.ballot), HeartbeatReply(*self._answered, clock_ms, chosen))

    def _on_heartbeat_reply(self, sender: int, message: HeartbeatReply) -> None:
        self._clocks_ms[sender] = max(self._clocks_ms.get(sender, 0), message.clock_ms)
        role = self._role
        peer = role.peers.get(sender) if isinstance(role, Leader) else None
        if not isinstance(role, Leader) or role.ballot != message.ballot or peer is None:
            return
        peer.heard_ticks = 0
        peer.round = max(peer.round, message.round)
        peer.on_holds(message.chosen)
        peer.known_slot = max(peer.known_slot, message.chosen)
        peer.needs_store = peer.needs_store and message.chosen < self._acceptor.first_slot - 1
        self._take_confirmed(role)
        self._end_if_dismissed(role)

    def _take_confirmed(self, role: Leader) -> None:
        self._reads.extend((token, True) for token in role.confirmed())

    # -- learning
    def _learn_up_to(self, leader: int, chosen: int) -> None:
        if self._learner.should_ask(chosen, self._now_ticks):
            self._send(leader, Learn(self._acceptor.chosen + 1))

    def _on_learn(self, sender: int, message: Learn) -> None:
        if isinstance(self._role, Leader) and sender in self._role.peers:
            self._role.peers[sender].needs_store = message.from_slot < self._acceptor.first_slot
        if self._acceptor.first_slot <= message.from_slot <= self._acceptor.chosen:
            entries = self._acceptor.batch(message.from_slot, self._acceptor.chosen)
            self._send(sender, Chosen(entries, self._acceptor.chosen))

    def _on_chosen(self, sender: int, message: Chosen) -> None:
        if isinstance(self._role, Leader):
            return
        self._learner.on_chosen(message.entries)
        self._learn_up_to(sender, message.chosen)

    # -- sending
    def _send(self, node: int, message: Message) -> None:
        self._outbox.sends.append((node, message))

    def _resend(self, role: Asking | Preparing) -> None:
        self._resend_ticks += 1
        if self._resend_ticks >= self._timing.retransmit:
            self._resend_ticks = 0
            box = self._outbox.sends if isinstance(role, Asking) else self._outbox.promises
            box.extend(role.unanswered())
