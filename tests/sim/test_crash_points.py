"""What has many steps, and a failure at each of them in turn: a transfer over two shards, a store on its way to a
laggard, logs and journals that are compacted (cases C01-C04, C13, C18, P27, R25; R26 for the applies between them).

A node that dies takes no further step in the same turn; what its disk had not synced is gone, and perhaps the newest
commits of its engines. After it has come back everything must be settled and the history sound.
"""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Callable
from typing import Any

import pytest

from nodes.constants import Constants
from nodes.core.transfer import Chunk, ChunkTaken
from nodes.requests import Reply
from tests.sim import coverage
from tests.sim.cluster import NODES, Cluster
from tests.sim.network import SimNetwork
from tests.sim.operations import ACCOUNTS, shard_of
from tests.sim.simulation import Simulation
from tests.sim.timeline import MS, SECOND

SEED = 11
DOWN_FOR = SECOND // 2
CUT_FOR = SECOND // 2  # longer than chunks wait for their answer
LAGGARD = NODES[2]
SMALL = Constants(
    compact_entries=10,
    kept_entries=1,
    journal_segments=1,
    segment_bytes=2_000,
    light_bytes=1,
    chunk_bytes=12_000,
    watermark_every_ms=300,
    rebalance_after_ms=200,
)

Failure = Callable[["Steps", int, int], None]  # (steps, who takes the step, whom it is sent to)


class Steps:
    """Counts from now on, for `within`; at the `wanted`th (from 1) the failure comes: who dies is silent at once."""

    def __init__(self, cluster: Cluster, wanted: int, within: int, fail: Failure) -> None:
        self.cluster = cluster
        self.wanted, self.taken = wanted, 0
        self.silent = 0
        self._fail = fail
        self._end = cluster.timeline.now + within

    def take(self, node: int, peer: int = 0) -> bool:
        """Is it the one?"""
        if self.cluster.timeline.now > self._end:
            return False
        self.taken += 1
        if self.taken == self.wanted:
            self._fail(self, node, peer)
        return self.taken == self.wanted

    def watch_syncs(self) -> None:
        note = self.cluster.note

        def noted(what: bytes, node: int, data: bytes) -> None:
            note(what, node, data)
            if what == b"sync":
                self.take(node)

        self.cluster.note = noted  # type: ignore[method-assign]

    def watch_frames(self, *kinds: type) -> None:
        """Those with a message of such a kind, if any is named."""
        for number in NODES:
            life = self.cluster.nodes[number].life
            assert life is not None, "all nodes run"
            assert isinstance(life.network, SimNetwork)
            self._watch_frames_of(number, life.network, kinds)

    def _watch_frames_of(self, number: int, network: SimNetwork, kinds: tuple[type, ...]) -> None:
        send = network.send

        def guarded(peer: int, items: list[tuple[int, Any]]) -> None:
            if not kinds or any(isinstance(message, kinds) for _, message in items):
                self.take(number, peer)
            if self.silent != number:
                send(peer, items)

        network.send = guarded  # type: ignore[method-assign]

    def watch_batches_of(self, number: int) -> None:
        """Each call to the disk, for those that begin a segment of the journal."""
        journal = self.cluster.nodes[number].journal
        assert journal is not None, "a running node has a journal"

        def begun(calls: int) -> None:
            for call in range(calls + 1) if calls > 2 else ():
                if self.take(number):
                    journal.last_call = lambda call=call: call  # type: ignore[method-assign,misc]

        journal.on_batch = begun  # type: ignore[method-assign]

    def watch_store_syncs_of(self, number: int) -> None:
        stores = self.cluster.nodes[number].stores
        keep = stores.keep

        def kept(group: str, store: Any) -> bool:
            is_ours = keep(group, store)
            self.take(number)
            return is_ours

        stores.keep = kept  # type: ignore[method-assign]

    def kill(self, number: int) -> None:
        self.silent = number
        self.cluster.timeline.at(0, lambda: self._die(number))

    def _die(self, number: int) -> None:
        self.silent = 0
        self.cluster.crash(number)
        self.cluster.timeline.at(DOWN_FOR, lambda: self.cluster.start(number))


def who_takes_it_dies(steps: Steps, node: int, peer: int) -> None:
    steps.kill(node)


def the_other_one_dies(steps: Steps, node: int, peer: int) -> None:
    steps.kill(peer or node)


def they_are_cut_off(steps: Steps, node: int, peer: int) -> None:
    """From each other; the step's own frame is lost."""
    cut, weather = {(node, peer), (peer, node)}, steps.cluster.weather
    weather.cut.update(cut)
    steps.cluster.timeline.at(CUT_FOR, lambda: weather.cut.difference_update(cut))


