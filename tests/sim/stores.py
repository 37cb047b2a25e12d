"""The stores of one counterfeit node: databases in memory, of which a crash leaves what was last made durable, or all.

*Invariants*: what `sync` confirmed, and every installed copy, is there after any crash.
"""

from __future__ import annotations

import random

from nodes.core.engine import Store
from nodes.storage.sqlite import SqliteEngine
from nodes.storage.sqlite_decisions import SqliteDecisions
from nodes.storage.sqlite_store import SqliteStore


def stopped_clock() -> float:
    return 0.0


class SimStores:
    """`Stores` of nodes/core/engine.py; it outlives the node's lives."""

    def __init__(self, rng: random.Random) -> None:
        self.live: dict[str, SqliteStore] = {}
        self.durable: dict[str, bytes] = {}
        self.thrown_back = 0
        self._rng = rng

    def open(self, group: str) -> Store:
        if group not in self.live:
            self.live[group] = self._build(group, self.durable.get(group))
        return self.live[group]

    def _build(self, group: str, content: bytes | None) -> SqliteStore:
        store: SqliteStore = SimDecisions(self, group) if group[0] == "c" else SimEngine(self, group)
        if content is not None:
            store._main.db.deserialize("main", content)
            store._load()
        return store

    def incoming(self, group: str) -> SimIncoming:
        return SimIncoming(self, group)

    def install(self, group: str, content: bytes) -> Store:
        self.durable[group] = content
        self.live[group] = self._build(group, content)
        return self.live[group]

    def retire(self, group: str, store: Store) -> None:
        store.close()

    def keep(self, group: str, store: SqliteStore) -> None:
        """A sync of the group's store, unless another one has replaced it."""
        if self.live.get(group) is store:
            self.durable[group] = store._main.db.serialize("main")

    def crash(self) -> None:
        """The process has ended, or the machine: then the last commits of some stores are lost, of each alone."""
        for group in sorted(self.live):
            if self._rng.random() < 0.5:
                self.live.pop(group).close()
                self.thrown_back += 1

    def close(self) -> None:
        for store in self.live.values():
            store.close()


class SimEngine(SqliteEngine):
    def __init__(self, stores: SimStores, group: str) -> None:
        self._stores, self._group = stores, group
        super().__init__(None, clock=stopped_clock)

    def sync(self) -> int:
        self._stores.keep(self._group, self)
        return self.applied


class SimDecisions(SqliteDecisions):
    def __init__(self, stores: SimStores, group: str) -> None:
        self._stores, self._group = stores, group
        super().__init__(None, clock=stopped_clock)

    def sync(self) -> int:
        self._stores.keep(self._group, self)
        return self.applied


class SimIncoming:
    """`Incoming` of nodes/core/engine.py."""

    def __init__(self, stores: SimStores, group: str) -> None:
        self._stores, self._group = stores, group
        self._content = bytearray()

    def write(self, offset: int, data: bytes) -> None:
        assert offset == len(self._content), "a copy is written in order"
        self._content += data

    def seal(self) -> None:
        """Memory is durable here as soon as it is installed."""

    def install(self) -> Store:
        return self._stores.install(self._group, bytes(self._content))

    def discard(self) -> None:
        self._content.clear()
