"""What clients are told of tables and shards, in the value types of `nodes.requests`.

*Left out*: what a CHECK says (a definition keeps it in the engine's dialect), and the catalog's own table.
"""

from __future__ import annotations

import bisect

from nodes.requests import Shard, Table, TableColumn
from nodes.runtime.catalog import Catalog
from nodes.runtime.surroundings import Surroundings
from nodes.sql.keys import slots_of_shard
from nodes.sql.schema import ColumnDef, TableDef
from nodes.sql.types import GIVE
from nodes.wire.protocol import AskTables

MOST_TABLES = 500


def tables(catalog: Catalog, asked: AskTables) -> list[Table]:
    """The page of the catalog that was asked for, never more than MOST_TABLES."""
    if asked.name:
        found = catalog.users.get(asked.name)
        return [] if found is None else [_table(found)]
    names = list(catalog.users)
    first = bisect.bisect_right(names, asked.after)
    page = names[first : first + max(0, min(asked.most, MOST_TABLES))]
    return [_table(catalog.users[name]) for name in page]


def shards(around: Surroundings) -> list[Shard]:
    """Every shard, `s0` first."""
    numbers = range(1, around.shards + 1)
    slots = {f"s{number}": [slots_of_shard(number, around.shards)] for number in numbers}
    return [_shard(name, owned, around) for name, owned in {"s0": [], **slots}.items()]


def _shard(name: str, slots: list[tuple[int, int]], around: Surroundings) -> Shard:
    return Shard(name, slots, list(around.members_of(name)), around.leader_of(name))


def _table(table: TableDef) -> Table:
    names = [column.name for column in table.columns]
    columns = [_column(column) for column in table.columns]
    primary_key = [names[at] for at in table.primary_key]
    shard_by = [names[at] for at in table.shard_by]
    return Table(table.name, table.version, columns, primary_key, shard_by, [check.name for check in table.checks])


def _column(column: ColumnDef) -> TableColumn:
    default = None if column.default_is_now else column.default
    if default is not None and column.type in GIVE:
        default = GIVE[column.type](default)
    nullable = not column.not_null
    return TableColumn(column.name, column.type, nullable, column.has_default, default, column.default_is_now)
