"""Aggregates; importing this module makes them known to `nodes.sql.expressions`.

An aggregate has three texts: *whole* (over the rows of one database), *partial* (what each shard gives for a group) and
*merged* (over the partial rows of all shards). `Scope.merged` says which of whole and merged is written. What DISTINCT
stands before is a key of the partial groups, and is told apart again when they are merged.
*Invariant*: merged over partial is whole, to the last digit, whatever the order of rows and shards.
*Left out*: FILTER, ORDER BY within, SUM(DISTINCT) of BIGINT, aggregates of NUMERIC.
"""

from __future__ import annotations

from sqlglot import exp

from nodes.errors import NotSupported
from nodes.sql import types
from nodes.sql.calls import known
from nodes.sql.expressions import Scope, only, translate, translates
from nodes.sql.schema import BIGINT, DOUBLE, INT, TEXT, TIMESTAMPTZ
from nodes.sql.typed import Typed, mismatch
from nodes.sql.types import INTEGERS, NUMERIC, UNKNOWN


@translates(exp.Count, exp.Sum, exp.Min, exp.Max, exp.Avg)
def _aggregate(scope: Scope, node: exp.Count | exp.Sum | exp.Min | exp.Max | exp.Avg) -> Typed:
    only(node, "this", "big_int")
    name = known(scope, node)
    if scope.aggregates is None:
        raise mismatch("42803", f"aggregate functions are not allowed in {scope.clause}")
    if scope.in_aggregate:
        raise mismatch("42803", "aggregate function calls cannot be nested")
    scope.in_aggregate = True
    result = _call(scope, name, node.this)
    scope.in_aggregate = False
    scope.aggregates.append(result)
    return result


def _call(scope: Scope, name: str, node: exp.Expr) -> Typed:
    if isinstance(node, exp.Star):
        only(node)
        if name != "count":
            raise mismatch("42883", f"function {name}() does not exist")
        return _merging(scope, BIGINT, "count(*)", "coalesce(sum({}), 0)", "count(*)")
    distinct = isinstance(node, exp.Distinct)
    if isinstance(node, exp.Distinct):
        only(node, "expressions")
        if len(node.expressions) != 1:
            raise NotSupported(f"{name} of several values")
        node = node.expressions[0]
        if isinstance(node, exp.Star):
            raise mismatch("42601", f"{name}(DISTINCT *)")
    item = translate(scope, node)
    if item.type == UNKNOWN:
        raise NotSupported(f"{name} of a literal or parameter of unknown type")
    if item.type == NUMERIC and name != "count":
        raise NotSupported(f"{name} of NUMERIC")
    if distinct and name not in ("min", "max"):
        return _of_distinct(scope, name, item)
    if name == "count":
        return _merging(scope, BIGINT, f"count({item.sql})", "coalesce(sum({}), 0)", f"count({item.sql})")
    if name in ("sum", "avg"):
        return _sum(scope, item) if name == "sum" else _average(scope, item)
    if item.type not in (*INTEGERS, TEXT, DOUBLE, TIMESTAMPTZ):
        raise mismatch("42883", f"function {name}({types.WORDS[item.type]}) does not exist")
    return _merging(scope, item.type, f"{name}({item.sql})", f"{name}({{}})", f"{name}({item.sql})")


def _sum(scope: Scope, item: Typed) -> Typed:
    """SUM of INT is BIGINT; of BIGINT an exact NUMERIC, from the sums of the upper and the lower 32 bits."""
    x = item.sql
    if item.type == INT:
        return _merging(scope, BIGINT, f"sum({x})", "sum({})", f"sum({x})")
    if item.type == BIGINT:
        return _merging(scope, NUMERIC, f"pg_exact_sum({', '.join(_halves(x))})", _EXACT_SUM, *_halves(x))
    if item.type == DOUBLE:
        return _merging(scope, DOUBLE, f"pg_double_sum({x})", "pg_double_total({})", f"pg_double_parts({x})")
    raise mismatch("42883", f"function sum({types.WORDS[item.type]}) does not exist")


def _average(scope: Scope, item: Typed) -> Typed:
    """The sum by the count: of integers an exact NUMERIC."""
    x = item.sql
    count = f"count({x})"
    if item.type == INT:
        whole = f"pg_average(sum({x}), {count})"
        return _merging(scope, NUMERIC, whole, "pg_average(sum({}), sum({}))", f"sum({x})", count)
    if item.type == BIGINT:
        whole = f"pg_average(pg_exact_sum({', '.join(_halves(x))}), {count})"
        return _merging(scope, NUMERIC, whole, f"pg_average({_EXACT_SUM}, sum({{}}))", *_halves(x), count)
    if item.type == DOUBLE:
        whole = f"pg_double_divide(pg_double_sum_to_average({x}), {count})"
        merged = "pg_double_divide(pg_double_total_to_average({}), sum({}))"
        return _merging(scope, DOUBLE, whole, merged, f"pg_double_parts({x})", count)
    raise mismatch("42883", f"function avg({types.WORDS[item.type]}) does not exist")


_EXACT_SUM = "pg_exact_sum(sum({}), sum({}))"


def _halves(x: str) -> tuple[str, str]:
    return f"sum(({x}) >> 32)", f"sum(({x}) & 4294967295)"


def _of_distinct(scope: Scope, name: str, item: Typed) -> Typed:
    """The same text over all rows and over the partial groups, of which the value is a key."""
    if name != "count" and item.type == BIGINT:
        raise NotSupported(f"{name.upper()}(DISTINCT) of BIGINT")
    value = item.sql
    if scope.merged:
        if value not in scope.distinct:
            scope.distinct.append(value)
        value = f"d{scope.distinct.index(value)}"
    if name == "count":
        collation = " COLLATE pg_numeric" if item.type == NUMERIC else ""
        return Typed(BIGINT, f"count(DISTINCT {value}{collation})")
    if item.type == INT and name == "sum":
        return Typed(BIGINT, f"sum(DISTINCT {value})")
    if item.type == INT:
        return Typed(NUMERIC, f"pg_average(sum(DISTINCT {value}), count(DISTINCT {value}))")
    if item.type != DOUBLE:
        raise mismatch("42883", f"function {name}({types.WORDS[item.type]}) does not exist")
    if name == "sum":
        return Typed(DOUBLE, f"pg_double_sum(DISTINCT {value})")
    total = f"pg_double_sum_to_average(DISTINCT {value})"
    return Typed(DOUBLE, f"pg_double_divide({total}, count(DISTINCT {value}))")


def _merging(scope: Scope, to: str, whole: str, merged: str, *partials: str) -> Typed:
    """`merged` names the partial columns by {}."""
    if not scope.merged:
        return Typed(to, whole)
    names = [f"c{len(scope.partials) + i}" for i in range(len(partials))]
    scope.partials += partials
    return Typed(to, merged.format(*names))
