"""Operators and functions of expressions; importing this module makes them known to `nodes.sql.expressions`.

Whether operands are grouped as PostgreSQL groups them was checked before (`nodes.sql.precedence`).
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from nodes.errors import NotSupported
from nodes.sql import types
from nodes.sql.conversions import to_text
from nodes.sql.expressions import Scope, integer_constant, integer_literal, only, translate, translates
from nodes.sql.names import syntax_error
from nodes.sql.parse import UnaryPlus
from nodes.sql.precedence import ADD, AND, COMPARE, IS, MINUS, MULTIPLY, NOT, OR, OTHER, RANGE
from nodes.sql.schema import BOOLEAN, BYTEA, DOUBLE, INT, TEXT, TIMESTAMPTZ
from nodes.sql.typed import ATOM, NOTHING, Typed, called, comparable, constant, mismatch, wrapped
from nodes.sql.types import INTEGERS, NUMBERS, UNKNOWN

MAX_TEXT = 100_000  # characters of one condition

_COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
}  # fmt: skip
_ARITHMETIC: dict[type[exp.Expr], tuple[str, int]] = {
    exp.Add: ("+", ADD), exp.Sub: ("-", ADD), exp.Mul: ("*", MULTIPLY), exp.Div: ("/", MULTIPLY),
    exp.Mod: ("%", MULTIPLY),
}  # fmt: skip


def no_operator(sign: str, *items: Typed) -> Exception:
    """42883 as PostgreSQL words it."""
    words = [types.WORDS[item.type] for item in items]
    shown = f"{sign} {words[0]}" if len(words) == 1 else f"{words[0]} {sign} {words[1]}"
    return mismatch("42883", f"operator does not exist: {shown}")


# -- logic


@translates(exp.And, exp.Or)
def _logic(scope: Scope, node: exp.And | exp.Or) -> Typed:
    only(node, "this", "expression")
    word, level = ("AND", AND) if isinstance(node, exp.And) else ("OR", OR)
    left = scope.boolean(translate(scope, node.this), word)
    scope.lazy += 1
    right = scope.boolean(translate(scope, node.expression), word)
    scope.lazy -= 1
    decides = word == "OR"
    for item, other in ((left, right), (right, left)):
        if item.constant is decides:
            return constant(decides, BOOLEAN)
        if item.constant is (not decides):
            return other
    return scope.fold_constant(joined(word, level, left, right), (left, right), strict=False)


def joined(word: str, level: int, left: Typed, right: Typed) -> Typed:
    """AND or OR. SQLite works out both sides of a value: where the right one may fail, it waits for the left one."""
    if "pg_" not in right.sql:
        return Typed(BOOLEAN, f"{wrapped(left)} {word} {wrapped(right)}", level)
    if len(left.sql) + len(right.sql) > MAX_TEXT:
        raise NotSupported("a condition of this size")
    decided, open_value = (0, 1) if word == "AND" else (1, 0)
    rest = f"WHEN {open_value} THEN {right.sql} ELSE nullif({right.sql}, {open_value})"
    return Typed(BOOLEAN, f"(CASE {left.sql} WHEN {decided} THEN {decided} {rest} END)", level)


@translates(exp.Not)
def _not(scope: Scope, node: exp.Not) -> Typed:
    only(node, "this")
    item = scope.boolean(translate(scope, node.this), "NOT")
    return scope.fold_constant(Typed(BOOLEAN, f"NOT ({item.sql})", NOT), (item,))


@translates(exp.Is)
def _is(scope: Scope, node: exp.Is) -> Typed:
    only(node, "this", "expression", "negate")
    item = translate(scope, node.this)
    word = "IS NOT" if node.args.get("negate") else "IS"
    if isinstance(node.expression, exp.Null):
        scope.parameters.leave(item)
        result = Typed(BOOLEAN, f"({item.sql}) {word} NULL", IS)
    elif isinstance(node.expression, exp.Boolean):
        truth = "TRUE" if node.expression.this else "FALSE"
        item = scope.boolean(item, f"IS {truth}")
        result = Typed(BOOLEAN, f"({item.sql}) {word} {truth}", IS)
    else:
        raise NotSupported("IS with anything but NULL, TRUE, FALSE and DISTINCT FROM")
    return scope.fold_constant(result, (item,), strict=False)


# -- comparison


def same_type(scope: Scope, sign: str, left: Typed, right: Typed) -> tuple[Typed, Typed]:
    """Both operands of a comparison, in types that compare; 42883."""
    if UNKNOWN == left.type == right.type:
        return scope.coerce(left, TEXT), scope.coerce(right, TEXT)
    if left.type == UNKNOWN:
        left = scope.coerce(left, right.type)
    if right.type == UNKNOWN:
        right = scope.coerce(right, left.type)
    if left.type == right.type or {left.type, right.type} <= set(INTEGERS):
        return left, right
    if left.type not in NUMBERS or right.type not in NUMBERS:
        raise no_operator(sign, left, right)
    to = types.wider(left.type, right.type)
    return scope.coerce(left, to), scope.coerce(right, to)


def compare(scope: Scope, sign: str, left: Typed, right: Typed, engine_sign: str = "") -> Typed:
    left, right = same_type(scope, sign, left, right)
    result = Typed(BOOLEAN, f"{comparable(left)} {engine_sign or sign} {comparable(right)}", COMPARE)
    if sign == "=":
        result.equal = equality(left, [right]) or equality(right, [left])
    return scope.fold_constant(result, (left, right))


def equality(column: Typed, values: list[Typed]) -> tuple[int, list[Typed]] | None:
    if column.column >= 0 and all(value.is_source for value in values):
        return column.column, values
    return None


@translates(*_COMPARISONS)
def _comparison(scope: Scope, node: exp.Binary) -> Typed:
    only(node, "this", "expression")
    left, right = translate(scope, node.this), translate(scope, node.expression)
    return compare(scope, _COMPARISONS[type(node)], left, right)


@translates(exp.NullSafeEQ, exp.NullSafeNEQ)
def _distinct_from(scope: Scope, node: exp.Binary) -> Typed:
    only(node, "this", "expression")
    sign = "IS" if isinstance(node, exp.NullSafeEQ) else "IS NOT"
    left, right = translate(scope, node.this), translate(scope, node.expression)
    left, right = same_type(scope, "=", left, right)
    result = Typed(BOOLEAN, f"{comparable(left)} {sign} {comparable(right)}", IS)
    return scope.fold_constant(result, (left, right), strict=False)


@translates(exp.Between)
def _between(scope: Scope, node: exp.Between) -> Typed:
    only(node, "this", "low", "high")
    item = translate(scope, node.this)
    low = compare(scope, ">=", item, translate(scope, node.args["low"]))
    item = translate(scope, node.this)
    high = compare(scope, "<=", item, translate(scope, node.args["high"]))
    result = Typed(BOOLEAN, f"({wrapped(low)} AND {wrapped(high)})", RANGE)
    if False in (low.constant, high.constant):
        return constant(False, BOOLEAN)
    return scope.fold_constant(result, (low, high), strict=False)


@translates(exp.In)
def _in(scope: Scope, node: exp.In) -> Typed:
    """PostgreSQL makes one array of the values without columns, and compares the others one by one after it."""
    only(node, "this", "expressions")
    if not node.expressions:
        raise syntax_error("an empty IN list")
    item = translate(scope, node.this)
    values = [_listed(scope, value) for value in node.expressions]
    fixed = [value for value, varies in values if not varies]
    common = _array_type([item, *fixed]) if len(fixed) > 1 else ""
    pieces = []
    if common:
        pieces = [_in_array(scope, translate(scope, node.this), [scope.coerce(value, common) for value in fixed])]
    for value, varies in values:
        if varies or not common:
            pieces.append(compare(scope, "=", translate(scope, node.this), value))
    result = pieces[0]
    for piece in pieces[1:]:
        result = scope.fold_constant(joined("OR", OR, result, piece), (result, piece), strict=False)
    return result


def _listed(scope: Scope, node: exp.Expr) -> tuple[Typed, bool]:
    """A value, and whether columns are in it."""
    before = len(scope.used_columns)
    value = translate(scope, node)
    return value, len(scope.used_columns) > before


def _array_type(items: list[Typed]) -> str:
    """The common type of a list, "" if it has none."""
    known = {item.type for item in items} - {UNKNOWN}
    if known and known <= set(NUMBERS):
        return max(known, key=NUMBERS.index)
    return TEXT if not known else known.pop() if len(known) == 1 else ""


def _in_array(scope: Scope, item: Typed, values: list[Typed]) -> Typed:
    pairs = [same_type(scope, "=", item, value) for value in values]
    item, values = pairs[0][0], [value for _, value in pairs]
    result = Typed(BOOLEAN, f"{comparable(item)} IN ({', '.join(value.sql for value in values)})", RANGE)
    result.equal = equality(item, values)
    return scope.fold_constant(result, (item, *values), strict=False)


@translates(exp.Like, exp.Escape)
def _like(scope: Scope, node: exp.Like | exp.Escape) -> Typed:
    escape: Typed | None = None
    if isinstance(node, exp.Escape):
        only(node, "this", "expression")
        if not isinstance(node.this, exp.Like):
            raise NotSupported("ESCAPE without LIKE")
        escape = translate(scope, node.expression)
        node = node.this
    only(node, "this", "expression", "negate")
    items = [translate(scope, node.this), translate(scope, node.expression)]
    for item in items:
        if item.type == BYTEA:
            raise NotSupported("LIKE on BYTEA")
        if item.type not in (TEXT, UNKNOWN):
            raise no_operator("~~", *items)
    if escape is not None:
        if escape.type not in (TEXT, UNKNOWN):
            raise mismatch("42883", "function pg_catalog.like_escape does not exist")
        items.append(escape)
    items = [scope.coerce(item, TEXT) for item in items]
    called = ", ".join([item.sql for item in items] + (["'\\'"] if escape is None else []))
    result = Typed(BOOLEAN, f"pg_like({called})", RANGE)
    if node.args.get("negate"):
        result = Typed(BOOLEAN, f"NOT {result.sql}", NOT)
    return scope.fold_constant(result, items)


# -- arithmetic


@translates(*_ARITHMETIC)
def _arithmetic(scope: Scope, node: exp.Binary) -> Typed:
    only(node, "this", "expression", "typed", "safe")
    sign, level = _ARITHMETIC[type(node)]
    left, right = translate(scope, node.this), translate(scope, node.expression)
    return arithmetic(scope, sign, level, left, right)


_FUNCTIONS = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "%": "modulo"}


def arithmetic(scope: Scope, sign: str, level: int, left: Typed, right: Typed) -> Typed:
    """+ - * / % of numbers; of integers checked wherever the result could leave its type."""
    if UNKNOWN == left.type == right.type:
        raise mismatch("42725", f"operator is not unique: unknown {sign} unknown")
    if TIMESTAMPTZ in (left.type, right.type) and sign in "+-":
        raise NotSupported("arithmetic on TIMESTAMPTZ")
    if sign == "%" and DOUBLE in (left.type, right.type):
        raise no_operator(sign, left, right)
    if left.type == UNKNOWN and right.type in NUMBERS:
        left = scope.coerce(left, right.type)
    if right.type == UNKNOWN and left.type in NUMBERS:
        right = scope.coerce(right, left.type)
    if left.type not in NUMBERS or right.type not in NUMBERS:
        raise no_operator(sign, left, right)
    to = types.wider(left.type, right.type)
    if to in INTEGERS:
        result = divided(sign, to, left, right) if sign in "/%" else computed(sign, level, to, left, right)
    else:
        left, right = scope.coerce(left, to), scope.coerce(right, to)
        kind = "double" if to == DOUBLE else "numeric"
        result = called(f"pg_{kind}_{_FUNCTIONS[sign]}", to, ATOM, f"{left.sql}, {right.sql}")
    return scope.fold_constant(result, (left, right))


def bounds(sign: str, left: Typed, right: Typed) -> tuple[int, int]:
    """The least and greatest exact result of + - *."""
    if sign == "+":
        return left.low + right.low, left.high + right.high
    if sign == "-":
        return left.low - right.high, left.high - right.low
    corners = [x * y for x in (left.low, left.high) for y in (right.low, right.high)]
    return min(corners), max(corners)


def computed(sign: str, level: int, to: str, left: Typed, right: Typed) -> Typed:
    return checked(to, f"{wrapped(left)} {sign} {wrapped(right)}", level, bounds(sign, left, right))


def checked(to: str, sql: str, level: int, within: tuple[int, int]) -> Typed:
    """An integer expression, with a range check unless `within` shows that it needs none."""
    low, high = types.RANGES[to]
    if low <= within[0] and within[1] <= high:
        result = Typed(to, sql, level)
        result.low, result.high = within
        return result
    return called("pg_int4" if to == INT else "pg_int8", to, level, sql)


def divided(sign: str, to: str, left: Typed, right: Typed) -> Typed:
    """By a known divisor other than 0 and -1 SQLite does as PostgreSQL does."""
    plain = right.constant is not NOTHING and right.constant not in (None, 0, -1)
    if plain:
        return Typed(to, f"{wrapped(left)} {sign} {right.sql}", MULTIPLY)
    if sign == "%":
        return called("pg_modulo", to, MULTIPLY, f"{left.sql}, {right.sql}")
    result = called("pg_divide", to, MULTIPLY, f"{left.sql}, {right.sql}")
    return called("pg_int4", to, MULTIPLY, result.sql) if to == INT else result


@translates(exp.Neg)
def _negate(scope: Scope, node: exp.Neg) -> Typed:
    only(node, "this")
    value = integer_literal(node)
    if value is not None:
        return integer_constant(value)
    item = translate(scope, node.this)
    if item.type == UNKNOWN:
        raise NotSupported("- before a literal or parameter of unknown type")
    if item.type not in NUMBERS:
        raise no_operator("-", item)
    if item.type in INTEGERS:
        result = checked(item.type, f"-{wrapped(item)}", MINUS, (-item.high, -item.low))
    else:
        result = called(f"pg_{'double' if item.type == DOUBLE else 'numeric'}_negate", item.type, ATOM, item.sql)
    return scope.fold_constant(result, (item,))


@translates(UnaryPlus)
def _plus(scope: Scope, node: UnaryPlus) -> Typed:
    only(node, "this")
    item = translate(scope, node.this)
    if item.type == UNKNOWN:
        raise NotSupported("+ before a literal or parameter of unknown type")
    if item.type not in NUMBERS:
        raise no_operator("+", item)
    if item.is_source:
        return item
    result = Typed(item.type, f"+{wrapped(item)}", MINUS)
    result.low, result.high = item.low, item.high
    return result


@translates(exp.DPipe)
def _concatenate(scope: Scope, node: exp.DPipe) -> Typed:
    only(node, "this", "expression", "safe")
    left, right = translate(scope, node.this), translate(scope, node.expression)
    kinds = {left.type, right.type}
    if BYTEA in kinds and kinds <= {BYTEA, UNKNOWN}:
        both = scope.coerce(left, BYTEA), scope.coerce(right, BYTEA)
        return scope.fold_constant(called("pg_bytes_joined", BYTEA, ATOM, f"{both[0].sql}, {both[1].sql}"), both)
    if not kinds & {TEXT, UNKNOWN}:
        raise no_operator("||", left, right)
    items = [scope.coerce(item, TEXT) if item.type == UNKNOWN else item for item in (left, right)]
    texts = [to_text(item) for item in items]
    return scope.fold_constant(Typed(TEXT, " || ".join(wrapped(text) for text in texts), OTHER), items)


def texts(scope: Scope, items: Sequence[Typed], name: str) -> list[Typed]:
    """Arguments that must be TEXT; 42883."""
    for item in items:
        if item.type not in (TEXT, UNKNOWN):
            raise mismatch("42883", f"function {name}({types.WORDS[item.type]}) does not exist")
    return [scope.coerce(item, TEXT) for item in items]
