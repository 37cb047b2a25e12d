"""Plans of SELECT over one table, on one shard or all.

A query has three forms: *whole* (over all the rows it concerns, in one database), and for several shards *partial* (on
each shard) with *merged* (over the partial rows, at the gateway). Without pushdown the partial form fetches the table
and the merged form is the whole query.
*Invariants*: all forms give the same rows. Hidden columns carry sort keys and never leave the merge.
*Left out*: joins, subqueries, GROUP BY, set operations.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlglot import exp

from nodes.errors import BadRequest, NotSupported
from nodes.requests import Column, Value
from nodes.sql.binding import (
    Arguments,
    Bound,
    Merge,
    OneShard,
    Pool,
    Route,
    boolean_positions,
    last_parameter,
    route,
    without_quoted,
)
from nodes.sql.expressions import Parameters, Scope, Typed, integer_literal, mismatch, only, translate
from nodes.sql.parse import Parsed
from nodes.sql.schema import BIGINT, TEXT, Fragment, Lock, TableDef
from nodes.sql.semantics import INT_MAX, INT_MIN
from nodes.sql.targets import columns_of, outputs, settle, user_columns, where
from nodes.sql.types import INTEGERS, UNKNOWN
from nodes.sql.writes import arguments

GATHERED = "gathered"
_MAX = (1 << 63) - 1


class Form(NamedTuple):
    """A query's text around its table."""

    head: str
    tail: str

    def over(self, source: str) -> str:
        return f"{self.head} FROM {source}{self.tail}" if source else self.head + self.tail


class Bounds(NamedTuple):
    """LIMIT and OFFSET as pool positions, -1: none."""

    limit: int
    offset: int

    def values(self, pool: list[Value]) -> tuple[int, int]:
        """(limit or -1, offset); 2201W and 2201X for negative ones."""
        limit = pool[self.limit] if self.limit >= 0 else None
        offset = pool[self.offset] if self.offset >= 0 else None
        if offset is not None and offset < 0:
            raise BadRequest("OFFSET must not be negative", sqlstate="2201X")
        if limit is not None and limit < 0:
            raise BadRequest("LIMIT must not be negative", sqlstate="2201W")
        return -1 if limit is None else limit, offset or 0


class SelectPlan:
    """`bounds` None: the texts have no LIMIT. Else two parameters stand behind the statement's own."""

    kind = "select"
    reads_only = True

    def __init__(self, table: TableDef | None, columns: tuple[Column, ...], arguments: Arguments, route: Route) -> None:
        self.table = table
        self.columns = columns
        self.arguments = arguments
        self.route = route
        self.constants: list[Value] = []
        self.bounds: Bounds | None = None
        self.whole = self.partial = ("", "")  # (current, snapshot)
        self.whole_values = self.partial_values = self.merged_values = 0
        self.merged = ""
        self.names: tuple[str, ...] = ()
        self.tables = [] if table is None else [(table.id, table.version)]
        self.booleans = boolean_positions(columns)
        self.simple_merge = Merge(self.booleans)

    def bind(
        self, statement_number: int, params: list[Value] | dict[str, Value], shards: int, expect_rows: int = -1
    ) -> Bound:
        values = self.arguments.values(params)
        pool = values + self.constants if self.constants else values
        targets = self.route.targets(pool, shards)
        limit, offset = (0, 0) if self.bounds is None else self.bounds.values(pool)
        merge, texts = self.simple_merge, self.whole
        shard_values = values if self.bounds is None else [*values, limit, offset]
        if len(targets) == 1:
            if len(shard_values) != self.whole_values:
                shard_values = shard_values[: self.whole_values]
        else:
            texts = self.partial
            if self.merged:
                merge = Merge(self.booleans, self.merged, self.names, shard_values[: self.merged_values])
            if self.bounds is not None:
                shard_values = [*values, limit if limit < 0 else min(limit + offset, _MAX), 0]
            shard_values = shard_values[: self.partial_values]
        point = self.route.point
        fragments = {
            shard: Fragment(statement_number, texts[0], shard_values, self.tables, locks, False, texts[1], point=point)
            for shard, locks in targets.items()
        }
        return Bound("select", fragments, merge, self.columns, expect_rows)


def snapshot_source(table: TableDef, ts_parameter: int) -> str:
    """The table as of the timestamp in parameter `?ts_parameter`."""
    columns, ts = user_columns(table), f"?{ts_parameter}"
    current = f"SELECT {columns} FROM {table.physical} WHERE _ts <= {ts}"
    history = f"SELECT {columns} FROM {table.physical}__history WHERE _ts <= {ts} AND _end > {ts}"
    return f"({current} UNION ALL {history})"


