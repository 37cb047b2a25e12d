"""Functions, CASE and aggregates in expressions; importing this module makes them known to `nodes.sql.expressions`.

Aggregates have three texts: whole (over the rows of one database), partial (what each shard gives) and merged (over the
partial rows of all shards). `Scope.merged` says which of whole and merged is written.
"""

from __future__ import annotations

from sqlglot import exp

from nodes.errors import NotSupported
from nodes.sql import types
from nodes.sql.expressions import ATOM, NOTHING, Scope, Typed, mismatch, only, translate, translates
from nodes.sql.operators import called, checked, same_type, texts
from nodes.sql.schema import BIGINT, BOOLEAN, INT, TEXT
from nodes.sql.types import INTEGERS, NUMERIC, UNKNOWN

FUNCTION_NAMES: dict[type[exp.Expr], set[str]] = {
    exp.Abs: {"abs"},
    exp.Length: {"length", "char_length", "character_length"},
    exp.Lower: {"lower"},
    exp.Upper: {"upper"},
    exp.Substring: {"substr", "substring"},
    exp.Coalesce: {"coalesce"},
    exp.Nullif: {"nullif"},
    exp.Count: {"count"},
    exp.Sum: {"sum"},
    exp.Min: {"min"},
    exp.Max: {"max"},
}


def function_name(text: str, node: exp.Expr) -> str:
    """The name as the client wrote it, lower case (sqlglot folds the names of several dialects into one node)."""
    start, end = node.meta.get("start"), node.meta.get("end")
    if start is None or end is None:
        return "substring" if isinstance(node, exp.Substring) else type(node).__name__.lower()
    return text[start : end + 1].lower()


def known(scope: Scope, node: exp.Expr) -> str:
    """The function's name; refuses names of other dialects."""
    name = function_name(scope.text, node)
    if name not in FUNCTION_NAMES[type(node)]:
        raise NotSupported(f"the function {name}")
    return name


@translates(exp.Anonymous)
def _unknown_function(scope: Scope, node: exp.Anonymous) -> Typed:
    raise NotSupported(f"the function {node.name.lower()}")


@translates(exp.Coalesce)
def _coalesce(scope: Scope, node: exp.Coalesce) -> Typed:
    only(node, "this", "expressions")
    known(scope, node)
    items = [translate(scope, node.this)]
    scope.lazy += 1
    items += [translate(scope, item) for item in node.expressions]
    scope.lazy -= 1
    to = scope.common_type(items, "COALESCE")
    items = [scope.coerce(item, to) for item in items]
    while len(items) > 1 and items[0].constant is None:
        items.pop(0)
    if len(items) == 1 or items[0].constant is not NOTHING:
        return items[0]
    return called("coalesce", to, ATOM, ", ".join(item.sql for item in items))


@translates(exp.Nullif)
def _nullif(scope: Scope, node: exp.Nullif) -> Typed:
    only(node, "this", "expression")
    known(scope, node)
    left, right = translate(scope, node.this), translate(scope, node.expression)
    left, right = same_type(scope, "=", left, right)
    if None in (left.constant, right.constant):
        return left
    result = called("nullif", left.type, ATOM, f"{left.sql}, {right.sql}")
    return scope.fold_constant(result, (left, right), strict=False)


@translates(exp.Case)
def _case(scope: Scope, node: exp.Case) -> Typed:
    only(node, "this", "ifs", "default")
    subject = node.args.get("this")
    if subject is not None and translate(scope, subject).type == UNKNOWN:
        raise NotSupported("CASE over a literal or parameter of unknown type")
    conditions, results = [], []
    scope.lazy += 1
    for branch in node.args["ifs"]:
        only(branch, "this", "true")
        condition = branch.this if subject is None else exp.EQ(this=_paren(subject), expression=_paren(branch.this))
        conditions.append(scope.boolean(translate(scope, condition), "CASE/WHEN"))
        results.append(translate(scope, branch.args["true"]))
    default = node.args.get("default") or exp.Null()
    results.append(translate(scope, default))
    scope.lazy -= 1
    to = scope.common_type([results[-1], *results[:-1]], "CASE")
    results = [scope.coerce(result, to) for result in results]
    return _branches(to, list(zip(conditions, results[:-1], strict=True)), results[-1])


def _branches(to: str, branches: list[tuple[Typed, Typed]], default: Typed) -> Typed:
    """Without the branches that a constant condition rules out or decides."""
    kept = []
    for condition, result in branches:
        if condition.constant is True:
            default = result
            break
        if condition.constant is NOTHING:
            kept.append(f"WHEN {condition.sql} THEN {result.sql}")
    return Typed(to, f"(CASE {' '.join(kept)} ELSE {default.sql} END)") if kept else default


def _paren(node: exp.Expr) -> exp.Expr:
    return exp.Paren(this=node.copy()) if isinstance(node, exp.Binary | exp.Unary | exp.Between | exp.In) else node


