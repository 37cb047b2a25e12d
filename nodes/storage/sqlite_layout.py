"""How a table lies in SQLite: its DDL, its constraint names, and the statements that install images.

A table is two STRICT, WITHOUT ROWID tables (DESIGN.md §3): `t{id}_{shape}` holds each row's current version, `_ts` and
its columns; `t{id}_{shape}__history` holds superseded versions, `_ts`, `_end` and columns. A user's INSERT leaves `_ts`
out and gets 0, which no committed version has; an UPDATE keeps the old one. `_ts` comes first, so that a column that is
added to the table is the last one.

*Invariants*: every text is built once per table, none per call. A constraint's physical name holds the physical table
and a number, so that SQLite's message names exactly one constraint of one table.
*Left out*: secondary indexes, unique constraints, changes of shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nodes.sql.schema import BOOLEAN, BYTEA, DOUBLE, INT, TEXT, UUID, ColumnDef, TableDef
from nodes.sql.typed import literal, quote

RANGE, BOOL, REAL, CHECK = "range", "bool", "real", "check"

# A DOUBLE is of any type, for its NaN is a text (nodes/sql/doubles.py).
_STORED_AS = {TEXT: "TEXT", UUID: "TEXT", BYTEA: "BLOB", DOUBLE: "ANY"}


class Layout:
    """One table's physical side. `constraints` maps a physical constraint name to (kind, name as the user knows it).
    `key_of` reads the key out of a row of the table's columns, `stored_key_of` out of one with `_ts` in front."""

    __slots__ = ("archive", "clear", "constraints", "create", "create_ends", "create_history", "find", "insert",
                 "key_of", "prune", "remove", "replace", "stage", "stored_key_of", "table")  # fmt: skip

    def __init__(self, table: TableDef) -> None:
        self.table = table
        self.key_of = _key_reader(table.primary_key)
        self.stored_key_of = _key_reader(tuple(at + 1 for at in table.primary_key))
        self.constraints: dict[str, tuple[str, str]] = {}
        self.create, self.create_history = self._current_ddl(), self._history_ddl()
        history, ends = quote(f"{table.physical}__history"), quote(f"{table.physical}__ends")
        self.create_ends = f"CREATE INDEX {ends} ON {history} (_end)"
        self._build_statements()

    def _build_statements(self) -> None:
        """Parameters: archive (commit_ts, *key, old_ts); remove (*key, old_ts); find (*key); replace (*row, commit_ts,
        old_ts), by the row's own key; insert (*row, commit_ts), which inserts nothing if history reaches past it; prune
        and, of a dropped table, clear (horizon, most rows)."""
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
        old = f"SELECT {', '.join(keys)} FROM {current} WHERE _ts <= ? LIMIT ?"
        self.clear = f"DELETE FROM {current} WHERE ({', '.join(keys)}) IN ({old})"
        self.find = f"SELECT _ts FROM {current} WHERE {by_key}"
        listed = ", ".join(names)
        self.archive = f"INSERT INTO {history} SELECT _ts, ?, {listed} FROM {current} WHERE {by_key} AND _ts = ?"
        self.remove = f"DELETE FROM {current} WHERE {by_key} AND _ts = ?"
        assigned = ", ".join([*values, f"_ts = ?{width + 1}"])
        self.replace = f"UPDATE {current} SET {assigned} WHERE {own_key} AND _ts = ?{width + 2}"
        last_end = f"(SELECT _end FROM {history} WHERE {own_key} ORDER BY _ts DESC LIMIT 1)"
        row = ", ".join(f"?{at + 1}" for at in range(width))
        self.stage = f"INSERT INTO {current} SELECT ?{width + 1}, {row}"
        self.insert = f"INSERT INTO {current} SELECT ?{width + 1}, {row} WHERE coalesce({last_end}, 0) <= ?{width + 1}"

    def _current_ddl(self) -> str:
        table = self.table
        parts = ["_ts INTEGER NOT NULL DEFAULT 0"]
        key = table.primary_key
        parts += [_column_ddl(column, column.not_null or at in key) for at, column in enumerate(table.columns)]
        parts.append(f"PRIMARY KEY ({self._key_names()})")
        for column in table.columns:
            name = quote(column.name)
            if column.type == INT:
                parts.append(self._constraint(RANGE, column.name, f"{name} BETWEEN {-(2**31)} AND {2**31 - 1}"))
            elif column.type == BOOLEAN:
                parts.append(self._constraint(BOOL, column.name, f"{name} IN (0, 1)"))
            elif column.type == DOUBLE:
                parts.append(self._constraint(REAL, column.name, f"typeof({name}) = 'real' OR {name} = 'NaN'"))
        # PostgreSQL checks CHECK constraints in the order of their names.
        for check in sorted(table.checks, key=lambda check: check.name.encode()):
            parts.append(self._constraint(CHECK, check.name, check.expression))
        return f"CREATE TABLE {quote(table.physical)} ({', '.join(parts)}) STRICT, WITHOUT ROWID"

    def _history_ddl(self) -> str:
        """Without NOT NULL but in the key: what is older than a column has none of it."""
        table = self.table
        parts = ["_ts INTEGER NOT NULL", "_end INTEGER NOT NULL"]
        parts += [_column_ddl(column, at in table.primary_key) for at, column in enumerate(table.columns)]
        parts.append(f"PRIMARY KEY ({self._key_names()}, _ts)")
        return f"CREATE TABLE {quote(table.physical + '__history')} ({', '.join(parts)}) STRICT, WITHOUT ROWID"

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


def _column_ddl(column: ColumnDef, not_null: bool) -> str:
    words = [quote(column.name), _STORED_AS.get(column.type, "INTEGER")]
    if not_null:
        words.append("NOT NULL")
    if column.has_default:
        words.append(f"DEFAULT {literal(column.default)}")
    return " ".join(words)
