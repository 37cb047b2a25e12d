"""The tables of an engine: what they are, which version of each held when, which are dropped; and DDL on them.

A column is added by writing the table's new definition over the old one, SQLite's documented way for changes that
leave the rows alone: rows from before have fewer values, and SQLite reads a column's default for what they lack. So it
costs the same whatever the table's size; ALTER TABLE would check every row again, on the loop of every replica. A plan
of the older version still finds its columns where they were, so older snapshots stay readable.

A dropped table keeps rows and history for snapshots from before, until the horizon has passed its end.
*Invariants*: what is cached is what the last commit holds, or the local transaction under way; every DDL has a version
above the last one's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from nodes.errors import ConstraintViolation, ReplicaStopped, SnapshotTooOld
from nodes.sql.schema import AddColumns, CreateTable, Ddl, DropTable, TableDef
from nodes.storage.sqlite_connection import SqliteConnection
from nodes.storage.sqlite_layout import Layout

# `dropped` 0: it is not. A version holds from `since` on, until the table's next one.
DDL = """
CREATE TABLE engine_catalog (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO engine_catalog VALUES (1, 0);
CREATE TABLE engine_tables (id INTEGER PRIMARY KEY, definition BLOB NOT NULL, dropped INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;
CREATE TABLE engine_versions (table_id INTEGER NOT NULL, version INTEGER NOT NULL, since INTEGER NOT NULL,
    PRIMARY KEY (table_id, version)) STRICT, WITHOUT ROWID;
"""


class _Table(NamedTuple):
    """`versions` are (version, since), the oldest first."""

    layout: Layout
    versions: tuple[tuple[int, int], ...]
    dropped: int = 0


class SqliteTables:
    """`connection` is the engine's own; its local transactions are the engine's."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._committed = self._load()
        self.restore()

    def _load(self) -> tuple[int, dict[int, _Table]]:
        execute = self._connection.execute
        versions: dict[int, list[tuple[int, int]]] = {}
        for id, version, since in execute("SELECT * FROM engine_versions ORDER BY table_id, version"):
            versions.setdefault(id, []).append((version, since))
        found = {}
        for table, definition, dropped in execute("SELECT * FROM engine_tables ORDER BY id"):
            layout = Layout(msgspec.msgpack.decode(definition, type=TableDef))
            found[table] = _Table(layout, tuple(versions[table]), dropped)
        ((version,),) = execute("SELECT version FROM engine_catalog")
        return version, found

    def _set(self, version: int, tables: dict[int, _Table]) -> None:
        self.version = version
        self._tables = tables
        self.layouts = {table: known.layout for table, known in tables.items() if not known.dropped}
        self.by_name = {known.layout.table.physical: known.layout for known in tables.values()}

    def keep(self) -> None:
        """The local transaction is committed."""
        self._committed = (self.version, self._tables)

    def restore(self) -> None:
        """Back to the last commit."""
        self._set(*self._committed)

    # -- what held when

    def check_version(self, table: int, version: int, ts: int) -> bool:
        """Did this version of the table hold at `ts`? SnapshotTooOld when it began later."""
        known = self._tables.get(table)
        if known is None:
            return False
        since = dict(known.versions).get(version)
        if since is not None and ts < since:
            words = f"table {known.layout.table.name} was defined as it is at {since}, after the snapshot's {ts}"
            raise SnapshotTooOld(words)
        held = [held for held, begins in known.versions if begins <= ts]
        return held[-1:] == [version] and not 0 < known.dropped <= ts

    # -- DDL

    def define(self, ddl: Ddl, at: int) -> None:
        """Carry it out at the timestamp `at`; apsw.Error or ReplicaStopped."""
        execute = self._connection.execute
        table = ddl.table_id if isinstance(ddl, DropTable) else ddl.table.id
        known = self._tables.get(table)
        if (known is not None) == isinstance(ddl, CreateTable) or (known is not None and known.dropped):
            state = "not there" if known is None else "dropped" if known.dropped else "there already"
            raise ReplicaStopped(f"{type(ddl).__name__}: table {table} is {state}")
        if isinstance(ddl, DropTable):
            assert known is not None, "just checked"
            execute("UPDATE engine_tables SET dropped = ? WHERE id = ?", (at, table))
            self._become(ddl.version, table, known._replace(dropped=at))
            return
        layout = Layout(ddl.table)
        self._lay_out(ddl, layout)
        execute("INSERT OR REPLACE INTO engine_tables VALUES (?, ?, 0)", (table, msgspec.msgpack.encode(ddl.table)))
        execute("INSERT INTO engine_versions VALUES (?, ?, ?)", (table, ddl.version, at))
        versions = () if known is None else known.versions
        self._become(ddl.version, table, _Table(layout, (*versions, (ddl.version, at))))

    def _become(self, version: int, table: int, known: _Table) -> None:
        version = max(version, self.version)  # those of different tables may end in either order
        self._connection.execute("UPDATE engine_catalog SET version = ?", (version,))
        self._set(version, {**self._tables, table: known})

    def attempt(self, ddl: Ddl) -> None:
        """What it would do, in a local transaction that is rolled back; ConstraintViolation if rows do not fit."""
        if isinstance(ddl, DropTable):
            return
        layout = Layout(ddl.table)
        self._lay_out(ddl, layout)
        if isinstance(ddl, AddColumns):
            self._check_rows(ddl, layout)

    def _lay_out(self, ddl: CreateTable | AddColumns, layout: Layout) -> None:
        if isinstance(ddl, CreateTable):
            for sql in (layout.create, layout.create_history, layout.create_ends):
                self._connection.execute(sql)
        else:
            self._rewrite(layout)

    def _rewrite(self, layout: Layout) -> None:
        """See the module: only what is behind the last column may differ."""
        execute, physical = self._connection.execute, layout.table.physical
        ((schema_version,),) = execute("PRAGMA schema_version")
        execute("PRAGMA writable_schema = ON")
        for name, sql in ((physical, layout.create), (f"{physical}__history", layout.create_history)):
            execute("UPDATE sqlite_schema SET sql = ? WHERE type = 'table' AND name = ?", (sql, name))
        execute(f"PRAGMA schema_version = {schema_version + 1}")
        execute("PRAGMA writable_schema = RESET")

    def _check_rows(self, ddl: AddColumns, layout: Layout) -> None:
        table, before = ddl.table, self.layouts[ddl.table.id].table
        rows = f"SELECT 1 FROM {table.physical}"
        for column in table.columns[-ddl.added :]:
            if column.not_null and column.default is None and self._finds(rows):
                words = f'column "{column.name}" of relation "{table.name}" contains null values'
                raise ConstraintViolation(words, sqlstate="23502", detail={"table": table.name, "column": column.name})
        for check in table.checks:
            if check not in before.checks and self._finds(f"{rows} WHERE NOT ({check.expression})"):
                words = f'check constraint "{check.name}" of relation "{table.name}" is violated by some row'
                detail = {"table": table.name, "constraint": check.name}
                raise ConstraintViolation(words, sqlstate="23514", detail=detail)

    def _finds(self, sql: str) -> bool:
        return bool(list(self._connection.execute(f"{sql} LIMIT 1")))

    # -- the end of history

    def forgotten(self, horizon: int) -> Iterator[str]:
        """Statements that remove what no snapshot at or above `horizon` shows; see Layout for their parameters."""
        for known in self._tables.values():
            yield known.layout.prune
            if 0 < known.dropped <= horizon:
                yield known.layout.clear

    def remove_dropped(self, horizon: int) -> None:
        """The tables that `forgotten` has emptied go."""
        execute, left = self._connection.execute, dict(self._tables)
        for table, known in self._tables.items():
            if 0 < known.dropped <= horizon:
                execute(f"DROP TABLE {known.layout.table.physical}")
                execute(f"DROP TABLE {known.layout.table.physical}__history")
                execute("DELETE FROM engine_versions WHERE table_id = ?", (table,))
                execute("DELETE FROM engine_tables WHERE id = ?", (table,))
                del left[table]
        self._set(self.version, left)
