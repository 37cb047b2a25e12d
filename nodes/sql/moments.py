"""TIMESTAMPTZ: microseconds since 1970-01-01 UTC in the engine, an aware `datetime` in results, ISO 8601 as text.

There is no session, so there is no session's time zone: text is written in UTC, as PostgreSQL does with `TimeZone =
'UTC'`, and a text without an offset is refused rather than guessed.
*Left out*: years outside 1 to 9999, infinity, PostgreSQL's other ways of writing a time, names of time zones.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from nodes.errors import NotSupported
from nodes.sql.semantics import SPACES, SqlError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(?: ?(?:[Zz]|([+-])(\d\d)(?::?(\d\d))?))?",
    re.ASCII,
)
_MAX_OFFSET_HOURS = 15
_WORDS = {"now", "today", "tomorrow", "yesterday", "epoch", "infinity", "-infinity", "allballs"}


def text_to_moment(text: str | None) -> int | None:
    """22007 for what is no time at all, 22008 for a field out of range, 0A000 for what is written in another way."""
    if text is None:
        return None
    word = text.strip(SPACES)
    found = _ISO.fullmatch(word)
    if found is None:
        if any(character.isdigit() for character in word) or word.lower() in _WORDS:
            raise NotSupported(f"the time {text!r:.60}: write ISO 8601 with an offset")
        raise SqlError("22007", f'invalid input syntax for type timestamp with time zone: "{text}"')
    if not found[8] and word[-1] not in "Zz":
        raise NotSupported(f"the time {text!r:.60} without an offset from UTC")
    return _from_fields(text, found)


def _from_fields(text: str, found: re.Match[str]) -> int:
    year, month, day, hour, minute, second = (int(found[i] or 0) for i in range(1, 7))
    micros = round(float(f"0.{found[7] or 0}") * 1_000_000)
    offset_hours, offset_minutes = int(found[9] or 0), int(found[10] or 0)
    if offset_hours > _MAX_OFFSET_HOURS or offset_minutes > 59:
        raise SqlError("22009", f'time zone displacement out of range: "{text}"')
    # PostgreSQL takes the second 60 and the time 24:00.
    if hour > 24 or minute > 59 or second > 60 or (hour == 24 and minute + second + micros):
        raise _out_of_range(text)
    try:
        day_begins = datetime(max(year, 1), month, day, tzinfo=UTC)
    except ValueError as error:
        raise _out_of_range(text) from error
    if not year:
        raise NotSupported("a time outside the years 1 to 9999")
    seconds = hour * 3600 + minute * 60 + second
    offset = (offset_hours * 3600 + offset_minutes * 60) * (-1 if found[8] == "-" else 1)
    return check(from_datetime(day_begins) + (seconds - offset) * 1_000_000 + micros)


def _out_of_range(text: str) -> SqlError:
    return SqlError("22008", f'date/time field value out of range: "{text}"')


def check(micros: int) -> int:
    """Within the years that a datetime has."""
    if not _FIRST <= micros <= _LAST:
        raise NotSupported("a time outside the years 1 to 9999")
    return micros


def from_datetime(value: datetime) -> int:
    """Of an aware datetime."""
    return (value.astimezone(UTC) - _EPOCH) // _MICROSECOND


def to_datetime(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


_FIRST = from_datetime(datetime.min.replace(tzinfo=UTC))
_LAST = from_datetime(datetime.max.replace(tzinfo=UTC))


def moment_to_text(micros: int | None) -> str | None:
    """As PostgreSQL writes it in UTC: no zeros behind the last digit of the fraction."""
    if micros is None:
        return None
    moment = to_datetime(micros)
    text = moment.strftime("%H:%M:%S")
    fraction = f".{moment.microsecond:06d}".rstrip("0") if moment.microsecond else ""
    return f"{moment.year:04d}-{moment.month:02d}-{moment.day:02d} {text}{fraction}+00"


SCALARS: dict[str, tuple[int, Callable[..., Any]]] = {
    "pg_text_to_moment": (1, text_to_moment),
    "pg_moment_to_text": (1, moment_to_text),
}
