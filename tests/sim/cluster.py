"""Three nodes with the real driver in a counterfeit world: life, death, pause, and what hangs the checks on them.

*Invariants*: after a crash only the synced records and, perhaps, the engines' last commits remain. A paused node gets
no turn and no tick, then everything at once. One rng decides everything, so a seed is a history.
"""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Callable
from typing import Any

from nodes import ids
from nodes.constants import Constants
from nodes.core.founding import Boot, Founding
from nodes.core.replicated_log import TICK_MS, Timing
from nodes.runtime.compaction import read_records
from nodes.runtime.driver import Driver
from nodes.runtime.messages import NODE_CODE, Boundaries, encode_record, peers
from tests.sim.network import SimNetwork, Weather
from tests.sim.stores import SimStores
from tests.sim.timeline import MS, SECOND, Timeline
from tests.sim.world import Clock, SimJournal, SimWorld

NODES = (1, 2, 3)
CLUSTER_ID = b"simulated cluster"

_quiet = logging.getLogger("tests.sim")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False


class Life:
    """One life of a node, from start to crash."""

    def __init__(self, node: SimNode) -> None:
        self.node = node
        self.is_over = False
        self.is_paused = False
        self.driver: Driver | None = None
        self._backlog: list[Callable[[], None]] = []

    def do(self, then: Callable[[], None]) -> None:
        if self.is_over:
            return
        if self.is_paused:
            self._backlog.append(then)
        else:
            then()

    def later(self, delay: int, then: Callable[[], None]) -> None:
        self.node.cluster.timeline.at(delay, lambda: self.do(then))

    def tick(self) -> None:
        """Ticks are lost while it is paused: a stopped process's timer fires once."""
        if self.is_over:
            return
        if not self.is_paused and self.driver is not None:
            self.driver.tick()
        self.node.cluster.timeline.at(TICK_MS * MS * self.node.tick_factor, self.tick)

    def wake_up(self) -> None:
        self.is_paused = False
        backlog, self._backlog = self._backlog, []
        for then in backlog:
            self.do(then)


class SimNode:
    """What outlives a crash: disk, engines, clock, the number of the last boot."""

    def __init__(self, cluster: Cluster, number: int) -> None:
        self.cluster = cluster
        self.number = number
        self.rng = random.Random(cluster.rng.getrandbits(64))
        self.clock = Clock(cluster.timeline, self.rng)
        self.disk: list[tuple[int, bytes]] = []  # (segment, record)
        self.stores = SimStores(self.rng)
        self.boot = 0
        self.tick_factor = 1  # its timer is late by this: what rests on time alone comes too late here
        self.life: Life | None = None
        self.journal: SimJournal | None = None

    def start(self) -> None:
        assert self.life is None, "it runs already"
        self.boot += 1
        life = self.life = Life(self)
        records = read_records(data for _, data in self.disk)
        known = [record for record in records.pop(NODE_CODE, []) if isinstance(record, Boundaries)]
        world = SimWorld(life, random.Random(self.rng.getrandbits(64)))
        self.journal = SimJournal(life, self.disk, self.rng)
        network = SimNetwork(life, self.rng)
        life.driver = Driver(
            self.number,
            self.cluster.founding,
            self.boot,
            records,
            self.stores,
            world,
            self.journal,
            network,
            _quiet,
            timing=self.cluster.timing,
            constants=self.cluster.constants,
            own_records=[encode_record((NODE_CODE, Boot(self.boot)))],
            boundaries=known[-1].known if known else [],
        )
        self.cluster.on_start(life)
        life.later(self.rng.randint(0, TICK_MS * MS), life.tick)

    def crash(self) -> None:
        if self.life is None:
            return
        assert self.journal is not None, "a running node has a journal"
        self.journal.crash()
        self.life.is_over = True
        self.life = None
        self.stores.crash()


def draw_constants(rng: random.Random, forgets: bool) -> Constants:
    """Mostly so small that logs and journals are let go of within a run; so that outcomes are too, if it `forgets`."""
    if rng.random() < 0.2 and not forgets:
        return Constants()
    return Constants(
        compact_entries=rng.choice((10, 40)),
        kept_entries=rng.choice((1, 5, 20)),
        journal_segments=rng.choice((1, 3)),
        segment_bytes=rng.choice((2_000, 20_000)),
        light_bytes=rng.choice((1, 1_000, 10_000)),
        watermark_every_ms=300 if forgets else rng.choice((300, 3_000)),
        rebalance_after_ms=rng.choice((200, 1_000, 5_000)),
        txn_age_max_ms=12_000,
        outcomes_kept_ms=rng.choice((12_000, 12_000, 12_000, 30_000) if forgets else (12_000, 30_000)),
        history_kept_ms=rng.choice((1_000, 10_000)),
    )