# -- what is done; each gives how many steps there were


def transfer(wanted: int, fail: Failure) -> int:
    simulation = Simulation(SEED, "calm")
    try:
        simulation.set_up()
        shards = simulation.shards
        source = 0
        target = next(a for a in range(ACCOUNTS) if shard_of(a, shards) != shard_of(source, shards))
        steps = Steps(simulation.cluster, wanted, 120 * MS, fail)  # by then it is over on all nodes, if nobody dies
        steps.watch_syncs()
        steps.watch_frames()
        asked = simulation.submit([("add", [source, -1]), ("add", [target, 1])], NODES[0], timeout_ms=3_000)
        settle(simulation)
        assert wanted or isinstance(asked.told, Reply), "it commits when nobody dies"
        return steps.taken
    finally:
        simulation.cluster.close()


def store_for_a_laggard(wanted: int, fail: Failure) -> int:
    """A node comes back when the logs of the others have let go of what it lacks."""
    simulation = Simulation(SEED, "calm", constants=SMALL)
    try:
        simulation.set_up()
        simulation.cluster.crash(LAGGARD, power=False)
        for number in range(30):
            simulation._until_committed([("add", [number % ACCOUNTS, 1])], NODES[0])
        simulation.cluster.run(5 * SECOND)  # the watermarks move, the logs let go
        simulation.cluster.start(LAGGARD)
        steps = Steps(simulation.cluster, wanted, 2 * SECOND, fail)
        steps.watch_frames(Chunk, ChunkTaken)
        settle(simulation)
        assert coverage.counted["store of many chunks came"] >= 3, "each shard and more"
        return steps.taken
    finally:
        simulation.cluster.close()


def _transfers(simulation: Simulation, count: int) -> None:
    """Ten a second."""
    for number in range(count):
        steps_of_one = [("add", [number % ACCOUNTS, -1]), ("add", [(number + 1) % ACCOUNTS, 1])]
        simulation.submit(steps_of_one, NODES[number % 3], timeout_ms=3_000)
        simulation.cluster.run(100 * MS)


def _until_segments_go(simulation: Simulation) -> None:
    """Transfers until the first node has let go of segments of its journal once more; it may die meanwhile."""
    before = _released(simulation)
    for _ in range(10):
        _transfers(simulation, 10)
        if _released(simulation) > before:
            return
    raise AssertionError("no segment went within a hundred transfers")


def _released(simulation: Simulation) -> int:
    """How many segments of its journal the first node has let go of; 0 while it is down, and until some go again."""
    driver = simulation.cluster.driver(NODES[0])
    return 0 if driver is None else driver.compaction.released


def compaction(wanted: int, fail: Failure) -> int:
    """Logs are cut, stores made durable, segments begun and released, while transactions run."""
    simulation = Simulation(SEED, "calm", constants=SMALL)
    try:
        simulation.set_up()
        _until_segments_go(simulation)
        steps = Steps(simulation.cluster, wanted, 2 * SECOND, fail)
        steps.watch_batches_of(NODES[0])
        steps.watch_store_syncs_of(NODES[0])
        _until_segments_go(simulation)
        settle(simulation)
        return steps.taken
    finally:
        simulation.cluster.close()


def settle(simulation: Simulation) -> None:
    simulation.cluster.run(2 * SECOND)
    simulation.demand_progress()
    simulation.check_history()


Scenario = Callable[[int, Failure], int]


def played(scenario: Scenario, wanted: int, fail: Failure) -> str:
    """What went wrong."""
    try:
        with coverage.counting():
            scenario(wanted, fail)
    except Exception as error:  # whatever the code under test raises
        return f"{fail.__name__} at step {wanted}: {error!r}"
    return ""


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("scenario", "failures", "fewest"),
    [
        (transfer, [who_takes_it_dies], 40),
        (store_for_a_laggard, [who_takes_it_dies, the_other_one_dies, they_are_cut_off], 20),
        (compaction, [who_takes_it_dies], 40),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_step_may_fail(scenario: Scenario, failures: list[Failure], fewest: int) -> None:
    with coverage.counting():
        steps = scenario(0, who_takes_it_dies)
    print(f"{steps} steps, {len(failures)} kinds of failure at each")
    assert steps >= fewest, "there are more steps than that"
    plays = [(scenario, wanted, fail) for wanted, fail in itertools.product(range(1, steps + 1), failures)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        failed = [each for each in pool.starmap(played, plays, chunksize=4) if each]
    assert failed == []
