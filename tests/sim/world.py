"""The counterfeit world of one life of a node: clock, chance, threads.

The clock runs ahead or behind, drifts and jumps. A job "in a thread" runs after a while, its answer comes after
another.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.sim.timeline import MS, Timeline

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

    def steady_ms(self) -> int:
        return self._life.node.cluster.timeline.now // MS

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
