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
from math import prod
from typing import Any, Protocol

from nodes.errors import BadRequest
from nodes.requests import Column, Params, Value
from nodes.sql import keys
from nodes.sql.schema import Fragment, Lock, TableDef
from nodes.sql.types import GIVE, TAKE

MAX_KEYS = 1_000  # a statement that names more keys than this locks what is above them


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


# What a statement touches: for each shard its locks.
Targets = dict[int, list[Lock]]


class Keys:
    """Where rows lie. `named` are columns (their positions): the first `depth` ones of the primary key, then those of
    the shard key that are not among them."""

    __slots__ = ("encode_shard", "path", "shard_at", "shard_depth", "table")

    def __init__(self, table: TableDef, named: Sequence[int], depth: int) -> None:
        self.table = table.id
        self.path = keys.path_encoder(tuple(table.columns[i].type for i in named[:depth]))
        width = len(table.shard_by)
        self.shard_depth = width if width <= depth and table.shard_by == tuple(named[:width]) else 0
        self.encode_shard = keys.encoder(tuple(table.columns[i].type for i in table.shard_by))
        self.shard_at = [named.index(i) for i in table.shard_by if i in named]

    def locate(self, values: Sequence[Value], shards: int) -> tuple[list[bytes], int]:
        """(nodes on the way to the last of `depth` columns, number of the shard) of rows with these values."""
        path = self.path(values)
        if self.shard_depth:
            part = path[self.shard_depth - 1]
        else:
            part = self.encode_shard([values[i] for i in self.shard_at])
        return path, keys.shard_of_slot(keys.slot_of(part), shards)

    def locks(self, whole: Lock, path: list[bytes], intention: str, mode: str) -> list[Lock]:
        """`whole`, the table's, then `mode` on the last node of the path and `intention` on those above."""
        if len(path) == 1:
            return [whole, Lock(self.table, path[0], mode)]
        locks = [whole, *[Lock(self.table, key, intention) for key in path]]
        if path:
            locks[-1] = Lock(self.table, path[-1], mode)
        return locks


class ByKey:
    """A statement over one table: the nodes of the lock tree that its WHERE names, and the shards where they are.

    A node is the table (`depth` 0), what has given values in the first `depth` columns of the primary key, or a full
    key; above it there are intentions only. `named` are these columns, then those of the shard key, if all of them are
    named; else every shard is concerned.
    """

    __slots__ = ("every_shard", "intention", "keys", "mode", "none", "parts", "point", "single", "table")

    def __init__(
        self, table: TableDef, named: Sequence[int], depth: int, parts: list[list[int]], intention: str, mode: str
    ) -> None:
        """`parts`: for each named column the pool positions of its possible values."""
        self.point = depth == len(table.primary_key)
        self.every_shard = not set(table.shard_by) <= set(named)
        self.keys = Keys(table, named, depth)
        self.parts = parts
        self.single = [part[0] for part in parts] if all(len(part) == 1 for part in parts) else None
        self.intention, self.mode = intention, mode
        self.none = Lock(table.id, b"", intention)  # who looks for a NULL finds nothing, and asks rows nothing
        self.table = self.none if depth else Lock(table.id, b"", mode)

    def targets(self, pool: Sequence[Value], shards: int) -> Targets:
        if self.single is not None:
            values: Sequence[Value] = [pool[i] for i in self.single]
            return {1: [self.none]} if None in values else self._targets(values, shards)
        found: dict[int, dict[bytes, Lock]] = {}
        for values in product(*([pool[i] for i in part] for part in self.parts)):
            if None not in values:
                for shard, locks in self._targets(values, shards).items():
                    found.setdefault(shard, {}).update([(lock.key, lock) for lock in locks])
        return {shard: list(locks.values()) for shard, locks in found.items()} or {1: [self.none]}

    def _targets(self, values: Sequence[Value], shards: int) -> Targets:
        """Of one value for each named column."""
        if self.every_shard:
            locks = self.keys.locks(self.table, self.keys.path(values), self.intention, self.mode)
            return dict.fromkeys(range(1, shards + 1), locks)
        path, shard = self.keys.locate(values, shards)
        return {shard: self.keys.locks(self.table, path, self.intention, self.mode)}


class OneShard:
    """The shard is fixed: the system shard for catalog tables, any one for a SELECT without a table."""

    __slots__ = ("shard", "locks")
    point = False

    def __init__(self, shard: int, locks: list[Lock]) -> None:
        self.shard = shard
        self.locks = locks

    def targets(self, pool: Sequence[Value], shards: int) -> Targets:
        return {self.shard: self.locks}


Route = ByKey | OneShard


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


def route(
    table: TableDef,
    equalities: dict[int, list[Any]],
    pool: Pool,
    writes: bool,
    changed: Sequence[int] = (),
    skips: bool = False,
) -> Route:
    """Where a statement goes and what it locks, from the values that WHERE allows for columns (their positions).

    It locks the deepest nodes that it names, if they are MAX_KEYS at most; else those above. What it changes (`changed`
    columns) in a key moves a row to where others may be, or have been: so it locks what is above both. Who `skips` rows
    that are locked keeps nobody out: it locks what it finds, row by row.
    """
    key = table.primary_key
    reach = min((key.index(column) for column in changed if column in key), default=len(key))
    depth = next((at for at, column in enumerate(key[:reach]) if column not in equalities), reach)
    while _count(key[:depth], equalities) > MAX_KEYS:
        depth -= 1
    named = list(key[:depth])
    if all(column in equalities for column in table.shard_by):
        with_shard = [*named, *(column for column in table.shard_by if column not in named)]
        named = with_shard if _count(with_shard, equalities) <= MAX_KEYS else named
    parts = [[pool.position(source) for source in equalities[column]] for column in named]
    intention, whole = ("IX", "SIX") if writes else ("IS", "S")
    if depth == len(key):
        mode = "X" if writes else "S"
    else:
        mode = intention if skips else whole
    return ByKey(table, named, depth, parts, intention, mode)


def _count(named: Sequence[int], equalities: dict[int, list[Any]]) -> int:
    return prod(len(equalities[column]) for column in named)
