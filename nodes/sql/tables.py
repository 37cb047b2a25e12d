"""CREATE TABLE: what a definition means, what PostgreSQL would call its constraints, and the plan that makes it.

`s0` gets the definition and, in the same fragment, the new row of its catalog table under that table's X lock: so
definitions are made one after the other, and one that was planned beside another finds its version taken.
*Left out*: UNIQUE, FOREIGN KEY, defaults that are not constants, tables without primary key.
"""

from __future__ import annotations

import msgspec
from sqlglot import exp

from nodes.errors import BadRequest, NotSupported
from nodes.requests import Column, Value
from nodes.sql.binding import Arguments, Bound, Merge
from nodes.sql.casts import type_of
from nodes.sql.expressions import NOTHING, Parameters, Scope, mismatch, only, translate
from nodes.sql.parse import Parsed
from nodes.sql.schema import BIGINT, BOOLEAN, CATALOG_TABLE, TEXT, CheckDef, ColumnDef, Fragment, Lock, TableDef
from nodes.sql.types import UNKNOWN, WORDS
from nodes.sql.words import SYSTEM_COLUMNS

SYSTEM_TABLE = TableDef(
    id=CATALOG_TABLE,
    name="txstore_tables",
    version=1,
    shape=1,
    columns=(
        ColumnDef("name", TEXT, not_null=True),
        ColumnDef("id", BIGINT, not_null=True),
        ColumnDef("version", BIGINT, not_null=True),
        ColumnDef("definition", TEXT, not_null=True),
    ),
    primary_key=(0,),
    shard_by=(0,),
)

MAX_COLUMNS = 1_000


class CreateTablePlan:
    """The catalog row on `s0`, the tables on every user shard."""

    kind = "create_table"
    reads_only = False
    columns: tuple[Column, ...] = ()

    def __init__(self, table: TableDef) -> None:
        self.table: TableDef | None = table
        self.definition = table
        self.arguments = Arguments([], None)

    def bind(
        self, statement_number: int, params: list[Value] | dict[str, Value], shards: int, expect_rows: int = -1
    ) -> Bound:
        self.arguments.values(params)
        table = self.definition
        lock = Lock(table.id, b"", "X")
        fragments = {0: _catalog_row(statement_number, table)}
        for shard in range(1, shards + 1):
            fragments[shard] = Fragment(statement_number, "", [], [], [lock], True, create=table)
        return Bound("create_table", fragments, Merge(), (), -1)


def _catalog_row(statement_number: int, table: TableDef) -> Fragment:
    system = SYSTEM_TABLE
    sql = f"INSERT INTO {system.physical} (name, id, version, definition) VALUES (?1, ?2, ?3, ?4)"
    values = [table.name, table.id, table.version, msgspec.json.encode(table).decode()]
    locks = [Lock(system.id, b"", "X")]
    return Fragment(statement_number, sql, values, [(system.id, system.version)], locks, True, create=table)


class _Definition:
    """One CREATE TABLE while it is read."""

    def __init__(self, parsed: Parsed, name: str, nodes: list[exp.Expr]) -> None:
        self.parsed, self.name = parsed, name
        self.columns: list[ColumnDef] = []
        self.primary_key: list[str] = []
        self.checks: list[tuple[str, str, exp.Expr]] = []  # (own name, column, condition)
        self.names: set[str] = set()
        self.scope = Scope(parsed.text, None, name, Parameters(parsed.parameters))
        for node in nodes:
            if isinstance(node, exp.ColumnDef):
                self._column(node)
            else:
                self._constraint(node, "")
        if not self.primary_key:
            raise NotSupported("a table without PRIMARY KEY")
        if len(self.columns) > MAX_COLUMNS:
            raise NotSupported(f"more than {MAX_COLUMNS} columns")

    def _column(self, node: exp.ColumnDef) -> None:
        only(node, "this", "kind", "constraints")
        name = column_name(self.scope.fold(node.this), self.columns)
        type = type_of(node.args["kind"])
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

    def _constraint(self, node: exp.Expr, own: str) -> None:
        if isinstance(node, exp.Constraint):
            only(node, "this", "expressions")
            if len(node.expressions) != 1:
                raise NotSupported("attributes of constraints")
            self._constraint(node.expressions[0], self._own_name(node.this))
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


def table_def(parsed: Parsed, node: exp.Create, name: str, table_id: int, version: int) -> TableDef:
    """The definition that a CREATE TABLE states; `node.this` is the list of columns and constraints."""
    only(node, "this", "kind")
    if not isinstance(node.this, exp.Schema):
        raise NotSupported("CREATE TABLE without a list of columns")
    only(node.this, "this", "expressions")
    definition = _Definition(parsed, name, node.this.expressions)
    key = definition.key_positions(definition.primary_key, "primary key")
    for position in key:
        column = definition.columns[position]
        definition.columns[position] = msgspec.structs.replace(column, not_null=True)
    shard_by = key[:1]
    if parsed.shard_by is not None:
        shard_by = definition.key_positions(parsed.shard_by, "SHARD BY")
        if not set(shard_by) <= set(key):
            raise BadRequest("SHARD BY takes columns of the primary key", sqlstate="42P16")
    table = TableDef(table_id, name, version, 1, tuple(definition.columns), key, shard_by)
    return msgspec.structs.replace(table, checks=definition.check_definitions(table))
