"""A shard leader executes transactions: locks, evaluation, vote or one-shard commit (DESIGN.md §5).

Locks are taken twice: before the evaluation from the plan, after it from the images; what is not free at once is
waited for and everything evaluated again. Then a one-shot request of one shard asks the oracle and appends its
CommitTxn, a participant of several shards appends its PrepareTxn. What no entry will confirm waits for a read index.

*Invariants*: nothing rests on an entry that is proposed but not applied. Locks of a transaction in flight stand until
the entry that contains its end is applied. Who is APPENDED is ended by nothing but its entry. An abort at its own home
(finish COMMIT) is answered only when an AbortTxn is applied: the gateway may mint a new id after it. A step of an
interactive transaction is taken only by the leader that took the ones before it; what it holds is in memory alone, so
until it is prepared this shard may end it.
"""

from __future__ import annotations

from collections import deque

from nodes.core.host import GATEWAY, Host
from nodes.core.locks import LockTable, Node
from nodes.core.replicated_log import TICK_MS
from nodes.core.txn import steps
from nodes.core.txn.ends import Ends
from nodes.core.txn.entries import AbortTxn, CommitTxn, OutcomeRecord, PrepareTxn, encode
from nodes.core.txn.evaluated import bounded, image_locks, over_bound, planned_locks, stale_version
from nodes.core.txn.interactive import Interactive
from nodes.core.txn.messages import (
    BUSY,
    COMMIT,
    ENDED,
    FAILED,
    HOLD,
    NOT_LEADER,
    PREPARE,
    STALE,
    TIMED_OUT,
    TOO_LATE,
    WOUNDED,
    Execute,
    Finished,
    Refused,
    Voted,
    Wound,
)
from nodes.core.txn.row_locks import RowLocking
from nodes.core.txn.shard_state import ShardState
from nodes.core.txn.states import APPENDED, ASKING, CONFIRMING, ENDING, GONE, HOLDING, LOCKING, Active, LockNeed
from nodes.errors import ErrorInfo

EVALUATION_BUDGET_MS = 50.0
MAX_ACTIVE = 4_096
MAX_REMEMBERED = 10_000
WOUND_AGAIN_TICKS = 4
ENDABLE = (LOCKING, ASKING, HOLDING)  # by a wound or the deadline, whoever is older waiting


