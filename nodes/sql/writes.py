"""Plans of UPDATE and DELETE."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from nodes.errors import NotSupported
from nodes.requests import Column, Params, Value
from nodes.sql.binding import Arguments, Bound, Merge, Pool, Route, given, last_parameter, route
from nodes.sql.expressions import Parameters, Scope, only, translate
from nodes.sql.parse import Parsed
from nodes.sql.schema import Fragment, TableDef
from nodes.sql.targets import returning, where
from nodes.sql.typed import Typed, mismatch, quote


class ChangePlan:
    """UPDATE and DELETE: the same text on every shard concerned."""

    reads_only = False

    def __init__(
        self, kind: str, table: TableDef, sql: str, columns: tuple[Column, ...], arguments: Arguments, route: Route
    ) -> None:
        self.kind = kind
        self.table: TableDef | None = table
        self.sql = sql
        self.columns = columns
        self.arguments = arguments
        self.route = route
        self.constants: list[Value] = []
        self.tables = [(table.id, table.version)]
        self.merge = Merge(given(columns))
        self.used_values = last_parameter(sql)

    def bind(self, statement_number: int, params: Params, shards: int, expect_rows: int = -1, now: int = 0) -> Bound:
        values = self.arguments.values(params, now)
        targets = self.route.targets(values + self.constants if self.constants else values, shards)
        if len(values) != self.used_values:
            values = values[: self.used_values]
        point = self.route.point
        fragments = {
            shard: Fragment(statement_number, self.sql, values, self.tables, locks, True, point=point)
            for shard, locks in targets.items()
        }
        return Bound(self.kind, fragments, self.merge, self.columns, expect_rows)


def plan_update(parsed: Parsed, node: exp.Update, table: TableDef, name: str) -> ChangePlan:
    only(node, "this", "expressions", "where", "returning")
    parameters = Parameters(parsed.parameters)
    scope = Scope(parsed.text, table, name, parameters)
    condition, equalities = where(scope, node.args.get("where"))
    result, columns = returning(scope, node.args.get("returning"))
    changes = _assignments(scope, table, node.expressions)
    sql = f"UPDATE {table.physical} SET {', '.join(changes.values())}{condition}{result}"
    return _change("update", parsed, table, sql, columns, parameters, equalities, list(changes))


def plan_delete(parsed: Parsed, node: exp.Delete, table: TableDef, name: str) -> ChangePlan:
    only(node, "this", "where", "returning")
    parameters = Parameters(parsed.parameters)
    scope = Scope(parsed.text, table, name, parameters)
    condition, equalities = where(scope, node.args.get("where"))
    result, columns = returning(scope, node.args.get("returning"))
    sql = f"DELETE FROM {table.physical}{condition}{result}"
    return _change("delete", parsed, table, sql, columns, parameters, equalities)


def _change(
    kind: str,
    parsed: Parsed,
    table: TableDef,
    sql: str,
    columns: tuple[Column, ...],
    parameters: Parameters,
    equalities: dict[int, list[Typed]],
    changed: Sequence[int] = (),
) -> ChangePlan:
    pool = Pool(parameters.total)
    way = route(table, equalities, pool, True, changed)
    plan = ChangePlan(kind, table, sql, columns, arguments(parsed, parameters), way)
    plan.constants = pool.constants
    return plan


def arguments(parsed: Parsed, parameters: Parameters) -> Arguments:
    """The parameters of a statement, when all of it is typed."""
    parameters.check()
    return Arguments(parameters.types, parsed.names, parameters.uses_now)


def target_column(scope: Scope, node: exp.Expr) -> int:
    """The position of a column that is written; 42703."""
    assert scope.table is not None, "writes have a table"
    name = scope.fold(node)
    if name not in scope.columns:
        raise mismatch("42703", f'column "{name}" of relation "{scope.table.name}" does not exist')
    return scope.columns[name]


def is_default(node: exp.Expr) -> bool:
    """DEFAULT reaches the tree as a word or as a column of that name."""
    if isinstance(node, exp.Var):
        return str(node.this).upper() == "DEFAULT"
    if not isinstance(node, exp.Column) or node.args.get("table") is not None:
        return False
    return node.name.upper() == "DEFAULT" and not node.this.args.get("quoted")


def _assignments(scope: Scope, table: TableDef, nodes: list[exp.Expr]) -> dict[int, str]:
    """`column = value` for each by its position; all values are typed before any is converted, as PostgreSQL does."""
    scope.clause = "UPDATE"
    for node in nodes:
        if not isinstance(node, exp.EQ) or not isinstance(node.this, exp.Column):
            raise NotSupported("SET of anything but single columns")
        only(node.this, "this")
    values = [None if is_default(node.expression) else translate(scope, node.expression) for node in nodes]
    found: dict[int, str] = {}
    for node, value in zip(nodes, values, strict=True):
        position = target_column(scope, node.this.this)
        column = table.columns[position]
        if position in found:
            raise mismatch("42601", f'multiple assignments to same column "{column.name}"')
        if position in table.shard_by:
            raise NotSupported(f'UPDATE of the shard key column "{column.name}"')
        assigned = scope.default(column) if value is None else scope.assign(value, column.type, column.name)
        found[position] = f"{quote(column.name)} = {assigned.sql}"
    return found
