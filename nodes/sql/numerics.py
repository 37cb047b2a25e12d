"""NUMERIC as PostgreSQL 15 means it: constants, results of SUM and AVG, and what is worked out of them; no column.

In the engine a NUMERIC is its text, which keeps every digit that PostgreSQL shows. Comparisons, ORDER BY and DISTINCT
name the collation `pg_numeric`, which compares by value. NULL in gives NULL out.
*Invariant*: the number of digits behind the point is PostgreSQL's (`dscale`), through every operation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from nodes.errors import NotSupported
from nodes.sql.doubles import Double
from nodes.sql.semantics import BIGINT_MAX, BIGINT_MIN, INT_MAX, INT_MIN, SPACES, SqlError

COLLATION = "pg_numeric"
MAX_LENGTH = 1_000  # characters of a constant
MAX_SCALE = 16_383

_MIN_SIGNIFICANT_DIGITS, _MAX_QUOTIENT_SCALE, _DIGITS_IN_GROUP = 16, 1_000, 4
_CONSTANT = re.compile(r"([0-9]*)\.?([0-9]*)(?:[eE]([+-]?[0-9]{1,5}))?")


class Number(NamedTuple):
    """`units` of 10**-`scale`."""

    units: int
    scale: int

    def __str__(self) -> str:
        digits = str(abs(self.units)).rjust(self.scale + 1, "0")
        sign = "-" if self.units < 0 else ""
        whole, rest = digits[: len(digits) - self.scale], digits[len(digits) - self.scale :]
        return f"{sign}{whole}.{rest}" if rest else sign + whole

    def at(self, scale: int) -> int:
        """Its units at a scale that is not smaller."""
        return int(self.units * 10 ** (scale - self.scale))


def number(value: str | int) -> Number:
    """Of the engine's text, or of an integer."""
    if isinstance(value, int):
        return Number(value, 0)
    whole, _, rest = value.partition(".")
    return Number(int(whole + rest), len(rest))


def constant_text(text: str) -> str:
    """A constant as a client wrote it, as PostgreSQL shows it: `1.50e1` is 15.0."""
    found = _CONSTANT.fullmatch(text)
    if found is None or len(text) > MAX_LENGTH or not found[1] + found[2]:
        raise NotSupported(f"the NUMERIC constant {text:.40}")
    exponent = int(found[3] or 0)
    units, scale = int(found[1] + found[2]), len(found[2]) - exponent
    if scale > MAX_SCALE or scale < -MAX_LENGTH:
        raise NotSupported(f"the NUMERIC constant {text:.40}")
    return str(Number(units * 10 ** max(-scale, 0), max(scale, 0)))


def _operation(function: Callable[[Number, Number], Number]) -> Callable[[Any, Any], str | None]:
    def applied(left: Any, right: Any) -> str | None:
        return None if left is None or right is None else str(function(number(left), number(right)))

    return applied


def _sum(left: Number, right: Number) -> Number:
    scale = max(left.scale, right.scale)
    return Number(left.at(scale) + right.at(scale), scale)


def _difference(left: Number, right: Number) -> Number:
    return _sum(left, Number(-right.units, right.scale))


def _product(left: Number, right: Number) -> Number:
    return Number(left.units * right.units, left.scale + right.scale)


def _first_group(value: Number) -> tuple[int, int]:
    """(weight, first digit) in base 10,000, aligned at the point; of zero (0, 0)."""
    digits = str(abs(value.units)).rjust(value.scale + 1, "0")
    whole, rest = digits[: len(digits) - value.scale].lstrip("0"), digits[len(digits) - value.scale :]
    if whole:
        weight = (len(whole) - 1) // _DIGITS_IN_GROUP
        return weight, int(whole[: len(whole) - weight * _DIGITS_IN_GROUP])
    skipped = len(rest) - len(rest.lstrip("0"))
    if skipped == len(rest):
        return 0, 0
    group = skipped // _DIGITS_IN_GROUP
    return -group - 1, int(rest[group * _DIGITS_IN_GROUP :][:_DIGITS_IN_GROUP].ljust(_DIGITS_IN_GROUP, "0"))


