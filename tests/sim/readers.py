"""Interactive transactions that only read, also for update: their end writes no entry anywhere.

Some read at the leader of a shard that is left behind before they come to their end, or of lists, for the checker that
needs no log (dependencies.py). In peace one is fenced when it is committed, and one while it commits: whoever asks is
told the same.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from nodes import ids
from nodes.requests import ABORTED, COMMITTED, Fate, Reply
from tests.sim.coverage import count
from tests.sim.lists import ROWS
from tests.sim.operations import ACCOUNTS, START
from tests.sim.sessions import MOST_CLAIMED, Client
from tests.sim.timeline import MS
from tests.sim.truth import demand

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

PEACE_TRIES = 5
TOLD_ALIKE = "3 one decision"


class Reader(Client):
    """Of accounts, or of lists."""

    def __init__(self, simulation: Simulation, rng: random.Random, number: int) -> None:
        super().__init__(simulation, rng, number)
        self.of_lists = rng.random() < 0.5

    def _step(self) -> tuple[str, list[Any]]:
        rng, account = self.rng, self.rng.choice(self.hot)
        if self.of_lists:
            row = account % ROWS
            return rng.choice((("items", [row]), ("value", [row]), ("every", []), ("inside", [row])))
        kind = rng.random()
        if kind < 0.7:
            return rng.choice(("look", "look", "look", "hold", "grab")), [account]
        if kind < 0.8:
            return "claim", [rng.randint(1, MOST_CLAIMED)]
        return ("sum", []) if kind < 0.9 else (rng.choice(("pick", "share")), [START + rng.randint(-6, 3)])

    def end(self) -> None:
        """Of one with a script, if it has come that far."""
        if self.steps:
            self._commit()

    def _on_end(self, end: Any) -> None:
        if isinstance(end, Reply):
            demand(not end.commit_ts, TOLD_ALIKE, f"{self.id} only read, and has a commit_ts")
            count("interactive transaction that only read committed")
        super()._on_end(end)


class ReaderTraffic:
    """Each has a chance of its own."""

    def __init__(self, simulation: Simulation, seed: str) -> None:
        self.simulation = simulation
        self._seed = seed
        self._rng = random.Random(f"{seed} readers")
        self._begun = 0

    def plan(self, most: int, within: int) -> None:
        bursts = [self._rng.randint(0, within) for _ in range(2)]
        for _ in range(self._rng.randint(0, most)):
            when = self._rng.choice(bursts) + self._rng.randint(0, 50 * MS)
            self.simulation.schedule.at(when, "interactive transaction that only reads", self._begin)

    def _begin(self) -> None:
        self._reader().begin()

    def _reader(self) -> Reader:
        self._begun += 1
        reader = Reader(self.simulation, random.Random(f"{self._seed} reader {self._begun}"), self._begun)
        self.simulation.sessions.clients.append(reader)
        return reader

    def read_on(self, node: int, account: int, until: int) -> None:
        """One at that node reads the account, perhaps another one too, and comes to its end within `until`."""
        reader = self._reader()
        reader.node = node
        also = reader.rng.sample(range(ACCOUNTS), reader.rng.randint(0, 1))
        reader.script = [("look", [each]) for each in (account, *also)]
        reader.begin()
        self.simulation.schedule.later(reader.rng.randint(until // 10, until), reader.end)

    def fence_in_peace(self) -> None:
        for is_late in (True, False):
            # A leadership that is given back to the preferred node in between ends what is open there.
            for _ in range(PEACE_TRIES):
                state = self._fence_one(is_late)
                count(f"fence of one that only read: {state}")
                if state == COMMITTED or not is_late:
                    break
            demand(not is_late or state == COMMITTED, TOLD_ALIKE, f"what only read, in peace, is {state} each time")

    def _fence_one(self, is_late: bool) -> str:
        """Who fences it is told what its client is told."""
        simulation, rng, reader = self.simulation, self._rng, self._reader()
        until = simulation.sessions.until
        reader.script = [("look", [account]) for account in rng.sample(range(ACCOUNTS), 3)]
        reader.begin()
        until(lambda: bool(reader.steps), "nothing is read in peace")
        reader.end()
        operation = reader.operation
        assert operation is not None, "it was asked to commit"
        if is_late:
            until(lambda: operation.told is not None, "nothing is committed in peace")
        else:
            simulation.cluster.run(rng.randint(0, 6 * MS))
        told = simulation.ask_fate(ids.from_text(reader.id), True, rng.choice(simulation.cluster.here()))
        until(lambda: bool(told) and operation.told is not None, "no fence is answered in peace")
        state = COMMITTED if isinstance(operation.told, Reply) else ABORTED
        is_same = isinstance(told[0], Fate) and told[0].state == state
        demand(is_same, TOLD_ALIKE, f"{reader.id} only read and was told {operation.told!r}, and its fence {told[0]!r}")
        return state
