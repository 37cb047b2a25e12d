"""What PostgreSQL 15 means where SQLite by itself means something else: pure functions, NULL in gives NULL out.

The translator (`nodes.sql.expressions`) writes calls of them into the SQL it emits; every connection that runs such SQL
has them registered (`nodes.sql.functions`). They raise `SqlError` with PostgreSQL's sqlstate.
*Invariants*: no function returns what PostgreSQL would not; where that is in doubt it raises NotSupported.
The types that SQLite lacks have modules of their own: `doubles`, `numerics`, `moments`, `binaries`.
*Left out*: locales (text is in the C locale).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from nodes.errors import BadRequest, NotSupported

INT_MIN, INT_MAX = -(1 << 31), (1 << 31) - 1
BIGINT_MIN, BIGINT_MAX = -(1 << 63), (1 << 63) - 1
SPACES = " \t\n\v\f\r"
_INTEGER = re.compile(r"[+-]?[0-9]+")


class SqlError(BadRequest):
    """A statement's own fault, found while it runs: division by zero, a value out of range, …"""

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(message, sqlstate=sqlstate)


def int4(value: Any) -> Any:
    """A 64-bit result that must fit INT."""
    if value is None or INT_MIN <= value <= INT_MAX:
        return value
    raise SqlError("22003", "integer out of range")


def int8(value: Any) -> Any:
    """SQLite turns what overflows 64 bits into a float, whose size no longer tells: any float is out of range."""
    if type(value) is float:
        raise SqlError("22003", "bigint out of range")
    return value


def divide(left: int | None, right: int | None) -> int | None:
    """Truncates toward zero; only the smallest BIGINT by -1 leaves the range, and `int4` checks INT."""
    if left is None or right is None:
        return None
    if right == 0:
        raise SqlError("22012", "division by zero")
    quotient = abs(left) // abs(right)
    result = quotient if (left < 0) == (right < 0) else -quotient
    if result > BIGINT_MAX:
        raise SqlError("22003", "bigint out of range")
    return result


def modulo(left: int | None, right: int | None) -> int | None:
    """The remainder has the sign of the dividend."""
    if left is None or right is None:
        return None
    if right == 0:
        raise SqlError("22012", "division by zero")
    remainder = abs(left) % abs(right)
    return -remainder if left < 0 else remainder


def absolute(value: int | None) -> int | None:
    if value == BIGINT_MIN:
        raise SqlError("22003", "bigint out of range")
    return None if value is None else abs(value)


def text_to_integer(text: str | None, low: int, high: int, name: str) -> int | None:
    """PostgreSQL's input function of an integer type."""
    if text is None:
        return None
    digits = text.strip(SPACES)
    if _INTEGER.fullmatch(digits) is None:
        raise SqlError("22P02", f'invalid input syntax for type {name}: "{text}"')
    value = int(digits) if len(digits) < 400 else high + 1
    if not low <= value <= high:
        raise SqlError("22003", f'value "{text}" is out of range for type {name}')
    return value


def text_to_int4(text: str | None) -> int | None:
    return text_to_integer(text, INT_MIN, INT_MAX, "integer")


def text_to_int8(text: str | None) -> int | None:
    return text_to_integer(text, BIGINT_MIN, BIGINT_MAX, "bigint")


def text_to_boolean(text: str | None) -> int | None:
    """Unique prefixes of true, false, yes, no, on, off; 1 and 0."""
    if text is None:
        return None
    word = text.strip(SPACES).lower()
    if word in ("1", "on") or (word and ("true".startswith(word) or "yes".startswith(word))):
        return 1
    if word in ("0", "of", "off") or (word and ("false".startswith(word) or "no".startswith(word))):
        return 0
    raise SqlError("22P02", f'invalid input syntax for type boolean: "{text}"')


def _like_parts(pattern: str, escape: str) -> list[str | None]:
    """Literal runs as regular expressions; None stands for a `%`."""
    parts: list[str | None] = [""]
    characters = iter(pattern)
    for character in characters:
        if character == escape:
            character = next(characters, "")
            if not character:
                raise NotSupported("a LIKE pattern that ends with its escape character")
            piece = re.escape(character)
        elif character == "%":
            parts += [None, ""]
            continue
        else:
            piece = "." if character == "_" else re.escape(character)
        parts[-1] = (parts[-1] or "") + piece
    return parts


@lru_cache(maxsize=512)
def _like_matcher(pattern: str, escape: str) -> re.Pattern[str]:
    """Each `%` but the last takes the nearest match and never gives it back: the cost is a product at most."""
    runs = [part for part in _like_parts(pattern, escape) if part is not None]
    if len(runs) == 1:
        return re.compile(runs[0], re.DOTALL)
    middle = "".join(f"(?>.*?{run})" for run in runs[1:-1] if run)
    return re.compile(f"{runs[0]}{middle}.*{runs[-1]}", re.DOTALL)


def like(text: str | None, pattern: str | None, escape: str | None) -> int | None:
    """LIKE with the escape character, "" for none: case matters."""
    if text is None or pattern is None or escape is None:
        return None
    if len(escape) > 1:
        raise SqlError("22025", "invalid escape string")
    return int(_like_matcher(pattern, escape).fullmatch(text) is not None)


def substring(text: str | None, start: int | None, length: int | None) -> str | None:
    """Counts from 1; what lies before the text counts towards the length."""
    if text is None or start is None or length is None:
        return None
    if length < 0:
        raise SqlError("22011", "negative substring length not allowed")
    return text[max(start, 1) - 1 : max(start + length, 1) - 1]


def substring_from(text: str | None, start: int | None) -> str | None:
    return None if text is None or start is None else text[max(start, 1) - 1 :]


SCALARS: dict[str, tuple[int, Callable[..., Any]]] = {
    "pg_int4": (1, int4),
    "pg_int8": (1, int8),
    "pg_divide": (2, divide),
    "pg_modulo": (2, modulo),
    "pg_absolute": (1, absolute),
    "pg_text_to_int4": (1, text_to_int4),
    "pg_text_to_int8": (1, text_to_int8),
    "pg_text_to_boolean": (1, text_to_boolean),
    "pg_like": (3, like),
    "pg_substring": (3, substring),
    "pg_substring_from": (2, substring_from),
}
