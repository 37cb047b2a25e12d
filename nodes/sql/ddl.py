"""CREATE TABLE, ALTER TABLE ADD COLUMN, DROP TABLE: the plans that change the catalog.

`s0` gets, in one fragment, the change and the new row of its catalog table, under that table's X lock and for the
catalog's version that the statement was planned with: so definitions are made one after the other, and one that was
planned beside another finds its version taken. Every user shard gets the change under the table's X lock.
A statement that finds nothing to do (IF EXISTS, IF NOT EXISTS) asks `s0` alone whether the catalog is still that one.
*Left out*: every other ALTER; DROP of several tables, CASCADE.
"""

from __future__ import annotations

import math

import msgspec
from sqlglot import exp

from nodes.errors import BadRequest, NotSupported
from nodes.requests import Column, Params, Value
from nodes.sql.binding import Arguments, Bound, Merge
from nodes.sql.definitions import Definition
from nodes.sql.doubles import double_to_text
from nodes.sql.expressions import only
from nodes.sql.parse import Parsed
from nodes.sql.schema import (
    BIGINT,
    CATALOG_TABLE,
    TEXT,
    AddColumns,
    ColumnDef,
    CreateTable,
    Ddl,
    DropTable,
    Fragment,
    Lock,
    TableDef,
)

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


class DdlPlan:
    """`planned` is the catalog's version that it was planned with; `table` the one that is changed or dropped, None for
    a new one; `ddl` None: there is nothing to do."""

    kind = "ddl"
    reads_only = False
    columns: tuple[Column, ...] = ()

    def __init__(self, planned: int, name: str, ddl: Ddl | None, table: TableDef | None = None) -> None:
        self.planned = planned
        self.name = name
        self.ddl = ddl
        self.table = table
        self.arguments = Arguments([], None)

    def bind(self, statement_number: int, params: Params, shards: int, expect_rows: int = -1, now: int = 0) -> Bound:
        self.arguments.values(params, now)
        catalog_lock = [Lock(CATALOG_TABLE, b"", "X")]
        if self.ddl is None:
            fragments = {0: Fragment(statement_number, "", [], [], catalog_lock, True, catalog=self.planned)}
            return Bound("ddl", fragments, Merge(), (), -1)
        ddl = _dated(self.ddl, now)
        sql, values = _catalog_change(ddl, self.name)
        known = [] if self.table is None else [(self.table.id, self.table.version)]
        tables = [(SYSTEM_TABLE.id, SYSTEM_TABLE.version), *known]
        fragments = {0: Fragment(statement_number, sql, values, tables, catalog_lock, True, "", ddl, self.planned, 1)}
        lock = Lock(ddl.table_id if isinstance(ddl, DropTable) else ddl.table.id, b"", "X")
        for shard in range(1, shards + 1):
            fragments[shard] = Fragment(statement_number, "", [], known, [lock], True, ddl=ddl)
        return Bound("ddl", fragments, Merge(), (), -1)


def _dated(ddl: Ddl, now: int) -> Ddl:
    """The rows that a table has take the time of the statement for a column that `now()` fills."""
    if not isinstance(ddl, AddColumns) or not any(column.default_is_now for column in ddl.table.columns[-ddl.added :]):
        return ddl
    columns = list(ddl.table.columns)
    for place in range(len(columns) - ddl.added, len(columns)):
        if columns[place].default_is_now:
            columns[place] = msgspec.structs.replace(columns[place], default=now)
    return AddColumns(msgspec.structs.replace(ddl.table, columns=tuple(columns)), ddl.added)


def _catalog_change(ddl: Ddl, name: str) -> tuple[str, list[Value]]:
    """What becomes of the table's row in the catalog."""
    physical = SYSTEM_TABLE.physical
    if isinstance(ddl, DropTable):
        return f"DELETE FROM {physical} WHERE name = ?1", [name]
    definition = msgspec.json.encode(_legible(ddl.table)).decode()
    if isinstance(ddl, CreateTable):
        sql = f"INSERT INTO {physical} (name, id, version, definition) VALUES (?1, ?2, ?3, ?4)"
        return sql, [name, ddl.table.id, ddl.version, definition]
    return f"UPDATE {physical} SET version = ?2, definition = ?3 WHERE name = ?1", [name, ddl.version, definition]


def _legible(table: TableDef) -> TableDef:
    """JSON has no infinite numbers."""
    columns = [
        msgspec.structs.replace(column, default=double_to_text(column.default)) if _is_infinite(column) else column
        for column in table.columns
    ]
    return msgspec.structs.replace(table, columns=tuple(columns))


def _is_infinite(column: ColumnDef) -> bool:
    return isinstance(column.default, float) and math.isinf(column.default)


def plan_create(parsed: Parsed, node: exp.Create, name: str, planned: int) -> DdlPlan:
    """A new table: its version is its id. `node.this` is the list of columns and constraints."""
    only(node, "this", "kind", "exists")
    if not isinstance(node.this, exp.Schema):
        raise NotSupported("CREATE TABLE without a list of columns")
    only(node.this, "this", "expressions")
    definition = Definition(parsed, name)
    for part in node.this.expressions:
        if isinstance(part, exp.ColumnDef):
            definition.column(part)
        else:
            definition.constraint(part, "")
    if not definition.primary_key:
        raise NotSupported("a table without PRIMARY KEY")
    key = definition.key_positions(definition.primary_key, "primary key")
    for position in key:
        column = definition.columns[position]
        definition.columns[position] = msgspec.structs.replace(column, not_null=True)
    shard_by = key[:1]
    if parsed.shard_by is not None:
        shard_by = definition.key_positions(parsed.shard_by, "SHARD BY")
        if not set(shard_by) <= set(key):
            raise BadRequest("SHARD BY takes columns of the primary key", sqlstate="42P16")
    version = planned + 1
    table = TableDef(version, name, version, 1, tuple(definition.columns), key, shard_by)
    table = msgspec.structs.replace(table, checks=definition.check_definitions(table))
    return DdlPlan(planned, name, CreateTable(table))


def plan_alter(parsed: Parsed, node: exp.Alter, table: TableDef, planned: int) -> DdlPlan:
    """ADD COLUMN, once or several times."""
    only(node, "this", "kind", "exists", "actions")
    taken = [check.name for check in table.checks] + [f"{table.name}_pkey"]
    definition = Definition(parsed, table.name, table.columns, taken)
    definition.primary_key = [table.columns[i].name for i in table.primary_key]
    for action in node.args["actions"]:
        if not isinstance(action, exp.ColumnDef):
            raise NotSupported("ALTER TABLE with anything but ADD COLUMN")
        known = [column.name for column in definition.columns]
        if not action.args.get("exists") or definition.scope.fold(action.this) not in known:
            definition.column(action)
    added = len(definition.columns) - len(table.columns)
    if not added:
        return DdlPlan(planned, table.name, None)
    changed = msgspec.structs.replace(table, version=planned + 1, columns=tuple(definition.columns))
    checks = (*table.checks, *definition.check_definitions(changed))
    checks = tuple(sorted(checks, key=lambda check: check.name.encode()))
    return DdlPlan(planned, table.name, AddColumns(msgspec.structs.replace(changed, checks=checks), added), table)


def plan_drop(node: exp.Drop, table: TableDef | None, name: str, planned: int) -> DdlPlan:
    """`table` None: it is not there, and that is no error."""
    only(node, "tables", "kind", "exists", "restrict")
    ddl = None if table is None else DropTable(table.id, planned + 1)
    return DdlPlan(planned, name, ddl, table)