class _Query:
    """One SELECT while it is planned."""

    def __init__(self, parsed: Parsed, node: exp.Select, table: TableDef | None, name: str) -> None:
        only(node, "expressions", "from_", "where", "order", "limit", "offset", "distinct", "kind")
        if not node.expressions:
            raise NotSupported("an empty result list")
        self.parsed, self.node, self.table = parsed, node, table
        self.parameters = Parameters(parsed.parameters)
        self.scope = Scope(parsed.text, table, name, self.parameters)
        self.distinct = node.args.get("distinct")
        if self.distinct is not None:
            only(self.distinct)
        self._type()

    def _type(self) -> None:
        """In PostgreSQL's order: result list, WHERE, ORDER BY, OFFSET, LIMIT."""
        scope = self.scope
        scope.aggregates = []
        found = outputs(scope, self.node.expressions, "SELECT")
        aggregates, scope.aggregates = scope.aggregates, None
        loose, scope.loose_column = scope.loose_column, ""
        self.condition, self.equalities = where(scope, self.node.args.get("where"))
        scope.loose_column, scope.aggregates = loose, aggregates
        self.found = found
        order = [self._order_item(item) for item in self._ordered()]
        self.order = [item for item in order if item[0] >= 0 or not item[1].is_source]
        self.aggregates = scope.aggregates
        self.aggregated = bool(scope.aggregates)
        scope.aggregates = None
        self.pool = Pool(self.parsed.parameters)
        offset = self._bound("offset")
        limit = self._bound("limit")
        self.bounds = Bounds(limit, offset) if limit >= 0 or offset >= 0 else None
        self.outputs = settle(scope, found)
        if self.aggregated and scope.loose_column:
            words = "must appear in the GROUP BY clause or be used in an aggregate function"
            raise mismatch("42803", f'column "{scope.loose_column}" {words}')

    def _ordered(self) -> list[exp.Ordered]:
        order = self.node.args.get("order")
        if order is None:
            return []
        only(order, "expressions")
        return list(order.expressions)

    def _order_item(self, node: exp.Ordered) -> tuple[int, Typed, str]:
        """(position in the result list or -1, expression, direction)."""
        only(node, "this", "desc", "nulls_first")
        direction = " DESC" if node.args.get("desc") else ""
        direction += " NULLS FIRST" if node.args.get("nulls_first") else " NULLS LAST"
        position = self._order_position(node.this)
        if position >= 0:
            item = self.found[position].item
            if item.type == UNKNOWN:
                item = self.scope.coerce(item, TEXT)
                self.found[position] = self.found[position]._replace(item=item)
            return position, item, direction
        self.scope.clause = "ORDER BY"
        item = translate(self.scope, node.this)
        item = self.scope.coerce(item, TEXT) if item.type == UNKNOWN else item
        same = [i for i, output in enumerate(self.found) if output.item.sql == item.sql]
        if same:
            return same[0], item, direction
        if self.distinct is not None:
            raise mismatch("42P10", "for SELECT DISTINCT, ORDER BY expressions must appear in select list")
        return -1, item, direction

    def _order_position(self, node: exp.Expr) -> int:
        """The result column that an ORDER BY item names by number or name, -1: it is an expression."""
        number = integer_literal(node)
        if number is not None:
            if not INT_MIN <= number <= INT_MAX:
                raise mismatch("42601", "non-integer constant in ORDER BY")
            if not 1 <= number <= len(self.found):
                raise mismatch("42P10", f"ORDER BY position {number} is not in select list")
            return number - 1
        while isinstance(node, exp.Paren):
            node = node.this
        if isinstance(node, exp.Literal | exp.Boolean | exp.Null):
            raise mismatch("42601", "non-integer constant in ORDER BY")
        if not isinstance(node, exp.Column) or node.args.get("table") is not None or isinstance(node.this, exp.Star):
            return -1
        name = self.scope.fold(node.this)
        same = [i for i, output in enumerate(self.found) if output.name == name]
        if len({self.found[i].item.sql for i in same}) > 1:
            raise mismatch("42702", f'ORDER BY "{name}" is ambiguous')
        return same[0] if same else -1

    def _bound(self, clause: str) -> int:
        """LIMIT or OFFSET: a BIGINT literal or parameter."""
        node = self.node.args.get(clause)
        if node is None:
            return -1
        if not isinstance(node, exp.Limit | exp.Offset):
            raise NotSupported("FETCH")
        only(node, "expression")
        if isinstance(node.expression, exp.Var) and str(node.expression.this).upper() == "ALL":
            return -1
        self.scope.clause = clause.upper()
        before = len(self.scope.used_columns)
        item = translate(self.scope, node.expression)
        if len(self.scope.used_columns) > before:
            raise mismatch("42P10", f"argument of {clause.upper()} must not contain variables")
        if item.type != UNKNOWN and item.type not in INTEGERS:
            raise mismatch("42804", f"argument of {clause.upper()} must be type bigint, not type {item.type.lower()}")
        item = self.scope.coerce(item, BIGINT)
        if not item.is_source:
            raise NotSupported(f"{clause.upper()} with an expression")
        return self.pool.position(item)

    # -- the three forms

    @property
    def limits(self) -> str:
        count = self.parsed.parameters
        return f" LIMIT ?{count + 1} OFFSET ?{count + 2}" if self.bounds is not None else ""

    @property
    def select(self) -> str:
        return "SELECT DISTINCT " if self.distinct is not None else "SELECT "

    def whole(self) -> Form:
        listed = one_group([output.item.sql for output in self.outputs], self.aggregates)
        order = ", ".join((str(i + 1) if i >= 0 else item.sql) + way for i, item, way in self.order)
        by = f" ORDER BY {order}" if order else ""
        return Form(self.select + listed, self.condition + by + self.limits)

    def partial(self) -> tuple[Form, str, int]:
        """(partial form, merged text or "" when rows are just joined, number of partial columns)."""
        if self.aggregated:
            return self._partial_aggregates()
        hidden = [item.sql for i, item, _ in self.order if i < 0]
        listed = ", ".join([output.item.sql for output in self.outputs] + hidden)
        places = iter(range(len(self.outputs), len(self.outputs) + len(hidden)))
        order = [(i if i >= 0 else next(places), way) for i, _, way in self.order]
        tail = " ORDER BY " + ", ".join(f"{i + 1}{way}" for i, way in order) if order and self.bounds else ""
        form = Form(self.select + listed, self.condition + tail + self.limits)
        if not order and not self.bounds and self.distinct is None:
            return form, "", len(self.outputs)
        merged = self.select + ", ".join(f"c{i}" for i in range(len(self.outputs))) + f" FROM {GATHERED}"
        merged += " ORDER BY " + ", ".join(f"c{i}{way}" for i, way in order) if order else ""
        return form, merged + self.limits, len(self.outputs) + len(hidden)

    def _partial_aggregates(self) -> tuple[Form, str, int]:
        """Each shard gives partial aggregates; one row comes out, so its order says nothing."""
        scope = Scope(self.parsed.text, self.table, self.scope.name, self.parameters)
        scope.aggregates, scope.merged = [], True
        found = settle(scope, outputs(scope, self.node.expressions, "SELECT"))
        form = Form("SELECT " + ", ".join(scope.partials), self.condition)
        listed = one_group([output.item.sql for output in found], scope.aggregates)
        return form, f"SELECT {listed} FROM {GATHERED}" + self.limits, len(scope.partials)


