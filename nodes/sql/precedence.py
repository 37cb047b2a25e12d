"""Does a tree group its operators as PostgreSQL would have grouped the same text?

sqlglot has a grammar of its own. A tree in which every operand binds at least as tightly as its place demands is the
one that PostgreSQL's grammar gives (operator precedence leaves no other); any other is refused.
*Invariants*: nothing is regrouped here. Comparisons, LIKE and BETWEEN do not chain (42601); IS and IN, which end in no
operand, may stand before another test.
"""

from __future__ import annotations

from sqlglot import exp

from nodes.errors import BadRequest, NotSupported
from nodes.sql.parse import UnaryPlus

OR, AND, NOT, IS, COMPARE, RANGE, OTHER, ADD, MULTIPLY, MINUS, ATOM = range(1, 12)

_LEVELS: dict[type[exp.Expr], int] = {
    exp.Or: OR, exp.And: AND, exp.Not: NOT, exp.Is: IS, exp.NullSafeEQ: IS, exp.NullSafeNEQ: IS,
    exp.EQ: COMPARE, exp.NEQ: COMPARE, exp.LT: COMPARE, exp.LTE: COMPARE, exp.GT: COMPARE, exp.GTE: COMPARE,
    exp.Between: RANGE, exp.In: RANGE, exp.Like: RANGE, exp.Escape: RANGE, exp.DPipe: OTHER,
    exp.Add: ADD, exp.Sub: ADD, exp.Mul: MULTIPLY, exp.Div: MULTIPLY, exp.Mod: MULTIPLY, exp.Neg: MINUS,
    UnaryPlus: MINUS,
}  # fmt: skip
_UNCHAINED = {IS, COMPARE, RANGE}


def level(node: exp.Expr) -> int:
    """How tightly the outermost operator binds."""
    return _LEVELS.get(type(node), ATOM)


def check(tree: exp.Expr) -> None:
    """42601 for a chain that PostgreSQL refuses, 0A000 for a grouping that is not its own."""
    for node in tree.walk():
        own = _LEVELS.get(type(node))
        if own is None or isinstance(node.parent, exp.Update):
            continue
        if not isinstance(node, exp.Escape):
            _check_left(node.this, own)
        for name in ("expression", "low", "high"):
            operand = node.args.get(name)
            if isinstance(operand, exp.Expr):
                _check_right(operand, own)


def _check_left(operand: exp.Expr, own: int) -> None:
    found = level(operand)
    if found < own or (own == RANGE and _is_grouped_by_sqlglot(operand)):
        _refuse()
    if found == own and own in _UNCHAINED and not isinstance(operand, exp.Is | exp.In):
        raise BadRequest("syntax error: these operators do not chain; write parentheses", sqlstate="42601")


def _check_right(operand: exp.Expr, own: int) -> None:
    found = level(operand)
    if found == own and own in _UNCHAINED:
        raise BadRequest("syntax error: these operators do not chain; write parentheses", sqlstate="42601")
    if found < own or (found == own and own not in (AND, OR)):
        _refuse()


def _is_grouped_by_sqlglot(operand: exp.Expr) -> bool:
    """`a NOT LIKE b IN (c)`: sqlglot puts parentheses of its own, PostgreSQL refuses."""
    inner = operand.this if isinstance(operand, exp.Paren) else None
    inner = inner.this if isinstance(inner, exp.Not) else inner
    return isinstance(inner, exp.Between | exp.Like | exp.Escape | exp.In)


def _refuse() -> None:
    raise NotSupported("operators of different precedence here without parentheses")
