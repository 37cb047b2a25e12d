"""What goes wrong, by profile: crashes, pauses, partitions, weather, clocks. One rng, so a seed is a schedule."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.sim.cluster import NODES, Cluster
from tests.sim.timeline import SECOND

# Weights of what happens; "none" does nothing.
PROFILES: dict[str, dict[str, float]] = {
    "calm": {"none": 1},
    "network": {"weather": 3, "victims": 3, "cut": 1, "cut_one_way": 1, "heal": 2},
    "crash": {"crash": 3, "crash_leader": 3, "crash_all": 0.5, "crash_at": 3, "slow_disk": 1},
    "pause": {"pause": 3, "pause_leader": 2, "slow_disk": 1, "clock": 1},
    "partition": {"isolate_leader": 3, "cut": 2, "cut_one_way": 2, "heal": 3, "pause_leader": 1},
    "mixed": {
        "crash": 1, "crash_leader": 1.5, "crash_all": 0.3, "crash_at": 2, "slow_disk": 1, "pause": 1, "pause_leader": 1,
        "isolate_leader": 1, "cut": 0.6, "cut_one_way": 0.8, "heal": 2, "weather": 1.5, "victims": 2, "clock": 0.7,
    },
}  # fmt: skip
DRAWN = ("mixed", "mixed", "mixed", "network", "crash", "pause", "partition", "calm")
MESSAGES = (
    "Execute", "Voted", "Finished", "Refused", "Decide", "Decided", "Outcome", "Acknowledge", "InDoubt", "Deciding",
    "Wound", "SnapshotRead", "TimestampRequest", "TimestampReply", "FateKnown", "AskFate",
)  # fmt: skip


class Faults:
    """Does something every now and then until `stop`."""

    def __init__(self, cluster: Cluster, rng: random.Random, profile: str) -> None:
        self.cluster = cluster
        self.rng = rng
        self.is_over = False
        self._weights = PROFILES[profile]
        self._often = rng.choice((0.15, 0.5, 1.0))
        self._plan()

    def _plan(self) -> None:
        self.cluster.timeline.at(int(self.rng.uniform(0.05, 2) * self._often * SECOND), self._happen)

    def _happen(self) -> None:
        if self.is_over:
            return
        name = self.rng.choices(list(self._weights), list(self._weights.values()))[0]
        action: Callable[[], None] = getattr(self, name)
        self.cluster.say("fault", name)
        action()
        self._plan()

    def stop(self) -> None:
        """Heal everything; who is down starts, who sleeps wakes."""
        self.is_over = True
        self.cluster.weather.clear()
        for number, node in self.cluster.nodes.items():
            if node.life is not None and node.life.is_paused:
                node.life.wake_up()
            self.cluster.start(number)

    # -- one each

    def none(self) -> None:
        pass

    def _any(self) -> int:
        return self.rng.choice(NODES)

    def _leader(self) -> int:
        """Who leads some group, `c1` rather than others."""
        group = self.rng.choice(("c1", "c1", "s0", "s1", "s2", "s3"))
        for driver in self.cluster.drivers():
            for replica in driver.groups.values():
                if replica.group == group and replica.served_epoch:
                    return driver.node
        return self._any()

    def _down(self, number: int) -> None:
        self.cluster.crash(number)
        self.cluster.timeline.at(
            int(self.rng.choice((0.01, self.rng.uniform(0.1, 3))) * SECOND), lambda: self.cluster.start(number)
        )

    def crash(self) -> None:
        self._down(self._any())

    def crash_leader(self) -> None:
        self._down(self._leader())

    def crash_all(self) -> None:
        for number in NODES:
            self._down(number)

    def crash_at(self) -> None:
        self.cluster.weather.crash_at = {self.rng.choice(MESSAGES): 0.1 for _ in range(2)}

    def slow_disk(self) -> None:
        self.cluster.weather.slow_disk = self.rng.choice((0, 0.05, 0.3))

    def pause(self) -> None:
        self.cluster.pause(self._any(), int(self.rng.uniform(0.05, 4) * SECOND))

    def pause_leader(self) -> None:
        self.cluster.pause(self._leader(), int(self.rng.uniform(0.05, 4) * SECOND))

    def _cut_off(self, number: int) -> None:
        pairs = [(number, other) for other in NODES if other != number]
        self.cluster.weather.cut.update(pairs, [(b, a) for a, b in pairs])

    def isolate_leader(self) -> None:
        self.cluster.weather.cut.clear()
        self._cut_off(self._leader())

    def cut(self) -> None:
        self._cut_off(self._any())

    def cut_one_way(self) -> None:
        a, b = self.rng.sample(NODES, 2)
        self.cluster.weather.cut.add((a, b))

    def heal(self) -> None:
        self.cluster.weather.clear()

    def weather(self) -> None:
        weather, rng = self.cluster.weather, self.rng
        weather.lose = rng.choice((0, 0.02, 0.15))
        weather.repeat = rng.choice((0, 0.02, 0.15))
        weather.slow = rng.choice((0, 0.02, 0.1))

    def victims(self) -> None:
        self.cluster.weather.victims = tuple(self.rng.choice(MESSAGES) for _ in range(self.rng.randint(1, 3)))

    def clock(self) -> None:
        clock = self.cluster.nodes[self._any()].clock
        clock.offset_ms += self.rng.choice((-60_000, -2_000, 500, 5_000, 600_000))
