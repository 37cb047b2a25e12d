"""Reads of the past, as clients ask for them: some time ago, at a timestamp that somebody was told, or at one that is
no past yet, which is waited for or refused. What is told is judged as of every snapshot (history.py, replay.py)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from nodes.core.oracle import at_ms
from nodes.errors import StoreError
from nodes.requests import Reply
from tests.sim.coverage import count
from tests.sim.operations import READS, Operation, Steps

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

SHARE = 0.2  # of what only reads
AGO = ("-0ms", "-3ms", "-150ms", "-1s")
AHEAD_MS = (1, 20, 500, 5_000)
NO_PAST = "22023"


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
        number = len(self.simulation.operations)
        self.simulation.send(Operation(number, steps, node, timeout_ms=timeout_ms, as_of=self._draw()))
        return True

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
