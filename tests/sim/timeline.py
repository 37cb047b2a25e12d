"""Virtual time: a heap of things to do. Nothing else in the simulator waits.

*Invariants*: what is due at the same time happens in the order it was planned in; time never goes back.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

SECOND = 1_000_000  # the unit is a microsecond
MS = 1_000


class Timeline:
    """`at(delay, then)` plans; `run_until` does everything that is due until then."""

    def __init__(self) -> None:
        self.now = 0
        self._planned: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, delay: int, then: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._planned, (self.now + max(0, delay), self._count, then))

    def run_until(self, end: int) -> None:
        planned = self._planned
        while planned and planned[0][0] <= end:
            self.now, _, then = heapq.heappop(planned)
            then()
        self.now = end
