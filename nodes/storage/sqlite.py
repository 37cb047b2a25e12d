"""The embedded engine: one SQLite database per shard replica, through apsw (DESIGN.md §3).

One connection applies and evaluates, so that its page cache stays warm; snapshot reads of a file go through
connections of their own, one per calling thread.

*Invariants*: see `nodes/core/engine.py` and `sqlite_store.py`. Every evaluation ends in ROLLBACK.
*Left out*: secondary indexes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw

from nodes.core.engine import Evaluation, Marks
from nodes.errors import ErrorInfo, ExpectationFailed, ReplicaStopped, SnapshotTooOld, StoreError, TooLarge, Unavailable
from nodes.sql.schema import Ddl, Fragment, Image, ShardRows, TableDef
from nodes.storage import sqlite_tables
from nodes.storage.images import Change, net_images
from nodes.storage.sqlite_connection import SqliteConnection
from nodes.storage.sqlite_errors import BROKEN, FAULTS, describe
from nodes.storage.sqlite_install import install, stage
from nodes.storage.sqlite_sandbox import NOTHING
from nodes.storage.sqlite_store import SqliteStore
from nodes.storage.sqlite_tables import SqliteTables

IMAGES = 10_000
INTERRUPT_S = 0.02

_ENGINE_TABLES = """
CREATE TABLE engine_prepared (txn BLOB PRIMARY KEY, record BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE engine_outcome (txn BLOB PRIMARY KEY, record BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE engine_home_outcome (txn BLOB PRIMARY KEY, record BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE engine_marks (one INTEGER PRIMARY KEY CHECK (one = 1), late INTEGER NOT NULL, home INTEGER NOT NULL,
    horizon INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO engine_marks VALUES (1, 0, 0, 0);
"""
_OUTCOMES = {False: "engine_outcome", True: "engine_home_outcome"}
_PUT_OUTCOME = {home: f"INSERT OR REPLACE INTO {table} VALUES (?, ?)" for home, table in _OUTCOMES.items()}
_OUTCOME = {home: f"SELECT record FROM {table} WHERE txn = ?" for home, table in _OUTCOMES.items()}


class Reader:
    """The connection that one thread reads through."""

    def __init__(self, connection: SqliteConnection) -> None:
        self.connection = connection
        self.in_use = threading.Lock()
        self.is_closed = False

    def close(self, is_own: bool) -> None:
        """From any thread. `is_own`: the connection goes, too."""
        self.is_closed = True
        while not self.in_use.acquire(timeout=INTERRUPT_S):
            self.connection.db.interrupt()  # of no effect between two statements of a read, so it is repeated
        if is_own:
            self.connection.close()
        self.in_use.release()


class SqliteEngine(SqliteStore):
    """An Engine over one SQLite file, or in memory (`path` None), where reads share the one connection.

    `clock` gives seconds for the budget of evaluations: CPU time, for a busy machine is no statement's fault.
    Corrupt if the file is not this engine's.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.thread_time) -> None:
        self._readers: list[Reader] = []
        self._readers_lock = threading.Lock()
        self._reader_here = threading.local()
        self._changes: list[Change] = []
        super().__init__(path, sqlite_tables.DDL + _ENGINE_TABLES, clock)

    def _load(self) -> None:
        super()._load()
        self._tables = SqliteTables(self._main)
        ((late, home, horizon),) = self._main.execute("SELECT late, home, horizon FROM engine_marks")
        self._marks = Marks(late, home, horizon, self._largest_ts)
        self._committed = self._marks

    # -- what is known
    @property
    def catalog_version(self) -> int:
        return self._tables.version

    def table(self, table: int) -> TableDef | None:
        layout = self._tables.layouts.get(table)
        return layout.table if layout else None

    def tables(self) -> list[TableDef]:
        return [layout.table for layout in self._tables.layouts.values()]

    def check_version(self, table: int, version: int, ts: int) -> bool:
        return self._tables.check_version(table, version, ts)

    # -- apply
    def commit(self) -> None:
        super().commit()
        self._committed = self._marks
        self._tables.keep()

    def rollback(self) -> None:
        super().rollback()
        self._marks = self._committed
        self._tables.restore()

    def install(self, images: Sequence[Image], commit_ts: int) -> None:
        assert self._applying, "images are installed between begin and commit"
        try:
            install(self._main, self._tables.layouts, images, commit_ts)
        except ReplicaStopped as stopped:
            self._failed = str(stopped)
            raise

    def define(self, ddl: Ddl, commit_ts: int) -> None:
        """ReplicaStopped if it does not fit the tables that are there or SQLite refuses the definition."""
        assert self._applying, "tables are defined between begin and commit"
        try:
            self._tables.define(ddl, commit_ts)
        except (apsw.Error, ReplicaStopped) as error:
            raise self._fail(str(error)) from error

    def put_prepared(self, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Keep or replace the records."""
        self._many("INSERT OR REPLACE INTO engine_prepared VALUES (?, ?)", records)

    def drop_prepared(self, txns: Iterable[bytes]) -> None:
        self._many("DELETE FROM engine_prepared WHERE txn = ?", ((txn,) for txn in txns))

    def prepared(self) -> Iterator[tuple[bytes, bytes]]:
        """All prepared transactions, in the order of their ids."""
        return iter(list(self._main.execute("SELECT txn, record FROM engine_prepared ORDER BY txn")))

    def put_outcomes(self, records: Iterable[tuple[bytes, bytes]], at_home: bool) -> None:
        """Keep or replace the records: which outcome is the first is the state machine's to know."""
        self._many(_PUT_OUTCOME[at_home], records)

    def outcome(self, txn: bytes, at_home: bool) -> bytes | None:
        for (record,) in list(self._main.execute(_OUTCOME[at_home], (txn,))):
            return bytes(record)
        return None

    def newest_outcome(self) -> bytes:
        union = " UNION ALL ".join(f"SELECT max(txn) AS txn FROM {table}" for table in _OUTCOMES.values())
        ((newest,),) = self._main.execute(f"SELECT max(txn) FROM ({union})")
        return bytes(newest or b"")

    @property
    def marks(self) -> Marks:
        return self._marks

    def set_marks(self, marks: Marks) -> None:
        assert self._applying, "marks are moved between begin and commit"
        seldom = (marks.late, marks.home, marks.horizon)
        if seldom != (self._marks.late, self._marks.home, self._marks.horizon):
            self._apply("UPDATE engine_marks SET late = ?, home = ?, horizon = ?", seldom)
        self._newest_ts = marks.largest_ts  # written with the applied slot
        self._marks = marks

    # -- forget
    def forget(self, most: int) -> bool:
        """See Engine. What goes lies below the marks, so nothing can show at which moment it goes."""
        assert not self._applying, "nothing is forgotten between begin and commit"
        left = most
        self.begin()
        try:
            for sql, bound in self._forgotten():
                if left > 0:
                    self._apply(sql, (bound, left))
                    left -= self._main.db.changes()
            if left > 0:  # then nothing is left in the tables that were dropped
                self._tables.remove_dropped(self._marks.horizon)
            self.commit()
        except BaseException:
            self.rollback()
            raise
        return left <= 0

    def _forgotten(self) -> Iterator[tuple[str, bytes | int]]:
        """Statements that remove something; their parameters are a bound and a count."""
        marks = self._marks
        for at_home, table in _OUTCOMES.items():
            oldest_kept = (marks.home if at_home else marks.late) + 1  # ids begin with their time
            chosen = f"SELECT txn FROM {table} WHERE txn < ? ORDER BY txn LIMIT ?"
            yield f"DELETE FROM {table} WHERE txn IN ({chosen})", oldest_kept.to_bytes(8, "big")
        for sql in self._tables.forgotten(marks.horizon):
            yield sql, marks.horizon

    # -- evaluate
    def evaluate(self, fragments: Sequence[Fragment], budget_ms: float, earlier: Sequence[Image] = ()) -> Evaluation:
        """See Engine. ReplicaStopped if the file or the machine fails, whatever the client sent."""
        assert not self._applying, "nothing is evaluated between begin and commit"
        main, changes = self._main, self._changes
        statement, rows = -1, []
        try:
            main.execute("BEGIN")
            if earlier:
                stage(main, self._tables.layouts, earlier)
            main.sandbox.start(budget_ms)
            main.db.preupdate_hook(self._on_change)
            for fragment in fragments:
                statement = fragment.statement
                rows.append(self._run(fragment))
            return Evaluation(rows, net_images(changes, self._tables.by_name, earlier))
        except BROKEN as error:
            raise ReplicaStopped(f"SQLite failed in an evaluation: {error}") from error
        except FAULTS as error:
            return Evaluation([], [], describe(error, self._tables.by_name, statement))
        finally:
            main.db.preupdate_hook(None)
            changes.clear()
            main.sandbox.open()
            self._roll_back()

    def _on_change(self, change: apsw.PreUpdate) -> None:
        self._changes.append((change.table_name, change.old, change.new))

    def _run(self, fragment: Fragment) -> ShardRows:
        """One fragment inside the evaluation; FAULTS for what it does wrong."""
        if fragment.ddl is not None:
            self._main.db.preupdate_hook(None)  # SQLite's own tables give no images
            self._tables.attempt(fragment.ddl)
            self._main.db.preupdate_hook(self._on_change)
        if not fragment.sql:
            return ShardRows([], 0)
        if fragment.writes:
            rows = self._main.run(fragment.sql, fragment.params, fragment.tables)
            count = self._main.db.changes()
            if len(self._changes) > IMAGES:
                raise TooLarge(f"the statements change over {IMAGES} rows")
        else:
            rows = self._main.run(fragment.sql, fragment.params, NOTHING)
            count = len(rows)
        if 0 <= fragment.expect_rows != count:
            raise ExpectationFailed.of_rows(fragment.expect_rows, count)
        if self._main.sandbox.expired():
            raise TooLarge("canceling statement due to the evaluation budget", sqlstate="57014")
        return ShardRows(rows, count)

    # -- read
    def read(self, fragment: Fragment, ts: int) -> ShardRows:
        """See Engine; in memory it sees what is not committed yet, so it belongs outside begin and commit there."""
        reader = self._reader()
        with reader.in_use:
            if not reader.is_closed:
                try:
                    rows = self._read(reader.connection, fragment, ts)
                    return ShardRows(rows, len(rows))
                except StoreError:
                    if not reader.is_closed:
                        raise
        raise Unavailable("the replica was closed while it was to be read; nothing happened")

    def _read(self, reader: SqliteConnection, fragment: Fragment, ts: int) -> list[list[Any]]:
        try:
            reader.execute("BEGIN")
            self._refuse_below_horizon(reader, fragment, ts)
            params = [*fragment.params, ts] if fragment.tables else fragment.params
            return reader.run(fragment.snapshot_sql, params, NOTHING)
        except BROKEN as error:
            raise ReplicaStopped(f"SQLite failed in a read: {error}") from error
        except FAULTS as error:
            raise StoreError.of(self._told(error, fragment.statement)) from error
        finally:
            if reader.db.in_transaction:
                reader.execute("COMMIT")

    def _refuse_below_horizon(self, reader: SqliteConnection, fragment: Fragment, ts: int) -> None:
        """In the read's own local transaction, so that no pruning comes between."""
        ((horizon,),) = reader.execute("SELECT horizon FROM engine_marks")
        if fragment.tables and ts < horizon:
            words = f"the snapshot at {ts} is too old: history is kept from {horizon} on; read at a later time"
            raise SnapshotTooOld(words, statement=fragment.statement)

    def _told(self, error: Exception, statement: int) -> ErrorInfo:
        return describe(error, self._tables.by_name, statement)

    def _reader(self) -> Reader:
        """This thread's, opened when it is first needed."""
        reader: Reader | None = getattr(self._reader_here, "reader", None)
        if reader is None:
            in_memory = self._path is None
            connection = self._main if in_memory else SqliteConnection(self._path, self._clock, reader=True)
            reader = self._reader_here.reader = Reader(connection)
            with self._readers_lock:
                self._readers.append(reader)
        return reader

    def close(self) -> None:
        """Close all connections; the last one closed checkpoints the WAL. Reads that run are interrupted."""
        with self._readers_lock:
            for reader in self._readers:
                reader.close(is_own=self._path is not None)
            self._readers.clear()
        super().close()
