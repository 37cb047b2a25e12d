"""Constant expressions, worked out by the very database that runs the rest (so no second meaning can creep in).

One in-memory database per thread; it holds no tables.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import apsw

from nodes.requests import Value
from nodes.sql.functions import register

_local = threading.local()


def _connection() -> apsw.Connection:
    connection: apsw.Connection | None = getattr(_local, "connection", None)
    if connection is None:
        connection = _local.connection = apsw.Connection(":memory:")
        register(connection)
    return connection


def evaluate(expressions: str, params: Sequence[Value] = ()) -> list[Value]:
    """The values of `expressions` (engine dialect, comma between); `?1`.. are `params`. Raises what they raise."""
    row = _connection().execute(f"SELECT {expressions}", tuple(params)).fetchone()
    assert row is not None, "a SELECT without FROM and WHERE gives one row"
    return list(row)