def one_group(items: list[str], aggregates: list[Typed]) -> str:
    """A result list, which gives one row even if folding left none of the query's aggregates in it."""
    listed = ", ".join(items)
    text = without_quoted(listed)
    if aggregates and not any(without_quoted(item.sql) in text for item in aggregates):
        return ", ".join([f"CASE WHEN count(*) >= 0 THEN {items[0]} END", *items[1:]])
    return listed


def plan_select(
    parsed: Parsed, node: exp.Select, table: TableDef | None, name: str, system: bool, pushdown: bool
) -> SelectPlan:
    """`system`: the table lies on `s0` alone. `pushdown` False fetches whole tables and works at the gateway."""
    query = _Query(parsed, node, table, name)
    columns = columns_of(query.outputs)
    plan = SelectPlan(table, columns, arguments(parsed, query.parameters), _route(query, system))
    plan.constants, plan.bounds = query.pool.constants, query.bounds
    whole = query.whole()
    plan.whole_values = last_parameter(whole.over(""))
    plan.whole = _texts(whole, table, plan.whole_values)
    if table is None or isinstance(plan.route, OneShard):
        return plan
    form, plan.merged, width = query.partial()
    plan.names = tuple(f"c{i}" for i in range(width))
    if not pushdown or query.scope.has_distinct_aggregate:
        form = Form("SELECT " + user_columns(table), "")
        plan.merged = whole.over(GATHERED)
        plan.names = tuple(column.name for column in table.columns)
    plan.partial_values, plan.merged_values = last_parameter(form.over("")), last_parameter(plan.merged)
    plan.partial = _texts(form, table, plan.partial_values)
    return plan


def _texts(form: Form, table: TableDef | None, parameters: int) -> tuple[str, str]:
    """The text over the current rows, and as of the timestamp that follows its parameters."""
    if table is None:
        return form.over(""), form.over("")
    return form.over(table.physical), form.over(snapshot_source(table, parameters + 1))


def _route(query: _Query, system: bool) -> Route:
    if query.table is None:
        return OneShard(1, [])
    if system:
        return OneShard(0, [Lock(query.table.id, b"", "S")])
    return route(query.table, query.equalities, query.pool, "S", "S")
