"""An id that its home may have forgotten the time of is not decided: the attempt is made again under another."""

from __future__ import annotations

import pytest

from nodes.constants import Constants
from nodes.core.oracle import at_ms
from nodes.core.txn.shard_state import ShardState
from nodes.requests import Reply
from tests.sim.cluster import NODES
from tests.sim.operations import ACCOUNTS, shard_of
from tests.sim.simulation import Simulation
from tests.sim.timeline import SECOND

SHORT = Constants(txn_age_max_ms=10_000, outcomes_kept_ms=10_000, watermark_every_ms=300)


def test_after_a_leap_of_the_oracle_the_attempt_is_made_again_under_a_new_id(monkeypatch: pytest.MonkeyPatch) -> None:
    # Shards that have just begun anew may know of no time yet at which they would refuse it.
    monkeypatch.setattr(ShardState, "is_late", lambda state, txn: False)
    simulation = Simulation(7, "calm", constants=SHORT)
    try:
        simulation.set_up()
        simulation.cluster.run(20 * SECOND)
        life = simulation.cluster.nodes[NODES[0]].life
        assert life is not None
        assert life.driver is not None
        gateway = life.driver.gateway
        gateway.when_fresh(1 << 40, lambda error: None, lambda: None)
        simulation.cluster.run(SECOND)
        # As if the value that it drew a moment ago were from before the leap.
        gateway.heard -= at_ms(15_000)
        other = next(
            account
            for account in range(ACCOUNTS)
            if shard_of(account, simulation.shards) != shard_of(0, simulation.shards)
        )
        asked = simulation.submit([("add", [0, -1]), ("add", [other, 1])], NODES[0], timeout_ms=8_000)
        simulation.cluster.run(8 * SECOND)
        assert isinstance(asked.told, Reply), asked.told
        assert asked.told.attempts > 1
    finally:
        simulation.cluster.close()
