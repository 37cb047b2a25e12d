"""Rows of several shards become the one result that one database would have given (DESIGN.md §6).

What remains of a query after pushdown runs in an in-memory database of the shards' own kind. One shard's rows, and
rows whose order says nothing, are only joined.
"""

from __future__ import annotations

import threading

import apsw

from nodes.requests import Result, Value
from nodes.sql.binding import Bound, Given, Merge
from nodes.sql.functions import register
from nodes.sql.schema import ShardRows
from nodes.sql.typed import quote
from nodes.storage.sqlite_connection import collected

_local = threading.local()


def merge(bound: Bound, rows: dict[int, ShardRows]) -> Result:
    """The result of a bound statement from the answers of all its fragments; StoreError for what the rest of the
    query does wrong, and for a result over the bounds."""
    if bound.kind == "ddl":
        return Result()
    plan = bound.merge
    if len(rows) == 1:
        (answer,) = rows.values()
        found, count = answer.rows, answer.row_count
    elif plan.sql:
        found = _query(plan, rows)
        count = len(found)
    else:
        found = _joined(plan, rows)
        count = sum(answer.row_count for answer in rows.values())
    if plan.give:
        found = [_given(row, plan.give) for row in found]
    return Result(list(bound.columns), found, count)


def _given(row: list[Value], give: Given) -> list[Value]:
    """The row in the client's form. A new one: the shard's own may be kept where it came from."""
    row = list(row)
    for position, to_client in give:
        if row[position] is not None:
            row[position] = to_client(row[position])
    return row


def _joined(plan: Merge, rows: dict[int, ShardRows]) -> list[list[Value]]:
    if plan.order is not None and any(answer.rows for answer in rows.values()):
        return collected(rows[shard].rows[place] for shard, place in plan.order)
    return collected(row for shard in sorted(rows) for row in rows[shard].rows)


def _query(plan: Merge, rows: dict[int, ShardRows]) -> list[list[Value]]:
    connection = _connection()
    names = ", ".join(quote(name) for name in plan.names)
    marks = ", ".join("?" * len(plan.names))
    connection.execute(f"CREATE TABLE gathered ({names})")
    cursor = connection.cursor()
    try:
        every = [row for shard in sorted(rows) for row in rows[shard].rows]
        connection.executemany(f"INSERT INTO gathered VALUES ({marks})", every)
        return collected(cursor.execute(plan.sql, tuple(plan.params)))
    finally:
        cursor.close(True)  # a result that is too large is not read to its end
        connection.execute("DROP TABLE gathered")


def _connection() -> apsw.Connection:
    connection: apsw.Connection | None = getattr(_local, "connection", None)
    if connection is None:
        connection = _local.connection = apsw.Connection(":memory:")
        register(connection)
    return connection
