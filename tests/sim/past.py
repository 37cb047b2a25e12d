"""Reads of the past, as clients ask for them: some time ago, at a timestamp that somebody was told, or at one that is
no past yet, which is waited for or refused. What is told is judged as of every snapshot (history.py, replay.py); also
that in peace the replicas of each node answer what is closed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from nodes.core.oracle import at_ms
from nodes.errors import StoreError
from nodes.requests import Reply
from tests.sim.coverage import count, counted
from tests.sim.operations import READS, Operation, Steps
from tests.sim.stale import IN_PEACE
from tests.sim.timeline import SECOND
from tests.sim.truth import demand

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

SHARE = 0.2  # of what only reads
AGO = ("-0ms", "-3ms", "-150ms", "-1s")
AHEAD_MS = (1, 20, 500, 5_000)
NO_PAST = "22023"
NEAR = "the past read at replicas"


class PastReads:
    """Draws with a chance of its own."""

    def __init__(self, simulation: Simulation, seed: str) -> None:
        self.simulation = simulation
        self.rng = random.Random(f"{seed} past")

    def takes(self, steps: Steps) -> bool:
        """True: that reading is one of the past, and was asked."""
        if any(word not in READS for word, _ in steps) or self.rng.random() >= SHARE:
            return False
        node, timeout_ms = self.rng.choice(self.simulation.cluster.here()), self.rng.choice((400, 1500, 4000))
        self._ask(steps, node, timeout_ms, self._draw())
        return True

    def _ask(self, steps: Steps, node: int, timeout_ms: int, as_of: str) -> None:
        number = len(self.simulation.operations)
        self.simulation.send(Operation(number, steps, node, timeout_ms=timeout_ms, as_of=as_of))

    def demand_near(self) -> None:
        """In peace each node's replicas read again what they just read: that is closed."""
        simulation = self.simulation
        for node in simulation.cluster.here():
            before = counted[NEAR]
            for _ in range(IN_PEACE):
                read = simulation.stale.ask([("sum", [])], node, 4_000, 0)
                simulation._run(SECOND // 10)
                if isinstance(read.told, Reply):
                    self._ask([("sum", [])], node, 4_000, str(read.told.ts))
                    simulation._run(SECOND // 10)
                if counted[NEAR] > before:
                    break
            demand(counted[NEAR] > before, "8 progress", f"n{node} reads no past from its replicas in peace")

    def _draw(self) -> str:
        told = [each.told for each in self.simulation.operations if isinstance(each.told, Reply)]
        ahead = self.simulation.largest_told + at_ms(self.rng.choice(AHEAD_MS))
        known = self.rng.choice([reply.commit_ts or reply.ts or 1 for reply in told])
        ago = self.rng.choice(AGO)
        return self.rng.choice((ago, ago, str(known), str(ahead)))

    @staticmethod
    def on_told(operation: Operation, answer: Reply | StoreError) -> None:
        if operation.as_of and isinstance(answer, Reply):
            count("the past read")
        elif operation.as_of and isinstance(answer, StoreError) and answer.info.sqlstate == NO_PAST:
            count("read of what is no past refused")