class Participant:
    """The leader's part; a new object for each time of leadership."""

    def __init__(self, state: ShardState, host: Host) -> None:
        self.state = state
        self.host = host
        self.locks = LockTable()
        self.active: dict[bytes, Active] = {}
        self.ends = Ends(state, host, self.active)
        self.seen = state.largest_ts
        self._granted: deque[bytes] = deque()
        self._running = False
        # Of those that ended here without an entry. A cache: who is forgotten and comes again late is prepared, asks,
        # and is told abort by the home.
        self._answers: dict[bytes, Refused | Finished] = {}
        self.interactive = Interactive(self)
        self.row_locking = RowLocking(state, self.locks)
        for txn, record in state.prepared.items():
            self.locks.rebuild(txn, record.age, [((t, k), m) for t, k, m in record.locks])
            self.seen = max(self.seen, record.floor)

    # -- Execute

    def on_execute(self, message: Execute) -> None:
        if message.number:
            self.interactive.on_step(message)
        elif message.txn not in self.active and not self.answer_from_record(message):
            self.open(message)

    def open(self, message: Execute) -> None:
        """Nothing is known of it here."""
        if self.state.is_late(message.txn):
            seen_ts = max(self.seen, self.state.marks.late + 1)  # the oracle has given at least that much
            self.send(message.gateway, Refused(message.txn, self.host.group, TOO_LATE, seen_ts=seen_ts))
            return
        self.host.note(steps.ARRIVED, message.txn, message.gateway)
        is_busy = len(self.active) >= MAX_ACTIVE or self.host.is_full
        if is_busy and message.finish != COMMIT:
            self.send(message.gateway, Refused(message.txn, self.host.group, BUSY))
            return
        term = self.interactive.next_term() if message.number else 0
        active = self.active[message.txn] = Active(message, self.host.now, term)
        if is_busy:  # another copy of it may come later: at its own home only an entry makes the refusal true
            self._log_abort(active, Refused(message.txn, self.host.group, BUSY))
            return
        self.begin(active)

    def begin(self, active: Active) -> None:
        behind = self.row_locking.arrive(active, self.state.prepared, self.host.now)
        if behind:
            self.host.note(steps.WAITS, active.txn, (behind,))
            self.ends.propose()
        else:
            self._lock(active)
        self.run()

    def _lock(self, active: Active) -> None:
        if (error := self.row_locking.take_planned(active)) is not None:
            self._refuse_evaluated(active, Refused(active.txn, self.host.group, FAILED, error=error))
        else:
            self.acquire(active, bounded(self.locks.held_by(active.txn), planned_locks(active.fragments)))

    def answer_from_record(self, message: Execute) -> bool:
        """Is there a record of this id already? Then it is answered from that."""
        txn = message.txn
        prepared = self.state.prepared.get(txn)
        if prepared is not None:
            self.send(message.gateway, self._vote(prepared))
            return True
        outcome = self.state.outcome(txn)
        if outcome is not None:
            self._answer_outcome(message, outcome)
            return True
        answer = self._answers.get(txn)
        if answer is not None:
            self.send(message.gateway, answer)
        return answer is not None

    def _answer_outcome(self, message: Execute, outcome: OutcomeRecord) -> None:
        if not outcome.commit:
            self.send(message.gateway, self._ended(message.txn))
        elif message.finish == COMMIT:
            self.send(message.gateway, self._finished(message.txn, outcome))

    def _finished(self, txn: bytes, outcome: OutcomeRecord) -> Finished:
        seen_ts = outcome.commit_ts or outcome.seen_ts
        return Finished(txn, self.host.group, outcome.commit_ts, outcome.rows, seen_ts)

    # -- locks

    def acquire(self, active: Active, need: LockNeed) -> None:
        if self.locks.request(active.txn, active.age, need):
            self._granted.append(active.txn)
        else:
            self._wait(active)

    def _wait(self, active: Active) -> None:
        active.waits(self.host.now)
        self.host.note(steps.WAITS, active.txn, self.locks.blocker_of(active.txn))
        self._wound_for(active.txn)
        self.ends.propose()

    @property
    def is_awaited(self) -> bool:
        """Does anybody wait for another one to end here?"""
        return self.locks.is_any_waiting or self.row_locking.is_any_waiting

    def run(self) -> None:
        """Evaluate who was granted, one after the other (each may end others and so grant more)."""
        if self._running:
            return
        self._running = True
        try:
            while self._granted or self._lock_ready():
                active = self.active.get(self._granted.popleft())
                if active is not None and active.state == LOCKING and not self.locks.is_waiting(active.txn):
                    self._evaluate(active)
        finally:
            self._running = False

    def _lock_ready(self) -> bool:
        """Who has waited for those that were prepared goes on; is somebody granted by that?"""
        for active in self.row_locking.ready(self.host.now):
            self._lock(active)
        return bool(self._granted)

    def release(self, txn: bytes) -> None:
        self._granted.extend(self.locks.release(txn))
        self.row_locking.on_released(txn)

    def _wound_for(self, txn: bytes) -> None:
        """An older one waits: who is younger and in its way is ended, or its gateway is asked to."""
        for victim, node in self.locks.wounds_of(txn).items():
            active = self.active.get(victim)
            if active is not None and active.state in ENDABLE:
                self._end(active, WOUNDED, (txn, node))
            elif active is None and victim in self.state.prepared:
                self.send(self.state.prepared[victim].gateway, Wound(victim, self.host.group, txn, *node))

    # -- evaluation

    def _evaluate(self, active: Active) -> None:
        active.waits_no_more(self.host.now)
        stale = stale_version(self.state.engine, active)
        if stale is not None:
            refusal = Refused(active.txn, self.host.group, STALE, table=stale[0], version=stale[1])
            self._refuse_evaluated(active, refusal)
            return
        found, rows_need = self.row_locking.evaluate(active, EVALUATION_BUDGET_MS)
        error = found.error or over_bound(found.images)
        self.host.note(steps.EVALUATED, active.txn, (len(found.images), error.message if error else ""))
        if error is not None:
            self._refuse_evaluated(active, Refused(active.txn, self.host.group, FAILED, error=error))
            return
        active.rows, active.images = found.rows, found.images
        need = rows_need + image_locks(self.state.engine, self.locks.held_by(active.txn), active.images)
        if need and not self.locks.request(active.txn, active.age, need):
            self._wait(active)  # when granted, it is evaluated again: what it waited for may have changed it
            return
        self.finish(active)

    # -- the end of the execution

    def finish(self, active: Active) -> None:
        active.floor = self.seen
        if active.finish == HOLD:
            self.interactive.done(active)
        elif active.finish == PREPARE:
            self._append(active, encode(self._prepare_record(active)))
        elif active.images or active.ddl is not None:
            active.move(ASKING)
            self.host.timestamp(lambda ts: self._on_timestamp(active, ts))
        elif any(fragment.writes for fragment in active.fragments):
            # It changed nothing now, but another copy of it may come when it would: only a record keeps that out.
            self._append(active, encode(CommitTxn(active.txn, [], [], active.rows, 0)))
        else:
            self._confirm(active, Finished(active.txn, self.host.group, 0, active.rows, self.state.largest_ts))

    def _prepare_record(self, active: Active) -> PrepareTxn:
        locks, images = self._held_by(active), active.images
        return PrepareTxn(active.txn, active.age, active.gateway, images, locks, active.rows, active.floor, active.ddl)

    def _held_by(self, active: Active) -> list[tuple[int, bytes, int]]:
        return [(node[0], node[1], mode) for node, mode in self.locks.held_by(active.txn).items()]

    def _on_timestamp(self, active: Active, ts: int) -> None:
        if self.active.get(active.txn) is not active or active.state != ASKING:
            return  # ended while the oracle was asked: the value is thrown away
        self.seen = max(self.seen, ts)
        self._append(active, encode(CommitTxn(active.txn, active.images, self._held_by(active), active.rows, ts)))

    def _append(self, active: Active, data: bytes) -> None:
        active.move(APPENDED)
        self.ends.propose(data)  # not accepted: this leadership is over, `unlead` comes and tells the gateways

    def _confirm(self, active: Active, answer: Finished | Refused) -> None:
        """Locks held, a read index of the same term: only then is the answer true."""
        active.move(CONFIRMING)

        def then(confirmed: bool) -> None:
            if confirmed and self.active.get(active.txn) is active:
                final = active.refusal or answer  # a fence that was applied meanwhile
                if isinstance(final, Refused):
                    self.remember(final)
                self.leave(active, final)
                self.run()

        self.host.confirm(then)

    def _refuse_evaluated(self, active: Active, refusal: Refused) -> None:
        if active.finish == COMMIT:
            self._log_abort(active, refusal)
        elif active.finish == HOLD:
            self.interactive.failed(active, refusal)
        else:
            self._confirm(active, refusal)

    def _log_abort(self, active: Active, refusal: Refused) -> None:
        active.move(ENDING)
        active.refusal = refusal
        error = refusal.error if refusal.cause == FAILED else None
        self.ends.propose(encode(AbortTxn(active.txn, refusal.reason, error)))

    def _end(self, active: Active, cause: int, lost_to: tuple[bytes, Node] | None) -> None:
        """Ended by a wound or its deadline, not in flight: its locks go at once. `lost_to`: whom, and where."""
        active.waits_no_more(self.host.now)
        waited_ms = active.waited * TICK_MS
        winner, (table, key) = lost_to or (b"", (0, b""))
        refusal = Refused(active.txn, self.host.group, cause, 0, None, 0, winner, table, waited_ms, key=key)
        if active.finish == COMMIT:
            self._log_abort(active, refusal)
            self.release(active.txn)
        else:
            self.drop(active, refusal)

    def drop(self, active: Active, refusal: Refused) -> None:
        """Of several participants, and not appended: ended by this one alone."""
        self.remember(refusal)
        self.leave(active, refusal)

    def leave(self, active: Active, answer: Finished | Refused | Voted) -> None:
        active.move(GONE)
        del self.active[active.txn]
        self.release(active.txn)
        self.ends.look()
        self.send(active.gateway, answer)

    def remember(self, answer: Refused | Finished) -> None:
        if isinstance(answer, Refused):
            self.host.note(steps.TURNED_DOWN, answer.txn, (answer.cause, answer.winner))
        self._answers[answer.txn] = answer
        if len(self._answers) > MAX_REMEMBERED:
            del self._answers[next(iter(self._answers))]

    def _vote(self, record: PrepareTxn) -> Voted:
        wrote = bool(record.images) or record.ddl is not None
        return Voted(record.txn, self.host.group, record.rows, wrote)

    def send(self, node: int, message: object) -> None:
        self.host.send(node, GATEWAY, message)

    # -- what was applied

    def on_prepared(self, entry: PrepareTxn) -> bool | None:
        """Its PrepareTxn is applied. Returns an outcome that it was told meanwhile, to be carried out now."""
        active = self.active.get(entry.txn)
        if active is None:
            return None
        if entry.txn not in self.state.prepared:
            self.leave(active, self._ended(entry.txn))
            return None
        active.move(GONE)
        del self.active[entry.txn]
        self.send(active.gateway, self._vote(entry))
        return active.told

    def on_committed(self, entry: CommitTxn) -> None:
        active = self.active.get(entry.txn)
        if active is None:
            return
        outcome = self.state.outcome(entry.txn)
        if outcome is not None and outcome.commit:
            self.leave(active, self._finished(entry.txn, outcome))
        else:
            self.leave(active, self._ended(entry.txn))

    def on_aborted(self, entry: AbortTxn) -> None:
        active = self.active.get(entry.txn)
        if active is None or active.state == APPENDED:
            return  # its own entry follows and is answered from the record
        if active.state != ENDING:
            active.refusal = self._ended(entry.txn)
            if active.state == CONFIRMING:
                return
        assert active.refusal is not None, "an ending transaction knows its refusal"
        self.leave(active, active.refusal)

    def _ended(self, txn: bytes) -> Refused:
        outcome = self.state.outcome(txn)
        if outcome is not None and outcome.error is not None:
            return Refused(txn, self.host.group, FAILED, error=outcome.error)
        reason = outcome.reason if outcome is not None else "aborted"
        return Refused(txn, self.host.group, ENDED, error=ErrorInfo("aborted", reason, "40000"))

    def on_abort_told(self, txn: bytes) -> None:
        """The gateway gave up, and this participant has not appended: ended alone, the id remembered."""
        active = self.active.get(txn)
        refusal = Refused(txn, self.host.group, ENDED, error=ErrorInfo("aborted", "aborted by its gateway", "40000"))
        self.remember(refusal)
        if active is not None and active.state in (LOCKING, HOLDING):
            self.leave(active, refusal)
        elif active is not None and (active.state == APPENDED or active.finish == HOLD):
            active.told = False

    def floors_in_flight(self) -> list[int]:
        """Of each that is in flight here: it commits above its own, or not at all."""
        here = [active.floor for active in self.active.values() if active.state in (ASKING, APPENDED)]
        return here + [prepared.floor for prepared in self.state.prepared.values()]

    def after_apply(self) -> None:
        self.run()

    # -- time and the end of the leadership

    def tick(self) -> None:
        if not self.active:
            return
        now = self.host.now
        self.interactive.tick()
        for active in [a for a in self.active.values() if a.deadline <= now and a.state in ENDABLE]:
            if self.active.get(active.txn) is active and active.state in ENDABLE:
                self._end(active, TIMED_OUT, self.locks.blocker_of(active.txn))
        if now % WOUND_AGAIN_TICKS == 0:
            for txn in self.locks.waiting():
                if self.locks.is_waiting(txn):
                    self._wound_for(txn)
        self.run()

    def unlead(self) -> None:
        """Everything in memory goes. The gateways ask the next leader under the same id."""
        for active in self.active.values():
            refusal = Refused(active.txn, self.host.group, NOT_LEADER, leader=self.host.leader)
            self.send(active.gateway, refusal)
        self.active.clear()
