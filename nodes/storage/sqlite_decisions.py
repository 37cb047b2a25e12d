"""The store of a coordinator group: decisions, which of them are not done, client keys, and how far all is forgotten.

It is written in batches (nodes/core/txn/decisions.py), so that a decision costs little; between two batches the log and
the memory of the state machine hold what is newer.

*Invariants*: see `sqlite_store.py`; a batch moves the applied slot over everything that it holds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from nodes import ids
from nodes.core.engine import HomeMarks
from nodes.storage.sqlite_store import SqliteStore

_TABLES = """
CREATE TABLE decision (txn BLOB PRIMARY KEY, record BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE undone (txn BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE client_key (key BLOB PRIMARY KEY, date INTEGER NOT NULL, record BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX client_key_date ON client_key (date);
CREATE TABLE marks (one INTEGER PRIMARY KEY CHECK (one = 1), reserved INTEGER NOT NULL, forgotten INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;
INSERT INTO marks VALUES (1, 0, 0);
"""


class SqliteDecisions(SqliteStore):
    """`Decisions` of nodes/core/engine.py over one SQLite file, or in memory (`path` None)."""

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.thread_time) -> None:
        super().__init__(path, _TABLES, clock)

    def marks(self) -> HomeMarks:
        ((reserved, forgotten),) = self._main.execute("SELECT reserved, forgotten FROM marks")
        return HomeMarks(reserved, forgotten)

    def undone(self) -> Iterator[tuple[bytes, bytes]]:
        """Ids and records of the commits that are not done, in the order of their ids."""
        sql = "SELECT txn, record FROM undone JOIN decision USING (txn) ORDER BY txn"
        return iter(list(self._main.execute(sql)))

    def decision(self, txn: bytes) -> bytes | None:
        for (record,) in list(self._main.execute("SELECT record FROM decision WHERE txn = ?", (txn,))):
            return bytes(record)
        return None

    def newest(self) -> int:
        ((txn,),) = self._main.execute("SELECT max(txn) FROM decision")
        ((date,),) = self._main.execute("SELECT max(date) FROM client_key")
        return max(ids.time_of(txn or b""), date or 0)

    def put(
        self, decided: Iterable[tuple[bytes, bytes]], begun: Iterable[bytes], done: Iterable[bytes], marks: HomeMarks
    ) -> None:
        """Between `begin` and `commit`: new decisions, which of them are not done, which older ones are."""
        self._many("INSERT INTO decision VALUES (?, ?)", decided)
        self._many("INSERT INTO undone VALUES (?)", ((txn,) for txn in begun))
        self._many("DELETE FROM undone WHERE txn = ?", ((txn,) for txn in done))
        self._apply("UPDATE marks SET reserved = ?, forgotten = ?", (marks.reserved, marks.forgotten))

    def key(self, key: bytes) -> bytes | None:
        for (record,) in list(self._main.execute("SELECT record FROM client_key WHERE key = ?", (key,))):
            return bytes(record)
        return None

    def put_keys(self, records: Iterable[tuple[bytes, int, bytes]]) -> None:
        self._many("INSERT OR REPLACE INTO client_key VALUES (?, ?, ?)", records)

    def forget(self, most: int) -> bool:
        forgotten = self.marks().forgotten
        bound = (forgotten + 1).to_bytes(8, "big")  # ids begin with their time
        decisions = "SELECT txn FROM decision WHERE txn < ? ORDER BY txn LIMIT ?"
        keys = "SELECT key FROM client_key WHERE date <= ? ORDER BY date LIMIT ?"
        self.begin()
        try:
            self._apply(f"DELETE FROM decision WHERE txn IN ({decisions})", (bound, most))
            removed = self._main.db.changes()
            self._apply(f"DELETE FROM client_key WHERE key IN ({keys})", (forgotten, most))
            removed = max(removed, self._main.db.changes())
            self.commit()
        except BaseException:
            self.rollback()
            raise
        return removed >= most
