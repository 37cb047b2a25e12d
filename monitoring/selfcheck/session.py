"""A client of a workload: carries out transactions and keeps what it asked, was told, and when.

Whether something happened is as the client of the store says. What it does not know is settled by a fence, where the
transaction has an id; what then is still unknown stays so, and the checker takes it for both.

*Invariant*: a transaction is kept before the client asks for its next one, under one clock for all clients.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from monitoring.selfcheck.checker.history import NOT_TOLD, WRITES, Operation, Transaction
from monitoring.selfcheck.scratch import Scratch, read
from nodes.client import Cluster
from nodes.client import Transaction as Interactive
from nodes.errors import DID_NOT_HAPPEN, HAPPENED, UNKNOWN, BadRequest, StoreError
from nodes.requests import ABORTED, COMMITTED, Result, Statement

CALL_S = 5.0


class WrongRequest(Exception):
    """The store takes a request of a workload for wrong: a fault of one of them, and not of the weather."""


class Recorder:
    """The history of one workload, of all its clients."""

    def __init__(self) -> None:
        self.history: list[Transaction] = []
        self._lock = threading.Lock()
        self._given = 0

    def begin(self, process: str, operations: list[Operation]) -> Transaction:
        """Its outcome is unknown until it is told."""
        with self._lock:
            now = time.monotonic_ns()
            self.history.append(Transaction(len(self.history), process, operations, UNKNOWN, now, now))
            return self.history[-1]

    def value(self) -> int:
        """One that comes once."""
        with self._lock:
            self._given += 1
            return self._given


class Session:
    """Used by one thread."""

    def __init__(self, cluster: Cluster, scratch: Scratch, recorder: Recorder, process: str, rng: Random) -> None:
        self.cluster, self.scratch, self.recorder, self.process, self.rng = cluster, scratch, recorder, process, rng

    def value(self) -> int:
        return self.recorder.value()

    def one_shot(
        self,
        operations: Sequence[Operation],
        statements: Sequence[Statement] | None = None,
        told: Callable[[list[Result]], list[Operation]] | None = None,
    ) -> list[Result] | None:
        """All operations in one request; the results, None if there are none. `statements`: others than those that the
        operations are by themselves; `told` then gives the operations with what was read."""
        entry = self.recorder.begin(self.process, list(operations))
        asked = statements or [self.scratch.statement(operation) for operation in operations]
        steps = [(each.sql, each.params, each.expect_rows) for each in asked]
        try:
            reply = self.cluster.execute_many(steps, timeout=CALL_S)
        except StoreError as error:
            self._fail(entry, error)
            return None
        self._end(entry, HAPPENED)
        if reply.results_lost:
            return None
        if told is not None:
            entry.operations[:] = told(reply.results)
        elif statements is None:
            entry.operations[:] = map(read, operations, reply.results)
        return reply.results

    def interactive(self, work: Callable[[Open], Any]) -> None:
        """`work` in an interactive transaction, again while that is lost; each attempt is kept as one of its own."""
        attempts: list[Open] = []

        def attempt(txn: Interactive) -> None:
            if attempts:
                self._end(attempts[-1].entry, DID_NOT_HAPPEN)
            attempts.append(Open(self, txn))
            work(attempts[-1])
            attempts[-1].is_asked = True

        try:
            self.cluster.run(attempt, timeout=CALL_S)
        except StoreError as error:
            if attempts and attempts[-1].is_asked:
                self._fail(attempts[-1].entry, error)
            elif attempts:  # nobody has asked to commit it
                self._refuse_wrong(error)
                self._end(attempts[-1].entry, DID_NOT_HAPPEN)
        else:
            self._end(attempts[-1].entry, HAPPENED)

    def _fail(self, entry: Transaction, error: StoreError) -> None:
        self._refuse_wrong(error)
        outcome = error.info.outcome
        if outcome == UNKNOWN and error.info.transaction:
            outcome = self._settled(error.info.transaction)
        if outcome != UNKNOWN:
            self._end(entry, outcome)

    def _settled(self, id: str) -> str:
        try:
            state = self.cluster.fence(id, timeout=CALL_S).state
        except StoreError:
            return UNKNOWN
        return {COMMITTED: HAPPENED, ABORTED: DID_NOT_HAPPEN}.get(state, UNKNOWN)

    def _refuse_wrong(self, error: StoreError) -> None:
        if isinstance(error, BadRequest):
            raise WrongRequest(f"{self.process} was told: {error}") from error

    def _end(self, entry: Transaction, outcome: str) -> None:
        entry.ended = time.monotonic_ns()
        entry.outcome = outcome


class Open:
    """One attempt of an interactive transaction."""

    def __init__(self, session: Session, txn: Interactive) -> None:
        self._session, self._txn = session, txn
        self.entry = session.recorder.begin(session.process, [])
        self.is_asked = False

    def do(self, *operations: Operation) -> list[Any]:
        """The operations, in one round trip; the values that they read or wrote."""
        scratch, place = self._session.scratch, len(self.entry.operations)
        self.entry.operations += [each if each.kind in WRITES else each._replace(value=NOT_TOLD) for each in operations]
        results = self._txn.submit([scratch.statement(operation) for operation in operations])
        self.entry.operations[place:] = map(read, operations, results)
        return [operation.value for operation in self.entry.operations[place:]]
