"""`as_of` of a request in words: which past a read is of (DESIGN.md §5, AS OF).

    "115640483…"                     an oracle timestamp, as replies name them
    "-5s", "-1500ms", "-2m", "-1h"   so long before now
    "2026-11-27T18:00:00Z"           a time of day, with its offset: what was committed before it

Times are the oracle's. A timestamp above all that were drawn is no past, for what is read at it could still change: it
is waited for if it comes within a second, for the oracle goes a little behind the clocks, and refused else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from nodes import ids
from nodes.core.oracle import at_ms
from nodes.errors import BadRequest

MAX_CHARACTERS = 64
MAX_TIMESTAMP = 2**63 - 1
SOON_MS = 1_000

_TIMESTAMP = re.compile(r"[0-9]{1,19}", re.ASCII)
_AGO = re.compile(r"-([0-9]{1,12})(ms|s|m|h)", re.ASCII)
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}


@dataclass(frozen=True)
class AsOf:
    """The timestamp `ts`, or, if that is 0, `ago_ms` milliseconds before now; not below `session_token`."""

    ts: int = 0
    ago_ms: int = 0
    session_token: int = 0

    def comes_soon(self, newest: int) -> bool:
        """Not past yet, but worth to be waited for."""
        return newest < self.ts <= newest + at_ms(SOON_MS)

    def at(self, newest: int) -> int:
        """The timestamp to read at, when `newest` was just drawn; BadRequest if it lies after that, or below the
        token."""
        if self.ts > newest:
            words = f"as_of is {self.ts}, and the newest timestamp is {newest}: only the past can be read again"
            raise BadRequest(words, sqlstate="22023")
        ts = self.ts or max(1, newest - at_ms(self.ago_ms))
        if ts < self.session_token:
            words = f"as_of is {ts}, which lies below the session token {self.session_token}: leave one of them out"
            raise BadRequest(words, sqlstate="22023")
        return ts


def parse(text: str) -> AsOf | None:
    """None for "": now. BadRequest for what is none of the forms."""
    if not text:
        return None
    if _TIMESTAMP.fullmatch(text) and 0 < int(text) <= MAX_TIMESTAMP:
        return AsOf(ts=int(text))
    if (ago := _AGO.fullmatch(text)) is not None:
        return AsOf(ago_ms=int(ago[1]) * _UNIT_MS[ago[2]])
    time = _time(text)
    if time is None or time.utcoffset() is None:
        raise BadRequest(
            f"as_of is {text[:MAX_CHARACTERS]!r}: it is a time with its offset (2026-11-27T18:00:00Z), how long ago"
            ' ("-5s"; ms, s, m or h), or a timestamp of a reply',
            sqlstate="22007",
        )
    return AsOf(ts=max(1, ids.timestamp_at(time)))


def _time(text: str) -> datetime | None:
    if len(text) > MAX_CHARACTERS or "T" not in text:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
