"""Snapshots are repeatable for ever: what a read was answered at its timestamp is asked again later, and elsewhere.

It is asked again at the same timestamp through any node's gateway, while things go wrong and in peace: of whoever leads
the shard then, the same leader or another one, of its old life or a new one. At the end every replica's engine is asked
directly, if it has applied as much as the leader had, and so is a store made of a copy, as one that is sent to a
laggard or restored.

*Invariants checked* (DESIGN.md §9): 5, the same rows or SnapshotTooOld, and that only where the horizon has passed.
*Left out*: the order of rows that no ORDER BY settles.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nodes.core.replicated_log import TICK_MS
from nodes.errors import SnapshotTooOld, StoreError, Unavailable
from nodes.runtime.as_of import AsOf
from nodes.runtime.driver import Driver
from nodes.runtime.follower_reads import Wanted
from nodes.runtime.group import Group
from nodes.runtime.reads import Rows
from nodes.runtime.snapshot import SnapshotRun
from nodes.sql.schema import Fragment, ShardRows
from nodes.storage.sqlite import SqliteEngine
from tests.sim import phrases
from tests.sim.cluster import Cluster
from tests.sim.coverage import count
from tests.sim.stores import LOST, SimStores
from tests.sim.timeline import MS, SECOND
from tests.sim.truth import Truth, demand

if TYPE_CHECKING:
    from tests.sim.cluster import Life

SAME = "5 same snapshot"
MOST_LATER = 12  # reads that are repeated while the run goes on
MOST_AT_END = 10
TIMEOUT_MS = 2_000


@dataclass(eq=False)
class Read:
    """What was answered. `slots`: a replica that has applied so much of a shard's log has seen what the leader had;
    `served`: who led each shard then, as (epoch, node, boot)."""

    ts: int
    parts: dict[str, list[Fragment]]
    rows: dict[str, list[ShardRows]]
    slots: dict[str, int]
    served: dict[str, tuple[int, int, int]]


class Replays:
    """`on_start` hears of each life; some reads are asked again at a random time, others by `check_at_end`."""

    cluster: Cluster  # known from the first life on

    def __init__(self, truth: Truth, rng: random.Random) -> None:
        self.truth, self.rng = truth, rng
        self.reads: list[Read] = []
        self.answered = 0

    # -- what was answered

    def on_start(self, life: Life) -> None:
        driver, self.cluster = life.driver, life.node.cluster
        assert driver is not None, "a life that starts has a driver"
        begin = driver.gateway.reads.begin

        def watched(
            parts: dict[str, list[Fragment]],
            deadline: int,
            as_of: AsOf | None,
            then: Any,
            wanted: Wanted | None = None,
        ) -> None:
            def ended(ts: int, rows: Rows, error: StoreError | None, stale: int) -> None:
                if error is None and stale < 0:
                    self._remember(ts, parts, rows)
                then(ts, rows, error, stale)

            begin(parts, deadline, as_of, ended, wanted)

        driver.gateway.reads.begin = watched  # type: ignore[method-assign]

    def _remember(self, ts: int, parts: dict[str, list[Fragment]], rows: Rows) -> None:
        slots = {name: len(self.truth.logs.get(name, ())) for name in parts}
        served = {name: self._served(name) for name in parts}
        read = Read(ts, parts, rows, slots, served)
        self.reads.append(read)
        if len(self.reads) <= MOST_LATER:
            rng = self.cluster.chance(0)
            delay = int(rng.choice((0.05, rng.uniform(0.1, 2), rng.uniform(1, 8))) * SECOND)
            self.cluster.timeline.at(delay, lambda: self.ask(read, rng.choice(self.cluster.here())))

    def _served(self, name: str) -> tuple[int, int, int]:
        led = [
            (group.served_epoch, driver.node, driver.boot)
            for driver in self.cluster.drivers()
            for group in driver.groups.values()
            if group.group == name
        ]
        return max(led, default=(0, 0, 0))

    # -- asked again, as a gateway asks

    def ask(self, read: Read, node: int) -> None:
        life = self.cluster.nodes[node].life
        if life is None or life.driver is None:
            return
        driver = life.driver
        gateway = driver.gateway

        def begin() -> None:
            number, deadline = gateway._number(), driver.now + TIMEOUT_MS // TICK_MS

            def ended(ts: int, rows: Rows, error: StoreError | None, stale: int) -> None:
                gateway.reads.running.pop(number, None)
                self._on_answer(read, node, rows, error, stale)

            run = gateway.reads.running[number] = SnapshotRun(
                driver, number, read.parts, deadline, AsOf(read.ts), ended
            )
            run.begin(read.ts)
            driver.wake()

        life.do(begin)

    def _on_answer(self, read: Read, asked: int, rows: Rows, error: StoreError | None, stale: int) -> None:
        if isinstance(error, Unavailable) or LOST in f"{error}":
            return
        self.answered += 1
        told = phrases.answer(error) if error is not None else "answered"
        self.cluster.say(f"snapshot at {phrases.timestamp(read.ts)}, asked again, is told {told}", asked, "<")
        who = f"n{asked}"
        if error is not None or stale >= 0:
            self._demand_too_old(read, list(read.parts), who, error)
            return
        for name in read.parts:
            self._demand_same(read, name, rows[name], who)
            epoch, node, boot = self._served(name)
            then = read.served[name]
            if node == then[1] and boot != then[2]:
                count("snapshot repeated after a restart")
            elif epoch != then[0]:
                count("snapshot repeated after a change of leaders")
            else:
                count("snapshot repeated at its leader")

    # -- asked again, of the stores themselves

    def check_at_end(self, run: Callable[[int], None]) -> None:
        """In peace. `run(duration)` lets time pass."""
        chosen = self.rng.sample(self.reads, min(MOST_AT_END, len(self.reads)))
        before = self.answered
        for read in chosen:
            self.ask(read, self.rng.choice(self.cluster.here()))
        for _ in range(20):
            if self.answered - before >= len(chosen):
                break
            run(100 * MS)
        demand(self.answered - before >= len(chosen), "8 progress", "a snapshot is not repeated in peace")
        for driver in self.cluster.drivers():
            for group in driver.groups.values():
                self._check_replica(driver, group, chosen)
        self._check_copies(chosen)

    def _check_replica(self, driver: Driver, group: Group, chosen: list[Read]) -> None:
        if not isinstance(group.store, SqliteEngine):
            return
        group.flush()
        for read in chosen:
            if group.group in read.parts and group.applied_slot >= read.slots[group.group]:
                self._check_store(read, group.group, group.store, f"the store of n{driver.node}")
                count("snapshot read at a replica")
                if group.transfer.installed:
                    count("snapshot read in a store taken over")

    def _check_copies(self, chosen: list[Read]) -> None:
        """Each shard's store is copied at one node, as for a laggard, and opened as one that was restored."""
        stores = SimStores(random.Random(0))
        replicas = [group for driver in self.cluster.drivers() for group in driver.groups.values()]
        for name in sorted({name for read in chosen for name in read.parts}):
            group = self.rng.choice([replica for replica in replicas if replica.group == name])
            copy: Any = group.store.copy()
            incoming = stores.incoming(name)
            incoming.write(0, copy.read(0, copy.size))
            incoming.seal()
            copy.close()
            restored: Any = incoming.install()
            for read in chosen:
                if name in read.parts and restored.applied >= read.slots[name]:
                    self._check_store(read, name, restored, f"a copy of the store of n{group.node}")
                    count("snapshot read in a copy")
        stores.close()

    def _check_store(self, read: Read, name: str, engine: SqliteEngine, who: str) -> None:
        """What the leader does with a question, without the leader."""
        try:
            fits = all(
                engine.check_version(table, version, read.ts)
                for fragment in read.parts[name]
                for table, version in fragment.tables
            )
            rows = [engine.read(fragment, read.ts) for fragment in read.parts[name]] if fits else None
        except SnapshotTooOld as error:
            self._demand_too_old(read, [name], who, error)
            return
        if rows is None:
            self._demand_too_old(read, [name], who, None)
        else:
            self._demand_same(read, name, rows, who)

    # -- what must hold

    def _demand_same(self, read: Read, name: str, rows: list[ShardRows], who: str) -> None:
        then, now = (_comparable(each) for each in (read.rows[name], rows))
        demand(then == now, SAME, f"{name} at {read.ts}: {then} before, {now} from {who}")

    def _demand_too_old(self, read: Read, names: list[str], who: str, error: StoreError | None) -> None:
        """Without an error: the table's definition of then is not known any more."""
        right = error is None or isinstance(error, SnapshotTooOld)
        horizon = max(self.truth.shards[name].marks.horizon for name in names)
        words = f"{names} at {read.ts}: answered before, and {who} says {error!r}; the horizon is {horizon}"
        demand(right and horizon > read.ts, SAME, words)
        count("snapshot too old to be repeated")


def _comparable(fragments: list[ShardRows]) -> list[tuple[int, list[str]]]:
    return [(each.row_count, sorted(repr(list(row)) for row in each.rows)) for each in fragments]
