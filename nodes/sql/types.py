"""SQL types: which there are, what text of unknown type means in each, which parameter values each takes and what a
result gives.

NUMERIC is a type of constants and of results of SUM and AVG only; UNKNOWN is the type of a quoted literal, NULL or
parameter before its context gives it one, as in PostgreSQL. A value has two forms: the engine's, in rows, images and
plans, and the client's, in parameters and results (docs/sql.md has the table).
*Invariants*: a parameter's value is never coerced (but a decimal string is an integer, as JSON needs it).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime

from nodes.errors import BadRequest
from nodes.requests import Value
from nodes.sql import binaries, doubles, moments, numerics, semantics
from nodes.sql.schema import BIGINT, BOOLEAN, BYTEA, DOUBLE, INT, TEXT, TIMESTAMPTZ, UUID

NUMERIC, UNKNOWN = "NUMERIC", "UNKNOWN"

INTEGERS = (INT, BIGINT)
NUMBERS = (INT, BIGINT, NUMERIC, DOUBLE)  # each widens to the next ones by itself

# What PostgreSQL calls them in its messages.
WORDS = {
    INT: "integer",
    BIGINT: "bigint",
    TEXT: "text",
    BOOLEAN: "boolean",
    NUMERIC: "numeric",
    DOUBLE: "double precision",
    BYTEA: "bytea",
    UUID: "uuid",
    TIMESTAMPTZ: "timestamp with time zone",
    UNKNOWN: "unknown",
}

RANGES = {
    INT: (semantics.INT_MIN, semantics.INT_MAX),
    BIGINT: (semantics.BIGINT_MIN, semantics.BIGINT_MAX),
}

# The SQL function that is PostgreSQL's input function of a type, and in Python.
FROM_TEXT: dict[str, tuple[str, Callable[[str], Value]]] = {
    INT: ("pg_text_to_int4", semantics.text_to_int4),
    BIGINT: ("pg_text_to_int8", semantics.text_to_int8),
    BOOLEAN: ("pg_text_to_boolean", lambda text: bool(semantics.text_to_boolean(text))),
    NUMERIC: ("pg_text_to_numeric", numerics.text_to_numeric),
    DOUBLE: ("pg_text_to_double", doubles.text_to_double),
    BYTEA: ("pg_text_to_bytes", binaries.text_to_bytes),
    UUID: ("pg_text_to_uuid", binaries.text_to_uuid),
    TIMESTAMPTZ: ("pg_text_to_moment", moments.text_to_moment),
}


def from_text(text: str, to: str) -> Value:
    """What a quoted literal means as a value of type `to`; 22P02, 22003 and others of the type's input function."""
    return text if to == TEXT else FROM_TEXT[to][1](text)


def widens(found: str, to: str) -> bool:
    """Does a number of one type become one of the other by itself?"""
    return found in NUMBERS and to in NUMBERS and NUMBERS.index(found) < NUMBERS.index(to)


def wider(one: str, other: str) -> str:
    """The type in which two numbers meet."""
    return max(one, other, key=NUMBERS.index)


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


def take_double(value: Value) -> Value:
    if value is None:
        return None
    if type(value) is float:
        return doubles.stored(value)
    if type(value) is int:
        try:
            return float(value)
        except OverflowError as error:
            raise BadRequest("double precision out of range", sqlstate="22003") from error
    if type(value) is str and value in doubles.NAMES:
        return doubles.NAMES[value]
    raise _wrong(value, DOUBLE)


def take_numeric(value: Value) -> Value:
    """Text, or a number as it is written."""
    if value is None:
        return None
    if type(value) in (int, float):
        value = repr(value)
    if type(value) is str:
        return numerics.text_to_numeric(check_text(value))
    raise _wrong(value, NUMERIC)


def take_bytea(value: Value) -> Value:
    """Bytes, or base64 as JSON carries them."""
    if type(value) is bytes or value is None:
        return value
    if type(value) is str:
        return binaries.from_base64(value)
    raise _wrong(value, BYTEA)


def take_uuid(value: Value) -> Value:
    if value is None:
        return None
    if type(value) is str:
        return binaries.text_to_uuid(check_text(value))
    raise _wrong(value, UUID)


def take_timestamptz(value: Value) -> Value:
    """An aware datetime, or text as a literal has it."""
    if value is None:
        return None
    if type(value) is str:
        return moments.text_to_moment(check_text(value))
    if isinstance(value, datetime) and value.tzinfo is not None:
        return moments.from_datetime(value)
    raise _wrong(value, TIMESTAMPTZ)


# For each type the function that returns a parameter's value in the engine's form, or raises.
TAKE: dict[str, Callable[[Value], Value]] = {
    INT: take_int,
    BIGINT: take_bigint,
    TEXT: take_text,
    BOOLEAN: take_boolean,
    NUMERIC: take_numeric,
    DOUBLE: take_double,
    BYTEA: take_bytea,
    UUID: take_uuid,
    TIMESTAMPTZ: take_timestamptz,
}

# The types whose engine's form is not what a client gets, NULL aside.
GIVE: dict[str, Callable[[Value], Value]] = {
    BOOLEAN: bool,
    DOUBLE: lambda value: math.nan if value == doubles.NAN else value,
    TIMESTAMPTZ: moments.to_datetime,
}
