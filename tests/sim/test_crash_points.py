"""One transfer over two shards, and a node that dies at each of its steps in turn: after each sync and at each frame
that leaves (cases C01-C04, C13, C18; R26 for the applies between them).

The dying node's later frames of the same turn do not leave; what its disk had not synced is gone, and perhaps the
newest commits of its engines. After it has come back everything must be settled and the history sound.
"""

from __future__ import annotations

import multiprocessing

import pytest

from nodes.requests import Reply
from tests.sim.cluster import NODES
from tests.sim.network import SimNetwork
from tests.sim.operations import ACCOUNTS, shard_of
from tests.sim.simulation import Simulation
from tests.sim.timeline import MS, SECOND

SEED = 11
WITHIN = 120 * MS  # of virtual time: by then the transfer is over on all nodes, if nobody dies
DOWN_FOR = SECOND // 2
FEWEST_STEPS = 40


class CrashAt:
    """Counts the steps of all nodes from now on; at the `wanted`th (from 1) whoever takes it dies."""

    def __init__(self, simulation: Simulation, wanted: int) -> None:
        self.cluster = simulation.cluster
        self.wanted, self.steps = wanted, 0
        self.dying = 0
        self._end = self.cluster.timeline.now + WITHIN
        self._note = self.cluster.note
        self.cluster.note = self.note  # type: ignore[method-assign]
        for number in NODES:
            life = self.cluster.nodes[number].life
            assert life is not None, "all nodes run"
            assert life.driver is not None, "a running node has a driver"
            network = life.driver.network
            assert isinstance(network, SimNetwork)
            self._silence_when_dying(number, network)

    def _silence_when_dying(self, number: int, network: SimNetwork) -> None:
        send = network.send

        def guarded(peer: int, items: list[tuple[int, object]]) -> None:
            if self.dying != number:
                send(peer, items)

        network.send = guarded  # type: ignore[method-assign]

    def note(self, what: bytes, node: int, data: bytes) -> None:
        self._note(what, node, data)
        if what not in (b"send", b"sync") or self.cluster.timeline.now > self._end:
            return
        self.steps += 1
        if self.steps == self.wanted:
            self.dying = node
            self.cluster.timeline.at(0, self._die)

    def _die(self) -> None:
        number, self.dying = self.dying, 0
        self.cluster.crash(number)
        self.cluster.timeline.at(DOWN_FOR, lambda: self.cluster.start(number))


def play(wanted: int) -> int:
    """The whole run; how many steps there were. Raises Violation."""
    simulation = Simulation(SEED, "calm")
    try:
        simulation.set_up()
        shards = simulation.shards
        source = 0
        target = next(a for a in range(ACCOUNTS) if shard_of(a, shards) != shard_of(source, shards))
        crash = CrashAt(simulation, wanted)
        transfer = simulation.submit([("add", [source, -1]), ("add", [target, 1])], NODES[0], timeout_ms=3_000)
        simulation.cluster.run(2 * SECOND)
        simulation.demand_progress()
        simulation.check_history()
        assert wanted or isinstance(transfer.told, Reply), "it commits when nobody dies"
        return crash.steps
    finally:
        simulation.cluster.close()


def failure(wanted: int) -> str:
    try:
        play(wanted)
    except Exception as error:  # whatever the code under test raises
        return f"death at step {wanted}: {error!r}"
    return ""


@pytest.mark.timeout(900)
def test_a_node_may_die_at_every_step_of_a_transfer() -> None:
    steps = play(0)
    assert steps >= FEWEST_STEPS, "a transfer has more steps than that"
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        failures = [each for each in pool.map(failure, range(1, steps + 1), chunksize=4) if each]
    print(f"{steps} steps, a death at each")
    assert failures == []
