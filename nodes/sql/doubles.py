"""DOUBLE PRECISION as PostgreSQL 15 means it: text in and out, arithmetic, exact sums. NULL in gives NULL out.

SQLite turns a NaN into NULL, so in rows, images and parameters of the engine NaN is the text 'NaN'. SQLite sorts every
text behind every number and finds it equal to itself, which is where PostgreSQL puts NaN: comparisons, ORDER BY, GROUP
BY, min and max need nothing else. Arithmetic goes through the functions here, for its overflow is an error.

A sum is worked out exactly and rounded once, in no order: PostgreSQL adds in the order in which it meets the rows, so
its last digits may differ, but here they depend neither on shards nor on pushdown nor on which versions a snapshot
reads.
*Left out*: hexadecimal text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from nodes.errors import NotSupported
from nodes.sql.semantics import BIGINT_MAX, BIGINT_MIN, INT_MAX, INT_MIN, SPACES, SqlError

Double = float | str  # a text is NAN

NAN = "NaN"
NAMES: dict[str, Double] = {"NaN": NAN, "Infinity": math.inf, "-Infinity": -math.inf}

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_SPECIAL = re.compile(r"([+-]?)(nan|inf|infinity)", re.IGNORECASE)
_FOREIGN = re.compile(r"[+-]?(?:0x|nan\()", re.IGNORECASE)
_FIXED_DIGITS = 15  # PostgreSQL writes 1e+15 and above with an exponent
_MAX_AVERAGED = 1e145
_UNIT_BITS = 1074  # every double is a whole number of 2**-1074


def stored(value: float) -> Double:
    """A float as the engine holds it."""
    return NAN if value != value else value


def text_to_double(text: str | None) -> Double | None:
    """PostgreSQL's input function; 22P02, and 22003 for what is too large or too small."""
    if text is None:
        return None
    word = text.strip(SPACES)
    special = _SPECIAL.fullmatch(word)
    if special is not None:
        value = math.nan if special[2].lower() == "nan" else math.inf
        return stored(-value if special[1] == "-" else value)
    if _NUMBER.fullmatch(word) is None:
        if _FOREIGN.match(word):
            raise NotSupported(f"the number {text!r:.60}")
        raise SqlError("22P02", f'invalid input syntax for type double precision: "{text}"')
    value = float(word)
    mantissa = word.lower().partition("e")[0]
    if math.isinf(value) or (value == 0 and mantissa.strip("+-0.")):
        raise SqlError("22003", f'"{word}" is out of range for type double precision')
    return value


def double_to_text(value: Double | None) -> str | None:
    """The shortest digits that give the same number again."""
    if value is None or isinstance(value, str):
        return value
    number = value
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    sign, digits, exponent = Decimal(repr(number)).as_tuple()
    assert isinstance(exponent, int), "a finite number has an exponent"
    figures = "".join(map(str, digits)).rstrip("0")
    if not figures:
        return "-0" if sign else "0"
    point = len(digits) + exponent  # digits before the decimal point
    minus = "-" if sign else ""
    if not -4 <= point - 1 < _FIXED_DIGITS:
        rest = f".{figures[1:]}" if len(figures) > 1 else ""
        return f"{minus}{figures[0]}{rest}e{'-' if point < 1 else '+'}{abs(point - 1):02d}"
    if point <= 0:
        return f"{minus}0.{'0' * -point}{figures}"
    whole, rest = figures[:point].ljust(point, "0"), figures[point:]
    return f"{minus}{whole}.{rest}" if rest else minus + whole


def _arithmetic(operation: Callable[[float, float], float]) -> Callable[[Any, Any], Double | None]:
    def function(left: Any, right: Any) -> Double | None:
        if left is None or right is None:
            return None
        one, other = float(left), float(right)
        result = operation(one, other)
        if math.isinf(result) and not math.isinf(one) and not math.isinf(other):
            raise SqlError("22003", "value out of range: overflow")
        return stored(result)

    return function


def _product(left: float, right: float) -> float:
    result = left * right
    if result == 0 and left != 0 and right != 0:
        raise SqlError("22003", "value out of range: underflow")
    return result


