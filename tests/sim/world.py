"""The counterfeit world of one life of a node: clock, chance, threads; and the journal that a crash cuts.

The clock runs ahead or behind, drifts and jumps. A job "in a thread" runs after a while, its answer comes after
another. A sync takes its time and covers what was submitted before it began.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nodes.core.replicated_log import Point, Timing
from nodes.errors import Corrupt
from nodes.runtime.compaction import read_records
from nodes.storage.journal import GONE_SEGMENTS
from tests.sim.timeline import MS, Timeline
from tests.sim.truth import Violation

if TYPE_CHECKING:
    from tests.sim.cluster import Life

EPOCH_MS = 1_700_000_000_000


class Clock:
    """A node's wall clock; it outlives the node's lives."""

    def __init__(self, timeline: Timeline, rng: random.Random) -> None:
        self.timeline = timeline
        self.offset_ms = rng.choice((0, 0, rng.randint(-400, 400), rng.randint(-20_000, 20_000)))
        self.rate = rng.choice((1.0, 1.0, rng.uniform(0.95, 1.05)))

    def read_ms(self) -> int:
        return EPOCH_MS + self.offset_ms + int(self.timeline.now * self.rate) // MS

    def run_at(self, rate: float) -> None:
        """From now on, without a jump."""
        shown_ms = self.read_ms()
        self.rate = rate
        self.offset_ms += shown_ms - self.read_ms()


class SimWorld:
    """`World` of nodes/runtime/world.py."""

    def __init__(self, life: Life, rng: random.Random) -> None:
        self.rng = rng
        self._life = life
        self._chance = random.Random(rng.getrandbits(64))

    def clock_ms(self) -> int:
        return self._life.node.clock.read_ms()

    def clock_us(self) -> int:
        return self.clock_ms() * 1_000

    def call_soon(self, then: Callable[[], None]) -> None:
        self._life.later(self._chance.randint(0, 100), then)

    def in_thread(self, job: Callable[[], Any], then: Callable[[Any, BaseException | None], None]) -> None:
        def run() -> None:
            try:
                result, error = job(), None
            except Exception as raised:
                result, error = None, raised
            self._life.later(self._chance.randint(10, 5 * MS), lambda: then(result, error))

        slow = self._chance.random() < 0.1
        self._life.later(self._chance.randint(10, 200 * MS if slow else 2 * MS), run)


class SimJournal:
    """`JournalWriter` of the driver. `disk` is the node's list of durable records, each with the number of its segment;
    it outlives a crash, we do not."""

    def __init__(self, life: Life, disk: list[tuple[int, bytes]], rng: random.Random) -> None:
        self.durable = 0
        self.segment = disk[-1][0] if disk else 1
        self._needed = 1
        self._filled = 0  # bytes of this segment
        self._life = life
        self._disk = disk
        self._rng = rng
        self._gathered: list[bytes] = []
        self._batch: list[bytes] = []
        self._ticket = 0
        self._syncing = 0

    def release(self, first: int) -> None:
        assert first <= self.segment, "what is still to be written is needed"
        self._needed = max(self._needed, first)

    def append(self, records: list[bytes]) -> None:
        self._gathered.extend(records)

    def submit(self) -> int:
        self._ticket += 1
        self._begin()
        return self._ticket

    def _begin(self) -> None:
        if self._syncing or not self._gathered:
            return
        self._syncing = self._ticket
        self._batch, self._gathered = self._gathered, []
        rng = self._rng
        slow = rng.random() < self._life.node.cluster.weather.slow_disk
        self._life.later(rng.randint(20 * MS, 400 * MS) if slow else rng.randint(200, 2 * MS), self._synced)

    def _synced(self) -> None:
        self._write(self._batch)
        self._life.node.cluster.note(b"sync", self._life.node.number, b"".join(self._batch))
        self.durable, self._syncing, self._batch = self._syncing, 0, []
        driver = self._life.driver
        assert driver is not None, "a journal belongs to a running driver"
        driver.on_durable(self.durable)
        self._begin()

    def crash(self) -> None:
        """The batch that is being written may have reached the disk as a whole; all else is gone."""
        if self._batch and self._rng.random() < 0.3:
            self._write(self._batch)

    def _write(self, batch: list[bytes]) -> None:
        may_go = self._needed - self._disk[0][0] if self._disk else 0
        begins = self._filled > self._life.node.cluster.constants.segment_bytes or may_go >= GONE_SEGMENTS
        if begins:
            self.segment, self._filled = self.segment + 1, 0
            self._disk[:] = [(segment, data) for segment, data in self._disk if segment >= self._needed]
        self._disk.extend((self.segment, data) for data in batch)
        if begins:
            self._demand_readable()
        self._filled += sum(map(len, batch))

    def _demand_readable(self) -> None:
        """Whatever was let go of: each log must follow from what is left, or the next start would fail."""
        driver = self._life.driver
        assert driver is not None, "a journal belongs to a running driver"
        records = read_records(data for _, data in self._disk)
        for code, group in driver.groups.items():
            applied = Point(group.store.applied, group.store.epoch)
            core, logs = type(group.log), records.get(code, [])
            try:
                core(driver.node, group.members, logs, random.Random(0), Timing(), False, applied)
            except (Corrupt, AssertionError) as error:
                raise Violation("7 readable journal", f"n{driver.node}, {group.group}: {error}") from error
