"""What every SQLite file of a replica has, whatever it holds: the applied slot, the way in, the sync and the copy.

The file is in WAL mode with `synchronous=NORMAL`: a crash of the machine may lose the last commits, alone and from the
end, and the journal replays them. `sync` says up to which slot that can no longer happen.

*Invariants*: each local transaction moves the applied slot from n to m over every slot between; after a failed step
nothing commits until `rollback`; what is cached of the file is what its last commit holds, after a rollback too.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import apsw

from nodes.core.membership import Configuration, Members, decode_members, encode_members
from nodes.errors import Corrupt, ReplicaStopped
from nodes.storage.sqlite_connection import SqliteConnection

FORMAT = 4

_STATE_TABLE = """
CREATE TABLE engine_state (one INTEGER PRIMARY KEY CHECK (one = 1), format INTEGER NOT NULL, applied INTEGER NOT NULL,
    epoch INTEGER NOT NULL, largest_ts INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"""
# Made when the members change first: files of the founding have none.
_MEMBERS_TABLE = """
CREATE TABLE IF NOT EXISTS group_members (one INTEGER PRIMARY KEY CHECK (one = 1), slot INTEGER NOT NULL,
    members BLOB NOT NULL) STRICT, WITHOUT ROWID;
"""


class SqliteStore:
    """A `Store` of nodes/core/engine.py over one SQLite file, or in memory (`path` None).

    `tables` is the DDL of what else a new file holds. `clock` gives seconds that never fall. Corrupt if the file is not
    of this format.
    """

    def __init__(self, path: Path | None, tables: str, clock: Callable[[], float] = time.thread_time) -> None:
        self._path, self._clock = path, clock
        self._main = SqliteConnection(path, clock)
        self._copies = 0
        self._copying = threading.Lock()
        self._applying = False
        self._failed = ""  # why the local transaction must not commit
        if not list(self._main.execute("SELECT 1 FROM sqlite_master WHERE name = 'engine_state'")):
            self._bootstrap(tables)
        self._load()

    def _bootstrap(self, tables: str) -> None:
        execute = self._main.execute
        execute("BEGIN IMMEDIATE")
        execute(_STATE_TABLE + tables)
        execute("INSERT INTO engine_state VALUES (1, ?, 0, 0, 0)", (FORMAT,))
        execute("COMMIT")

    def _load(self) -> None:
        """Read what is cached."""
        formats = list(self._main.execute("SELECT format FROM engine_state"))
        if formats != [(FORMAT,)]:
            words = f"this program reads {FORMAT}: start the version that wrote it, or make its home anew"
            raise Corrupt(f"{self._path} has engine format {formats[0][0] if formats else 'none'}, {words}")
        self._applied: int
        self._epoch: int
        self._largest_ts: int  # the largest commit_ts applied, where there are any: it moves with nearly every commit
        state = self._main.execute("SELECT applied, epoch, largest_ts FROM engine_state")
        ((self._applied, self._epoch, self._largest_ts),) = state
        self._slot, self._newest = self._applied, self._epoch  # as of the last `advance`
        self._newest_ts = self._largest_ts
        self._configuration = self._changed = self._read_members()

    def _read_members(self) -> Configuration | None:
        if not list(self._main.execute("SELECT 1 FROM sqlite_master WHERE name = 'group_members'")):
            return None
        ((slot, members),) = self._main.execute("SELECT slot, members FROM group_members")
        return Configuration(slot, decode_members(bytes(members)))

    # -- what is known
    @property
    def applied(self) -> int:
        return self._applied

    @property
    def epoch(self) -> int:
        return self._epoch

    @property
    def configuration(self) -> Configuration | None:
        return self._configuration

    # -- apply
    def begin(self) -> None:
        assert not self._applying, "a local transaction is open already"
        self._apply("BEGIN IMMEDIATE")
        self._applying = True

    def commit(self) -> None:
        """ReplicaStopped if a step of this local transaction failed, or SQLite cannot commit; then `rollback`."""
        assert self._applying, "there is no local transaction to commit"
        if self._failed:
            raise ReplicaStopped(f"nothing can be committed after: {self._failed}")
        if self._slot != self._applied or self._newest_ts != self._largest_ts:
            moved = (self._slot, self._newest, self._newest_ts, self._applied)
            self._apply("UPDATE engine_state SET applied = ?, epoch = ?, largest_ts = ? WHERE applied = ?", moved)
            if self._main.db.changes() != 1:
                raise self._fail(f"the file is not at the applied slot {self._applied}")
        self._apply("COMMIT")
        self._applied, self._epoch, self._largest_ts = self._slot, self._newest, self._newest_ts
        self._configuration = self._changed
        self._applying = False

    def rollback(self) -> None:
        """Back to the last commit, caches included. Harmless when SQLite has rolled back by itself."""
        self._roll_back()
        self._slot, self._newest, self._newest_ts = self._applied, self._epoch, self._largest_ts
        self._changed = self._configuration
        self._applying, self._failed = False, ""

    def advance(self, slot: int, epoch: int) -> None:
        assert self._applying, "an entry is applied between begin and commit"
        if slot != self._slot + 1:
            raise self._fail(f"slot {slot} cannot follow the applied slot {self._slot}")
        self._slot, self._newest = slot, max(self._newest, epoch)

    def set_members(self, slot: int, members: Members) -> None:
        assert self._applying, "an entry is applied between begin and commit"
        self._apply(_MEMBERS_TABLE)
        self._apply("INSERT OR REPLACE INTO group_members VALUES (1, ?, ?)", (slot, encode_members(members)))
        self._changed = Configuration(slot, members)

    def _apply(self, sql: str, params: Sequence[Any] = ()) -> None:
        try:
            self._main.execute(sql, params)
        except apsw.Error as error:
            raise self._fail(str(error)) from error

    def _many(self, sql: str, rows: Iterable[tuple[bytes | int, ...]]) -> None:
        """A step of the local transaction, once for each."""
        assert self._applying, "records are kept between begin and commit"
        try:
            self._main.cursor.executemany(sql, rows)
        except apsw.Error as error:
            raise self._fail(str(error)) from error

    def _fail(self, why: str) -> ReplicaStopped:
        self._failed = self._failed or why
        return ReplicaStopped(why)

    def _roll_back(self) -> None:
        if self._main.db.in_transaction:
            self._main.execute("ROLLBACK")

    # -- what outlives a crash of the machine, and what leaves the machine
    def sync(self) -> int:
        """A checkpoint (passive: it holds up nobody) of all that was committed when it began. See Store."""
        applied = self._applied
        if self._path is None:
            return applied
        checkpointer = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            checkpointer.pragma("schema_version")  # only who has read the file knows of its write-ahead log
            frames, moved = checkpointer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.BusyError:  # the apply's own checkpoint runs
            return 0
        finally:
            checkpointer.close()
        return applied if 0 <= frames == moved else 0  # a read of an older state may hold some back

    def copy(self) -> StoreCopy:
        """See Store."""
        if self._path is None:
            return StoreCopy(self._main.db.serialize("main"))
        with self._copying:
            self._copies += 1
            target = self._path.with_name(f"{self._path.name}.copy-{self._copies}")
        target.unlink(missing_ok=True)
        source = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
        copied = apsw.Connection(str(target))
        try:
            copied.pragma("synchronous", "OFF")
            with copied.backup("main", source, "main") as backup:
                backup.step()  # all pages in one read transaction
        finally:
            copied.close()
            source.close()
        return StoreCopy(target)

    def close(self) -> None:
        self._main.close()


class StoreCopy:
    """One consistent copy of a store, as bytes: a file that goes with `close`, or memory."""

    def __init__(self, content: bytes | Path) -> None:
        self._path = content if isinstance(content, Path) else None
        self._bytes = content if isinstance(content, bytes) else b""
        self._fd = os.open(content, os.O_RDONLY) if isinstance(content, Path) else -1
        self.size = os.fstat(self._fd).st_size if self._path else len(self._bytes)

    def read(self, offset: int, most: int) -> bytes:
        """At most `most` bytes from `offset` on."""
        return os.pread(self._fd, most, offset) if self._path else self._bytes[offset : offset + most]

    def close(self) -> None:
        if self._path is not None:
            os.close(self._fd)
            self._path.unlink(missing_ok=True)
            self._path = None
