"""An id that its home may have forgotten the time of is not decided: the attempt is made again under another one; an
interactive transaction did not happen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from nodes import ids
from nodes.constants import Constants
from nodes.core.oracle import at_ms
from nodes.core.txn.shard_state import ShardState
from nodes.errors import DID_NOT_HAPPEN, Unavailable
from nodes.requests import Begun, Reply
from nodes.runtime.driver import Driver
from nodes.wire.protocol import COMMIT, RUN, Within
from tests.sim.cluster import NODES
from tests.sim.operations import ACCOUNTS, shard_of, statement
from tests.sim.simulation import Simulation
from tests.sim.timeline import SECOND

LEAP_MS = 15_000
SHORT = Constants(txn_age_max_ms=10_000, outcomes_kept_ms=10_000, watermark_every_ms=300)


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulation]:
    # Shards that have just begun anew may know of no time yet at which they would refuse it.
    monkeypatch.setattr(ShardState, "is_late", lambda state, txn: False)
    simulation = Simulation(7, "calm", constants=SHORT)
    try:
        simulation.set_up()
        simulation.cluster.run(20 * SECOND)
        yield simulation
    finally:
        simulation.cluster.close()


@pytest.fixture
def driver(simulation: Simulation) -> Driver:
    """Its gateway mints ids as if the value that it drew a moment ago were from before the leap."""
    driver = simulation.cluster.driver(NODES[0])
    assert driver is not None
    gateway = driver.gateway
    gateway.when_fresh(1 << 40, lambda error: None, lambda: None)
    simulation.cluster.run(SECOND)
    gateway.heard -= at_ms(LEAP_MS)
    return driver


def over_two_shards(simulation: Simulation) -> list[tuple[str, list[Any]]]:
    shards = simulation.shards
    other = next(each for each in range(ACCOUNTS) if shard_of(each, shards) != shard_of(0, shards))
    return [("add", [0, -1]), ("add", [other, 1])]


def test_after_a_leap_of_the_oracle_the_attempt_is_made_again_under_a_new_id(
    simulation: Simulation, driver: Driver
) -> None:
    asked = simulation.submit(over_two_shards(simulation), NODES[0], timeout_ms=8_000)
    simulation.cluster.run(8 * SECOND)
    assert isinstance(asked.told, Reply), asked.told
    assert asked.told.attempts > 1


def test_an_interactive_transaction_that_is_older_did_not_happen_and_keeps_its_age(
    simulation: Simulation, driver: Driver
) -> None:
    told: list[Any] = []

    def asked(verb: int, seq: int, steps: list[tuple[str, list[Any]]]) -> Any:
        statements = [statement(word, arguments) for word, arguments in steps]
        driver.gateway.interactive.within(Within(0, told[0].id, verb, seq, statements, "", 5_000), told.append)
        driver.wake()
        simulation.cluster.run(3 * SECOND)
        return told[-1]

    driver.gateway.interactive.begin(b"", told.append)
    driver.wake()
    simulation.cluster.run(SECOND)
    assert isinstance(told[0], Begun), told
    assert isinstance(asked(RUN, 1, over_two_shards(simulation)), list), told
    driver.gateway.hear(driver.gateway.heard + at_ms(LEAP_MS))
    end = asked(COMMIT, 2, [])
    assert isinstance(end, Unavailable), end
    age = ids.age_of(ids.from_text(told[0].id)).hex()
    assert (end.info.outcome, end.info.detail) == (DID_NOT_HAPPEN, {"age": age})


def test_after_a_long_rest_an_id_is_dated_by_a_fresh_value(simulation: Simulation) -> None:
    driver = simulation.cluster.driver(NODES[0])
    assert driver is not None
    before = driver.gateway.heard
    assert before > 0
    simulation.cluster.run(10 * SECOND)
    asked = simulation.submit(over_two_shards(simulation), NODES[0], timeout_ms=8_000)
    simulation.cluster.run(4 * SECOND)
    assert isinstance(asked.told, Reply), asked.told
    assert asked.told.attempts == 1
    assert ids.time_of(ids.from_text(asked.told.id)) - before >= at_ms(SHORT.txn_age_max_ms // 2)
