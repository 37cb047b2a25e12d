"""Traffic with client keys: one key at several nodes, at once and later, once in a while with another request; fates
and fences by key. And what must be true of all that is told.

*Invariants checked*: of all requests under a key one is committed at most; a repeat is told of that one, as it was told
itself; who began after it had been told is not told that nothing happened; after a fence nothing is committed.
"""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from nodes import ids
from nodes.errors import DID_NOT_HAPPEN, StoreError
from nodes.requests import ABORTED, COMMITTED, Fate, Reply
from tests.sim.cluster import NODES
from tests.sim.operations import Operation
from tests.sim.timeline import SECOND
from tests.sim.truth import Truth, demand

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

KEYS = "16 client keys"
SPAN_S = 3.0  # requests under one key come within so many seconds, far less than its record is kept


class Family:
    """All that was asked under one key."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.operations: list[Operation] = []
        self.fates: list[tuple[bool, Fate | StoreError]] = []


class KeyedTraffic:
    """Plans families over `within` of virtual time."""

    def __init__(self, simulation: Simulation, rng: random.Random) -> None:
        self.simulation = simulation
        self.rng = rng
        self.families: list[Family] = []

    def plan(self, count: int, within: int) -> None:
        for _ in range(count):
            family = Family(str(UUID(int=self.rng.getrandbits(128))))
            self.families.append(family)
            self._plan_family(family, self.rng.randint(0, within))

    def _plan_family(self, family: Family, begin: int) -> None:
        rng, timeline = self.rng, self.simulation.cluster.timeline
        steps, locked = self.simulation.mix.draw(), rng.random() < 0.3
        for _ in range(rng.randint(1, 4)):
            own = self.simulation.mix.draw() if rng.random() < 0.1 else steps
            delay = int(rng.choice((0, rng.uniform(0, 0.05), rng.uniform(0, SPAN_S))) * SECOND)
            timeline.at(begin + delay, partial(self._submit, family, own, locked))
        if rng.random() < 0.4:
            timeline.at(begin + int(rng.uniform(0, SPAN_S) * SECOND), partial(self._ask, family, rng.random() < 0.5))

    def _submit(self, family: Family, steps: list[tuple[str, list[Any]]], locked: bool) -> None:
        timeout_ms = self.rng.choice((400, 1500, 4000))
        node = self.rng.choice(NODES)
        family.operations.append(self.simulation.submit(steps, node, False, timeout_ms, family.key, locked))

    def _ask(self, family: Family, fence: bool) -> None:
        life = self.simulation.cluster.nodes[self.rng.choice(NODES)].life
        driver = life.driver if life is not None else None
        if life is None or driver is None:
            return

        def then(fate: Fate | StoreError) -> None:
            family.fates.append((fence, fate))

        def ask() -> None:
            driver.gateway.ask_fate(family.key, fence, 3_000, then)
            driver.wake()

        life.do(ask)


def check(truth: Truth, families: list[Family]) -> None:
    for family in families:
        committed = [
            (operation, txn) for operation in family.operations for txn in operation.txns if txn in truth.committed
        ]
        demand(len(committed) <= 1, KEYS, f"{family.key} is committed {len(committed)} times")
        owner, txn = committed[0] if committed else (None, b"")
        for operation in family.operations:
            _check_told(truth, family.key, operation, owner, txn)
        for fence, fate in family.fates:
            _check_fate(truth, family.key, fence, fate, txn)


def _check_told(truth: Truth, key: str, operation: Operation, owner: Operation | None, txn: bytes) -> None:
    told = operation.told
    if isinstance(told, Reply):
        right = owner is not None and told.id == ids.to_text(txn) and told.commit_ts == truth.committed[txn]
        demand(right, KEYS, f"{key}: operation {operation.number} was told of {told.id}, the log knows {txn.hex()}")
        demand(told.repeated == (operation is not owner), KEYS, f"{key}: who is the first, who a repeat?")
        assert owner is not None, "just demanded"
        demand(operation.steps == owner.steps, KEYS, f"{key}: another request was taken for a repeat")
        first = owner.told
        if told.repeated and isinstance(first, Reply) and not told.results_lost:
            demand(told.results == first.results, KEYS, f"{key}: a repeat was told other results")
    elif isinstance(told, StoreError) and told.info.outcome == DID_NOT_HAPPEN and owner is not None:
        was_told = isinstance(owner.told, Reply) and owner.told_at < operation.begun_at
        if operation is not owner and was_told:
            words = (
                f"{key}: operation {operation.number} began after {owner.number} was told, and heard {told.info.code}"
            )
            demand(told.info.code == "key_reused", KEYS, words)


def _check_fate(truth: Truth, key: str, fence: bool, fate: Fate | StoreError, txn: bytes) -> None:
    if isinstance(fate, Fate) and fate.state == COMMITTED:
        right = fate.transaction == ids.to_text(txn) and fate.commit_ts == truth.committed.get(txn)
        demand(right, KEYS, f"{key} is said to be committed as {fate.transaction}, the log knows {txn.hex()}")
    elif isinstance(fate, Fate):
        demand(fate.state == ABORTED and not txn, KEYS, f"{key} is said to be {fate.state}, and is {txn.hex()}")
    else:
        unknown = fate.info.code == "not_found" and not fence
        demand(unknown or fate.info.retryable, KEYS, f"{key}: fence {fence} was answered {fate.info}")
