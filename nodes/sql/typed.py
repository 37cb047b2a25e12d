"""A translated expression: its text in the engine's dialect, its PostgreSQL type, and what is known of its value."""

from __future__ import annotations

import math
from typing import Any

from nodes.errors import BadRequest
from nodes.requests import Value
from nodes.sql import numerics, types
from nodes.sql.types import NUMERIC

ATOM = 99
NOTHING: Any = object()  # "not a constant": None is a constant


class Typed:
    """A translated expression.

    `constant` is its value or NOTHING; `parameter` its position from 0 or -1; `column` its position in the table or
    -1; `low`..`high` bound an integer; `equal` is set on `column = value` and `column IN (values)`: the column and the
    values. `precedence` is that of its outermost operator.
    """

    __slots__ = ("type", "sql", "precedence", "constant", "parameter", "column", "low", "high", "equal")

    def __init__(
        self, type: str, sql: str, precedence: int = ATOM, constant: Value = NOTHING, parameter: int = -1
    ) -> None:
        self.type = type
        self.sql = sql
        self.precedence = precedence
        self.constant = constant
        self.parameter = parameter
        self.column = -1
        self.low, self.high = types.RANGES.get(type, (0, 0))
        self.equal: tuple[int, list[Typed]] | None = None

    @property
    def is_source(self) -> bool:
        """Is its value known at bind, without evaluation?"""
        return self.constant is not NOTHING or self.parameter >= 0


def literal(value: Value) -> str:
    """A value in the engine's form as text in its dialect."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if not isinstance(value, float):
        return f"({int(value)})" if value < 0 else str(int(value))
    text = "9e999" if math.isinf(value) else repr(abs(value))
    return f"(-{text})" if math.copysign(1.0, value) < 0 else text


def constant(value: Value, type: str, precedence: int = ATOM) -> Typed:
    result = Typed(type, literal(value), precedence, constant=value)
    if type in types.INTEGERS and value is not None:
        result.low = result.high = int(value)
    return result


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def wrapped(item: Typed) -> str:
    """SQLite's precedence is its own: operands that are not atoms go in parentheses."""
    return item.sql if item.precedence == ATOM else f"({item.sql})"


def comparable(item: Typed) -> str:
    """As an operand of a comparison or a key of an order: a NUMERIC compares by value."""
    return f"{wrapped(item)} COLLATE {numerics.COLLATION}" if item.type == NUMERIC else wrapped(item)


def called(function: str, to: str, level: int, arguments: str) -> Typed:
    return Typed(to, f"{function}({arguments})", level)


def mismatch(sqlstate: str, message: str) -> BadRequest:
    return BadRequest(message, sqlstate=sqlstate)
