"""SQL types: which there are, what text of unknown type means in each, and which parameter values each takes.

NUMERIC only comes out of SUM; UNKNOWN is the type of a quoted literal, NULL or parameter before its context gives it
one, as in PostgreSQL.
*Invariants*: a parameter's value is never coerced (but a decimal string is an integer, as JSON needs it).
"""

from __future__ import annotations

from collections.abc import Callable

from nodes.errors import BadRequest
from nodes.requests import Value
from nodes.sql import semantics
from nodes.sql.schema import BIGINT, BOOLEAN, INT, TEXT

NUMERIC, UNKNOWN = "NUMERIC", "UNKNOWN"

INTEGERS = (INT, BIGINT)

# What PostgreSQL calls them in its messages.
WORDS = {
    INT: "integer",
    BIGINT: "bigint",
    TEXT: "text",
    BOOLEAN: "boolean",
    NUMERIC: "numeric",
    UNKNOWN: "unknown",
}

RANGES = {
    INT: (semantics.INT_MIN, semantics.INT_MAX),
    BIGINT: (semantics.BIGINT_MIN, semantics.BIGINT_MAX),
}


def from_text(text: str, to: str) -> Value:
    """What a quoted literal means as a value of type `to`; 22P02 or 22003."""
    if to == INT:
        return semantics.text_to_int4(text)
    if to == BIGINT:
        return semantics.text_to_int8(text)
    return bool(semantics.text_to_boolean(text)) if to == BOOLEAN else text


def _wrong(value: Value, to: str) -> BadRequest:
    return BadRequest(f"a parameter of type {WORDS[to]} does not take {value!r:.80}", sqlstate="22P02")


def check_text(text: str) -> str:
    """Text that UTF-8 can hold, without NUL."""
    if "\0" in text:
        raise BadRequest("text holds a NUL character", sqlstate="22021")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise BadRequest("text holds half of a surrogate pair", sqlstate="22021") from error
    return text


def _integer(value: Value, low: int, high: int, to: str) -> int:
    if type(value) is str:
        value = from_text(check_text(value), to)
    elif type(value) is not int:
        raise _wrong(value, to)
    if not low <= value <= high:
        raise BadRequest(f"{WORDS[to]} out of range", sqlstate="22003")
    return int(value)


def take_int(value: Value) -> Value:
    if (type(value) is int and -2147483648 <= value <= 2147483647) or value is None:
        return value
    return _integer(value, *RANGES[INT], INT)


def take_bigint(value: Value) -> Value:
    if (type(value) is int and -9223372036854775808 <= value <= 9223372036854775807) or value is None:
        return value
    return _integer(value, *RANGES[BIGINT], BIGINT)


def take_text(value: Value) -> Value:
    if type(value) is str:
        return check_text(value)
    if value is None:
        return None
    raise _wrong(value, TEXT)


def take_boolean(value: Value) -> Value:
    if value is True or value is False or value is None:
        return value
    raise _wrong(value, BOOLEAN)


# For each type the function that returns a parameter's value, or raises.
TAKE: dict[str, Callable[[Value], Value]] = {
    INT: take_int,
    BIGINT: take_bigint,
    TEXT: take_text,
    BOOLEAN: take_boolean,
}
