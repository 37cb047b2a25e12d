"""Traffic with client keys: one key at several nodes, at once and later, once in a while with another request; fates
and fences by key. Where records are kept for a short time only, also while they end.

*Left out*: what must be true of all that is told (key_checks.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from nodes import ids
from nodes.errors import StoreError
from nodes.requests import Fate
from tests.sim import phrases
from tests.sim.operations import ACCOUNTS, Operation, Steps
from tests.sim.timeline import SECOND

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

SPAN_S = 3.0  # requests under one key come within so many seconds, far less than its record is kept
SHORT_S = 12  # a record that is kept for so long ends while a run lingers
EVERY_S = 0.15


@dataclass(eq=False)
class Question:
    """The fate of a key was asked for, or its fence. `newest`: the largest commit_ts in any log when it was asked."""

    fence: bool
    since: int
    newest: int
    asked_at: int
    told: Fate | StoreError | None = None


@dataclass(eq=False)
class Family:
    """All that was asked under one key."""

    key: str
    operations: list[Operation] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)


class KeyedTraffic:
    """Plans families on the simulation's schedule."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.rng = simulation.schedule.rng
        self.families: list[Family] = []

    def plan(self, count: int, within: int) -> None:
        for _ in range(count):
            self._plan_family(self._family(), self.rng.randint(0, within))

    def plan_ends(self) -> None:
        """Keys whose records end within the next seconds, asked for again and again meanwhile."""
        kept_s = self.simulation.cluster.constants.outcomes_kept_ms // 1000
        if kept_s > SHORT_S:
            return
        for _ in range(3):
            self._plan_bound(self._family(), kept_s)
            self._plan_fenced(self._family(), kept_s)
            self._plan_forgotten(self._family(), kept_s)

    def plan_stale(self, home: str, leader: int, seconds: float) -> None:
        """A leader of the home is left behind for so long: keys that are bound elsewhere meanwhile are asked for there,
        and the requests come again there."""
        rng, others = self.rng, [node for node in self.simulation.cluster.here() if node != leader]
        for _ in range(rng.randint(1, 3)):
            family = self._family()
            while ids.key_home(ids.key_of(family.key), 3) != home:
                family.key = str(UUID(int=rng.getrandbits(128)))
            steps, begin = self._addition(), rng.uniform(0.1, 0.6) * seconds
            self._at(int(begin * SECOND), partial(self._submit, family, steps, False, rng.choice(others)))
            for _ in range(rng.randint(1, 4)):
                when = int(rng.uniform(begin, seconds) * SECOND)
                if rng.random() < 0.5:
                    self._at(when, partial(self._ask, family, False, leader))
                else:
                    self._at(when, partial(self._submit, family, steps, False, leader))

    # -- families

    def _family(self) -> Family:
        family = Family(str(UUID(int=self.rng.getrandbits(128))))
        self.families.append(family)
        return family

    def _plan_family(self, family: Family, begin: int) -> None:
        rng = self.rng
        steps, locked = self.simulation.mix.draw(), rng.random() < 0.3
        for _ in range(rng.randint(1, 4)):
            own = self.simulation.mix.draw() if rng.random() < 0.1 else steps
            delay = int(rng.choice((0, rng.uniform(0, 0.05), rng.uniform(0, SPAN_S))) * SECOND)
            self._at(begin + delay, partial(self._submit, family, own, locked))
        if rng.random() < 0.4:
            self._at(begin + int(rng.uniform(0, SPAN_S) * SECOND), partial(self._ask, family, rng.random() < 0.5))

    def _plan_bound(self, family: Family, kept_s: float) -> None:
        """Mostly the home stands still when the first request comes: it is committed long after its id was minted."""
        steps = self._addition()
        self._at(SECOND, partial(self._submit, family, steps, False))
        if self.rng.random() < 0.8:
            self._at(SECOND, partial(self._pause_home, family, self.rng.uniform(1, 2.5)))
        for second in self._moments(kept_s - 1, kept_s + 7):
            self._at(int(second * SECOND), partial(self._submit, family, steps, False))
            if self.rng.random() < 0.2:
                self._at(int(second * SECOND), partial(self._ask, family, False))
        for _ in range(2):
            self._at(int((kept_s + self.rng.uniform(2, 9)) * SECOND), partial(self._ask, family, True))

    def _plan_fenced(self, family: Family, kept_s: float) -> None:
        """Fenced, fenced again later; from then on the time counts anew."""
        steps, again = self._addition(), self.rng.uniform(0.3, 0.9) * kept_s
        self._at(SECOND, partial(self._ask, family, True))
        self._at(int(again * SECOND), partial(self._ask, family, True))
        for second in self._moments(kept_s - 1, kept_s + again + 2):
            self._at(int(second * SECOND), partial(self._submit, family, steps, False))

    def _plan_forgotten(self, family: Family, kept_s: float) -> None:
        """Committed, forgotten, and only then fenced: who names a time before all that must not hear "never"."""
        self._at(SECOND, partial(self._submit, family, self._addition(), False))
        for _ in range(6):
            when = int((kept_s + self.rng.uniform(3, 12)) * SECOND)
            self._at(when, partial(self._ask, family, self.rng.random() < 0.5))

    def _moments(self, begin: float, end: float) -> list[float]:
        count = int((end - begin) / EVERY_S)
        return [begin + (number + self.rng.random()) * EVERY_S for number in range(count)]

    def _addition(self) -> Steps:
        return [("add", [account, 1]) for account in self.rng.sample(range(ACCOUNTS), 2)]

    # -- what is done

    def _at(self, delay: int, then: partial[None]) -> None:
        what = then.func.__name__.strip("_").replace("_", " ")
        self.simulation.schedule.at(delay, f"{what}, key {then.args[0].key[:8]}", then)

    def _submit(self, family: Family, steps: Steps, locked: bool, node: int = 0) -> None:
        timeout_ms = self.rng.choice((400, 1500, 4000))
        node = node or self.rng.choice(self.simulation.cluster.here())
        operation = self.simulation.submit(steps, node, False, timeout_ms, family.key, locked)
        family.operations.append(operation)
        if self.rng.random() < 0.15:  # a fence of one attempt says nothing of the key
            self._at(int(self.rng.uniform(0, 0.02) * SECOND), partial(self._meddle, family, operation))

    def _ask(self, family: Family, fence: bool, node: int = 0) -> None:
        simulation = self.simulation
        life = simulation.cluster.nodes[node or self.rng.choice(self.simulation.cluster.here())].life
        driver = life.driver if life is not None else None
        if life is None or driver is None:
            return
        first = family.operations[0].after if family.operations else simulation.largest_told
        since = self.rng.choice((0, first))
        question = Question(fence, since, simulation.truth.newest, simulation.cluster.timeline.now)
        family.questions.append(question)
        name = f"{'fence' if fence else 'fate'} of key {family.key}"

        def then(told: Fate | StoreError) -> None:
            question.told = told
            simulation.cluster.say(f"{name} is told {phrases.answer(told)}", driver.node, "<")

        def ask() -> None:
            simulation.cluster.say(name, driver.node, ">")
            driver.gateway.inquiries.ask_fate(family.key, fence, 3_000, then, since)
            driver.wake()

        life.do(ask)

    def _meddle(self, family: Family, operation: Operation) -> None:
        self.simulation.meddle(operation)

    def _pause_home(self, family: Family, seconds: float) -> None:
        home = ids.key_home(ids.key_of(family.key), 3)
        for driver in self.simulation.cluster.drivers():
            if driver.groups[ids.group_code(home)].served_epoch:
                self.simulation.cluster.pause(driver.node, int(seconds * SECOND))
                return
