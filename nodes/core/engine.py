"""What a shard replica asks of its local SQL database (DESIGN.md §3).

An engine holds everything the shard's state machine knows: rows and history of its tables, prepared transactions,
outcomes, the applied slot. Two kinds of work never mix in one local transaction:

* **apply**: `begin`, any number of (`install`, `define`, `put_*`), an `advance` for each entry, which moves the applied
  slot from n to n+1, `commit`: many entries share one local transaction.
* **forget**: what the marks allow, bit by bit, in a local transaction of its own that moves no slot.
* **evaluate**: inside a local transaction of its own that is always rolled back.

*Invariants*: an image finds exactly the version it names or `install` raises `ReplicaStopped` and nothing is
committed; `_ts` rises per row; history intervals `[_ts, _end)` touch and never overlap.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import msgspec

from nodes.core.membership import Configuration, Members
from nodes.errors import ErrorInfo
from nodes.sql.schema import Ddl, Fragment, Image, ShardRows, TableDef


class Evaluation(msgspec.Struct):
    """What evaluating fragments in order gave: rows per fragment, and the net images of all of them together.

    `error` is set, and then nothing else counts, when a statement failed: a constraint (23505, 23502, 23514), a range
    (22003), division by zero (22012), `expect_rows` (code expectation_failed), the budget (57014 …);
    `error.statement` is the fragment's statement number.
    """

    rows: list[ShardRows]
    images: list[Image]
    error: ErrorInfo | None = None


class Marks(msgspec.Struct, array_like=True, frozen=True):
    """How far a shard has forgotten, in oracle timestamps; they never fall.

    Ids dated at or below `late` that are unknown here will never run here. Of transactions whose home this shard is,
    outcomes dated at or below `home` are gone, of others those at or below `late`. Versions that ended at or below
    `horizon` are gone. `largest_ts` is the largest commit_ts applied.
    """

    late: int = 0
    home: int = 0
    horizon: int = 0
    largest_ts: int = 0


class Copy(Protocol):
    """One consistent copy of a store, as bytes that no later commit changes."""

    size: int

    def read(self, offset: int, most: int) -> bytes: ...
    def close(self) -> None: ...


class Store(Protocol):
    """The local database of one replica: everything that its state machine knows, as of the applied slot.

    Not thread safe, but for `sync` and `copy`, which belong into a thread. It may lose its last commits, alone and from
    the end, but for what `sync` has confirmed.
    """

    @property
    def applied(self) -> int:
        """The applied slot as of the last commit (0: none)."""

    @property
    def epoch(self) -> int:
        """The newest epoch among the entries applied, as of the last commit."""

    @property
    def configuration(self) -> Configuration | None:
        """The members of the group as of the last commit; None: those of its founding."""

    def begin(self) -> None: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def set_members(self, slot: int, members: Members) -> None:
        """The entry at `slot`, applied in this local transaction, changed the members."""

    def advance(self, slot: int, epoch: int) -> None:
        """An entry is applied in this local transaction. ReplicaStopped unless the applied slot is slot - 1."""

    def sync(self) -> int:
        """Makes durable what was committed when it began: the applied slot of then; 0 when that could not be had."""

    def copy(self) -> Copy: ...
    def close(self) -> None: ...


class HomeMarks(msgspec.Struct, array_like=True, frozen=True):
    """Of a coordinator group, in oracle timestamps; they never fall. `reserved`: the oracle gave nothing above it.
    `forgotten`: decisions on ids dated at or below it are gone, and an unknown one is not taken any more."""

    reserved: int = 0
    forgotten: int = 0


class Decisions(Store, Protocol):
    """A coordinator group's store."""

    def marks(self) -> HomeMarks: ...
    def undone(self) -> Iterator[tuple[bytes, bytes]]:
        """Ids and records of the commits that are not done."""

    def decision(self, txn: bytes) -> bytes | None: ...
    def newest(self) -> int:
        """The greatest date of a decision's id or of a key; 0 if there is none."""

    def put(
        self, decided: Iterable[tuple[bytes, bytes]], begun: Iterable[bytes], done: Iterable[bytes], marks: HomeMarks
    ) -> None: ...
    def key(self, key: bytes) -> bytes | None: ...
    def put_keys(self, records: Iterable[tuple[bytes, int, bytes]]) -> None:
        """Client keys with their dates and records; a newer record replaces an older one."""

    def forget(self, most: int) -> bool:
        """Remove at most `most` of each kind that lies at or below the mark; True if there may be more."""


class Incoming(Protocol):
    """A copy of another replica's store on its way in."""

    def write(self, offset: int, data: bytes) -> None: ...
    def seal(self) -> None:
        """All of it is written: make it durable. In a thread."""

    def install(self) -> Store:
        """It is the group's store from now on, durably."""

    def discard(self) -> None:
        """It is not wanted any more."""


class Stores(Protocol):
    """All stores of a node."""

    def open(self, group: str) -> Store: ...
    def incoming(self, group: str) -> Incoming: ...
    def retire(self, group: str, store: Store) -> None:
        """A store that was replaced is closed and goes. In a thread, for a read may still run on it."""

    def drop(self, group: str, store: Store | None) -> None:
        """This node holds the group no more: its store is closed, and whatever there is of it goes."""


class Engine(Store, Protocol):
    """A shard's store. `read` may run in another thread, too."""

    def table(self, table: int) -> TableDef | None:
        """The definition this shard holds, as of the last apply (uncommitted included)."""

    def tables(self) -> list[TableDef]: ...

    @property
    def catalog_version(self) -> int:
        """That of the newest DDL carried out here (uncommitted included)."""

    def check_version(self, table: int, version: int, ts: int) -> bool:
        """Did this version of the table hold at `ts`? SnapshotTooOld when it began later."""

    # -- apply
    def install(self, images: Sequence[Image], commit_ts: int) -> None: ...
    def define(self, ddl: Ddl, commit_ts: int) -> None:
        """Carry out a DDL. A dropped table's rows stay for snapshots from before."""

    def put_prepared(self, records: Iterable[tuple[bytes, bytes]]) -> None: ...
    def drop_prepared(self, txns: Iterable[bytes]) -> None: ...
    def prepared(self) -> Iterator[tuple[bytes, bytes]]: ...
    def put_outcomes(self, records: Iterable[tuple[bytes, bytes]], at_home: bool) -> None:
        """`at_home`: this shard is the transactions' home, so that their records are kept for longer."""

    def outcome(self, txn: bytes, at_home: bool) -> bytes | None: ...
    def newest_outcome(self) -> bytes:
        """The greatest id with a record, b"" if there is none."""

    @property
    def marks(self) -> Marks: ...
    def set_marks(self, marks: Marks) -> None: ...

    # -- forget
    def forget(self, most: int) -> bool:
        """Remove at most `most` of what lies at or below the marks; True if there may be more."""

    # -- evaluate and read
    def evaluate(self, fragments: Sequence[Fragment], budget_ms: float, earlier: Sequence[Image] = ()) -> Evaluation:
        """`earlier`: images that an evaluation of the same transaction gave; this one goes on from there, and its
        images are those of both. Never raises for what a client sent. Not to be called between begin and commit."""

    def read(self, fragment: Fragment, ts: int) -> ShardRows:
        """A snapshot read at `ts` (`fragment.snapshot_sql`), in a local transaction and on a connection of its own.
        StoreError for what the statement itself does wrong (division by zero …), for results over the bound, and for
        a `ts` below the horizon."""
