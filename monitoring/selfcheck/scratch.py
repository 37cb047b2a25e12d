"""The tables of one run, and what each operation of a history is as SQL on them.

Their names begin with `selfcheck_`, the time of the run and a random part: runs at the same time do not meet. They are
dropped at the end; those of a run that could not do so are dropped by a later one, when they are KEPT_S old.

*Invariant*: rows that workloads need are inserted at most once, however often that is tried.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from typing import Any, NamedTuple
from uuid import uuid4

from monitoring.selfcheck.checker.history import APPEND, INSERT, LIST, SCAN, VALUE, WRITE, Operation
from nodes.client import Cluster
from nodes.errors import StoreError
from nodes.requests import Result, Statement

PREFIX, KEPT_S = "selfcheck_", 86_400
NAME = re.compile(rf"{PREFIX}([0-9a-f]{{8}})[0-9a-f]{{4}}_\w+")
DDL_S, PATIENCE_S, PAUSE_S = 10.0, 30.0, 0.2
FORMS = {
    "lists": "id BIGINT PRIMARY KEY, items TEXT NOT NULL",
    "registers": "id BIGINT PRIMARY KEY, value BIGINT",
    "sets": "grp BIGINT, id BIGINT, value BIGINT NOT NULL, PRIMARY KEY (grp, id)",
    "sets of one shard": "grp BIGINT, id BIGINT, value BIGINT NOT NULL, PRIMARY KEY (grp, id)",
    "accounts": "book BIGINT, id BIGINT, balance BIGINT NOT NULL CHECK (balance >= 0), PRIMARY KEY (book, id)",
    "ledger": "book BIGINT, id BIGINT, source BIGINT, target BIGINT, amount BIGINT, PRIMARY KEY (book, id)",
}
SPREAD = ("sets", "accounts", "ledger")  # by the second column of their key, so that one group lies on many shards
SQL = {
    APPEND: "UPDATE {} SET items = items || $1 WHERE id = $2",
    LIST: "SELECT items FROM {} WHERE id = $1",
    WRITE: "UPDATE {} SET value = $1 WHERE id = $2",
    VALUE: "SELECT value FROM {} WHERE id = $1",
    INSERT: "INSERT INTO {} (grp, id, value) VALUES ($1, $2, $3)",
    SCAN: "SELECT id FROM {} WHERE grp = $1 AND value % 3 = 0",
}
EXCHANGE = "UPDATE {} SET value = $1 WHERE id = $2 AND value = $3"


class Place(NamedTuple):
    """A key of a history: a row of a table by its id, or a group of rows of it."""

    table: str
    number: int

    def __str__(self) -> str:
        return f"{self.table}/{self.number}"


class Scratch:
    """The tables of one run: each is named by its last part, as in `Place`."""

    def __init__(self, cluster: Cluster, now_s: float | None = None) -> None:
        self.cluster = cluster
        self.run = f"{PREFIX}{int(time.time() if now_s is None else now_s):08x}{secrets.token_hex(2)}_"
        self._made: list[str] = []

    def name(self, table: str) -> str:
        return self.run + table

    def make(self, tables: dict[str, str]) -> None:
        """Tables by name and form (FORMS)."""
        for table, form in tables.items():
            spread = " SHARD BY (id)" if form in SPREAD else ""
            self._made.append(table)
            patiently(self.cluster, f"CREATE TABLE IF NOT EXISTS {self.name(table)} ({FORMS[form]}){spread}")

    def drop(self) -> None:
        for table in self._made:
            patiently(self.cluster, f"DROP TABLE IF EXISTS {self.name(table)}")

    def drop_what_others_left(self) -> None:
        """Tables of runs that ended without doing so."""
        oldest = time.time() - KEPT_S
        for table in self.cluster.tables(after=PREFIX, timeout=DDL_S):
            match = NAME.fullmatch(table.name)
            if not table.name.startswith(PREFIX):
                return
            if match and int(match[1], 16) < oldest:
                patiently(self.cluster, f"DROP TABLE IF EXISTS {table.name}")

    # -- operations

    def statement(self, operation: Operation) -> Statement:
        place, value = operation.key, operation.value
        assert isinstance(place, Place), "the keys of workloads are places"
        sql = SQL[operation.kind].format(self.name(place.table))
        if operation.kind == APPEND:
            return Statement(sql, [f" {value}", place.number], 1)
        if operation.kind == WRITE:
            return Statement(sql, [value, place.number], 1)
        if operation.kind == INSERT:
            return Statement(sql, [place.number, value, 3 * value], 1)
        return Statement(sql, [place.number], -1 if operation.kind == SCAN else 1)

    def exchange(self, place: Place, old: int, new: int) -> Statement:
        """Writes a register that has the value `old`."""
        return Statement(EXCHANGE.format(self.name(place.table)), [new, place.number, old], 1)


def read(operation: Operation, result: Result) -> Operation:
    """The operation with what it read; a write as it is."""
    rows: list[list[Any]] = result.rows
    if operation.kind == LIST:
        return operation._replace(value=tuple(map(int, rows[0][0].split())))
    if operation.kind == VALUE:
        return operation._replace(value=rows[0][0])
    if operation.kind == SCAN:
        return operation._replace(value=frozenset(row[0] for row in rows))
    return operation


class Supply:
    """Rows of a table that are there before a workload comes to them, inserted in batches."""

    def __init__(self, scratch: Scratch, table: str, columns: str, rows: str, batch: int = 200) -> None:
        """`rows`: what is inserted for one number, with `{0}` for it."""
        self._scratch, self._table, self._columns, self._rows, self._batch = scratch, table, columns, rows, batch
        self._lock = threading.Lock()
        self._filled = 0
        self._key = uuid4()

    def reach(self, number: int) -> None:
        """Have the rows of all numbers below `number`; StoreError: not yet, ask again."""
        with self._lock:
            while self._filled < number:
                values = ", ".join(self._rows.format(each) for each in range(self._filled, self._filled + self._batch))
                sql = f"INSERT INTO {self._scratch.name(self._table)} ({self._columns}) VALUES {values}"
                self._scratch.cluster.execute_many([(sql, [])], timeout=DDL_S, idempotency_key=self._key)
                self._filled, self._key = self._filled + self._batch, uuid4()


def patiently(cluster: Cluster, sql: str) -> None:
    """What may be done twice, until it is done; the last error after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            cluster.execute_many([(sql, [])], timeout=DDL_S)
            return
        except StoreError as error:
            if (error.status < 500 and not error.info.retryable) or time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_S)
