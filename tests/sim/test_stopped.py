"""A store that fails when it is written or asked stops its replica; the node and its other groups go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nodes import ids
from nodes.core.txn.messages import PREPARE
from nodes.core.txn.shard import Shard
from nodes.core.txn.shard_state import FLUSH_TICKS
from nodes.errors import ReplicaStopped
from nodes.runtime.driver import Driver
from nodes.runtime.group import Group
from nodes.sql.schema import Fragment
from tests.core.txn.scene import execute
from tests.sim.operations import shard_of
from tests.sim.simulation import ACCOUNTS, Simulation
from tests.sim.timeline import MS, SECOND


def fails(*arguments: Any) -> Any:
    raise ReplicaStopped("disk I/O error")


def ticks(driver: Driver, group: Group, patch: pytest.MonkeyPatch) -> None:
    assert isinstance(group.machine, Shard)
    patch.setattr(group.machine.state, "flush", fails)
    for _ in range(FLUSH_TICKS):
        driver.tick()


def is_asked(driver: Driver, group: Group, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(group.store, "evaluate", fails)
    txn = ids.mint(1 << 60, 2, 1, 1, "c1", b"cluster")
    driver.receive(2, [(group.code, execute(txn, Fragment(0, "SELECT 1", [], [], [], False), finish=PREPARE))])


@pytest.mark.parametrize("happens", [ticks, is_asked])
def test_a_store_that_fails_stops_its_replica_alone(
    monkeypatch: pytest.MonkeyPatch, happens: Callable[[Driver, Group, pytest.MonkeyPatch], None]
) -> None:
    simulation = Simulation(11, "calm")
    try:
        simulation.set_up()
        simulation.cluster.run(10 * SECOND)
        driver = next(each for each in simulation.cluster.drivers() if each.groups[ids.group_code("s1")].served_epoch)
        broken, sound = (driver.groups[ids.group_code(name)] for name in ("s1", "s2"))
        happens(driver, broken, monkeypatch)
        assert (broken.stopped, sound.stopped) == ("disk I/O error", "")
        assert broken.served_epoch == 0
        driver.tick()  # it is not driven any more
        assert driver.applied_slot("s1") == -1 < driver.applied_slot("s2")
    finally:
        simulation.cluster.close()


@pytest.mark.parametrize("seed", [7, 8, 9])
def test_a_follower_whose_store_has_fallen_back_does_not_lead(seed: int) -> None:
    """Nobody told it, and nothing was written since: what it served would be old, what it commits fit no replica."""
    simulation = Simulation(seed, "calm")
    try:
        simulation.set_up()
        simulation.cluster.run(5 * SECOND)
        code = ids.group_code("s1")
        leader = next(each for each in simulation.cluster.drivers() if each.groups[code].served_epoch)
        heir = next(each for each in simulation.cluster.drivers() if each is not leader)
        stores = simulation.cluster.nodes[heir.node].stores
        before = stores.live["s1"]._main.db.serialize("main")
        account = next(account for account in range(ACCOUNTS) if shard_of(account, heir.shards) == 1)
        simulation._until_committed([("add", [account, 7])])
        simulation.cluster.run(3 * SECOND)
        stores._found["s1"] = before
        stores._between.pop("s1", None)
        assert stores.lose("s1", is_told=False)
        leader.groups[code].hand_over(heir.node)
        leader.wake()
        for _ in range(100):
            simulation.cluster.run(10 * MS)
            assert heir.groups[code].served_epoch == 0, "it leads"
        assert "is not at the applied slot" in heir.groups[code].stopped
        asked = simulation.submit([("add", [account, 1])], heir.node, timeout_ms=8_000)
        simulation.cluster.run(8 * SECOND)
        replicas = [driver.groups[code] for driver in simulation.cluster.drivers()]
        assert [replica.node for replica in replicas if replica.stopped] == [heir.node]
        assert sum(replica.served_epoch > 0 for replica in replicas) == 1
        assert asked.told is not None
    finally:
        simulation.cluster.close()