def draw_timing(rng: random.Random, often_small: bool) -> Timing:
    """Sometimes with messages so small that a new leader learns what is accepted page by page."""
    if rng.random() > (0.8 if often_small else 0.3):
        return Timing()
    return Timing(max_batch_bytes=rng.choice((300, 2_000)), max_inflight_bytes=rng.choice((1_000, 20_000)))


class Cluster:
    """`on_start(life)` is called for each new life, before anything happens in it."""

    def __init__(self, seed: int, shards: int, on_start: Callable[[Life], None], profile: str = "") -> None:
        self.rng = random.Random(seed)
        self.timeline = Timeline()
        self.weather = Weather()
        self.on_start = on_start
        self.constants = draw_constants(self.rng, forgets=profile == "late")
        self.timing = draw_timing(self.rng, often_small=profile == "turnover")
        self.clock_steps_ms = 0  # forward, of all nodes together
        self.founding = Founding(CLUSTER_ID, {n: b"i%d" % n for n in NODES}, shards, len(NODES))
        self.trace = hashlib.blake2b(digest_size=16)
        self.lines: list[str] | None = None
        self.nodes = {number: SimNode(self, number) for number in NODES}
        for node in self.nodes.values():
            node.start()

    # -- the network's and the disks' doings

    def note(self, what: bytes, node: int, data: bytes) -> None:
        self.trace.update(b"%s %d %d " % (what, self.timeline.now, node))
        self.trace.update(data)

    def say(self, *words: Any) -> None:
        if self.lines is not None:
            self.lines.append(f"{self.timeline.now / SECOND:10.4f} " + " ".join(str(word) for word in words))

    def deliver(self, sender: int, peer: int, data: bytes) -> None:
        life = self.nodes[peer].life
        if life is None or (sender, peer) in self.weather.cut:
            return
        if self.lines is not None:
            for code, message in peers.decode(data):
                if type(message).__module__.endswith("txn.messages"):
                    self.say(f"n{sender} -> n{peer}", ids.group_name(code) if code < 0xFFFE else "gateway", message)
        driver = life.driver
        assert driver is not None, "a running node has a driver"
        life.do(lambda: driver.receive(sender, peers.decode(data)))

    # -- life and death

    def crash(self, number: int) -> None:
        if self.nodes[number].life is None:
            return
        self.say("crash", f"n{number}")
        self.note(b"crash", number, b"")
        self.nodes[number].crash()
        for other, node in self.nodes.items():
            if other != number and node.life is not None and self.rng.random() < 0.7:
                self._lose_peer(node.life, number)

    def _lose_peer(self, life: Life, peer: int) -> None:
        driver = life.driver
        assert driver is not None, "a running node has a driver"
        life.later(self.rng.randint(100, 20 * MS), lambda: driver.on_peer_lost(peer))

    def crash_soon(self, number: int) -> None:
        """Not inside a turn: the turn's own sends leave first, or do not."""
        life = self.nodes[number].life
        down_for = int(self.rng.uniform(0.05, self.weather.down_for) * SECOND)

        def crash() -> None:
            if life is not None and not life.is_over:
                self.crash(number)
                self.timeline.at(down_for, lambda: self.start(number))

        self.timeline.at(self.rng.choice((0, 0, 1000, self.rng.randint(0, 30 * MS))), crash)

    def start(self, number: int) -> None:
        if self.nodes[number].life is None:
            self.say("start", f"n{number}")
            self.nodes[number].start()

    def pause(self, number: int, how_long: int) -> None:
        life = self.nodes[number].life
        if life is not None and not life.is_paused:
            self.say("pause", f"n{number}", how_long / SECOND)
            life.is_paused = True
            self.timeline.at(how_long, life.wake_up)

    def drivers(self) -> list[Driver]:
        return [node.life.driver for node in self.nodes.values() if node.life is not None and node.life.driver]

    def run(self, duration: int) -> None:
        self.timeline.run_until(self.timeline.now + duration)

    def close(self) -> None:
        for node in self.nodes.values():
            node.stores.close()
