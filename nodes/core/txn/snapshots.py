"""Snapshot reads at a shard leader (DESIGN.md §5): no locks, one timestamp, repeatable for ever.

A question is answered after a quorum round begun after it came proved the leadership, and after those in flight on
arrival that overlap what is read, and may commit at or below `ts`, have ended here.

*Invariants*: every transaction with commit_ts <= ts was in flight on all its shards before ts was drawn; so it is met
in flight, or finished. `floor` of one in flight lies below its commit_ts: with floor >= ts it need not be waited for.
A timestamp is *closed* as of a slot if all that ever commits at or below it is in the log up to there: it is a value
that the oracle gave, or less, at most the `floor` of everything in flight when the slot was the applied one, and told
only after a round begun after that, so whoever leads later was not in flight with anything below it.
"""

from __future__ import annotations

from collections.abc import Callable

from nodes.core.host import GATEWAY, Host
from nodes.core.locks import MODES, S
from nodes.core.replicated_log import TICK_MS
from nodes.core.txn.messages import NOT_LEADER, TIMED_OUT, AskCatalog, AskClosed, CatalogIs, ClosedIs, SnapshotRead
from nodes.core.txn.participant import Participant
from nodes.core.txn.reader import Reader
from nodes.core.txn.states import APPENDED, ASKING, LockNeed
from nodes.sql.schema import CATALOG_TABLE

NO_TIMESTAMP = 1 << 63  # above every timestamp: all in flight are waited for
CATALOG_WAIT_TICKS = 200


class Question:
    """What waits: for its confirmation and for the transactions in `waits`; then `run()`, or `refuse(cause)`."""

    __slots__ = ("confirmed", "deadline", "refuse", "run", "waits")

    def __init__(
        self, deadline: int, waits: dict[bytes, None], run: Callable[[], None], refuse: Callable[[int], None]
    ) -> None:
        self.deadline = deadline
        self.waits = waits
        self.run = run
        self.refuse = refuse
        self.confirmed = False


class Snapshots:
    """All questions of one time of leadership, by (gateway, number)."""

    def __init__(self, participant: Participant, reader: Reader, host: Host) -> None:
        self.participant = participant
        self.reader = reader
        self.host = host
        self.questions: dict[tuple[int, int], Question] = {}

    def on_read(self, message: SnapshotRead) -> None:
        deadline = self.host.now + max(1, message.timeout_ms // TICK_MS)
        need = [((lock.table, lock.key), MODES[lock.mode]) for f in message.fragments for lock in f.locks]
        self._ask(
            (message.gateway, message.number),
            Question(
                deadline,
                self._in_flight_below(need, message.ts),
                lambda: self.reader.read(message),
                lambda cause: self.reader.refuse(message, cause),
            ),
        )

    def on_ask_catalog(self, message: AskCatalog) -> None:
        """A DDL that is committed, but not yet here, is in flight here: the answer waits for it as a snapshot does."""

        def run() -> None:
            answer = CatalogIs(message.number, self.participant.state.engine.catalog_version)
            self.host.send(message.gateway, GATEWAY, answer)

        waits = self._in_flight_below([((CATALOG_TABLE, b""), S)], NO_TIMESTAMP)
        deadline = self.host.now + CATALOG_WAIT_TICKS
        self._ask((message.gateway, message.number), Question(deadline, waits, run, lambda cause: None))

    def on_ask_closed(self, message: AskClosed) -> None:
        """Taken now, and told after a round begun now. What has ended, and only waits to be proposed, holds it back."""
        self.participant.ends.propose()
        self.participant.seen = max(self.participant.seen, message.ts)
        floors = self.participant.floors_in_flight()
        closed = ClosedIs(self.host.group, min([message.ts, *floors]), self.participant.state.applied)

        def then(confirmed: bool) -> None:
            if confirmed:
                self.host.send(message.gateway, GATEWAY, closed)

        self.host.confirm(then)

    def _ask(self, key: tuple[int, int], question: Question) -> None:
        if key in self.questions:
            return
        self.questions[key] = question
        if question.waits:
            self.participant.ends.propose()

        def then(confirmed: bool) -> None:
            question.confirmed = confirmed
            self._try(key)

        self.host.confirm(then)

    @property
    def is_any_waiting(self) -> bool:
        return any(question.waits for question in self.questions.values())

    def on_ended(self, txn: bytes) -> None:
        """A transaction's end is committed locally."""
        for key, question in list(self.questions.items()):
            if txn in question.waits:
                del question.waits[txn]
                self._try(key)

    def tick(self) -> None:
        for key in [key for key, question in self.questions.items() if question.deadline <= self.host.now]:
            self.questions.pop(key).refuse(TIMED_OUT)

    def unlead(self) -> None:
        questions, self.questions = self.questions, {}
        for question in questions.values():
            question.refuse(NOT_LEADER)

    def _in_flight_below(self, need: LockNeed, ts: int) -> dict[bytes, None]:
        waits = self.participant.locks.conflicting(need)
        return {txn: None for txn in waits if self._may_commit_below(txn, ts)}

    def _may_commit_below(self, txn: bytes, ts: int) -> bool:
        prepared = self.participant.state.prepared.get(txn)
        if prepared is not None:
            return prepared.floor < ts
        active = self.participant.active.get(txn)
        return active is not None and active.state in (ASKING, APPENDED) and active.floor < ts

    def _try(self, key: tuple[int, int]) -> None:
        question = self.questions.get(key)
        if question is not None and question.confirmed and not question.waits:
            del self.questions[key]
            question.run()
