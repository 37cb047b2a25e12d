"""The state machine of a coordinator group: decisions, and on `c1` the oracle (DESIGN.md §4, §5).

The first decision for an id counts; every later one is answered with it. `commit_ts` is drawn when all votes are in:
where the oracle lives in the same group its leader stamps the entry itself, elsewhere the leader asks the oracle.
A transaction is committed when its DecideTxn is applied here at the home's leader.

*Invariants*: at most one decision per id. A commit is told to every participant until each has acknowledged; then
DoneTxns. Nobody takes `commit_ts` from anywhere but the applied record. The mark below which decisions are forgotten
moves through the log and never passes a commit that is not done, nor an id that is being decided.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nodes import ids
from nodes.core.engine import Decisions
from nodes.core.host import GATEWAY, Host
from nodes.core.oracle import Oracle, TimestampReply, TimestampRequest, at_ms
from nodes.core.replicated_log import TICK_MS, Entry
from nodes.core.txn import steps
from nodes.core.txn.client_keys import ClientKeys, refuse_key
from nodes.core.txn.decisions import CoordinatorState
from nodes.core.txn.entries import (
    FENCED,
    CoordinatorEntry,
    DecideTxn,
    DoneTxns,
    FenceKey,
    ForgetDecisions,
    Reserve,
    encode,
)
from nodes.core.txn.messages import Acknowledge, AskFate, AskKey, Decide, Decided, FateKnown, InDoubt, NotHome, Outcome
from nodes.requests import ABORTED, COMMITTED, EXPIRED, UNDECIDED

RESERVATION_MS = 3_000
TELL_AGAIN_TICKS = 20
DONE_BATCH = 512


class Leadership:
    """What the leader of a coordinator group has in memory."""

    def __init__(self, state: CoordinatorState, host: Host) -> None:
        self.oracle = Oracle()
        self.oracle.lead(state.reserved)
        self.gateways: dict[bytes, list[int]] = {}  # who waits for the decision
        self.proposed: set[bytes] = set()
        self.doubters: dict[bytes, dict[str, InDoubt]] = {}  # by shard
        self.fates: dict[bytes, list[AskFate]] = {}
        self.unacknowledged: dict[bytes, list[str]] = {t: list(d.participants) for t, d in state.undone.items()}
        self.tell_at: dict[bytes, int] = dict.fromkeys(state.undone, host.now)
        self.done: list[bytes] = []
        self.keys = ClientKeys(state, host)
        self.forget_at = host.now
        self.held: list[Callable[[], bool]] = []  # what waits for a reservation; True: served


class Coordinator:
    """One replica's state machine (`Machine` of nodes/core/host.py). `clock_ms` is the majority's clock."""

    def __init__(self, store: Decisions, host: Host, has_oracle: bool) -> None:
        self.host = host
        self.has_oracle = has_oracle
        self.state = CoordinatorState(store)
        self.leading: Leadership | None = None
        self._handlers: dict[type, Callable[[Leadership, Any], None]] = {
            Decide: self._on_decide,
            InDoubt: self._on_in_doubt,
            Acknowledge: self._on_acknowledge,
            AskFate: self._on_ask_fate,
            AskKey: lambda leading, message: leading.keys.on_ask(message),
            TimestampRequest: self._on_timestamp_request,
        }

    # -- the replica

    def apply(self, entries: list[Entry]) -> None:
        for entry in entries:
            decoded = self.state.apply(entry)
            if isinstance(decoded, DecideTxn) and self.state.decision(decoded.txn) is decoded:
                detail = (entry.epoch, entry.slot, decoded.commit, decoded.commit_ts, decoded.reason)
                self.host.note(steps.DECISION, decoded.txn, detail)
            if self.leading is not None and decoded is not None:
                self._on_applied(self.leading, decoded)

    def lead(self) -> None:
        self.leading = Leadership(self.state, self.host)
        self._reserve(self.leading)

    def conclude(self) -> None:
        """What it means to propose it has proposed."""

    def unlead(self) -> None:
        assert self.leading is not None, "only a leader stops leading"
        self.leading.keys.end()
        self.leading = None  # gateways ask the next leader under the same id

    @property
    def holds_open(self) -> bool:
        return False

    def receive(self, sender: int, message: Any) -> None:
        handler = self._handlers.get(type(message))
        if self.leading is None:
            self._refuse(sender, message)
        elif handler is not None:
            handler(self.leading, message)

    def _refuse(self, sender: int, message: Any) -> None:
        leader = self.host.leader
        if isinstance(message, Decide):
            self.host.send(message.gateway, GATEWAY, NotHome(message.txn, self.host.group, leader))
        elif isinstance(message, AskFate):
            self.host.send(message.gateway, GATEWAY, FateKnown(message.number, message.txn, "", 0, "", leader))
        elif isinstance(message, AskKey):
            refuse_key(self.host, message)
        elif isinstance(message, TimestampRequest | InDoubt | Acknowledge):
            # Who asked holds no replica of this group and would go on asking here.
            self.host.send(sender, GATEWAY, NotHome(b"", self.host.group, leader))

    def flush(self) -> None:
        self.state.flush()

    def tick(self) -> None:
        self.state.tick(self.host.now)
        leading = self.leading
        if leading is None:
            return
        self._reserve(leading)
        self._forget(leading)
        self._flush_done(leading)
        for txn, due in list(leading.tell_at.items()):
            if due <= self.host.now:
                self._tell(leading, txn)

    # -- decisions

    def _on_decide(self, leading: Leadership, message: Decide) -> None:
        if message.binding is not None:
            leading.keys.on_decide(message.txn, message.binding.key)
        decision = self.state.decision(message.txn)
        if decision is not None or self.state.is_expired(message.txn):
            self._answer(leading, message.gateway, message.txn, decision)
            leading.keys.on_answered(message.txn)
            return
        waiting = leading.gateways.setdefault(message.txn, [])
        if message.gateway not in waiting:
            waiting.append(message.gateway)
        if message.txn not in leading.proposed:
            leading.proposed.add(message.txn)
            self._stamp(leading, message)

    def _stamp(self, leading: Leadership, message: Decide) -> None:
        """Draw commit_ts, now that all votes are in, and propose the commit with it."""

        def propose(ts: int) -> None:
            if self.leading is leading:
                commit = DecideTxn(message.txn, True, ts, message.participants, "", message.binding)
                self.host.propose(encode(commit))

        def stamp_here() -> bool:
            ts = leading.oracle.take(1, self.host.clock_ms)
            if ts:
                propose(ts)
            return ts != 0

        if not self.has_oracle:
            self.host.timestamp(propose)
        elif not stamp_here():
            self._hold(leading, stamp_here)

    def _decide_abort(self, txn: bytes, reason: str) -> None:
        """Behind a commit that is proposed already it changes nothing: the first one applied counts."""
        self.host.propose(encode(DecideTxn(txn, False, 0, [], reason)))

    def _on_applied(self, leading: Leadership, entry: CoordinatorEntry) -> None:
        if isinstance(entry, Reserve):
            leading.oracle.on_reserved(entry.until)
            leading.held = [serve for serve in leading.held if not serve()]
        elif isinstance(entry, FenceKey):
            leading.keys.on_fenced(entry)
        elif isinstance(entry, DoneTxns):
            for txn in entry.txns:  # a decision that came behind the first may have it told anew
                leading.unacknowledged.pop(txn, None)
                leading.tell_at.pop(txn, None)
        elif isinstance(entry, DecideTxn):
            self._on_decided(leading, entry.txn, self.state.decision(entry.txn))

    def _on_decided(self, leading: Leadership, txn: bytes, decision: DecideTxn | None) -> None:
        """None: the mark had passed it, so it took no effect."""
        leading.proposed.discard(txn)
        if decision is not None and decision.commit and txn in self.state.undone and txn not in leading.unacknowledged:
            leading.unacknowledged[txn] = list(decision.participants)
            leading.tell_at[txn] = self.host.now + TELL_AGAIN_TICKS
        for gateway in leading.gateways.pop(txn, ()):
            self._answer(leading, gateway, txn, decision)
        leading.keys.on_answered(txn)
        for doubter in leading.doubters.pop(txn, {}).values():
            self._send_outcome(doubter, decision)
        for question in leading.fates.pop(txn, ()):
            self._tell_fate(question)

    def _answer(self, leading: Leadership, gateway: int, txn: bytes, decision: DecideTxn | None) -> None:
        if decision is None:
            answer = Decided(txn, False, 0, "expired", expired=True)
        else:
            answer = Decided(txn, decision.commit, decision.commit_ts, decision.reason)
            if not decision.commit:
                answer.bound = leading.keys.taker(txn)
        self.host.send(gateway, GATEWAY, answer)

    # -- participants

    def _on_in_doubt(self, leading: Leadership, message: InDoubt) -> None:
        decision = self.state.decision(message.txn)
        if decision is not None or self.state.is_expired(message.txn):
            self._send_outcome(message, decision)
            return
        doubters = leading.doubters.setdefault(message.txn, {})
        is_new = not doubters
        doubters[message.shard] = message
        if is_new and message.txn not in leading.proposed:
            self._decide_abort(message.txn, "in doubt: its gateway did not decide in time")

    def _send_outcome(self, doubter: InDoubt, decision: DecideTxn | None) -> None:
        """Without a decision, for it is forgotten, the outcome is abort: a commit is forgotten only when it is done."""
        commit, commit_ts = (decision.commit, decision.commit_ts) if decision is not None else (False, 0)
        outcome = Outcome(doubter.txn, commit, commit_ts, self.host.group)
        self.host.send(doubter.node, doubter.shard, outcome)

    def _tell(self, leading: Leadership, txn: bytes) -> None:
        decision = self.state.undone[txn]
        leading.tell_at[txn] = self.host.now + TELL_AGAIN_TICKS
        for shard in leading.unacknowledged[txn]:
            outcome = Outcome(txn, decision.commit, decision.commit_ts, self.host.group)
            self.host.to_leader(shard, outcome)

    def _on_acknowledge(self, leading: Leadership, message: Acknowledge) -> None:
        for txn in message.txns:
            waiting = leading.unacknowledged.get(txn)
            if waiting is None or message.shard not in waiting:
                continue
            waiting.remove(message.shard)
            if not waiting:
                del leading.unacknowledged[txn]
                del leading.tell_at[txn]
                leading.done.append(txn)

    def _flush_done(self, leading: Leadership) -> None:
        for start in range(0, len(leading.done), DONE_BATCH):
            self.host.propose(encode(DoneTxns(leading.done[start : start + DONE_BATCH])))
        leading.done = []

    # -- forgetting

    def _forget(self, leading: Leadership) -> None:
        if self.host.now < leading.forget_at:
            return
        leading.forget_at = self.host.now + max(1, self.host.constants.watermark_every_ms // TICK_MS)
        if self.state.newest() <= self.state.marks.forgotten:
            return  # an idle group would write for ever

        def propose(ts: int) -> None:
            if self.leading is leading:
                kept = at_ms(self.host.constants.outcomes_kept_ms)
                under_way = (*self.state.undone, *leading.proposed, *leading.doubters, *leading.fates)
                until = min(ts - kept, min(map(ids.time_of, under_way), default=ts) - 1)
                if until > self.state.marks.forgotten:
                    self.host.propose(encode(ForgetDecisions(until)))

        self.host.timestamp(propose)

    # -- fate and fence

    def _on_ask_fate(self, leading: Leadership, message: AskFate) -> None:
        def then(confirmed: bool) -> None:
            if not confirmed or self.leading is not leading:
                self._refuse(message.gateway, message)
            elif message.fence and self._is_open(message.txn):
                leading.fates.setdefault(message.txn, []).append(message)
                self._decide_abort(message.txn, FENCED)
            else:
                self._tell_fate(message)

        self.host.confirm(then)

    def _is_open(self, txn: bytes) -> bool:
        """Can it still be decided?"""
        return self.state.decision(txn) is None and not self.state.is_expired(txn)

    def _tell_fate(self, message: AskFate) -> None:
        decision = self.state.decision(message.txn)
        if decision is None:
            state = EXPIRED if self.state.is_expired(message.txn) else UNDECIDED
            known_since = self.state.marks.forgotten
            answer = FateKnown(message.number, message.txn, state, 0, "", known_since=known_since)
        else:
            state = COMMITTED if decision.commit else ABORTED
            answer = FateKnown(message.number, message.txn, state, decision.commit_ts, decision.reason)
        self.host.send(message.gateway, GATEWAY, answer)

    # -- the oracle

    def _on_timestamp_request(self, leading: Leadership, message: TimestampRequest) -> None:
        if not self.has_oracle:
            return

        def serve() -> bool:
            first = leading.oracle.take(message.count, self.host.clock_ms)
            if first:
                reply = TimestampReply(message.boot, message.number, first)
                self.host.send(message.node, GATEWAY, reply)
            return first != 0

        def then(confirmed: bool) -> None:
            # The round began after the question had come, so a deposed leader answers nothing.
            if confirmed and self.leading is leading and not serve():
                self._hold(leading, serve)

        self.host.confirm(then)

    def _hold(self, leading: Leadership, serve: Callable[[], bool]) -> None:
        leading.held.append(serve)
        self._reserve(leading)

    def _reserve(self, leading: Leadership) -> None:
        if not self.has_oracle:
            return
        until = leading.oracle.reserve(RESERVATION_MS, self.host.clock_ms, room=len(leading.held))
        if until:
            self.host.propose(encode(Reserve(until)))
