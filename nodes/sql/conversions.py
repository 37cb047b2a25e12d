"""Conversions between types, as PostgreSQL's table of casts has them: implicit, on assignment, explicit.

Numbers widen by themselves (INT, BIGINT, NUMERIC, DOUBLE PRECISION, in this order) and narrow on assignment, checked;
everything becomes TEXT on assignment, and TEXT becomes everything when it is told to (CAST).
"""

from __future__ import annotations

from nodes.sql import types
from nodes.sql.schema import BIGINT, BOOLEAN, BYTEA, DOUBLE, INT, TEXT, TIMESTAMPTZ, UUID
from nodes.sql.typed import ATOM, Typed, called, wrapped
from nodes.sql.types import NUMERIC

# (from, to) -> text of the engine; {} stands for the operand.
_TEXTS = {
    (INT, NUMERIC): "CAST({} AS TEXT)",
    (BIGINT, NUMERIC): "CAST({} AS TEXT)",
    (INT, DOUBLE): "CAST({} AS REAL)",
    (BIGINT, DOUBLE): "CAST({} AS REAL)",
    (NUMERIC, DOUBLE): "pg_text_to_double({})",
    (NUMERIC, INT): "pg_numeric_to_int4({})",
    (NUMERIC, BIGINT): "pg_numeric_to_int8({})",
    (DOUBLE, INT): "pg_double_to_int4({})",
    (DOUBLE, BIGINT): "pg_double_to_int8({})",
    (DOUBLE, NUMERIC): "pg_double_to_numeric({})",
    (INT, BOOLEAN): "({} <> 0)",
    (BOOLEAN, INT): "({})",
    (INT, TEXT): "CAST({} AS TEXT)",
    (BIGINT, TEXT): "CAST({} AS TEXT)",
    (BOOLEAN, TEXT): "(CASE {} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END)",
    (DOUBLE, TEXT): "pg_double_to_text({})",
    (BYTEA, TEXT): "pg_bytes_to_text({})",
    (TIMESTAMPTZ, TEXT): "pg_moment_to_text({})",
    # These are text in the engine.
    (NUMERIC, TEXT): "({})",
    (UUID, TEXT): "({})",
}


def converted(item: Typed, to: str) -> Typed | None:
    """The explicit conversion; None where PostgreSQL has none. Constants are not folded."""
    if item.type == to:
        return item
    if types.widens(item.type, to):
        return widened(item, to)
    if (item.type, to) == (BIGINT, INT):
        return _narrowed(item)
    if item.type == TEXT:
        return called(types.FROM_TEXT[to][0], to, ATOM, item.sql)
    text = _TEXTS.get((item.type, to))
    return None if text is None else Typed(to, text.format(wrapped(item)))


def widened(item: Typed, to: str) -> Typed:
    """A number in a wider type."""
    if (item.type, to) == (INT, BIGINT):
        result = Typed(BIGINT, item.sql, item.precedence, item.constant, item.parameter)
        result.low, result.high = item.low, item.high
        return result
    return Typed(to, _TEXTS[item.type, to].format(wrapped(item)))


def _narrowed(item: Typed) -> Typed:
    """BIGINT to INT, checked unless it cannot leave the range."""
    low, high = types.RANGES[INT]
    if not (low <= item.low and item.high <= high):
        return called("pg_int4", INT, ATOM, item.sql)
    result = Typed(INT, item.sql, item.precedence)
    result.low, result.high = item.low, item.high
    return result


def is_assigned(found: str, to: str) -> bool:
    """Is there a conversion on assignment?"""
    return found == to or to == TEXT or (found in types.NUMBERS and to in types.NUMBERS)


def to_text(item: Typed) -> Typed:
    result = converted(item, TEXT)
    assert result is not None, "everything has a text"
    return result
