"""A client that rolls back while its commit, of a transaction that only read, is still being confirmed."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from nodes.errors import DID_NOT_HAPPEN, TransactionAborted
from nodes.requests import ABORTED, Begun, Fate, Reply
from nodes.runtime.driver import Driver
from nodes.wire.protocol import COMMIT, ROLLBACK, RUN, Within
from tests.sim.cluster import NODES
from tests.sim.operations import statement
from tests.sim.simulation import Simulation
from tests.sim.timeline import MS, SECOND


@pytest.mark.parametrize("node", NODES)
def test_a_rollback_during_the_confirmation_wins_and_everybody_is_told_the_same(node: int) -> None:
    simulation = Simulation(11, "calm")
    try:
        simulation.set_up()
        told = _played(simulation, _driver(simulation, node), rolls_back_after=0)
        assert isinstance(told["commit"], TransactionAborted), told
        assert (told["commit"].info.outcome, told["rollback"]) == (DID_NOT_HAPPEN, [])
        assert isinstance(told["fate"], Fate), told
        assert told["fate"].state == ABORTED
        assert isinstance(told["writer"], Reply), "its locks are gone"
    finally:
        simulation.cluster.close()


def test_a_rollback_after_the_confirmation_is_told_that_it_is_over() -> None:
    simulation = Simulation(11, "calm")
    try:
        simulation.set_up()
        told = _played(simulation, _driver(simulation, NODES[0]), rolls_back_after=SECOND)
        assert isinstance(told["commit"], Reply), told
        assert isinstance(told["rollback"], TransactionAborted), told
        assert told["fate"].state != ABORTED
    finally:
        simulation.cluster.close()


def _driver(simulation: Simulation, node: int) -> Driver:
    driver = simulation.cluster.driver(node)
    assert driver is not None
    return driver


def _played(simulation: Simulation, driver: Driver, rolls_back_after: int) -> dict[str, Any]:
    """What each question was answered: "begin", "look", "commit", "rollback", "fate", and "writer" of the same rows."""
    told: dict[str, Any] = {}

    def within(verb: int, seq: int, name: str, looks: int = 0) -> None:
        statements = [statement("look", [account]) for account in range(looks)]
        message = Within(0, told["begin"].id, verb, seq, statements, "", 3_000)
        driver.gateway.interactive.within(message, partial(told.__setitem__, name))
        driver.wake()

    driver.gateway.interactive.begin(b"", partial(told.__setitem__, "begin"))
    driver.wake()
    simulation.cluster.run(SECOND)
    assert isinstance(told["begin"], Begun), told
    within(RUN, 1, "look", looks=6)
    simulation.cluster.run(SECOND)
    within(COMMIT, 2, "commit")
    simulation.cluster.run(rolls_back_after)
    within(ROLLBACK, 3, "rollback")
    simulation.cluster.run(500 * MS)
    driver.gateway.inquiries.ask_fate(told["begin"].id, False, 3_000, partial(told.__setitem__, "fate"))
    driver.wake()
    writer = simulation.submit([("add", [account, 1]) for account in range(6)], NODES[0], timeout_ms=3_000)
    simulation.cluster.run(4 * SECOND)
    told["writer"] = writer.told
    return told
