"""Reads that may be a little old, as clients ask for them: at one node, again and again, some with the token of what
they were told before. What is told is judged as of every snapshot (history.py, replay.py); also that it is not older
than was allowed, nor below the token, and that in peace the replicas of each node answer.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from typing import TYPE_CHECKING

from nodes.core.txn.coordinator import RESERVATION_MS
from nodes.errors import SnapshotTooOld, StoreError
from nodes.requests import Reply
from tests.sim.coverage import count, counted
from tests.sim.operations import ACCOUNTS, EXTRAS, Operation, Steps
from tests.sim.timeline import MS, SECOND
from tests.sim.truth import demand

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

STALE = "6 bounded staleness"
STALENESS_MS = (100, 400, 1_000, 4_000, 20_000)
PAUSES = (2 * MS, 40 * MS, 150 * MS)
IN_PEACE = 100  # tries, a tenth of a second apart


class StaleReads:
    """Each reader has a chance of its own, so that one more or less changes no other."""

    def __init__(self, simulation: Simulation, seed: str) -> None:
        self.simulation = simulation
        self.seed = seed
        self.begun = 0
        self._told: list[tuple[int, int]] = [(0, 0)]  # (when, the largest timestamp that anybody had been told)

    def plan(self, most: int, within: int) -> None:
        rng = random.Random(f"{self.seed} stale")
        for _ in range(rng.randint(0, most)):
            self.simulation.schedule.at(rng.randint(0, within), "stale reader", self._begin)

    def _begin(self) -> None:
        self.begun += 1
        rng = random.Random(f"{self.seed} stale {self.begun}")
        self._read(rng, rng.choice(self.simulation.cluster.here()), rng.choice(STALENESS_MS), rng.randint(3, 24))

    def _read(self, rng: random.Random, node: int, staleness_ms: int, left: int) -> None:
        token = rng.choice((0, 0, self._told[-1][1], rng.choice(self._told)[1]))
        self.ask(_draw(rng), node, staleness_ms, token, rng.choice((400, 1_500, 4_000)))
        if left > 1:
            pause = rng.choice(PAUSES)
            self.simulation.cluster.timeline.at(pause, lambda: self._read(rng, node, staleness_ms, left - 1))

    def ask(self, steps: Steps, node: int, staleness_ms: int, token: int, timeout_ms: int = 4_000) -> Operation:
        simulation = self.simulation
        operation = Operation(
            len(simulation.operations),
            steps,
            node,
            timeout_ms=timeout_ms,
            staleness_ms=staleness_ms,
            session_token=token,
        )
        # At the token, or above what was told before the time that it may go back.
        operation.after = max(token - 1, self._told_at(simulation.cluster.timeline.now - staleness_ms * MS))
        return simulation.send(operation)

    def _told_at(self, when: int) -> int:
        return self._told[max(0, bisect_right(self._told, (when, 0)) - 1)][1]

    def on_told(self, operation: Operation, answer: Reply | StoreError) -> None:
        if isinstance(answer, Reply) and answer.session_token > self._told[-1][1]:
            self._told.append((self.simulation.cluster.timeline.now, answer.session_token))
        if not operation.staleness_ms:
            return
        name = f"operation {operation.number} {operation.steps}"
        if isinstance(answer, Reply):
            words = f"{name} may be {operation.staleness_ms} ms old, with token {operation.session_token}"
            demand(answer.ts > operation.after, STALE, f"{words}: it is told {answer.ts}, {operation.after} was told")
            if operation.session_token:
                count("stale read with a token")
        # Where little is kept a fresh timestamp grows too old, too, while leaders change: a new one of the oracle
        # begins at what was reserved.
        took_ms = (self.simulation.cluster.timeline.now - operation.begun_at) // MS * 5 // 4  # clocks may run fast
        passed_ms = took_ms + self.simulation.cluster.clock_steps_ms + RESERVATION_MS
        is_long = passed_ms >= self.simulation.cluster.constants.history_kept_ms
        is_refused = isinstance(answer, SnapshotTooOld)
        demand(is_long or not is_refused, STALE, f"{name} is told {answer!r}, and fresh rows would do")

    def demand_near(self) -> None:
        """In peace each node's replicas answer, after a while."""
        for node in self.simulation.cluster.here():
            before = counted["follower read"]
            for _ in range(IN_PEACE):
                self.ask([("sum", [])], node, 4_000, 0)
                self.simulation._run(SECOND // 10)
                if counted["follower read"] > before:
                    break
            demand(counted["follower read"] > before, "8 progress", f"n{node} reads nothing from its replicas in peace")


def _draw(rng: random.Random) -> Steps:
    kind = rng.random()
    if kind < 0.35:
        return rng.choice(([("sum", [])], [("sum", []), ("count", [])], [("every", [])]))
    if kind < 0.6:
        return [("look", [account]) for account in rng.sample(range(ACCOUNTS), rng.choice((1, 2)))]
    return [(rng.choice(("see", "see", "group")), [rng.choice(EXTRAS)])]
