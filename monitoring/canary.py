"""The canary: a real transaction over two shards, then a snapshot of all that canaries ever left.

Its table has ROWS rows and never more; each trial adds one to a row and takes one from a row of another shard. So every
snapshot adds up to nothing: one that does not has seen half a transaction. Where a row lives is learnt from the shards
that a reply names; with one user shard both rows live there.

*Invariants*: only what certainly did not happen is tried again, and once (the table or its rows were not there); a
transaction whose outcome is unknown is fenced by its id, and what the fence says is the result. All of it ends within
BUDGET_S, but for the first trial, which makes the table.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from monitoring.rules import Trial
from monitoring.verdicts import FAIL, OK
from nodes.client import Cluster
from nodes.errors import ConstraintViolation, ExpectationFailed, OutcomeUnknown, StoreError
from nodes.requests import ABORTED, COMMITTED, Reply, Request, Statement

TABLE = "monitoring_canary"
ROWS = 8
BUDGET_S, STEP_S = 8.0, 3.0
NO_TABLE, TABLE_EXISTS = "42P01", "42P07"

MAKE = f"CREATE TABLE {TABLE} (id BIGINT PRIMARY KEY, turns BIGINT NOT NULL)"
FILL = f"INSERT INTO {TABLE} (id, turns) VALUES " + ", ".join(f"({id}, 0)" for id in range(1, ROWS + 1))
MOVE = f"UPDATE {TABLE} SET turns = turns + $1 WHERE id = $2"
LOOK = f"SELECT turns FROM {TABLE} WHERE id = $1"
SUM = f"SELECT sum(turns) FROM {TABLE}"


class Canary:
    """Used by one thread; `pair` may be given to the next one: the rows that live on two shards."""

    def __init__(self, cluster: Cluster, pair: tuple[int, int] | None = None) -> None:
        self.pair = pair
        self._cluster = cluster
        self._ends_at = time.monotonic() + BUDGET_S

    def run(self) -> Trial:
        """One trial; StoreError for what did not happen or cannot be known."""
        try:
            return self._try_once()
        except StoreError as error:
            if not (isinstance(error, ExpectationFailed) or error.info.sqlstate == NO_TABLE):
                raise
            self._found()
            return self._try_once()

    def _try_once(self) -> Trial:
        first, second = self.pair = self.pair or self._find_pair()
        began = time.monotonic()
        try:
            reply = self._submit([(MOVE, [1, first], 1), (MOVE, [-1, second], 1)])
            words = f"committed on {' and '.join(reply.shards)}" if reply.shards else "committed, its answer was lost"
            if len(reply.shards) == 1:
                self.pair = None  # the rows have moved, or there is one shard only: look again next time
        except OutcomeUnknown as error:
            words = self._resolve(error)
        took_ms = round((time.monotonic() - began) * 1000, 1)
        total = int(self._submit([(SUM, [], 1)]).results[0].rows[0][0])
        if total != 0:
            return Trial(FAIL, f"a snapshot of {TABLE} adds up to {total} instead of nothing", took_ms)
        return Trial(OK, f"{words}, in {took_ms:.0f} ms", took_ms)

    def _resolve(self, error: OutcomeUnknown) -> str:
        """Fence what may have happened; words for a commit, the error again for anything else."""
        if not error.info.transaction:
            raise error
        fate = self._cluster.fence(error.info.transaction, timeout=self._step_s())
        if fate.state == COMMITTED:
            return "committed, as its fate says"
        if fate.state == ABORTED:
            raise StoreError(f"{error}; fenced: it did not happen", transaction=fate.id) from error
        raise error

    def _find_pair(self) -> tuple[int, int]:
        """Two rows that live on different shards, or the first two if all live on one."""
        shard_of_first = self._shards_of(1)
        for row in range(2, ROWS + 1):
            if self._shards_of(row) != shard_of_first:
                return 1, row
        return 1, 2

    def _shards_of(self, row: int) -> list[str]:
        return self._submit([(LOOK, [row], 1)]).shards

    def _found(self) -> None:
        """Make the table and its rows; whoever came first is welcome to it."""
        for sql, error_kind, sqlstate in ((MAKE, StoreError, TABLE_EXISTS), (FILL, ConstraintViolation, "23505")):
            self._ends_at = time.monotonic() + BUDGET_S
            try:
                self._submit([(sql, [], -1)])
            except error_kind as error:
                if error.info.sqlstate != sqlstate:
                    raise
        self.pair = None

    def _submit(self, statements: Sequence[tuple[str, list[Any], int]]) -> Reply:
        listed = [Statement(sql, params, expect_rows) for sql, params, expect_rows in statements]
        return self._cluster.submit(Request(listed, max(1, round(self._step_s() * 1000))))

    def _step_s(self) -> float:
        return max(0.001, min(STEP_S, self._ends_at - time.monotonic()))
