"""Plans of SELECT over one table, on one shard or all.

A query has three forms: *whole* (over all the rows it concerns, in one database), and for several shards *partial* (on
each shard) with *merged* (over the partial rows, at the gateway). Groups that lie on one shard each are worked out
there; others come as partial groups and are grouped again. Without pushdown the partial form fetches the table and the
merged form is the whole query.
*Invariants*: all forms give the same rows. Hidden columns carry sort keys and never leave the merge.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlglot import exp

from nodes.requests import Column, Params, Value
from nodes.sql.binding import (
    Arguments,
    Bound,
    Merge,
    OneShard,
    Route,
    Targets,
    given,
    last_parameter,
    route,
    without_quoted,
)
from nodes.sql.locking import Locking
from nodes.sql.parse import Parsed
from nodes.sql.query import Bounds, Query
from nodes.sql.schema import SKIP_LOCKED, Fragment, Lock, RowLocks, TableDef
from nodes.sql.targets import columns_of, user_columns
from nodes.sql.typed import Typed, comparable, quote
from nodes.sql.writes import arguments

GATHERED = "gathered"
_MAX = (1 << 63) - 1


class Form(NamedTuple):
    """A query's text around its table."""

    head: str
    tail: str

    def over(self, source: str) -> str:
        return f"{self.head} FROM {source}{self.tail}" if source else self.head + self.tail


class SelectPlan:
    """`bounds` None: the texts have no LIMIT. Else two parameters stand behind the statement's own."""

    kind = "select"

    def __init__(self, table: TableDef | None, columns: tuple[Column, ...], arguments: Arguments, route: Route) -> None:
        self.reads_only = True
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
        self.give = given(columns)
        self.simple_merge = Merge(self.give)
        self.locking: Locking | None = None
        self.keys = 0  # values of its key at the end of each row that is to be locked

    def bind(self, statement_number: int, params: Params, shards: int, expect_rows: int = -1, now: int = 0) -> Bound:
        values = self.arguments.values(params, now)
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
                merge = Merge(self.give, self.merged, self.names, shard_values[: self.merged_values])
            if self.bounds is not None:
                shard_values = [*values, limit if limit < 0 else min(limit + offset, _MAX), 0]
            shard_values = shard_values[: self.partial_values]
        point = self.route.point
        if self.locking is not None:
            fragments = self._locking_fragments(statement_number, texts[0], shard_values, targets, self.locking)
            return Bound("select", fragments, merge, self.columns, expect_rows)
        fragments = {
            shard: Fragment(statement_number, texts[0], shard_values, self.tables, locks, False, texts[1], point=point)
            for shard, locks in targets.items()
        }
        return Bound("select", fragments, merge, self.columns, expect_rows)

    def _locking_fragments(
        self, statement_number: int, text: str, values: list[Value], targets: Targets, locking: Locking
    ) -> dict[int, Fragment]:
        """None can be read as of a time. With SKIP LOCKED the shard looks for itself which rows are free."""
        is_skipping = locking.wait == SKIP_LOCKED
        limit = values[-2] if is_skipping and self.bounds is not None else -1
        rows = RowLocks(locking.mode, locking.wait, self.keys, limit)
        if is_skipping:
            targets = {shard: [lock for lock in locks if not lock.key] for shard, locks in targets.items()}
        return {
            shard: Fragment(
                statement_number, text, values, self.tables, locks, False, point=self.route.point, rows=rows
            )
            for shard, locks in targets.items()
        }


def snapshot_source(table: TableDef, ts_parameter: int) -> str:
    """The table as of the timestamp in parameter `?ts_parameter`."""
    columns, ts = user_columns(table), f"?{ts_parameter}"
    current = f"SELECT {columns} FROM {table.physical} WHERE _ts <= {ts}"
    history = f"SELECT {columns} FROM {table.physical}__history WHERE _ts <= {ts} AND _end > {ts}"
    return f"({current} UNION ALL {history})"


