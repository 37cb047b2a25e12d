"""A store that fails when a tick writes into it stops its replica; the node and its other groups go on."""

from __future__ import annotations

import pytest

from nodes import ids
from nodes.core.txn.shard import Shard
from nodes.errors import ReplicaStopped
from tests.sim.cluster import NODES
from tests.sim.simulation import Simulation
from tests.sim.timeline import SECOND


def test_a_store_that_fails_at_a_tick_stops_its_replica_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = Simulation(11, "calm")
    try:
        simulation.set_up()
        simulation.cluster.run(10 * SECOND)
        driver = simulation.cluster.driver(NODES[0])
        assert driver is not None
        broken, sound = (driver.groups[ids.group_code(name)] for name in ("s1", "s2"))

        def flush() -> None:
            raise ReplicaStopped("disk I/O error")

        assert isinstance(broken.machine, Shard)
        monkeypatch.setattr(broken.machine.state, "flush", flush)
        driver.tick()
        assert (broken.stopped, sound.stopped) == ("disk I/O error", "")
        assert broken.served_epoch == 0
        driver.tick()  # it is not driven any more
        assert driver.applied_slot("s1") == -1 < driver.applied_slot("s2")
    finally:
        simulation.cluster.close()
