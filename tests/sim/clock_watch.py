"""The oracle's values beside the clocks of all nodes, however these run, jump and go back.

*Invariants checked* (DESIGN.md §4): a value is ahead of what a majority of clocks have ever shown by no more than a
reservation, and a little for each leader, who begins where the reservation of the one before ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nodes.core.oracle import COUNTED_MS, at_ms
from nodes.core.txn.coordinator import RESERVATION_MS
from nodes.runtime.driver import ORACLE_GROUP
from tests.sim.truth import demand

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster

CLOCKS = "14 oracle beside the clocks"


class ClockWatch:
    """`look` before a clock is changed and whenever a value is given; `leaderships` of the oracle's group."""

    def __init__(self) -> None:
        self.leaderships = 0
        self._shown: dict[int, int] = {}  # the most that each node's clock has ever shown
        self._majority = 0  # the most that a majority of the oracle's voters has ever shown

    def look(self, cluster: Cluster) -> None:
        for number, node in cluster.nodes.items():
            if number not in cluster.buried:
                self._shown[number] = max(self._shown.get(number, 0), node.clock.read_ms())
        for driver in cluster.drivers():
            voters = driver.placement.members(ORACLE_GROUP).voters
            shown = sorted(self._shown[voter] for voter in voters)
            if shown:
                self._majority = max(self._majority, shown[(len(shown) - 1) // 2])

    def on_given(self, cluster: Cluster, ts: int) -> None:
        self.look(cluster)
        most = self._majority + RESERVATION_MS + COUNTED_MS * (self.leaderships + 2)
        words = f"{ts} is given, {(ts - at_ms(self._majority)) >> 16} ms ahead of what a majority of clocks have shown"
        demand(ts <= at_ms(most), CLOCKS, words)
