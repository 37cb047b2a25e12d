"""Tables and shards in JSON."""

from __future__ import annotations

import re
from typing import Any

from nodes.errors import BadRequest, NotFound
from nodes.requests import Shard, Table, TableColumn
from txstore.api.serializers import value_to_json

SHARD_PATTERN = "^s[0-9]{1,3}$"


def read_name(text: str) -> str:
    """A table's name from a path; NotFound for what no table is called."""
    if "\0" in text:
        raise NotFound("No table has a name with a NUL character.")
    return text


def table_to_json(table: Table) -> dict[str, Any]:
    return {
        "name": table.name,
        "version": table.version,
        "columns": [_column_to_json(column) for column in table.columns],
        "primary_key": table.primary_key,
        "shard_by": table.shard_by,
        "checks": table.checks,
    }


def _column_to_json(column: TableColumn) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": column.type,
        "nullable": column.nullable,
        "has_default": column.has_default,
        "default": value_to_json(column.default, column.type),
        "default_is_now": column.default_is_now,
    }


def shards_after(shards: list[Shard], after: str) -> list[Shard]:
    """Those that come behind the one named `after`, in the order of their numbers; all of them behind ""."""
    if after and not re.fullmatch(SHARD_PATTERN, after):
        raise BadRequest('"after" must be the name of a shard.')
    return [shard for shard in shards if not after or int(shard.name[1:]) > int(after[1:])]


def shard_to_json(shard: Shard) -> dict[str, Any]:
    return {
        "name": shard.name,
        "kind": "user" if shard.slots else "system",
        "slots": [{"first": first, "last": last} for first, last in shard.slots],
        "members": shard.members,
        "leader": shard.leader or None,
    }
