"""Tables as every floor sees them: what `s0` keeps as catalog rows, what engines create, what plans are made for.

Every DDL has a version, one above the last: the catalog's. It gives it to the table that it makes or changes; a table
keeps the version that made it as its id, so no id comes twice. A table's *shape* names its physical layout and would
rise with a DDL that rewrites its rows; columns that are added do not, so that plans of the older version still read
older snapshots. Physical names hold table id and shape. Primary key columns are NOT NULL; `shard_by` is part of the
primary key.
"""

from __future__ import annotations

from typing import Any

import msgspec

INT, BIGINT, TEXT, BOOLEAN = "INT", "BIGINT", "TEXT", "BOOLEAN"
DOUBLE, BYTEA, UUID, TIMESTAMPTZ = "DOUBLE PRECISION", "BYTEA", "UUID", "TIMESTAMPTZ"

SHARD_SLOTS = 1024
CATALOG_TABLE = 1  # the id of the system table on s0 that lists all others


class ColumnDef(msgspec.Struct, array_like=True, frozen=True):
    """`default` is a constant in the engine's form, used when `has_default`. `default_is_now`: new rows take the time
    of their transaction instead; `default` is then what rows have that are older than the column."""

    name: str
    type: str
    not_null: bool = False
    has_default: bool = False
    default: Any = None
    default_is_now: bool = False


class CheckDef(msgspec.Struct, array_like=True, frozen=True):
    """A CHECK constraint: its name as PostgreSQL would give it and its expression in the engine's dialect."""

    name: str
    expression: str


class TableDef(msgspec.Struct, array_like=True, frozen=True):
    """`primary_key` and `shard_by` hold positions in `columns`, in key order."""

    id: int
    name: str
    version: int
    shape: int
    columns: tuple[ColumnDef, ...]
    primary_key: tuple[int, ...]
    shard_by: tuple[int, ...]
    checks: tuple[CheckDef, ...] = ()

    @property
    def physical(self) -> str:
        """The current-version table in every engine; its history is `physical + "__history"`."""
        return f"t{self.id}_{self.shape}"


class CreateTable(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """A DDL: the table begins."""

    table: TableDef

    @property
    def version(self) -> int:
        return self.table.version


class AddColumns(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """A DDL: the table's new definition, with `added` columns more at the end of its list than it had."""

    table: TableDef
    added: int

    @property
    def version(self) -> int:
        return self.table.version


class DropTable(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """A DDL: the table with this id ends."""

    table_id: int
    version: int


Ddl = CreateTable | AddColumns | DropTable


class Lock(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A lock that a statement needs: `key` b"" is the whole table on that shard, else `keys.encode` of a full key."""

    table: int
    key: bytes
    mode: str  # IS IX S SIX X


WAIT, NOWAIT, SKIP_LOCKED = range(3)


class RowLocks(msgspec.Struct, array_like=True, frozen=True):
    """What SELECT … FOR UPDATE (`mode` X) or FOR SHARE (S) asks of a shard beside its `locks`: that mode on each row
    that it gives, whose key are the last `keys` values of it, taken off again; `keys` 0: those of the plan are all.
    `wait`: for all of them; NOWAIT: 55P03 unless all are free at once; SKIP_LOCKED: rows that are not are left out, at
    most `limit` of the others are given (-1: all), and `locks` are taken only if they are free, else there are no rows.
    """

    mode: str
    wait: int
    keys: int
    limit: int = -1


class Fragment(msgspec.Struct, array_like=True):
    """What one statement asks of one shard, bound to its parameters.

    `sql` is in the engine's dialect, over the physical tables; parameters `?1`..`?n` are `params`. A fragment that
    only reads has `snapshot_sql` too: the same at a timestamp bound as `?{n+1}`, n = len(params), if it reads a table.
    `tables` are (table id, version) it was planned with. `locks` come from the plan (what the statement looks for, IX
    or IS above included). `ddl` is what a DDL statement does to the shard's tables; `catalog` is the catalog's version
    that it was planned with, which `s0` compares (-1: no matter). `expect_rows` -1: not stated, or to be checked over
    all shards by the gateway. `point`: it reads or writes by full key only. With `rows` it is a SELECT that locks them;
    that of a SKIP_LOCKED with a `limit` has LIMIT and OFFSET as its last two parameters.
    """

    statement: int
    sql: str
    params: list[Any]
    tables: list[tuple[int, int]]
    locks: list[Lock]
    writes: bool
    snapshot_sql: str = ""
    ddl: Ddl | None = None
    catalog: int = -1
    expect_rows: int = -1
    point: bool = False
    rows: RowLocks | None = None


class Image(msgspec.Struct, array_like=True, gc=False):
    """A row image (DESIGN.md §3): it names the version that it replaces.

    `old_key` None: there must be no version under the new row's key (insert); else the key values and `old_ts` of
    exactly the version replaced. `row` None: a delete; else all column values in order. Key changes have both keys.
    """

    table: int
    old_key: list[Any] | None
    old_ts: int
    row: list[Any] | None


class ShardRows(msgspec.Struct, array_like=True):
    """What one fragment gave on one shard: rows (RETURNING or SELECT), number of rows changed or returned."""

    rows: list[list[Any]]
    row_count: int
