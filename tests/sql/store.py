"""A small store for tests of the SQL floor: shards are in-memory databases, a statement is a transaction of its own.

The tables lie as the engine lays them; rows have `_ts` 0. Every SELECT also runs as a snapshot, and without pushdown
when asked, and must give the same rows.
"""

from __future__ import annotations

import time
from typing import Any

import apsw

from nodes.errors import ExpectationFailed, StoreError
from nodes.requests import Result
from nodes.runtime.merge import merge
from nodes.sql.plan import SYSTEM_TABLES, Bound, plan
from nodes.sql.schema import CreateTable, Fragment, ShardRows, TableDef
from nodes.storage import sqlite_tables
from nodes.storage.sqlite_connection import SqliteConnection
from nodes.storage.sqlite_errors import describe
from nodes.storage.sqlite_tables import SqliteTables

DDL_TS, SNAPSHOT_TS = 1, 5
NOW = 1_900_000_000_123_456


class Store:
    """`execute` plans, binds, runs on every shard concerned and merges. It is its own catalog."""

    def __init__(self, shards: int = 3) -> None:
        self.shards = shards
        self.databases = [SqliteConnection(None, time.monotonic) for _ in range(shards + 1)]
        for database in self.databases:
            database.execute(sqlite_tables.DDL)
        self.held = [SqliteTables(database) for database in self.databases]
        for table in SYSTEM_TABLES:
            self.held[0].define(CreateTable(table), 0)
        self.held[0].keep()

    # -- the catalog

    @property
    def version(self) -> int:
        return self.held[0].version

    @property
    def tables(self) -> dict[str, TableDef]:
        return {layout.table.name: layout.table for layout in self.held[0].layouts.values()}

    def table(self, name: str) -> TableDef | None:
        return self.tables.get(name)

    # -- statements

    def execute(
        self, sql: str, params: Any = (), *, expect_rows: int = -1, pushdown: bool = True, keep: bool = True
    ) -> Result:
        made = plan(sql, self, pushdown)
        bound = made.bind(0, params if isinstance(params, dict) else list(params), self.shards, expect_rows, NOW)
        for database in self.databases:
            database.execute("BEGIN")
        ended = False
        try:
            result = merge(bound, {shard: self._run(shard, part) for shard, part in bound.fragments.items()})
            if 0 <= bound.expect_rows != result.row_count:
                raise ExpectationFailed("over all shards")
            self._check_snapshot(bound, result)
            ended = keep
        finally:
            for database, held in zip(self.databases, self.held, strict=True):
                database.execute("COMMIT" if ended else "ROLLBACK")
                held.keep() if ended else held.restore()
        return result

    def _run(self, shard: int, fragment: Fragment) -> ShardRows:
        if fragment.ddl is not None:
            self._define(shard, fragment)
        if not fragment.sql:
            return ShardRows([], 0)
        rows = self._rows(shard, fragment.sql, fragment.params)
        if fragment.rows is not None and fragment.rows.keys:
            rows = [row[: -fragment.rows.keys] for row in rows]
        count = self.databases[shard].db.changes() if fragment.writes else len(rows)
        if 0 <= fragment.expect_rows != count:
            raise ExpectationFailed(f"{count} rows")
        return ShardRows(rows, count)

    def _define(self, shard: int, fragment: Fragment) -> None:
        """Tried, undone and then carried out, as a shard does between its vote and the outcome."""
        assert fragment.ddl is not None, "a DDL statement"
        self.databases[shard].execute("SAVEPOINT tried")
        try:
            self.held[shard].attempt(fragment.ddl)
        finally:
            self.databases[shard].execute("ROLLBACK TO tried")
        self.held[shard].define(fragment.ddl, DDL_TS)

    def _rows(self, shard: int, sql: str, params: list[Any]) -> list[list[Any]]:
        try:
            return self.databases[shard].run(sql, tuple(params), _EVERY_TABLE)
        except apsw.Error as error:
            raise StoreError.of(describe(error, self.held[shard].by_name, 0)) from error

    def _check_snapshot(self, bound: Bound, result: Result) -> None:
        if bound.kind != "select" or any(fragment.rows is not None for fragment in bound.fragments.values()):
            return
        rows = {}
        for shard, fragment in bound.fragments.items():
            params = [*fragment.params, SNAPSHOT_TS] if fragment.tables else fragment.params
            found = self._rows(shard, fragment.snapshot_sql, params)
            rows[shard] = ShardRows(found, len(found))
        snapshot = merge(bound, rows)
        one, other = (sorted(map(repr, found.rows)) for found in (snapshot, result))
        same = (
            len(one) == len(other) if any(" LIMIT " in part.sql for part in bound.fragments.values()) else one == other
        )
        assert same, f"a snapshot of unchanged rows shows the same rows: {one} and {other}"


_EVERY_TABLE = [(table, 0) for table in range(1, 1_000)]