class _Forms:
    """The texts of a query."""

    def __init__(self, query: Query) -> None:
        self.query = query
        count = query.parameters.total
        self.limits = f" LIMIT ?{count + 1} OFFSET ?{count + 2}" if query.bounds is not None else ""
        self.select = "SELECT DISTINCT " if query.is_distinct else "SELECT "
        self.grouped = query.grouped() if query.aggregated else None
        self.keys = ""  # of the rows, behind everything else that a shard gives

    def _texts(self, items: list[Typed]) -> list[str]:
        """DISTINCT compares what is listed."""
        return [comparable(item) if self.query.is_distinct else item.sql for item in items]

    def _listed(self, items: list[Typed], aggregates: list[Typed]) -> str:
        texts = self._texts(items)
        if self.query.aggregated and not self.query.is_grouped:
            texts = _one_group(texts, aggregates)
        return ", ".join(texts)

    def _group(self, keys: list[str]) -> str:
        return f" GROUP BY {', '.join(keys) or 'NULL'}" if self.query.is_grouped else ""

    def _over_rows(self) -> str:
        """WHERE, GROUP BY and HAVING as they stand."""
        query = self.query
        return query.condition + self._group([key.sql for key in query.keys]) + query.having

    def whole(self) -> Form:
        query = self.query
        listed = self._listed([output.item for output in query.outputs], query.aggregates)
        by = _by([(sort.place, sort.item, sort.way) for sort in query.order])
        return Form(self.select + listed + self.keys, self._over_rows() + by + self.limits)

    def partial(self) -> tuple[Form, str, list[str]]:
        """(partial form, merged text or "" when rows are just joined, names of the partial columns)."""
        if self.grouped is not None and not self.query.groups_are_local:
            return self._partial_groups()
        query = self.query
        hidden = [sort.item for sort in query.order if sort.place < 0]
        items = [output.item for output in query.outputs] + hidden
        names = [f"c{i}" for i in range(len(items))]
        places = iter(range(len(query.outputs), len(items)))
        order = [(sort.place if sort.place >= 0 else next(places), sort.item, sort.way) for sort in query.order]
        tail = (_by(order) if query.bounds else "") + self.limits
        form = Form(self.select + ", ".join(self._texts(items)) + self.keys, self._over_rows() + tail)
        if not order and not query.bounds and not query.is_distinct:
            return form, "", names
        gathered = [Typed(item.type, name) for name, item in zip(names, items, strict=True)]
        listed = ", ".join(self._texts(gathered[: len(query.outputs)]))
        by = _by([(-1, gathered[place], way) for place, _, way in order])
        return form, f"{self.select}{listed} FROM {GATHERED}{by}{self.limits}", names

    def _partial_groups(self) -> tuple[Form, str, list[str]]:
        query, grouped = self.query, self.grouped
        assert grouped is not None, "a query with groups"
        keys = [key.sql for key in query.keys]
        partials = grouped.partials or ["count(*)"]
        names = [f"{kind}{i}" for kind, some in zip("kdc", (keys, grouped.distinct, partials), strict=True)
                 for i in range(len(some))]  # fmt: skip
        numbers = ", ".join(str(i + 1) for i in range(len(keys) + len(grouped.distinct)))
        group = f" GROUP BY {numbers}" if numbers else self._group([])
        form = Form("SELECT " + ", ".join([*keys, *grouped.distinct, *partials]), query.condition + group)
        listed = self._listed(grouped.outputs, grouped.aggregates)
        tail = self._group(names[: len(keys)]) + grouped.having + _by(grouped.order) + self.limits
        return form, f"{self.select}{listed} FROM {GATHERED}{tail}", names


def _by(order: list[tuple[int, Typed, str]]) -> str:
    """ORDER BY result columns by number, others by their texts."""
    items = [(comparable(item if place < 0 else Typed(item.type, str(place + 1))), way) for place, item, way in order]
    return " ORDER BY " + ", ".join(text + way for text, way in items) if items else ""


def _one_group(texts: list[str], aggregates: list[Typed]) -> list[str]:
    """A result list, which gives one row even if folding left none of the query's aggregates in it."""
    listed = without_quoted(", ".join(texts))
    if any(without_quoted(item.sql) in listed for item in aggregates):
        return texts
    return [f"CASE WHEN count(*) >= 0 THEN {texts[0]} END", *texts[1:]]


def plan_select(
    parsed: Parsed, node: exp.Select, table: TableDef | None, name: str, system: bool, pushdown: bool
) -> SelectPlan:
    """`system`: the table lies on `s0` alone. `pushdown` False fetches whole tables and works at the gateway."""
    query = Query(parsed, node, table, name)
    forms = _Forms(query)
    way = _route(query, system)
    plan = SelectPlan(table, columns_of(query.outputs), arguments(parsed, query.parameters), way)
    plan.constants, plan.bounds = query.pool.constants, query.bounds
    if query.locking is not None and table is not None:
        plan.locking, plan.reads_only = query.locking, False
        # A full key is locked by the plan; what else an UPDATE might write is locked when it is found.
        if query.locking.wait == SKIP_LOCKED or (query.locking.mode == "X" and not way.point):
            plan.keys = len(table.primary_key)
            forms.keys = "".join(f", {quote(table.columns[i].name)}" for i in table.primary_key)
        pushdown = True
    whole = forms.whole()
    plan.whole_values = last_parameter(whole.over(""))
    plan.whole = _texts(whole, table, plan.whole_values)
    if table is None or isinstance(plan.route, OneShard):
        return plan
    form, plan.merged, names = forms.partial()
    if not pushdown:
        form, plan.merged = Form("SELECT " + user_columns(table), ""), whole.over(GATHERED)
        names = [column.name for column in table.columns]
    plan.names = tuple(names)
    plan.partial_values, plan.merged_values = last_parameter(form.over("")), last_parameter(plan.merged)
    plan.partial = _texts(form, table, plan.partial_values)
    return plan


def _texts(form: Form, table: TableDef | None, parameters: int) -> tuple[str, str]:
    """The text over the current rows, and as of the timestamp that follows its parameters."""
    if table is None:
        return form.over(""), form.over("")
    return form.over(table.physical), form.over(snapshot_source(table, parameters + 1))


def _route(query: Query, system: bool) -> Route:
    if query.table is None:
        return OneShard(1, [])
    if system:
        return OneShard(0, [Lock(query.table.id, b"", "S")])
    locking = query.locking
    writes = locking is not None and locking.mode == "X"
    skips = locking is not None and locking.wait == SKIP_LOCKED
    return route(query.table, query.equalities, query.pool, writes, skips=skips)
