"""From a plan and parameters to fragments: the hot path of every statement.

What a plan worked out once is here as positions and ready locks; binding checks the parameters, picks shards and takes
locks by key. The *pool* of a statement is its parameters' values followed by the plan's constants: key parts are
positions in it.
*Invariants*: the same shard function as everywhere (`nodes.sql.keys`); a statement whose key holds a NULL finds
nothing and takes no key lock.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, Protocol

from nodes.errors import BadRequest
from nodes.requests import Column, Params, Value
from nodes.sql import keys
from nodes.sql.schema import Fragment, Lock, TableDef
from nodes.sql.types import GIVE, TAKE

MAX_KEYS = 1_000  # more keys than this in one statement take the table's lock


# Positions of columns whose values a client gets in another form than the engine's, and how.
Given = Sequence[tuple[int, Callable[[Value], Value]]]


def given(columns: Sequence[Column]) -> Given:
    return [(i, GIVE[column.type]) for i, column in enumerate(columns) if column.type in GIVE]


class Merge:
    """What is left to do with the shards' rows.

    `sql` "" joins them as they are; else it runs over the table `gathered` of all shards' rows (columns `names`) with
    `params`. `order` is set for INSERT: for each row in turn its shard and its place there.
    """

    __slots__ = ("sql", "names", "params", "order", "give")

    def __init__(
        self,
        give: Given = (),
        sql: str = "",
        names: tuple[str, ...] = (),
        params: Sequence[Value] = (),
        order: list[tuple[int, int]] | None = None,
    ) -> None:
        self.give = give
        self.sql = sql
        self.names = names
        self.params = params
        self.order = order


class Bound:
    """A plan with its parameters: what goes to which shard (0 is `s0`) and how the answers become one result."""

    __slots__ = ("kind", "fragments", "merge", "columns", "expect_rows")

    def __init__(
        self, kind: str, fragments: dict[int, Fragment], merge: Merge, columns: tuple[Column, ...], expect_rows: int
    ) -> None:
        self.kind = kind
        self.fragments = fragments
        self.merge = merge
        self.columns = columns
        self.expect_rows = expect_rows
        if expect_rows >= 0 and len(fragments) == 1:
            # One shard checks it itself, before it promises anything: for one that commits by itself there is no later.
            (fragment,) = fragments.values()
            fragment.expect_rows = expect_rows


class Plan(Protocol):
    """A statement that was parsed, typed and planned; it may be bound any number of times.

    `kind` is "select", "insert", "update", "delete" or "ddl".
    """

    kind: str
    reads_only: bool
    columns: tuple[Column, ...]
    table: TableDef | None

    def bind(self, statement_number: int, params: Params, shards: int, expect_rows: int = -1, now: int = 0) -> Bound:
        """Fragments for `shards` user shards; BadRequest for parameters that are missing or do not fit. `now` is the
        time of the transaction, in microseconds since 1970."""


class Arguments:
    """The parameters a statement takes; `uses_now`: the transaction's time stands behind them."""

    __slots__ = ("take", "names", "uses_now")

    def __init__(self, types: Sequence[str], names: list[str] | None, uses_now: bool = False) -> None:
        self.take: list[Callable[[Value], Value]] = [TAKE[name] for name in types]
        self.names = names
        self.uses_now = uses_now

    def values(self, params: Params, now: int) -> list[Value]:
        """Checked values in order: 42P02 for a missing one, 08P01 for one too many."""
        if self.names is not None:
            params = self._named(params)
        elif isinstance(params, dict):
            if params:
                raise BadRequest("the statement has no named parameters", sqlstate="42P02")
            params = []
        if len(params) != len(self.take):
            sqlstate = "42P02" if len(params) < len(self.take) else "08P01"
            raise BadRequest(f"{len(params)} parameters given, {len(self.take)} needed", sqlstate=sqlstate)
        values = [take(value) for take, value in zip(self.take, params, strict=True)]
        if self.uses_now:
            values.append(now)
        return values

    def _named(self, params: Params) -> list[Value]:
        assert self.names is not None, "called for named parameters"
        if not isinstance(params, dict):
            raise BadRequest("the statement has named parameters: give an object", sqlstate="42P02")
        for name in self.names:
            if name not in params:
                raise BadRequest(f"the parameter :{name} is missing", sqlstate="42P02")
        return [params[name] for name in self.names]


# What a statement touches: for each shard its locks. The second value says whether it goes by full keys only.
Targets = dict[int, list[Lock]]


class Keys:
    """Key bytes and shard of rows of one table, from all values of the row's primary key."""

    __slots__ = ("encode", "encode_shard", "shard_part", "shard_is_key", "table")

    def __init__(self, table: TableDef) -> None:
        key = table.primary_key
        self.table = table.id
        self.encode = keys.encoder(tuple(table.columns[i].type for i in key))
        self.encode_shard = keys.encoder(tuple(table.columns[i].type for i in table.shard_by))
        self.shard_part = [key.index(i) for i in table.shard_by]
        self.shard_is_key = self.shard_part == list(range(len(key)))

    def locate(self, values: Sequence[Value], shards: int) -> tuple[bytes, int]:
        """(key, number of the shard) of the row with these key values."""
        key = self.encode(values)
        part = key if self.shard_is_key else self.encode_shard([values[i] for i in self.shard_part])
        return key, keys.shard_of_slot(keys.slot_of(part), shards)


