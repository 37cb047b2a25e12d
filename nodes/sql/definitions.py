"""What a definition of columns means, and what PostgreSQL would call its constraints.

*Left out*: UNIQUE, FOREIGN KEY, columns of type NUMERIC, defaults that are neither constants nor `now()`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlglot import exp

from nodes.errors import NotSupported
from nodes.requests import Value
from nodes.sql.casts import type_of
from nodes.sql.expressions import Parameters, Scope, only, translate
from nodes.sql.parse import Parsed
from nodes.sql.schema import BOOLEAN, TIMESTAMPTZ, CheckDef, ColumnDef, TableDef
from nodes.sql.typed import NOTHING, mismatch
from nodes.sql.types import NUMERIC, UNKNOWN, WORDS
from nodes.sql.words import SYSTEM_COLUMNS

MAX_COLUMNS = 1_000


class Definition:
    """Columns and constraints of one statement while they are read. `names` are those of constraints, taken so far."""

    def __init__(self, parsed: Parsed, name: str, columns: Sequence[ColumnDef] = (), names: Sequence[str] = ()) -> None:
        self.parsed, self.name = parsed, name
        self.columns = list(columns)
        self.primary_key: list[str] = []
        self.checks: list[tuple[str, str, exp.Expr]] = []  # (own name, column, condition)
        self.names = set(names)
        self.scope = Scope(parsed.text, None, name, Parameters(parsed.parameters))

    def column(self, node: exp.ColumnDef) -> None:
        only(node, "this", "kind", "constraints", "exists")
        name = column_name(self.scope.fold(node.this), self.columns)
        type = type_of(node.args["kind"])
        if type == NUMERIC:
            raise NotSupported("a column of type NUMERIC")
        self.columns.append(ColumnDef(name, type))
        nulls: set[bool] = set()
        for constraint in node.args.get("constraints") or []:
            only(constraint, "this", "kind")
            own = self._own_name(constraint.args.get("this"))
            self._column_constraint(name, own, constraint.args["kind"], nulls)
        if nulls == {True, False}:
            raise mismatch("42601", f'conflicting NULL/NOT NULL declarations for column "{name}"')
        if True in nulls:
            self._change(name, not_null=True)
        if len(self.columns) > MAX_COLUMNS:
            raise NotSupported(f"more than {MAX_COLUMNS} columns")

    def _column_constraint(self, column: str, own: str, kind: exp.Expr, nulls: set[bool]) -> None:
        if isinstance(kind, exp.NotNullColumnConstraint):
            only(kind, "allow_null")
            nulls.add(not kind.args.get("allow_null"))
        elif isinstance(kind, exp.DefaultColumnConstraint):
            self._default(column, kind.this)
        elif isinstance(kind, exp.PrimaryKeyColumnConstraint):
            self._key(kind, [column], own)
        elif isinstance(kind, exp.CheckColumnConstraint):
            self._check(kind, own, column)
        else:
            raise NotSupported(_constraint_word(kind))

    def constraint(self, node: exp.Expr, own: str) -> None:
        if isinstance(node, exp.Constraint):
            only(node, "this", "expressions")
            if len(node.expressions) != 1:
                raise NotSupported("attributes of constraints")
            self.constraint(node.expressions[0], self._own_name(node.this))
        elif isinstance(node, exp.PrimaryKey):
            self._key(node, [self._key_column(part) for part in node.expressions], own)
        elif isinstance(node, exp.CheckColumnConstraint):
            self._check(node, own, "")
        else:
            raise NotSupported(_constraint_word(node))

    def _key_column(self, node: exp.Expr) -> str:
        if isinstance(node, exp.Ordered):
            only(node, "this")
            node = node.this
        return self.scope.fold(node.this if isinstance(node, exp.Column) else node)

    def _own_name(self, node: exp.Expr | None) -> str:
        return "" if node is None else self.scope.fold(node)

    def _key(self, node: exp.Expr, columns: list[str], own: str) -> None:
        only(node, "expressions", "include")
        include = node.args.get("include")
        if include is not None:
            only(include)
        if self.primary_key:
            raise mismatch("42P16", f'multiple primary keys for table "{self.name}" are not allowed')
        self.primary_key = columns
        self.names.add(own or f"{self.name}_pkey")

    def _check(self, node: exp.CheckColumnConstraint, own: str, column: str) -> None:
        only(node, "this")
        if own in self.names:
            raise mismatch("42710", f'check constraint "{own}" already exists')
        if own:
            self.names.add(own)
        self.checks.append((own, column, node.this))

    def _default(self, column: str, node: exp.Expr) -> None:
        definition = self.columns[-1]
        if definition.has_default:
            raise mismatch("42601", f'multiple default values specified for column "{column}"')
        self.scope.clause = "DEFAULT"
        if any(node.find_all(exp.Column)):
            raise mismatch("0A000", "cannot use column reference in DEFAULT expression")
        if isinstance(node, exp.CurrentTimestamp) and definition.type == TIMESTAMPTZ:
            only(node)
            self._change(column, has_default=True, default_is_now=True)
            return
        item = self.scope.assign(translate(self.scope, node), definition.type, column)
        if item.constant is NOTHING:
            raise NotSupported("DEFAULT that is not a constant")
        self._change(column, has_default=True, default=item.constant)

    def _change(self, column: str, **values: Value) -> None:
        for position, definition in enumerate(self.columns):
            if definition.name == column:
                self.columns[position] = msgspec.structs.replace(definition, **values)

    def key_positions(self, names: list[str], what: str) -> tuple[int, ...]:
        """Positions of key columns; 42703, 42701."""
        known = [column.name for column in self.columns]
        for name in names:
            if name not in known:
                raise mismatch("42703", f'column "{name}" named in {what} does not exist')
            if names.count(name) > 1:
                raise mismatch("42701", f'column "{name}" appears twice in {what}')
        return tuple(known.index(name) for name in names)

    def check_definitions(self, table: TableDef) -> tuple[CheckDef, ...]:
        """CHECKs in the engine's dialect, in order of their names, which is the order they are checked in."""
        found = []
        for own, _, node in self.checks:
            scope = Scope(self.parsed.text, table, self.name, Parameters(0))
            scope.clause = "CHECK"
            item = translate(scope, node)
            if item.type not in (BOOLEAN, UNKNOWN):
                raise mismatch("42804", f"argument of CHECK must be type boolean, not type {WORDS[item.type]}")
            item = scope.coerce(item, BOOLEAN)
            used = sorted(set(scope.used_columns))
            middle = table.columns[used[0]].name if len(used) == 1 else ""
            found.append(CheckDef(own or self._free_name(middle), item.sql))
        return tuple(sorted(found, key=lambda check: check.name.encode()))

    def _free_name(self, column: str) -> str:
        """PostgreSQL's name for a CHECK without one."""
        number = 0
        while True:
            label = "check" + (str(number) if number else "")
            name = _object_name(self.name, column, label)
            if name not in self.names:
                self.names.add(name)
                return name
            number += 1


