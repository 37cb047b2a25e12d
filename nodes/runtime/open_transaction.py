"""One interactive transaction at its gateway: what its client asked last, its savepoints, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nodes import ids
from nodes.core.txn.attempt import Aborted, Attempt, Committed, Last, Unknown, Unsent
from nodes.core.txn.entries import FENCED
from nodes.core.txn.messages import Held, Refused
from nodes.core.txn.session import OVER, Rows, Session
from nodes.errors import (
    DID_NOT_HAPPEN,
    BadRequest,
    NotSupported,
    OutcomeUnknown,
    StoreError,
    TransactionAborted,
)
from nodes.requests import ABORTED, COMMITTED, UNDECIDED, Reply, Request, Result
from nodes.runtime import activity
from nodes.runtime.execution import HOME
from nodes.runtime.questions import deadline_after
from nodes.runtime.refusals import IDLE, ROLLED_BACK, UNANSWERED, cause_of, error_of, is_fenced
from nodes.runtime.statements import bind, parts_of, results_of, unsent
from nodes.sql.plan import Bound
from nodes.wire.protocol import BACK_TO, COMMIT, ROLLBACK, RUN, SAVE, Within

if TYPE_CHECKING:
    from nodes.runtime.gateway import Gateway

MAX_SAVEPOINTS = 100

End = Reply | list[Result] | StoreError
Answer = Callable[[End], None]


class OpenTransaction:
    """`on_end(end)` once, with what its client is told who asks for more. `seq`: the number of what was asked last."""

    def __init__(self, gateway: Gateway, txn: bytes, age: bytes, on_end: Callable[[Reply | StoreError], None]) -> None:
        around = gateway.surroundings
        self.gateway = gateway
        self.txn, self.text, self.age = txn, ids.to_text(txn), age
        self.session = Session(txn, age, HOME, around, self._lose)
        self.begun_at = self.used_at = around.now
        self.seq, self.verb = 0, RUN  # of what was numbered last
        self.is_busy = self.is_over = False
        self._attempt: Attempt | None = None  # to commit it
        self._on_end = on_end
        self._is_failed = False
        self._answer: End | None = None  # to what was numbered last
        self._is_numbered = False
        self._now_us = around.clock_ms() * 1000  # as in PostgreSQL, one for all its statements
        self._waiting: list[Answer] = []
        self._record = around.trace.begin(txn, 1, [], [], None)

    # -- what is asked

    @property
    def may_roll_back(self) -> bool:
        """Its commit is not proposed, and will not be; nor has anybody been told that it only read."""
        attempt = self._attempt
        return self.session.state != OVER if attempt is None else attempt.may_be_withdrawn

    def do(self, message: Within, then: Answer) -> None:
        if self.is_busy:  # a step takes too long for its client, who rolls back
            self._told(TransactionAborted("it was rolled back meanwhile", sqlstate="25P01"))
        self.is_busy, self._is_numbered, self._waiting = True, message.seq > 0, [then]
        if message.seq:
            self.seq, self.verb, self._answer = message.seq, message.verb, None
        deadline = deadline_after(self.gateway.surroundings.now, message.timeout_ms)
        try:
            if message.verb == RUN:
                self._run(message, deadline)
            elif message.verb == COMMIT:
                self._commit(deadline)
            elif message.verb == ROLLBACK:
                self._roll_back(TransactionAborted("it was rolled back", transaction=self.text), [])
            elif message.verb == SAVE:
                self._save(message.name)
            elif message.verb == BACK_TO:
                self._back_to(message.name)
            else:
                raise BadRequest(f"{message.verb} is nothing that can be asked in a transaction")
        except StoreError as error:
            self._told(error)

    def again(self, then: Answer) -> None:
        """The same is asked once more, for its answer was lost or is not there yet."""
        if self._answer is not None:
            then(self._answer)
        else:
            self._waiting.append(then)

    def _told(self, answer: End) -> None:
        if isinstance(answer, StoreError):
            answer.info.transaction = answer.info.transaction or self.text
        self.is_busy = False
        if self._is_numbered:
            self._answer, self._is_numbered = answer, False
        self.used_at = self.gateway.surroundings.now
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            then(answer)

    # -- statements

    def _run(self, message: Within, deadline: int) -> None:
        if self._is_failed:
            words = "a statement of the transaction failed: go back to a savepoint, or roll back"
            raise TransactionAborted(words, sqlstate="25P02")
        request = Request(message.statements, message.timeout_ms)
        self.gateway.check(request)
        self._record.add_statements(message.statements)
        self._plan(request, deadline, False)

    def _plan(self, request: Request, deadline: int, is_confirmed: bool) -> None:
        """What fails here is a statement that fails."""
        gateway, around = self.gateway, self.gateway.surroundings
        try:
            plans = gateway.plans_of(request)
            if any(plan.kind == "ddl" for plan in plans):
                raise NotSupported("a definition of tables within an interactive transaction", sqlstate="0A000")
            bounds = bind(plans, request.statements, around.shards, self._now_us)
        except StoreError as error:
            if is_confirmed or not gateway.may_be_stale(request, error):
                self._fail(error)
            else:
                gateway.confirm_catalog(deadline, self._fail, lambda: self._plan(request, deadline, True))
            return

        def then(rows: Rows, held: Held | None) -> None:
            self._on_rows(request, deadline, bounds, rows, held)

        if not self.is_over:
            self.session.run(parts_of(bounds), deadline, then)

    def _on_rows(self, request: Request, deadline: int, bounds: list[Bound], rows: Rows, held: Held | None) -> None:
        if held is not None and held.version >= 0:
            self.gateway.plan_anew(held.version, deadline, self._fail, lambda: self._plan(request, deadline, True))
        elif held is not None and held.error is not None:
            self._fail(StoreError.of(held.error))
        else:
            try:
                results = results_of(bounds, rows)
            except StoreError as error:
                self._fail(error)
                return
            self.session.keep()
            self._told(results)

    def _fail(self, error: StoreError) -> None:
        """Of a statement: it left nothing."""
        if not self.is_over:
            self._is_failed = True
            error.info.retryable = False
            self._told(error)

    # -- savepoints

    def _save(self, name: str) -> None:
        if self._is_failed:
            raise TransactionAborted("a statement of the transaction failed: no savepoint is made", sqlstate="25P02")
        if not name or len(name) > 63:
            raise BadRequest("a savepoint has a name of 1 to 63 characters", sqlstate="42602")
        if name not in self.session.savepoints and len(self.session.savepoints) >= MAX_SAVEPOINTS:
            raise BadRequest(f"at most {MAX_SAVEPOINTS} savepoints are kept", sqlstate="54000")
        self.session.save(name)
        self._told([])

    def _back_to(self, name: str) -> None:
        if name not in self.session.savepoints:
            raise BadRequest(f"savepoint {name[:63]!r} does not exist", sqlstate="3B001")
        self.session.back_to(name)
        self._is_failed = False
        self._told([])

    # -- the end

    def _commit(self, deadline: int) -> None:
        if self._is_failed:
            words = "a statement of the transaction failed, so it was rolled back"
            self._roll_back(TransactionAborted(words, sqlstate="25P02"), None)
            return
        shards = self.session.end()
        if not shards:
            self._over(Reply(self.text, COMMITTED, 0, 1, [], []), COMMITTED)
            return
        self._record.shards = sorted(shards)
        last = {shard: Last(asked.number + 1, asked.keep, asked.term) for shard, asked in shards.items()}
        parts: dict[str, list[Any]] = {shard: [] for shard in shards}
        around = self.gateway.surroundings
        only_read = not self.session.may_have_written

        def accept(rows: dict[str, list[Any]]) -> Refused | None:
            return self.gateway.refuse_outdated(self.txn)

        attempt = self._attempt = Attempt(
            self.txn, self.age, parts, deadline, around, accept, self._on_attempt, last, only_read
        )
        self.gateway.begin_attempt(attempt)

    def _on_attempt(self, end: Any) -> None:
        gateway = self.gateway
        gateway.end_attempt(self.txn)
        if isinstance(end, Committed):
            gateway.surroundings.counts.add(activity.COMMITTED)
            reply = Reply(self.text, COMMITTED, end.commit_ts, 1, self._record.shards, [], end.seen_ts)
            self._over(reply, COMMITTED, end.commit_ts)
        elif isinstance(end, Unknown):
            self._over(OutcomeUnknown(f"{end.why}: ask for the fate of the transaction, or fence it"), UNDECIDED)
        elif isinstance(end, Aborted):
            self._lose(end.refusal)
        else:
            assert isinstance(end, Unsent), "an attempt without a key ends in one of these"
            error = unsent(end.silent, gateway.surroundings.silence_of)
            self._over(self._with_age(error), ABORTED, cause=UNANSWERED)

    def _lose(self, refusal: Refused) -> None:
        """A shard, or its home, ended it."""
        error = error_of(refusal, self.gateway.catalog.table_of)
        told = error if is_fenced(refusal) else self._with_age(error)
        self._over(told, ABORTED, cause=cause_of(refusal))

    def expire(self, why: str) -> None:
        assert self.may_roll_back, "who commits has a deadline of its own"
        self._roll_back(TransactionAborted(f"the transaction was rolled back: {why}", sqlstate="25P03"), None, IDLE)

    def end_fenced(self) -> None:
        assert self.may_roll_back, "what commits hears it from its home"
        words = "the transaction was fenced while it was open: it is rolled back and will never be committed"
        self._roll_back(TransactionAborted(words), None, FENCED)

    def _roll_back(self, end: StoreError, answer: list[Result] | None, cause: str = ROLLED_BACK) -> None:
        """`answer` None: what was asked is told the end, too."""
        if self._attempt is not None:
            self._attempt.withdraw()
            self.gateway.end_attempt(self.txn)
        self.session.roll_back()
        self._over(end, ABORTED, answer=answer, cause=cause)

    def _with_age(self, error: StoreError) -> StoreError:
        """It did not happen; who begins anew with its age keeps its place."""
        info = error.info
        if info.outcome == DID_NOT_HAPPEN:
            info.detail = {**info.detail, "age": self.age.hex()}
        return error

    def _over(
        self, end: Reply | StoreError, state: str, commit_ts: int = 0, answer: End | None = None, cause: str = ""
    ) -> None:
        """`cause`: of an abort."""
        self.is_over = True
        if isinstance(end, StoreError):
            end.info.transaction = end.info.transaction or self.text
        if state == ABORTED:
            self.gateway.surroundings.counts.abort(cause)
        info = end.info if isinstance(end, StoreError) else None
        words = (info.code, info.message) if info is not None else ("", "")
        self.gateway.surroundings.trace.end(self._record, state, commit_ts, *words)
        self._on_end(end)
        self._told(end if answer is None else answer)