@translates(exp.Abs)
def _abs(scope: Scope, node: exp.Abs) -> Typed:
    only(node, "this")
    known(scope, node)
    item = translate(scope, node.this)
    if item.type == UNKNOWN:
        raise NotSupported("abs of a literal or parameter of unknown type")
    if item.type not in INTEGERS:
        texts(scope, [item], "abs")
        raise mismatch("42883", f"function abs({types.WORDS[item.type]}) does not exist")
    if item.type == INT:
        result = checked(INT, f"abs({item.sql})", ATOM, (0, max(abs(item.low), abs(item.high))))
    else:
        result = called("pg_absolute", BIGINT, ATOM, item.sql)
    return scope.fold_constant(result, (item,))


@translates(exp.Length)
def _length(scope: Scope, node: exp.Length) -> Typed:
    only(node, "this", "encoding")
    name = known(scope, node)
    (item,) = texts(scope, [translate(scope, node.this)], name)
    return scope.fold_constant(called("length", INT, ATOM, item.sql), (item,))


@translates(exp.Lower, exp.Upper)
def _change_case(scope: Scope, node: exp.Lower | exp.Upper) -> Typed:
    only(node, "this")
    name = known(scope, node)
    (item,) = texts(scope, [translate(scope, node.this)], name)
    return scope.fold_constant(called(name, TEXT, ATOM, item.sql), (item,))


@translates(exp.Substring)
def _substring(scope: Scope, node: exp.Substring) -> Typed:
    only(node, "this", "start", "length")
    name = known(scope, node)
    (text,) = texts(scope, [translate(scope, node.this)], name)
    places = [translate(scope, node.args[part]) for part in ("start", "length") if node.args.get(part) is not None]
    for place in places:
        if place.type in (BIGINT, BOOLEAN):
            raise mismatch("42883", f"function {name}(text, {types.WORDS[place.type]}) does not exist")
        if place.type != INT:
            raise NotSupported(f"{name} with places of other types than INT")
    if "start" not in node.args or node.args["start"] is None:
        raise NotSupported(f"{name} without a start")
    function = "pg_substring" if len(places) == 2 else "pg_substring_from"
    arguments = ", ".join(item.sql for item in (text, *places))
    return scope.fold_constant(called(function, TEXT, ATOM, arguments), (text, *places))


# -- aggregates


@translates(exp.Count, exp.Sum, exp.Min, exp.Max)
def _aggregate(scope: Scope, node: exp.Count | exp.Sum | exp.Min | exp.Max) -> Typed:
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
    distinct = ""
    if isinstance(node, exp.Distinct):
        only(node, "expressions")
        if len(node.expressions) != 1:
            raise NotSupported(f"{name} of several values")
        distinct, node = "DISTINCT ", node.expressions[0]
        scope.has_distinct_aggregate = True
    if isinstance(node, exp.Star):
        only(node)
        if name != "count" or distinct:
            raise mismatch("42883", f"function {name}() does not exist")
        return _texts(scope, BIGINT, "count(*)", ["count(*)"], "coalesce(sum({}), 0)")
    item = translate(scope, node)
    if item.type == UNKNOWN:
        raise NotSupported(f"{name} of a literal or parameter of unknown type")
    if name == "count":
        whole = f"count({distinct}{item.sql})"
        return _texts(scope, BIGINT, whole, [whole], "coalesce(sum({}), 0)")
    if name == "sum":
        return _sum(scope, item, distinct)
    if item.type not in (*INTEGERS, TEXT):
        raise mismatch("42883", f"function {name}({types.WORDS[item.type]}) does not exist")
    return _texts(scope, item.type, f"{name}({item.sql})", [f"{name}({item.sql})"], f"{name}({{}})")


def _sum(scope: Scope, item: Typed, distinct: str) -> Typed:
    """SUM of INT is BIGINT; of BIGINT an exact NUMERIC, from the sums of the upper and the lower 32 bits."""
    if item.type == INT:
        whole = f"sum({distinct}{item.sql})"
        return _texts(scope, BIGINT, whole, [whole], "sum({})")
    if item.type != BIGINT:
        raise mismatch("42883", f"function sum({types.WORDS[item.type]}) does not exist")
    if distinct:
        raise NotSupported("SUM(DISTINCT) of BIGINT")
    parts = [f"sum(({item.sql}) >> 32)", f"sum(({item.sql}) & 4294967295)"]
    return _texts(scope, NUMERIC, f"pg_exact_sum({', '.join(parts)})", parts, "pg_exact_sum(sum({}), sum({}))")


def _texts(scope: Scope, to: str, whole: str, partials: list[str], merged: str) -> Typed:
    names = [f"c{len(scope.partials) + i}" for i in range(len(partials))]
    scope.partials += partials
    return Typed(to, merged.format(*names) if scope.merged else whole)