def _quotient(left: float, right: float) -> float:
    if right == 0:
        if math.isnan(left):
            return left
        raise SqlError("22012", "division by zero")
    result = left / right
    if result == 0 and left != 0 and not math.isinf(right):
        raise SqlError("22003", "value out of range: underflow")
    return result


add = _arithmetic(lambda left, right: left + right)
subtract = _arithmetic(lambda left, right: left - right)
multiply = _arithmetic(_product)
divide = _arithmetic(_quotient)


def negate(value: Double | None) -> Double | None:
    return None if value is None else stored(-float(value))


def absolute(value: Double | None) -> Double | None:
    return None if value is None else stored(abs(float(value)))


def _to_integer(value: Double | None, low: int, high: int, name: str) -> int | None:
    """Rounds half to even, as the C library does."""
    if value is None:
        return None
    number = float(value)
    if math.isfinite(number) and low <= round(number) <= high:
        return round(number)
    raise SqlError("22003", f"{name} out of range")


def double_to_int4(value: Double | None) -> int | None:
    return _to_integer(value, INT_MIN, INT_MAX, "integer")


def double_to_int8(value: Double | None) -> int | None:
    return _to_integer(value, BIGINT_MIN, BIGINT_MAX, "bigint")


class ExactSum:
    """An aggregate: `units` of 2**-1074 of the finite values, and which others there were (a set of their texts).
    `is_wide`: PostgreSQL, which works out a variance beside every average, might find it out of range."""

    __slots__ = ("is_wide", "others", "seen", "units")

    def __init__(self) -> None:
        self.units = 0
        self.others: set[str] = set()
        self.seen = self.is_wide = False

    def add(self, value: Any) -> None:
        if value is None:
            return
        self.seen = True
        number = float(value)
        if math.isfinite(number):
            numerator, denominator = number.as_integer_ratio()
            self.units += numerator << (_UNIT_BITS + 1 - denominator.bit_length())
            self.is_wide = self.is_wide or abs(number) > _MAX_AVERAGED
        else:
            self.others.add(str(double_to_text(stored(number))))

    def add_parts(self, parts: str | None) -> None:
        """What another one's `parts` gave."""
        if parts is not None:
            units, width, *others = parts.split()
            self.units += int(units, 16)
            self.is_wide = self.is_wide or width == "wide"
            self.others.update(others)
            self.seen = True

    def parts(self) -> str | None:
        width = "wide" if self.is_wide else "narrow"
        return " ".join([f"{self.units:x}", width, *sorted(self.others)]) if self.seen else None

    def total(self) -> Double | None:
        if not self.seen:
            return None
        if NAN in self.others or len(self.others) == 2:
            return NAN
        if self.others:
            return NAMES[self.others.pop()]
        try:
            return float(self.units / (1 << _UNIT_BITS))  # Python rounds a quotient of integers correctly
        except OverflowError as error:
            raise SqlError("22003", "value out of range: overflow") from error

    def total_to_average(self) -> Double | None:
        if self.is_wide:
            raise NotSupported(f"avg of a double precision beyond {_MAX_AVERAGED}")
        return self.total()


SCALARS: dict[str, tuple[int, Callable[..., Any]]] = {
    "pg_text_to_double": (1, text_to_double),
    "pg_double_to_text": (1, double_to_text),
    "pg_double_add": (2, add),
    "pg_double_subtract": (2, subtract),
    "pg_double_multiply": (2, multiply),
    "pg_double_divide": (2, divide),
    "pg_double_negate": (1, negate),
    "pg_double_absolute": (1, absolute),
    "pg_double_to_int4": (1, double_to_int4),
    "pg_double_to_int8": (1, double_to_int8),
}

# name -> (step, end) of an ExactSum
AGGREGATES: dict[str, tuple[Callable[[ExactSum, Any], None], Callable[[ExactSum], Any]]] = {
    "pg_double_sum": (ExactSum.add, ExactSum.total),
    "pg_double_parts": (ExactSum.add, ExactSum.parts),
    "pg_double_total": (ExactSum.add_parts, ExactSum.total),
    "pg_double_sum_to_average": (ExactSum.add, ExactSum.total_to_average),
    "pg_double_total_to_average": (ExactSum.add_parts, ExactSum.total_to_average),
}
