"""A small store for tests of the SQL floor: shards are in-memory databases, a statement is a transaction of its own.

The tables lie as the engine lays them; rows have `_ts` 0. Every SELECT also runs as a snapshot, and without pushdown
when asked, and must give the same rows.
"""

from __future__ import annotations

from typing import Any

import apsw

from nodes.errors import ExpectationFailed, StoreError
from nodes.requests import Result
from nodes.runtime.merge import merge
from nodes.sql.plan import SYSTEM_TABLES, Bound, plan
from nodes.sql.schema import Fragment, ShardRows, TableDef
from nodes.storage.functions import register
from nodes.storage.sqlite_errors import describe
from nodes.storage.sqlite_layout import Layout

SNAPSHOT_TS = 5


class Store:
    """`execute` plans, binds, runs on every shard concerned and merges. It is its own catalog."""

    def __init__(self, shards: int = 3) -> None:
        self.shards = shards
        self.version = 1
        self.tables: dict[str, TableDef] = {}
        self.layouts: dict[str, Layout] = {}
        self.databases = [self._database() for _ in range(shards + 1)]
        for table in SYSTEM_TABLES:
            self._create(0, table)

    def _database(self) -> apsw.Connection:
        database = apsw.Connection(":memory:")
        database.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
        database.config(apsw.SQLITE_DBCONFIG_DQS_DDL, 0)
        register(database)
        return database

    def _create(self, shard: int, table: TableDef) -> None:
        layout = self.layouts[table.physical] = Layout(table)
        self.databases[shard].execute(layout.create)
        self.databases[shard].execute(layout.create_history)

    # -- the catalog

    def table(self, name: str) -> TableDef | None:
        return self.tables.get(name)

    def next_table_id(self) -> int:
        return max((table.id for table in self.tables.values()), default=1) + 1

    # -- statements

    def execute(
        self, sql: str, params: Any = (), *, expect_rows: int = -1, pushdown: bool = True, keep: bool = True
    ) -> Result:
        made = plan(sql, self, pushdown)
        bound = made.bind(0, params if isinstance(params, dict) else list(params), self.shards, expect_rows)
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
            for database in self.databases:
                database.execute("COMMIT" if ended else "ROLLBACK")
        if made.kind == "create_table" and made.table is not None and keep:
            self.version += 1
            self.tables[made.table.name] = made.table
        return result

    def _run(self, shard: int, fragment: Fragment) -> ShardRows:
        if fragment.create is not None and shard:
            self._create(shard, fragment.create)
        if not fragment.sql:
            return ShardRows([], 0)
        rows = self._rows(shard, fragment.sql, fragment.params)
        count = self.databases[shard].changes() if fragment.writes else len(rows)
        if 0 <= fragment.expect_rows != count:
            raise ExpectationFailed(f"{count} rows")
        return ShardRows(rows, count)

    def _rows(self, shard: int, sql: str, params: list[Any]) -> list[list[Any]]:
        try:
            return [list(row) for row in self.databases[shard].execute(sql, tuple(params))]
        except apsw.Error as error:
            raise StoreError.of(describe(error, self.layouts, 0)) from error

    def _check_snapshot(self, bound: Bound, result: Result) -> None:
        if bound.kind != "select":
            return
        rows = {}
        for shard, fragment in bound.fragments.items():
            params = [*fragment.params, SNAPSHOT_TS] if fragment.tables else fragment.params
            found = self._rows(shard, fragment.snapshot_sql, params)
            rows[shard] = ShardRows(found, len(found))
        snapshot = merge(bound, rows)
        assert len(snapshot.rows) == len(result.rows), "a snapshot of unchanged rows shows the same rows"
