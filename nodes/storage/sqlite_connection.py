"""A connection to a replica's SQLite file, set up the one way in which this store uses it.

*Invariants*: a connection never runs a user's text outside its sandbox, and collects no result over the bounds of
DESIGN.md §8. There are many small files per process, so caches are small and grow only with use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import apsw

from nodes.errors import Corrupt, TooLarge
from nodes.sql import functions
from nodes.storage.sqlite_sandbox import USER_TEXT, Sandbox

RESULT_ROWS, RESULT_BYTES = 10_000, 8 << 20

_STATEMENTS_KEPT = 256
_WRITER_CACHE_KIB, _READER_CACHE_KIB = 4_096, 1_024
_CHECKPOINT_PAGES = 4_000  # 16 MiB of WAL: a checkpoint syncs, so it should be rare
_WAL_KEPT_BYTES = 32 << 20
_BUSY_MS = 5_000
_VALUE_BYTES = 16 << 20  # a statement must not build in memory what no result may carry


class SqliteConnection:
    """`db` is apsw's connection, `execute` runs the engine's own statements on a cursor that is kept."""

    __slots__ = ("cursor", "db", "execute", "sandbox")

    def __init__(self, path: Path | None, clock: Callable[[], float], *, reader: bool = False) -> None:
        """Corrupt if the file is no SQLite database."""
        flags = apsw.SQLITE_OPEN_READWRITE | (0 if reader else apsw.SQLITE_OPEN_CREATE)
        self.db = apsw.Connection(str(path or ":memory:"), flags=flags, statementcachesize=_STATEMENTS_KEPT)
        self.db.set_busy_timeout(_BUSY_MS)
        try:
            self._configure(reader)
        except (apsw.NotADBError, apsw.CorruptError) as error:
            self.db.close(True)
            raise Corrupt(f"{path} is no sound SQLite database: {error}") from error
        functions.register(self.db)
        self.sandbox = Sandbox(self.db, clock)
        self.cursor = self.db.cursor()
        self.execute = self.cursor.execute

    def _configure(self, reader: bool) -> None:
        db = self.db
        if not reader:
            db.pragma("journal_mode", "wal")
            db.pragma("synchronous", "NORMAL")
            db.pragma("journal_size_limit", _WAL_KEPT_BYTES)
            db.wal_autocheckpoint(_CHECKPOINT_PAGES)
        db.pragma("cache_size", -(_READER_CACHE_KIB if reader else _WRITER_CACHE_KIB))
        db.pragma("temp_store", "MEMORY")
        db.pragma("query_only", reader)
        # An unknown "name" is an error, as in PostgreSQL, and never a string.
        db.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
        db.config(apsw.SQLITE_DBCONFIG_DQS_DDL, 0)
        # A text keeps its plan whatever is bound: without this SQLite prepares many texts anew at every call (measured:
        # an INSERT with a sub-select takes 40 us instead of 6).
        db.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        db.limit(apsw.SQLITE_LIMIT_ATTACHED, 0)
        db.limit(apsw.SQLITE_LIMIT_LENGTH, _VALUE_BYTES)

    def run(self, sql: str, params: Any, writable: Sequence[tuple[int, int]]) -> list[list[Any]]:
        """A user's statement to its end. FAULTS for what it does wrong, TooLarge over the bounds of a result."""
        self.sandbox.close(writable)
        try:
            return collected(self.execute(sql, params, prepare_flags=USER_TEXT))
        except BaseException:
            # What is left of a failed statement must not meet the next one on this cursor.
            self.cursor.close(True)
            self.cursor = self.db.cursor()
            self.execute = self.cursor.execute
            raise
        finally:
            self.sandbox.closed = False

    def close(self) -> None:
        self.db.close(True)


def collected(found: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """The rows of a result; TooLarge over its bounds."""
    rows: list[list[Any]] = []
    size = 0
    for row in found:
        rows.append(list(row))
        for value in row:
            kind = value.__class__
            size += _size(value) if kind is str else len(value) if kind is bytes else 8
        if len(rows) > RESULT_ROWS or size > RESULT_BYTES:
            raise TooLarge(f"the result is over {RESULT_ROWS} rows or {RESULT_BYTES} bytes")
    return rows


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