def _object_name(table: str, column: str, label: str) -> str:
    """`table_column_label`, the longer of table and column cut until it fits 63 bytes."""
    parts = [table.encode(), column.encode()]
    room = 62 - len(label) - (1 if column else 0)
    while sum(map(len, parts)) > room:
        longest = 0 if len(parts[0]) > len(parts[1]) else 1
        parts[longest] = parts[longest][:-1]
    names = [part.decode(errors="ignore") for part in parts if part]
    return "_".join([*names, label])


def _constraint_word(node: exp.Expr) -> str:
    words: dict[type[exp.Expr], str] = {
        exp.UniqueColumnConstraint: "UNIQUE",
        exp.ForeignKey: "FOREIGN KEY",
        exp.Reference: "REFERENCES",
        exp.CollateColumnConstraint: "COLLATE",
        exp.ComputedColumnConstraint: "GENERATED",
    }
    return words.get(type(node), type(node).__name__.upper() + " in CREATE TABLE")


def column_name(name: str, others: list[ColumnDef]) -> str:
    """Refuses names that are taken, reserved or that an engine could not tell apart."""
    if name in SYSTEM_COLUMNS:
        raise mismatch("42701", f'column name "{name}" conflicts with a system column name')
    if name.lower() in ("_ts", "_end") or name.lower().startswith("txstore_"):
        raise mismatch("42939", f'the column name "{name}" is reserved')
    for other in others:
        if other.name == name:
            raise mismatch("42701", f'column "{name}" specified more than once')
        if other.name.lower() == name.lower():
            raise NotSupported("column names that differ in case only")
    return name