class FullKeys:
    """A statement whose WHERE names full keys: one lock per key, on the key's shard."""

    __slots__ = ("keys", "parts", "single", "above", "mode")
    point = True

    def __init__(self, table: TableDef, parts: list[list[int]], mode: str) -> None:
        """`parts`: for each column of the primary key the pool positions of its possible values."""
        self.keys = Keys(table)
        self.parts = parts
        self.single = [part[0] for part in parts] if all(len(part) == 1 for part in parts) else None
        self.above = Lock(table.id, b"", "IX" if mode == "X" else "IS")
        self.mode = mode

    def targets(self, pool: Sequence[Value], shards: int) -> Targets:
        if self.single is not None:
            values = [pool[i] for i in self.single]
            if None in values:
                return {1: [self.above]}
            key, shard = self.keys.locate(values, shards)
            return {shard: [self.above, Lock(self.keys.table, key, self.mode)]}
        found: dict[int, dict[bytes, Lock]] = {}
        for values in product(*([pool[i] for i in part] for part in self.parts)):  # type: ignore[assignment]
            if None not in values:
                key, shard = self.keys.locate(values, shards)
                found.setdefault(shard, {})[key] = Lock(self.keys.table, key, self.mode)
        return {shard: [self.above, *locks.values()] for shard, locks in found.items()} or {1: [self.above]}


class ShardKeys:
    """A statement whose WHERE names shard keys: the table's lock on their shards."""

    __slots__ = ("encode", "parts", "lock")
    point = False

    def __init__(self, table: TableDef, parts: list[list[int]], mode: str) -> None:
        self.encode = keys.encoder(tuple(table.columns[i].type for i in table.shard_by))
        self.parts = parts
        self.lock = Lock(table.id, b"", mode)

    def targets(self, pool: Sequence[Value], shards: int) -> Targets:
        found: Targets = {}
        for values in product(*([pool[i] for i in part] for part in self.parts)):
            if None not in values:
                found[keys.shard_of_slot(keys.slot_of(self.encode(values)), shards)] = [self.lock]
        return found or {1: [self.lock]}


class EveryShard:
    """Anything else: the table's lock on every shard."""

    __slots__ = ("locks",)
    point = False

    def __init__(self, table: TableDef, mode: str) -> None:
        self.locks = [Lock(table.id, b"", mode)]

    def targets(self, pool: Sequence[Value], shards: int) -> Targets:
        return dict.fromkeys(range(1, shards + 1), self.locks)


class OneShard:
    """The shard is fixed: the system shard for catalog tables, any one for a SELECT without a table."""

    __slots__ = ("shard", "locks")
    point = False

    def __init__(self, shard: int, locks: list[Lock]) -> None:
        self.shard = shard
        self.locks = locks

    def targets(self, pool: Sequence[Value], shards: int) -> Targets:
        return {self.shard: self.locks}


Route = FullKeys | ShardKeys | EveryShard | OneShard


class Pool:
    """Gathers the constants of a plan behind its parameters."""

    def __init__(self, parameters: int) -> None:
        self.parameters = parameters
        self.constants: list[Value] = []

    def position(self, source: Any) -> int:
        """Where the value of a source (`expressions.Typed`) will be."""
        if source.parameter >= 0:
            return int(source.parameter)
        self.constants.append(source.constant)
        return self.parameters + len(self.constants) - 1


_QUOTED = re.compile(r"""'[^']*'|"[^"]*["]""")
_NUMBERED = re.compile(r"\?(\d+)")


def without_quoted(text: str) -> str:
    """The text without its literals and quoted names."""
    return _QUOTED.sub("", text)


def last_parameter(text: str) -> int:
    """The highest parameter that a text names: the engine takes neither more values nor fewer."""
    return max((int(number) for number in _NUMBERED.findall(without_quoted(text))), default=0)


def route(table: TableDef, equalities: dict[int, list[Any]], pool: Pool, key_mode: str, table_mode: str) -> Route:
    """Where a statement goes, from the values that WHERE allows for columns (their positions)."""
    if all(column in equalities for column in table.primary_key):
        sizes = 1
        for column in table.primary_key:
            sizes *= len(equalities[column])
        if sizes <= MAX_KEYS:
            parts = [[pool.position(source) for source in equalities[column]] for column in table.primary_key]
            return FullKeys(table, parts, key_mode)
    if all(column in equalities for column in table.shard_by):
        parts = [[pool.position(source) for source in equalities[column]] for column in table.shard_by]
        return ShardKeys(table, parts, table_mode)
    return EveryShard(table, table_mode)
