"""One request on its way through a gateway: planned, bound, attempted, retried, answered.

*Invariants*: a retry takes a new id and the old age, and only after the last attempt is known not to have happened. A
named attempt is the only one, and is not begun when its client cannot be told: who read to the clean end of its
connection and saw no name concludes that no attempt began. A request with a client key is told that it did not happen
only after its key's home was asked, by a read index begun after the refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from nodes import ids
from nodes.core.txn.attempt import Aborted, Attempt, Committed, Taken, Unknown, Unsent
from nodes.core.txn.messages import ENDED, FAILED, STALE, TOO_LATE, WOUNDED, KeyBinding, KeyKnown, KeyRecord, Refused
from nodes.errors import (
    DID_NOT_HAPPEN,
    BadRequest,
    ErrorInfo,
    OutcomeUnknown,
    SnapshotTooOld,
    StoreError,
)
from nodes.requests import ABORTED, COMMITTED, UNDECIDED, Reply, Request, Result
from nodes.runtime import activity
from nodes.runtime.as_of import AsOf, parse
from nodes.runtime.follower_reads import Wanted
from nodes.runtime.keyed import keyed
from nodes.runtime.messages import CHANGED_NOTHING
from nodes.runtime.refusals import KEY_TAKEN, UNANSWERED, cause_of, error_of, is_fenced
from nodes.runtime.statements import bind, parts_of, results_of, unsent
from nodes.runtime.trace import Record
from nodes.sql.plan import Bound, Plan
from nodes.sql.schema import ShardRows

if TYPE_CHECKING:
    from nodes.runtime.gateway import Gateway

KEYED_SHARE = 0.8  # of the time that is left: then its key's home can still be asked
UNDEFINED_TABLE = "42P01"
HOME = "c1"  # the home of everything that is not one shard's own: its leader stamps commit_ts without another step


class Execution:
    """`on_named(id)` before the first message of a named attempt leaves (a StoreError: the client cannot be told); then
    `on_end(Reply | StoreError)` once."""

    def __init__(
        self,
        gateway: Gateway,
        request: Request,
        deadline: int,
        named: bool,
        age: bytes,
        on_named: Callable[[str], None],
        on_end: Callable[[Reply | StoreError], None],
    ) -> None:
        self.gateway = gateway
        self.request = request
        self.deadline = deadline
        self.age = age
        self.attempts = 0
        self._keyed = keyed(request)
        self._as_of = _past(request)
        self._named = named
        self._on_named = on_named
        self._on_end = on_end
        self._bounds: list[Bound] = []
        self._made: list[Result] | None = None  # the results of an attempt, before its commit is proposed
        self._txn = b""
        self._text = ""  # of that id
        self._record: Record | None = None

    # -- planning

    def run(self, plans: list[Plan]) -> None:
        """Bind and begin. StoreError for parameters that do not fit, for a token of the future, and of `on_named`:
        nothing was begun."""
        token, heard = self.request.session_token, self.gateway.heard
        if token > heard:
            words = f"the session token is {token}, and the newest timestamp is {heard}: it is no token of this cluster"
            raise BadRequest(words, sqlstate="22023")
        around = self.gateway.surroundings
        self._bounds = bind(plans, self.request.statements, around.shards, around.clock_ms() * 1000)
        reads_only = all(plan.reads_only for plan in plans) and self.request.read_only is not False
        if reads_only and self._keyed is None:
            self._read()
        elif self._as_of is not None or self.request.max_staleness_ms:
            which = "as_of" if self._as_of is not None else "max_staleness_ms"
            words = "reads the past: every statement must be a SELECT, without read_only false and without a key"
            raise BadRequest(f"{which} {words}", sqlstate="25006")
        else:
            self._attempt()

    # -- reading

    def _read(self) -> None:
        def then(ts: int, rows: dict[str, list[ShardRows]], error: StoreError | None, stale: int) -> None:
            if stale >= 0:
                self.gateway.replan(self, stale)
            elif error is not None:
                self._on_end(error)
            else:
                self.gateway.surroundings.counts.add(activity.READ)
                self._answer("", 0, ts, rows)

        request = self.request
        wanted = Wanted(request.max_staleness_ms, request.session_token) if request.max_staleness_ms else None
        self.gateway.reads.begin(parts_of(self._bounds), self.deadline, self._as_of, then, wanted)

    # -- writing

    def _attempt(self) -> None:
        parts = parts_of(self._bounds)
        around = self.gateway.surroundings
        home, deadline = next(iter(parts)) if len(parts) == 1 else HOME, self.deadline
        if self._keyed is not None:
            home = ids.key_home(self._keyed.key, around.coordinators)
            deadline = around.now + int((self.deadline - around.now) * KEYED_SHARE)
        self.attempts += 1
        self._made = None
        self._txn = txn = self.gateway.mint(home)
        self._text = ids.to_text(txn)
        self.age = self.age or ids.age_of(txn)
        self._record = around.trace.begin(txn, self.attempts, list(parts), self.request.statements, self._record)
        if self._named:
            self._on_named(self._text)
        attempt = Attempt(txn, self.age, parts, deadline, around, self._accept, self._on_over)
        self.gateway.begin_attempt(attempt)

    def _accept(self, rows: dict[str, list[ShardRows]]) -> Refused | KeyBinding | None:
        """What is wrong is found before the commit is asked for. Gives what the key is bound with."""
        if outdated := self.gateway.refuse_outdated(self._txn):
            return outdated
        try:
            self._made = results_of(self._bounds, rows)
            return None if self._keyed is None else self._keyed.binding(sorted(rows), self._made)
        except StoreError as error:
            return Refused(self._txn, HOME, FAILED, error=error.info)

    def _on_over(self, end: Any) -> None:
        self.gateway.end_attempt(self._txn)
        self._keep(end)
        if isinstance(end, Committed):
            self._answer(self._text, end.commit_ts, self._not_below_token(end.seen_ts), end.rows)
        elif isinstance(end, Aborted):
            self._on_aborted(end.refusal)
        elif isinstance(end, Taken):
            self._on_record(end.bound)
        elif isinstance(end, Unknown):
            self._fail(OutcomeUnknown(f"{end.why}: ask for the fate of the transaction, or fence it"))
        else:
            self._fail(unsent(end.silent, self.gateway.surroundings.silence_of))

    def _keep(self, end: Any) -> None:
        """For the trace and the counts: how this attempt ended."""
        around = self.gateway.surroundings
        assert self._record is not None, "an attempt has its record"
        if isinstance(end, Committed):
            around.counts.add(activity.COMMITTED)
            around.trace.end(self._record, COMMITTED, end.commit_ts)
            if not end.commit_ts:
                self.gateway.note_end(self._txn, COMMITTED, CHANGED_NOTHING)
        elif isinstance(end, Unknown):
            around.trace.end(self._record, UNDECIDED, code=OutcomeUnknown.code, cause=end.why)
        else:
            cause, info = self._ended_by(end)
            around.counts.abort(cause)
            around.trace.end(self._record, ABORTED, code=info.code, cause=info.message)
            self.gateway.note_end(self._txn, ABORTED, info.message)

    def _ended_by(self, end: Aborted | Taken | Unsent) -> tuple[str, ErrorInfo]:
        """(what it is counted as, the words)"""
        if isinstance(end, Taken):
            words = "an earlier request under the same key has its outcome: that was told"
            return KEY_TAKEN, ErrorInfo("aborted", words)
        if isinstance(end, Aborted):
            return cause_of(end.refusal), error_of(end.refusal, self.gateway.catalog.table_of).info
        return UNANSWERED, unsent(end.silent, self.gateway.surroundings.silence_of).info

    def _on_aborted(self, refusal: Refused) -> None:
        may_retry = not self._named and self.gateway.surroundings.now < self.deadline
        if refusal.cause == STALE and may_retry:
            self.gateway.replan(self, refusal.version)
        elif may_retry and refusal.cause in (WOUNDED, TOO_LATE, ENDED) and not is_fenced(refusal):
            self._attempt()
        else:
            self._fail(error_of(refusal, self.gateway.catalog.table_of))

    # -- answering

    def _answer(self, txn: str, commit_ts: int, ts: int, rows: dict[str, list[ShardRows]]) -> None:
        try:
            results = results_of(self._bounds, rows) if self._made is None else self._made
        except StoreError as error:
            self._on_end(error)  # of a read: one shard's rows are taken as they are
            return
        self._on_end(Reply(txn, COMMITTED, commit_ts, self.attempts, sorted(rows), results, ts))

    def _not_below_token(self, ts: int) -> int:
        """Of what was to write and did not, and of a repeat, `ts` may be lower: a token never goes back. That of a read
        is the one that it read at, and never lower."""
        return max(ts, self.request.session_token)

    def _fail(self, error: StoreError) -> None:
        info: ErrorInfo = error.info
        info.transaction = info.transaction or self._text
        if info.retryable and info.outcome == DID_NOT_HAPPEN:
            info.detail = {**info.detail, "age": self.age.hex()}
        self.fail(error)

    def fail(self, error: StoreError) -> None:
        """Ended without a commit, perhaps before an attempt began (planning, the catalog). The home of a key is asked
        first, unless the outcome is not known anyway: an earlier request may have been committed under it."""
        if self._as_of is not None and error.info.sqlstate == UNDEFINED_TABLE:
            words = f"{error} now, and what tables there were as of {self.request.as_of} is not kept"
            error = SnapshotTooOld(words, sqlstate=UNDEFINED_TABLE, statement=error.info.statement)
        if self._keyed is None:
            self._on_end(error)
        elif error.info.outcome != DID_NOT_HAPPEN:
            error.info.transaction = self._keyed.text
            self._on_end(error)
        else:
            after = partial(self._after_refusal, error)
            self.gateway.inquiries.ask_key(self._keyed.key, False, 0, self.deadline, after)

    def _after_refusal(self, refusal: StoreError, known: KeyKnown | None, error: StoreError | None) -> None:
        if known is None:
            self._on_end(error or refusal)
        elif known.record is None:
            refusal.info.detail = {**refusal.info.detail, "known_since": known.known_since}
            self._on_end(refusal)
        else:
            self._on_record(known.record)

    def _on_record(self, record: KeyRecord) -> None:
        assert self._keyed is not None, "only a keyed request meets a record of its key"
        answer = self._keyed.answer(record)
        if isinstance(answer, Reply):
            answer.ts = self._not_below_token(answer.ts)
        self._on_end(answer)


def _past(request: Request) -> AsOf | None:
    """BadRequest for an `as_of` that is none, or beside a `max_staleness_ms`."""
    as_of = parse(request.as_of)
    if as_of is not None and request.max_staleness_ms:
        words = "as_of names the past, and max_staleness_ms leaves it open: leave one of them out; nothing happened"
        raise BadRequest(words, sqlstate="22023")
    return as_of and replace(as_of, session_token=request.session_token)
