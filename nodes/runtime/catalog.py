"""The catalog as this node knows it: the tables that its replica of `s0` holds.

Its version is that of the newest DDL; a statement carries the versions it was planned with, and a shard refuses
another one. *Left out*: the slot map (fixed by the founding until slots can move), and learners of `s0`.
"""

from __future__ import annotations

from collections.abc import Callable

from nodes.core.engine import Engine
from nodes.sql.plan import SYSTEM_TABLES
from nodes.sql.schema import TableDef


class Catalog:
    """`read_from` an engine of `s0`, `refresh` after it applied something; `when` waits for a version. `users` has the
    tables that users made, in bytewise order of their names."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._tables: dict[str, TableDef] = {}
        self._by_id: dict[int, TableDef] = {}
        self.users: dict[str, TableDef] = {}
        self._waiting: list[tuple[int, Callable[[], None]]] = []
        self.version = 0

    def read_from(self, engine: Engine) -> None:
        self._engine = engine
        self.refresh()

    def refresh(self) -> None:
        assert self._engine is not None, "a node holds a replica of s0"
        tables = self._engine.tables()
        self._tables = {table.name: table for table in tables}
        self._by_id = {table.id: table for table in tables}
        own = {table.id for table in SYSTEM_TABLES}
        self.users = {name: self._tables[name] for name in sorted(self._tables) if self._tables[name].id not in own}
        self.version = self._engine.catalog_version
        ready = [then for version, then in self._waiting if version <= self.version]
        self._waiting = [(version, then) for version, then in self._waiting if version > self.version]
        for then in ready:
            then()

    def when(self, version: int, then: Callable[[], None]) -> None:
        """Call `then` as soon as this node has that version (at once, if it has)."""
        if version <= self.version:
            then()
        else:
            self._waiting.append((version, then))

    def table(self, name: str) -> TableDef | None:
        return self._tables.get(name)

    def table_of(self, table: int) -> TableDef | None:
        """By its id."""
        return self._by_id.get(table)
