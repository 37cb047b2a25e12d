"""The stores of one counterfeit node: databases in memory, which may fall back to any commit since the last sync.

Of each store there is what was last made durable, what it holds now, and one commit between the two, drawn evenly. A
crash leaves any of the three. While the node lives a store can be lost, too: the next one to open it finds an older
commit, and the replica that has it open either meets an error at its next step ("broken", as when a database server
restarts) or, as long as it does not serve, meets the older content under its feet ("thrown back").

*Invariants*: what `sync` confirmed, and every installed copy, is there after any crash.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import apsw

from nodes.core.engine import Store
from nodes.storage.sqlite import SqliteEngine
from nodes.storage.sqlite_decisions import SqliteDecisions
from nodes.storage.sqlite_store import SqliteStore
from tests.sim.coverage import count
from tests.sim.truth import demand

LOST = "the store is lost"  # what a replica hears that has it open


def stopped_clock() -> float:
    return 0.0


class SimStores:
    """`Stores` of nodes/core/engine.py; it outlives the node's lives."""

    def __init__(self, rng: random.Random) -> None:
        self.live: dict[str, SqliteStore] = {}
        self.durable: dict[str, bytes] = {}
        self.lost: dict[str, SqliteStore] = {}  # since the life under way began
        self._commits: dict[str, int] = {}  # since the last sync
        self._between: dict[str, bytes] = {}  # one of them
        self._found: dict[str, bytes] = {}  # what the next one to open a lost store finds
        self._rng = rng

    def open(self, group: str) -> Store:
        if group not in self.live:
            self.live[group] = self._build(group, self._found.pop(group, None) or self.durable.get(group))
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
        self._durable_now(group, content)
        self.live[group] = self._build(group, content)
        return self.live[group]

    def retire(self, group: str, store: Store) -> None:
        store.close()

    def drop(self, group: str, store: Store | None) -> None:
        for stores in (self.live, self.lost):
            if (known := stores.pop(group, None)) is not None:
                known.close()
        for contents in (self.durable, self._between, self._found):
            contents.pop(group, None)
        self._commits.pop(group, None)

    def keep(self, group: str, store: SqliteStore) -> bool:
        """A sync of the group's store, unless another one has replaced it or will."""
        is_ours = self.live.get(group) is store
        if is_ours:
            self._durable_now(group, store._main.db.serialize("main"))
        return is_ours

    def _durable_now(self, group: str, content: bytes) -> None:
        self.durable[group] = content
        self._commits[group] = 0
        self._between.pop(group, None)
        self._found.pop(group, None)

    def committed(self, group: str, store: SqliteStore) -> None:
        """Of all commits since the last sync each is as likely to be the one that is kept."""
        if self.live.get(group) is store:
            self._commits[group] = self._commits.get(group, 0) + 1
            if self._rng.random() * self._commits[group] < 1:
                self._between[group] = store._main.db.serialize("main")

    # -- faults

    def crash(self) -> None:
        """The process has ended, or the machine: then the last commits of some stores are lost, of each alone."""
        for group, store in self.lost.items():
            if group not in self.live and not isinstance(store._main.execute, _Broken):
                self._found[group] = store._main.db.serialize("main")  # the file, whatever was written to it since
            store.close()
        self.lost.clear()
        for group in sorted(self.live):
            if self._rng.random() < 0.5:
                self.live.pop(group).close()
                self._throw_back(group)

    def _throw_back(self, group: str) -> bytes | None:
        if group in self._between and self._rng.random() < 0.7:
            count("engine back to a commit since its last sync")
            self._found[group] = self._between[group]
        return self._found.get(group) or self.durable.get(group)

    def lose(self, group: str, is_told: bool) -> bool:
        """While the node lives. `is_told`: whoever has it open meets an error, else only older content."""
        store = self.live.get(group)
        if store is None or group not in self.durable:
            return False
        self.lost[group] = self.live.pop(group)
        content = self._throw_back(group)
        if is_told:
            error = self._rng.choice((apsw.IOError, apsw.FullError, apsw.CantOpenError))
            store._main.execute = _Broken(error)
            count("engine lost while the node lives")
        else:
            store._main.db.deserialize("main", content)
            count("engine thrown back while the node lives")
        return True

    def close(self) -> None:
        for store in (*self.live.values(), *self.lost.values()):
            store.close()


class _Broken:
    """A connection's `execute` from now on."""

    def __init__(self, error: type[Exception]) -> None:
        self.error = error

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        raise self.error(LOST)


class _Simulated(SqliteStore):
    """What both kinds have in common: in memory, and each commit seen."""

    def __init__(self, stores: SimStores, group: str) -> None:
        self._stores, self._group = stores, group
        super().__init__(None, clock=stopped_clock)  # type: ignore[call-arg]

    def _apply(self, sql: str, params: Sequence[Any] = ()) -> None:
        super()._apply(sql, params)
        if not self._main.db.in_transaction:  # a statement has ended one, or was one
            self._stores.committed(self._group, self)

    def commit(self) -> None:
        moves = self._slot != self._applied  # who only forgets does not look where the file stands
        super().commit()
        if not moves:
            return
        ((slot,),) = self._main.execute("SELECT applied FROM engine_state")
        demand(slot == self.applied, "10 applied slot", f"{self._group} took slot {self.applied} into a file at {slot}")

    def sync(self) -> int:
        return self.applied if self._stores.keep(self._group, self) else 0


class SimEngine(_Simulated, SqliteEngine):
    pass


class SimDecisions(_Simulated, SqliteDecisions):
    pass


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
