"""How a table lies in SQLite: its DDL, its constraint names, and the statements that install images.

A table is two STRICT, WITHOUT ROWID tables (DESIGN.md §3): `t{id}_{shape}` holds each row's current version, its
columns and `_ts`; `t{id}_{shape}__history` holds superseded versions, columns, `_ts` and `_end`. A user's INSERT leaves
`_ts` out and gets 0, which no committed version has; an UPDATE keeps the old one.

*Invariants*: every text is built once per table, none per call. A constraint's physical name holds the physical table
and a number, so that SQLite's message names exactly one constraint of one table.
*Left out*: secondary indexes, unique constraints, changes of shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nodes.sql.schema import BOOLEAN, INT, TEXT, ColumnDef, TableDef

RANGE, BOOL, CHECK = "range", "bool", "check"


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(value: Any) -> str:
    """A constant in SQLite's dialect: int, str, bool or None."""
    if value is None:
        return "NULL"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(int(value))


class Layout:
    """One table's physical side. `constraints` maps a physical constraint name to (kind, name as the user knows it)."""

    __slots__ = ("archive", "constraints", "create", "create_history", "find", "insert", "key_of", "prune", "remove",
                 "replace", "table")  # fmt: skip

    def __init__(self, table: TableDef) -> None:
        self.table = table
        self.key_of = _key_reader(table.primary_key)
        self.constraints: dict[str, tuple[str, str]] = {}
        self.create, self.create_history = self._current_ddl(), self._history_ddl()
        self._build_statements()

    def _build_statements(self) -> None:
        """Parameters: archive (commit_ts, *key, old_ts); remove (*key, old_ts); find (*key); replace (*row, commit_ts,
        old_ts), by the row's own key; insert (*row, commit_ts), which inserts nothing if history reaches past it; prune
        (horizon, most rows)."""
        table, width = self.table, len(self.table.columns)
        current, history = quote(table.physical), quote(f"{table.physical}__history")
        names = [quote(column.name) for column in table.columns]
        keys = [names[at] for at in table.primary_key]
        by_key = " AND ".join(f"{key} = ?" for key in keys)
        own_key = " AND ".join(f"{names[at]} = ?{at + 1}" for at in table.primary_key)
        values = [f"{name} = ?{at + 1}" for at, name in enumerate(names) if at not in table.primary_key]
        version = ", ".join([*keys, "_ts"])
        ended = f"SELECT {version} FROM {history} WHERE _end <= ? ORDER BY _end LIMIT ?"
        self.prune = f"DELETE FROM {history} WHERE ({version}) IN ({ended})"
        self.find = f"SELECT _ts FROM {current} WHERE {by_key}"
        self.archive = f"INSERT INTO {history} SELECT *, ? FROM {current} WHERE {by_key} AND _ts = ?"
        self.remove = f"DELETE FROM {current} WHERE {by_key} AND _ts = ?"
        assigned = ", ".join([*values, f"_ts = ?{width + 1}"])
        self.replace = f"UPDATE {current} SET {assigned} WHERE {own_key} AND _ts = ?{width + 2}"
        last_end = f"(SELECT _end FROM {history} WHERE {own_key} ORDER BY _ts DESC LIMIT 1)"
        row = ", ".join(f"?{at + 1}" for at in range(width))
        self.insert = f"INSERT INTO {current} SELECT {row}, ?{width + 1} WHERE coalesce({last_end}, 0) <= ?{width + 1}"

    def _current_ddl(self) -> str:
        table = self.table
        parts = [_column_ddl(column, at in table.primary_key) for at, column in enumerate(table.columns)]
        parts += ["_ts INTEGER NOT NULL DEFAULT 0", f"PRIMARY KEY ({self._key_names()})"]
        for column in table.columns:
            if column.type == INT:
                inside = f"{quote(column.name)} BETWEEN {-(2**31)} AND {2**31 - 1}"
                parts.append(self._constraint(RANGE, column.name, inside))
            elif column.type == BOOLEAN:
                parts.append(self._constraint(BOOL, column.name, f"{quote(column.name)} IN (0, 1)"))
        # PostgreSQL checks CHECK constraints in the order of their names.
        for check in sorted(table.checks, key=lambda check: check.name.encode()):
            parts.append(self._constraint(CHECK, check.name, check.expression))
        return f"CREATE TABLE {quote(table.physical)} ({', '.join(parts)}) STRICT, WITHOUT ROWID"

    def _history_ddl(self) -> str:
        table = self.table
        parts = [_column_ddl(column, at in table.primary_key) for at, column in enumerate(table.columns)]
        parts += ["_ts INTEGER NOT NULL", "_end INTEGER NOT NULL", f"PRIMARY KEY ({self._key_names()}, _ts)"]
        history = quote(f"{table.physical}__history")
        ends = f"CREATE INDEX {quote(table.physical + '__ends')} ON {history} (_end)"
        return f"CREATE TABLE {history} ({', '.join(parts)}) STRICT, WITHOUT ROWID; {ends}"

    def _constraint(self, kind: str, name: str, expression: str) -> str:
        physical = f"{self.table.physical}/{len(self.constraints)}"
        self.constraints[physical] = (kind, name)
        return f"CONSTRAINT {quote(physical)} CHECK ({expression})"

    def _key_names(self) -> str:
        return ", ".join(quote(self.table.columns[at].name) for at in self.table.primary_key)


def _key_reader(positions: tuple[int, ...]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """A function from a row to its key values; the one-column key is the common case and worth its own."""
    if len(positions) == 1:
        at = positions[0]
        return lambda row: (row[at],)
    return lambda row: tuple([row[at] for at in positions])


def _column_ddl(column: ColumnDef, in_key: bool) -> str:
    words = [quote(column.name), "TEXT" if column.type == TEXT else "INTEGER"]
    if column.not_null or in_key:
        words.append("NOT NULL")
    if column.has_default:
        words.append(f"DEFAULT {literal(column.default)}")
    return " ".join(words)
