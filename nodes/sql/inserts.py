"""Plans of INSERT: rows are made whole at the gateway, for their keys say where they go.

*Invariants*: what a row's values are does not depend on the shard; RETURNING gives rows in the order of VALUES.
*Left out*: INSERT of a query, ON CONFLICT.
"""

from __future__ import annotations

from functools import lru_cache

from sqlglot import exp

from nodes.errors import ConstraintViolation, NotSupported, TooLarge
from nodes.requests import Column, Params, Value
from nodes.sql.binding import Arguments, Bound, Given, Keys, Merge, Pool, given, last_parameter
from nodes.sql.evaluate import evaluate
from nodes.sql.expressions import Parameters, Scope, only, translate
from nodes.sql.parse import MAX_PARAMETERS, Parsed
from nodes.sql.schema import Fragment, Lock, TableDef
from nodes.sql.targets import returning
from nodes.sql.typed import Typed, mismatch, quote
from nodes.sql.writes import arguments, is_default, target_column


class InsertPlan:
    """INSERT: rows are made whole at the gateway, then each goes to its shard.

    `rows` holds for each row and each of the table's columns a position in the pool: parameters, constants, and the
    values of the `computed` expressions.
    """

    kind = "insert"
    reads_only = False

    def __init__(self, table: TableDef, rows: list[list[int]], pool: Pool, computed: str, arguments: Arguments) -> None:
        self.table: TableDef | None = table
        self.rows = rows
        self.constants = pool.constants
        self.computed = computed
        self.computed_values = last_parameter(computed)
        self.arguments = arguments
        self.keys = Keys(table, table.primary_key, len(table.primary_key))
        self.key_columns = table.primary_key
        self.returning = ""
        self.returning_values = 0  # parameters that RETURNING names stand in front of the rows' values
        self.columns: tuple[Column, ...] = ()
        self.give: Given = ()
        self.tables = [(table.id, table.version)]
        self.above = Lock(table.id, b"", "IX")
        self.head = f"INSERT INTO {table.physical} ({', '.join(quote(c.name) for c in table.columns)}) VALUES "

    def bind(self, statement_number: int, params: Params, shards: int, expect_rows: int = -1, now: int = 0) -> Bound:
        pool = self.arguments.values(params, now)
        if self.computed:
            pool = pool + self.constants + evaluate(self.computed, pool[: self.computed_values])
        elif self.constants:
            pool = pool + self.constants
        if len(self.rows) == 1:
            fragments = self._one(statement_number, pool, shards)
            return Bound("insert", fragments, Merge(self.give), self.columns, expect_rows)
        order: list[tuple[int, int]] = []
        fragments = self._many(statement_number, pool, shards, order)
        return Bound("insert", fragments, Merge(self.give, order=order), self.columns, expect_rows)

    def _locate(self, row: list[Value], shards: int) -> tuple[list[bytes], int]:
        values = [row[i] for i in self.key_columns]
        if None in values:
            self._refuse_null(row)
        return self.keys.locate(values, shards)

    def _refuse_null(self, row: list[Value]) -> None:
        assert self.table is not None, "an INSERT has a table"
        for position in self.key_columns:
            if row[position] is None:
                words = f'null value in column "{self.table.columns[position].name}"'
                message = f'{words} of relation "{self.table.name}" violates not-null constraint'
                raise ConstraintViolation(message, sqlstate="23502")

    def _one(self, number: int, pool: list[Value], shards: int) -> dict[int, Fragment]:
        row = [pool[i] for i in self.rows[0]]
        path, shard = self._locate(row, shards)
        locks = self.keys.locks(self.above, path, "IX", "X")
        return {shard: self._fragment(number, pool, row, locks)}

    def _fragment(self, number: int, pool: list[Value], values: list[Value], locks: list[Lock]) -> Fragment:
        """The rows whose values these are, one after the other."""
        width = len(self.rows[0])
        sql = self.head + _placeholders(width, len(values) // width, self.returning_values) + self.returning
        if self.returning_values:
            values = pool[: self.returning_values] + values
        return Fragment(number, sql, values, self.tables, locks, True, point=True)

    def _many(self, number: int, pool: list[Value], shards: int, order: list[tuple[int, int]]) -> dict[int, Fragment]:
        rows_of: dict[int, list[Value]] = {}
        locks_of: dict[int, dict[bytes, Lock]] = {}
        width = len(self.rows[0])
        for sources in self.rows:
            row = [pool[i] for i in sources]
            path, shard = self._locate(row, shards)
            locks = self.keys.locks(self.above, path, "IX", "X")
            locks_of.setdefault(shard, {}).update([(lock.key, lock) for lock in locks])
            values = rows_of.setdefault(shard, [])
            order.append((shard, len(values) // width))
            values += row
        fragments = {}
        for shard, values in rows_of.items():
            if len(values) > MAX_PARAMETERS:
                raise TooLarge(f"an INSERT of more than {MAX_PARAMETERS} values on one shard")
            fragments[shard] = self._fragment(number, pool, values, list(locks_of[shard].values()))
        return fragments


@lru_cache(maxsize=1024)
def _placeholders(width: int, rows: int, before: int) -> str:
    """`(?1, ?2), (?3, ?4)`, behind `before` others."""
    groups = (", ".join(f"?{before + row * width + i + 1}" for i in range(width)) for row in range(rows))
    return ", ".join(f"({group})" for group in groups)


def plan_insert(parsed: Parsed, node: exp.Insert, table: TableDef, name: str, targets: list[exp.Expr]) -> InsertPlan:
    only(node, "this", "expression", "returning", "default")
    if not isinstance(node.expression, exp.Values):
        raise NotSupported("INSERT of anything but VALUES")
    only(node.expression, "expressions")
    parameters = Parameters(parsed.parameters)
    scope = Scope(parsed.text, table, name, parameters)
    positions = _target_positions(scope, targets)
    values_scope = Scope(parsed.text, None, "", parameters)
    values_scope.clause = "VALUES"
    rows = _typed_rows(values_scope, table, positions, node.expression.expressions)
    result, columns = returning(scope, node.args.get("returning"))
    pool = Pool(parameters.total)
    placed, computed = _place(rows, pool)
    plan = InsertPlan(table, placed, pool, computed, arguments(parsed, parameters))
    plan.returning, plan.columns, plan.give = result, columns, given(columns)
    plan.returning_values = last_parameter(result)
    return plan


def _target_positions(scope: Scope, targets: list[exp.Expr]) -> list[int]:
    assert scope.table is not None, "an INSERT has a table"
    found: list[int] = []
    for target in targets:
        position = target_column(scope, target)
        if position in found:
            raise mismatch("42701", f'column "{scope.table.columns[position].name}" specified more than once')
        found.append(position)
    return found


def _typed_rows(scope: Scope, table: TableDef, positions: list[int], nodes: list[exp.Expr]) -> list[list[Typed]]:
    """For each row the value of every column of the table."""
    widths = [len(node.expressions) if isinstance(node, exp.Tuple) else 1 for node in nodes]
    if len(set(widths)) != 1:
        raise mismatch("42601", "VALUES lists must all be the same length")
    targets = positions or list(range(len(table.columns)))[: widths[0]]
    if widths[0] != len(targets):
        more = "expressions than target columns" if widths[0] > len(targets) else "target columns than expressions"
        raise mismatch("42601", f"INSERT has more {more}")
    rest = [scope.default(column) for column in table.columns]
    rows = []
    for node in nodes:
        row = list(rest)
        for position, value in zip(targets, node.expressions if isinstance(node, exp.Tuple) else [node], strict=True):
            column = table.columns[position]
            if not is_default(value):
                row[position] = scope.assign(translate(scope, value), column.type, column.name)
        rows.append(row)
    return rows


def _place(rows: list[list[Typed]], pool: Pool) -> tuple[list[list[int]], str]:
    """Pool positions for all values, and the expressions that are only worked out at bind."""
    computed: list[Typed] = []
    placed = []
    constants: dict[tuple[str, str], int] = {}
    for row in rows:
        places = []
        for item in row:
            if item.parameter >= 0:
                places.append(item.parameter)
            elif item.is_source:
                key = (item.type, item.sql)
                if key not in constants:
                    constants[key] = pool.position(item)
                places.append(constants[key])
            else:
                computed.append(item)
                places.append(-len(computed))
        placed.append(places)
    first = pool.parameters + len(pool.constants)
    placed = [[first - place - 1 if place < 0 else place for place in places] for places in placed]
    return placed, ", ".join(item.sql for item in computed)