def _quotient(left: Number, right: Number) -> Number:
    """PostgreSQL's `select_div_scale`: at least 16 significant digits by an estimate, rounded half away from zero."""
    if right.units == 0:
        raise SqlError("22012", "division by zero")
    (weight, digit), (other_weight, other_digit) = _first_group(left), _first_group(right)
    quotient_weight = weight - other_weight - (digit <= other_digit)
    scale = max(_MIN_SIGNIFICANT_DIGITS - quotient_weight * _DIGITS_IN_GROUP, left.scale, right.scale, 0)
    scale = min(scale, _MAX_QUOTIENT_SCALE)
    numerator = abs(left.units) * 10 ** (scale + right.scale)
    denominator = abs(right.units) * 10**left.scale
    units = (2 * numerator + denominator) // (2 * denominator)
    return Number(units if (left.units < 0) == (right.units < 0) else -units, scale)


def _remainder(left: Number, right: Number) -> Number:
    if right.units == 0:
        raise SqlError("22012", "division by zero")
    scale = max(left.scale, right.scale)
    units = abs(left.at(scale)) % abs(right.at(scale))
    return Number(-units if left.units < 0 else units, scale)


divide = _operation(_quotient)


def negate(value: Any) -> str | None:
    return None if value is None else str(Number(-number(value).units, number(value).scale))


def absolute(value: Any) -> str | None:
    return None if value is None else str(Number(abs(number(value).units), number(value).scale))


def exact_sum(high: int | None, low: int | None) -> str | None:
    """A sum of BIGINTs from the sums of their upper parts (`>> 32`) and of their lower 32 bits."""
    return None if high is None or low is None else str((high << 32) + low)


def average(total: str | int | None, count: int) -> str | None:
    return None if total is None else divide(total, count)


def _to_integer(value: str | None, low: int, high: int, name: str) -> int | None:
    """Rounds half away from zero."""
    if value is None:
        return None
    found = number(value)
    half = 10**found.scale
    units = (2 * abs(found.units) + half) // (2 * half)
    units = -units if found.units < 0 else units
    if not low <= units <= high:
        raise SqlError("22003", f"{name} out of range")
    return int(units)


def numeric_to_int4(value: str | None) -> int | None:
    return _to_integer(value, INT_MIN, INT_MAX, "integer")


def numeric_to_int8(value: str | None) -> int | None:
    return _to_integer(value, BIGINT_MIN, BIGINT_MAX, "bigint")


def text_to_numeric(text: str | None) -> str | None:
    """PostgreSQL's input function; 22P02."""
    if text is None:
        return None
    word = text.strip(SPACES)
    digits = word[1:] if word[:1] in ("+", "-") else word
    if _CONSTANT.fullmatch(digits) is None or not any(c.isdigit() for c in digits.partition("e")[0].partition("E")[0]):
        if digits.lower() in ("nan", "inf", "infinity"):
            raise NotSupported(f"the NUMERIC {word}")
        raise SqlError("22P02", f'invalid input syntax for type numeric: "{text}"')
    return negate(constant_text(digits)) if word[0] == "-" else constant_text(digits)


def double_to_numeric(value: Double | None) -> str | None:
    """15 significant digits."""
    if value is None:
        return None
    if not math.isfinite(float(value)):
        raise NotSupported("a NUMERIC that is not finite")
    return text_to_numeric(f"{float(value):.15g}")


@lru_cache(maxsize=4096)
def _decimal(text: str) -> Decimal:
    return Decimal(text)


def compare(left: str, right: str) -> int:
    """The collation: -1, 0 or 1 by value."""
    one, other = _decimal(left), _decimal(right)
    return (one > other) - (one < other)


SCALARS: dict[str, tuple[int, Callable[..., Any]]] = {
    "pg_numeric_add": (2, _operation(_sum)),
    "pg_numeric_subtract": (2, _operation(_difference)),
    "pg_numeric_multiply": (2, _operation(_product)),
    "pg_numeric_divide": (2, divide),
    "pg_numeric_modulo": (2, _operation(_remainder)),
    "pg_numeric_negate": (1, negate),
    "pg_numeric_absolute": (1, absolute),
    "pg_numeric_to_int4": (1, numeric_to_int4),
    "pg_numeric_to_int8": (1, numeric_to_int8),
    "pg_text_to_numeric": (1, text_to_numeric),
    "pg_double_to_numeric": (1, double_to_numeric),
    "pg_exact_sum": (2, exact_sum),
    "pg_average": (2, average),
}
