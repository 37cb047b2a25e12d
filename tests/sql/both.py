"""One statement to PostgreSQL and to the store: what each answers, in one form that compares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg import RawCursor

from nodes.errors import StoreError
from tests.sql.store import Store

_TYPES = {
    23: "INT", 20: "BIGINT", 25: "TEXT", 16: "BOOLEAN", 1700: "NUMERIC", 701: "DOUBLE PRECISION", 17: "BYTEA",
    2950: "UUID", 1184: "TIMESTAMPTZ",
}  # fmt: skip
LAST_DIGITS = 1e-12  # in which two orders of adding may differ


class Answer(NamedTuple):
    """`error` is the sqlstate or ""; `columns` are (name, type)."""

    error: str
    columns: list[tuple[str, str]]
    rows: list[list[Any]]
    row_count: int
    message: str = ""


class Postgres:
    """A connection whose statements are undone at the end."""

    def __init__(self, address: str) -> None:
        self.connection = psycopg.connect(address, autocommit=True, cursor_factory=RawCursor, prepare_threshold=None)
        self.connection.execute("SET TimeZone = 'UTC'")

    def ask(self, sql: str, params: Sequence[Any] = (), keep: bool = False) -> Answer:
        """Parameters go as text of unknown type, so that PostgreSQL infers their types as the store does."""
        given = [_as_text(value) for value in params]
        with self.connection.cursor() as cursor:
            cursor.execute("BEGIN")
            try:
                cursor.execute(sql.encode(), given)
                columns = [(column.name, _TYPES.get(column.type_code, "?")) for column in cursor.description or []]
                rows = [list(map(_plain, row)) for row in cursor.fetchall()] if cursor.description else []
                return Answer("", columns, rows, max(cursor.rowcount, 0))
            except psycopg.Error as error:
                return Answer(error.sqlstate or "?", [], [], 0, str(error))
            finally:
                self.connection.execute("COMMIT" if keep else "ROLLBACK")


def _as_text(value: Any) -> str | None:
    if value is None:
        return None
    return "\\x" + value.hex() if isinstance(value, bytes) else str(value)


def _plain(value: Any) -> Any:
    """In a form that compares: NaN equals itself, -0 is not 0, the scale of a NUMERIC counts."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return repr(value) if isinstance(value, float) else str(value) if isinstance(value, UUID) else value


def ask_store(
    store: Store, sql: str, params: Sequence[Any] = (), *, pushdown: bool = True, keep: bool = False
) -> Answer:
    try:
        result = store.execute(sql, params, pushdown=pushdown, keep=keep)
    except StoreError as error:
        return Answer(error.info.sqlstate, [], [], 0, str(error))
    rows = [list(map(_plain, row)) for row in result.rows]
    return Answer("", [(column.name, column.type) for column in result.columns], rows, result.row_count)


def difference(sql: str, theirs: Answer, ours: Answer) -> str:
    """Empty when the answers agree or the store refused; else what differs."""
    if ours.error == "0A000" or (theirs.error and theirs.error == ours.error):
        return ""
    if theirs.error or ours.error:
        return "" if _excused(sql, theirs.error, ours.error) else f"PostgreSQL: {theirs}; store: {ours}"
    ordered = ("ORDER BY" in sql and "DISTINCT" not in sql) or "VALUES" in sql
    mine, yours = (ours.rows, theirs.rows) if ordered else (sorted(ours.rows, key=repr), sorted(theirs.rows, key=repr))
    adds = "sum(" in sql or "avg(" in sql
    same_form = (ours.columns, ours.row_count) == (theirs.columns, theirs.row_count)
    if same_form and (mine == yours or (adds and _same_rows(ours.columns, mine, yours))):
        return ""
    return f"PostgreSQL: {theirs}; store: {ours}"


def _same_rows(columns: list[tuple[str, str]], mine: list[list[Any]], yours: list[list[Any]]) -> bool:
    """A DOUBLE PRECISION may be the sum of others, whose last digits depend in PostgreSQL on the order of the rows."""
    inexact = [type == "DOUBLE PRECISION" for _, type in columns]
    return all(
        one == other or (near and _nearly(one, other))
        for row, another in zip(mine, yours, strict=True)
        for one, other, near in zip(row, another, inexact, strict=True)
    )


def _nearly(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and math.isclose(float(one), float(other), rel_tol=LAST_DIGITS)


def _excused(sql: str, theirs: str, ours: str) -> bool:
    """Of several faults either may be told first; which rows meet a fault at all is for PostgreSQL's planner, unless
    it is one row or all."""
    if theirs and ours:
        return "42601" in (theirs, ours) or {theirs[:2], ours[:2]} <= {"22", "23"}
    one_row = "WHERE id = " in sql or ("WHERE" not in sql and "LIMIT" not in sql and "OFFSET" not in sql)
    return (theirs or ours)[:2] == "22" and not one_row
