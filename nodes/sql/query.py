"""One SELECT while it is planned: what its clauses mean, typed in the order in which PostgreSQL looks at them.

*Invariants*: what is grouped is typed twice, first as it stands and then over the groups (`grouped`); only the second
time is it known which columns stand outside of groups and aggregates (42803).
*Left out*: joins, subqueries, grouping sets, set operations, windows.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlglot import exp

from nodes.errors import BadRequest, NotSupported
from nodes.requests import Value
from nodes.sql.binding import Pool
from nodes.sql.expressions import GroupKey, Parameters, Scope, integer_literal, only, translate
from nodes.sql.locking import Locking
from nodes.sql.parse import Parsed
from nodes.sql.schema import BIGINT, SKIP_LOCKED, TEXT, TableDef
from nodes.sql.semantics import INT_MAX, INT_MIN
from nodes.sql.targets import Output, outputs, settle, where
from nodes.sql.typed import Typed, mismatch
from nodes.sql.types import INTEGERS, NUMBERS, UNKNOWN


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


class Sort(NamedTuple):
    """An ORDER BY item: its place in the result list or -1, the expression, `DESC NULLS FIRST` …, the tree."""

    place: int
    item: Typed
    way: str
    node: exp.Expr


class Grouped(NamedTuple):
    """What a grouped query asks of partial groups: `outputs`, `having` and `order` over the columns k0.. (keys), d0..
    (what DISTINCT aggregates look at) and c0.. (`partials`). `order` holds a Typed or a place in the result list."""

    outputs: list[Typed]
    having: str
    order: list[tuple[int, Typed, str]]
    distinct: list[str]
    partials: list[str]
    aggregates: list[Typed]


class Query:
    """`keys` are the expressions of GROUP BY whose values differ between rows; `condition` and `having` are texts with
    their word in front, "" for none."""

    def __init__(self, parsed: Parsed, node: exp.Select, table: TableDef | None, name: str) -> None:
        known = ("expressions", "from_", "where", "group", "having", "order", "limit", "offset", "distinct", "kind")
        only(node, *known)
        if not node.expressions:
            raise NotSupported("an empty result list")
        self.parsed, self.node, self.table = parsed, node, table
        self.parameters = Parameters(parsed.parameters)
        self.scope = Scope(parsed.text, table, name, self.parameters)
        self.is_distinct = node.args.get("distinct") is not None
        if self.is_distinct:
            only(node.args["distinct"])
        self.is_grouped = node.args.get("group") is not None
        self._type()

    def _type(self) -> None:
        """In PostgreSQL's order: result list, WHERE, HAVING, ORDER BY, GROUP BY, OFFSET, LIMIT."""
        scope = self.scope
        scope.aggregates = []
        self.found = outputs(scope, self.node.expressions, "SELECT")
        aggregates, scope.aggregates = scope.aggregates, None
        self.condition, self.equalities = where(scope, self.node.args.get("where"))
        scope.aggregates = aggregates
        self.having = self._having(scope)
        order = [self._sort(node) for node in self._ordered()]
        self.order = [sort for sort in order if sort.place >= 0 or not sort.item.is_source]
        self.aggregates, scope.aggregates = scope.aggregates, None
        self.all_keys = self._group_keys()
        self.keys = [item for _, item in self.all_keys if not item.is_source]
        self.pool = Pool(self.parameters.total)
        offset = self._bound("offset")
        limit = self._bound("limit")
        self.bounds = Bounds(limit, offset) if limit >= 0 or offset >= 0 else None
        self.outputs = settle(scope, self.found)
        self.aggregated = self.is_grouped or bool(self.having or self.aggregates)
        self.locking = self._locking(scope)

    def _locking(self, scope: Scope) -> Locking | None:
        """FOR UPDATE or FOR SHARE, of rows that can be told apart; 0A000, and 42P01 for a table that is not here."""
        found = self.parsed.locking
        if found is None:
            return None
        barred = {
            "DISTINCT clause": self.is_distinct,
            "GROUP BY clause": self.is_grouped,
            "HAVING clause": bool(self.having),
            "aggregate functions": self.aggregated,
        }
        for what, is_there in barred.items():
            if is_there:
                raise NotSupported(f"{found.words} is not allowed with {what}")
        for name in found.of:
            if self.table is None or name != scope.name:
                raise mismatch("42P01", f'relation "{name}" in {found.words} clause not found in FROM clause')
        if found.wait == SKIP_LOCKED and self.bounds is not None and self.bounds.offset >= 0:
            raise NotSupported("OFFSET with SKIP LOCKED")
        return found

    def _having(self, scope: Scope) -> str:
        node = self.node.args.get("having")
        if node is None:
            return ""
        only(node, "this")
        scope.clause = "HAVING"
        return f" HAVING {scope.boolean(translate(scope, node.this), 'HAVING').sql}"

    # -- ORDER BY and GROUP BY

    def _ordered(self) -> list[exp.Ordered]:
        order = self.node.args.get("order")
        if order is None:
            return []
        only(order, "expressions")
        return list(order.expressions)

    def _sort(self, node: exp.Ordered) -> Sort:
        only(node, "this", "desc", "nulls_first")
        way = " DESC" if node.args.get("desc") else ""
        way += " NULLS FIRST" if node.args.get("nulls_first") else " NULLS LAST"
        place = self._numbered(node.this, "ORDER BY")
        place = self._named(node.this, "ORDER BY") if place < 0 else place
        if place >= 0:
            return Sort(place, self._settled(place), way, node.this)
        self.scope.clause = "ORDER BY"
        item = translate(self.scope, node.this)
        item = self.scope.coerce(item, TEXT) if item.type == UNKNOWN else item
        same = [i for i, o in enumerate(self.found) if (o.item.type, o.item.sql) == (item.type, item.sql)]
        if not same and self.is_distinct:
            raise mismatch("42P10", "for SELECT DISTINCT, ORDER BY expressions must appear in select list")
        return Sort(same[0] if same else -1, item, way, node.this)

    def _group_keys(self) -> list[tuple[exp.Expr, Typed]]:
        group = self.node.args.get("group")
        if group is None:
            return []
        only(group, "expressions")
        return [self._group_key(node) for node in group.expressions]

    def _group_key(self, node: exp.Expr) -> tuple[exp.Expr, Typed]:
        """A name is first a column of the table, then one of the result."""
        self.scope.clause = "GROUP BY"
        place = self._numbered(node, "GROUP BY")
        bare = _bare(node)
        if place < 0 and bare is not None and self.scope.fold(bare) not in self.scope.columns:
            place = self._named(node, "GROUP BY")
        if place < 0:
            item = translate(self.scope, node)
            while isinstance(node, exp.Cast | exp.Paren) and translate(self.scope, node.this).type == item.type:
                node = node.this  # a cast to its own type is none
            return node, self.scope.coerce(item, TEXT) if item.type == UNKNOWN else item
        output = self.found[place]
        if output.aggregated:
            raise mismatch("42803", "aggregate functions are not allowed in GROUP BY")
        item = self._settled(place)
        return (node if output.node is None else output.node), item

    def _settled(self, place: int) -> Typed:
        """A result column that another clause names: its type is then known."""
        item = self.found[place].item
        if item.type == UNKNOWN:
            item = self.scope.coerce(item, TEXT)
            self.found[place] = self.found[place]._replace(item=item)
        return item

    def _numbered(self, node: exp.Expr, clause: str) -> int:
        """The result column that an item names by number, -1: it is none; 42P10, and 42601 for other constants."""
        number = integer_literal(node)
        if number is not None:
            if not INT_MIN <= number <= INT_MAX:
                raise mismatch("42601", f"non-integer constant in {clause}")
            if not 1 <= number <= len(self.found):
                raise mismatch("42P10", f"{clause} position {number} is not in select list")
            return number - 1
        while isinstance(node, exp.Paren) or (isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal)):
            node = node.this
        if isinstance(node, exp.Literal | exp.Boolean | exp.Null):
            raise mismatch("42601", f"non-integer constant in {clause}")
        return -1

    def _named(self, node: exp.Expr, clause: str) -> int:
        """The result column that an item names, -1: it names none; 42702 for several that differ."""
        bare = _bare(node)
        if bare is None:
            return -1
        name = self.scope.fold(bare)
        same = [i for i, output in enumerate(self.found) if output.name == name]
        if len({self.found[i].item.sql for i in same}) > 1:
            raise mismatch("42702", f'{clause} "{name}" is ambiguous')
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
            if item.type in NUMBERS:
                raise NotSupported(f"{clause.upper()} of type {item.type}")
            raise mismatch("42804", f"argument of {clause.upper()} must be type bigint, not type {item.type.lower()}")
        item = self.scope.coerce(item, BIGINT)
        if not item.is_source:
            raise NotSupported(f"{clause.upper()} with an expression")
        return self.pool.position(item)

    # -- over partial groups

    def grouped(self) -> Grouped:
        """The same query over partial groups; 42803 for a column outside of groups and aggregates."""
        scope = Scope(self.parsed.text, self.table, self.scope.name, self.parameters)
        scope.aggregates, scope.merged = [], True
        scope.keys = self._carried()
        found: list[Output] = settle(scope, outputs(scope, self.node.expressions, "SELECT"))
        having = self._having(scope)
        order = [(s.place, s.item if s.place >= 0 else translate(scope, s.node), s.way) for s in self.order]
        if scope.loose_column and not self._names_rows():
            words = "must appear in the GROUP BY clause or be used in an aggregate function"
            raise mismatch("42803", f'column "{scope.loose_column}" {words}')
        items = [output.item for output in found]
        return Grouped(items, having, order, scope.distinct, scope.partials, scope.aggregates)

    def _carried(self) -> list[GroupKey]:
        """The keys with columns in them, and what carries them."""
        found: list[GroupKey] = []
        columns = (f"k{i}" for i in range(len(self.keys)))
        for node, item in self.all_keys:
            carried = item if item.is_source else Typed(item.type, next(columns))
            carried.low, carried.high = item.low, item.high
            if node.find(exp.Column) is not None:
                found.append(GroupKey(self.scope.form(node), carried))
        return found

    def _names_rows(self) -> bool:
        """Is the primary key grouped by? Then every column has one value in a group."""
        columns = {key.column for key in self.keys}
        return self.table is not None and columns.issuperset(self.table.primary_key)

    @property
    def groups_are_local(self) -> bool:
        """Is the shard key grouped by? Then no group is on two shards."""
        columns = {key.column for key in self.keys}
        return self.table is not None and columns.issuperset(self.table.shard_by)


def _bare(node: exp.Expr) -> exp.Expr | None:
    """The name of an item that is one, without a table's in front."""
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Column) and node.args.get("table") is None and not isinstance(node.this, exp.Star):
        return node.this  # type: ignore[no-any-return]
    return None
