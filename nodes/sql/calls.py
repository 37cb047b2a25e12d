"""Functions and CASE in expressions; importing this module makes them known to `nodes.sql.expressions`."""

from __future__ import annotations

from sqlglot import exp

from nodes.errors import NotSupported
from nodes.sql import types
from nodes.sql.expressions import Scope, only, translate, translates
from nodes.sql.operators import checked, same_type, texts
from nodes.sql.schema import BIGINT, BYTEA, DOUBLE, INT, TEXT
from nodes.sql.typed import ATOM, NOTHING, Typed, called, comparable, mismatch
from nodes.sql.types import NUMBERS, NUMERIC, UNKNOWN

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
    exp.Avg: {"avg"},
    exp.CurrentTimestamp: {"now", "current_timestamp"},
}


# Those that have a grammar of their own, and no place in the text.
_UNPLACED: dict[type[exp.Expr], str] = {exp.Substring: "substring", exp.CurrentTimestamp: "current_timestamp"}


def function_name(text: str, node: exp.Expr) -> str:
    """The name as the client wrote it, lower case (sqlglot folds the names of several dialects into one node)."""
    start, end = node.meta.get("start"), node.meta.get("end")
    if start is None or end is None:
        return _UNPLACED.get(type(node)) or type(node).__name__.lower()
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
    result = called("nullif", left.type, ATOM, f"{comparable(left)}, {comparable(right)}")
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
    if item.type not in NUMBERS:
        raise mismatch("42883", f"function abs({types.WORDS[item.type]}) does not exist")
    if item.type == INT:
        result = checked(INT, f"abs({item.sql})", ATOM, (0, max(abs(item.low), abs(item.high))))
    else:
        result = called(_ABSOLUTE[item.type], item.type, ATOM, item.sql)
    return scope.fold_constant(result, (item,))


_ABSOLUTE = {BIGINT: "pg_absolute", NUMERIC: "pg_numeric_absolute", DOUBLE: "pg_double_absolute"}


@translates(exp.CurrentTimestamp)
def _now(scope: Scope, node: exp.CurrentTimestamp) -> Typed:
    only(node)
    name = known(scope, node)
    if scope.clause in ("CHECK", "DEFAULT"):
        raise NotSupported(f"{name} in {scope.clause} of this kind")
    return scope.parameters.now()


@translates(exp.Length)
def _length(scope: Scope, node: exp.Length) -> Typed:
    only(node, "this", "encoding")
    name = known(scope, node)
    item = translate(scope, node.this)
    if item.type != BYTEA or name != "length":
        (item,) = texts(scope, [item], name)
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
    item = translate(scope, node.this)
    if item.type == BYTEA:
        raise NotSupported(f"{name} of BYTEA")
    (text,) = texts(scope, [item], name)
    places = [translate(scope, node.args[part]) for part in ("start", "length") if node.args.get(part) is not None]
    for place in places:
        if place.type not in (INT, TEXT, UNKNOWN):
            raise mismatch("42883", f"function {name}(text, {types.WORDS[place.type]}) does not exist")
        if place.type != INT:
            raise NotSupported(f"{name} with places of other types than INT")
    if "start" not in node.args or node.args["start"] is None:
        raise NotSupported(f"{name} without a start")
    function = "pg_substring" if len(places) == 2 else "pg_substring_from"
    arguments = ", ".join(item.sql for item in (text, *places))
    return scope.fold_constant(called(function, TEXT, ATOM, arguments), (text, *places))
