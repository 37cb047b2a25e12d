"""A serial world of the product's own SQL: one transaction after the other, on engines of one process, no cluster.

What a transaction may be told here is a set: of an error on several shards any may be the first to arrive.

*Left out*: locks, logs, coordinators, everything that makes it concurrent; that is what is compared with this.
"""

from __future__ import annotations

import re
from typing import Any

from nodes.errors import ExpectationFailed, StoreError
from nodes.requests import Result, Statement
from nodes.runtime.catalog import Catalog
from nodes.runtime.merge import merge
from nodes.sql.plan import SYSTEM_TABLES, Bound, PlanCache
from nodes.sql.schema import CreateTable, Fragment, Image, ShardRows
from nodes.storage.sqlite import SqliteEngine
from tests.sim.stores import stopped_clock

Told = tuple[Any, ...]
"""Comparable: ("rows", …) for what each statement gave, or ("error", sqlstate, statement)."""
NOTHING = frozenset[Told]()
_ROW_LOCKS = re.compile(" FOR (UPDATE|SHARE)$")  # of no use to who is alone


class SerialStore:
    def __init__(self, shards: int) -> None:
        self.shards = shards
        self.engines = [SqliteEngine(None, clock=stopped_clock) for _ in range(shards + 1)]
        self.catalog = Catalog()
        self.plans = PlanCache()
        self.ts = 0
        self.engines[0].begin()
        for table in SYSTEM_TABLES:
            self.engines[0].define(CreateTable(table), 0)
        self.engines[0].commit()
        self.catalog.read_from(self.engines[0])

    def close(self) -> None:
        for engine in self.engines:
            engine.close()

    def run(self, statements: list[Statement]) -> frozenset[Told]:
        """Carries it out if it can be; what its client may be told, in one of these ways."""
        bounds: list[Bound] = []
        for number, statement in enumerate(statements):
            try:
                plan = self.plans.get(_ROW_LOCKS.sub("", statement.sql), self.catalog)
                bounds.append(plan.bind(number, statement.params, self.shards, statement.expect_rows))
            except StoreError as error:
                return frozenset([told_error(error, number)])
        parts: dict[int, list[Fragment]] = {}
        for bound in bounds:
            for shard, fragment in bound.fragments.items():
                parts.setdefault(shard, []).append(fragment)
        found = {shard: self.engines[shard].evaluate(fragments, 1e9) for shard, fragments in parts.items()}
        errors = [("error", each.error.sqlstate, each.error.statement) for each in found.values() if each.error]
        if errors:
            return frozenset(errors)
        told = self._merged(bounds, {shard: list(each.rows) for shard, each in found.items()})
        if told[0] == "rows":
            self._install(parts, {shard: each.images for shard, each in found.items()})
        return frozenset([told])

    def _merged(self, bounds: list[Bound], rows: dict[int, list[ShardRows]]) -> Told:
        results = []
        for number, bound in enumerate(bounds):
            try:
                results.append(merge(bound, {shard: rows[shard].pop(0) for shard in bound.fragments}))
                if 0 <= bound.expect_rows != results[-1].row_count:
                    raise ExpectationFailed("over all shards")
            except StoreError as error:
                return told_error(error, number)
        return told_rows(results)

    def _install(self, parts: dict[int, list[Fragment]], images: dict[int, list[Image]]) -> None:
        self.ts += 1
        for shard, fragments in parts.items():
            engine = self.engines[shard]
            engine.begin()
            for fragment in fragments:
                if fragment.ddl is not None:
                    engine.define(fragment.ddl, self.ts)
            engine.install(images[shard], self.ts)
            engine.commit()
        self.catalog.refresh()


def told_error(error: StoreError, number: int = -1) -> Told:
    return "error", error.info.sqlstate, number if error.info.statement < 0 else error.info.statement


def told_rows(results: list[Result]) -> Told:
    """Rows in any order: which comes first is not what is asked here."""
    return "rows", *((each.row_count, tuple(sorted(repr(list(row)) for row in each.rows))) for each in results)
