"""Three nodes with the real driver in a counterfeit world: life, death, pause, and what hangs the checks on them.

A process dies alone or with its machine, of a failed call to its disk, or of a store that is lost under it. Who finds
its journal damaged, or no room to start in, stays down until that is mended.

*Invariants*: after a crash what was synced remains, and of the rest what the disk and the stores leave. A paused node
gets no turn and no tick, then everything at once. One rng decides everything, so a seed is a history.
"""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from nodes.constants import Constants
from nodes.core.founding import Boot, Founding
from nodes.core.membership import Roster
from nodes.core.replicated_log import TICK_MS, Timing
from nodes.errors import Corrupt
from nodes.runtime.compaction import read_records
from nodes.runtime.driver import Driver
from nodes.runtime.messages import NODE_CODE, Boundaries, encode_record, peers
from nodes.runtime.node import DISK_TICKS, LOW_DISK_BYTES
from nodes.runtime.router import place
from tests.sim.coverage import count
from tests.sim.disk import Died, SimDisk
from tests.sim.journal import Ledger, SimJournal
from tests.sim.network import SimNetwork, Weather
from tests.sim.stores import SimStores
from tests.sim.timeline import MS, SECOND, Timeline
from tests.sim.truth import Violation, demand
from tests.sim.world import Clock, SimWorld

if TYPE_CHECKING:
    from tests.sim.record import Recorder

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
        self.network: SimNetwork | None = None
        self._backlog: list[Callable[[], None]] = []
        self._steps, self._ticket = 1, -1  # how many ticks come next, and the journal's ticket after the last

    def do(self, then: Callable[[], None]) -> None:
        if self.is_over:
            return
        if self.is_paused:
            self._backlog.append(then)
            return
        try:
            then()
        except Violation:
            raise
        except Exception as error:  # the node ends at what it did not foresee; it may do so when a store is lost
            if not self.node.stores.lost:
                raise
            count("process ended by a lost engine")
            self.node.cluster.end(self, f"{error!r}")

    def later(self, delay: int, then: Callable[[], None]) -> None:
        self.node.cluster.timeline.at(delay, lambda: self.do(then))

    def tick(self) -> None:
        """Ticks are lost while it is paused: a stopped process's timer fires once. See nodes/runtime/ticker.py."""
        if self.is_over:
            return
        assert self.node.journal is not None, "a life that ticks has a journal"
        for _ in range(self._steps if not self.is_paused else 0):
            self.do(self._tick)
        before, self._ticket = self._ticket, self.node.journal.ticket
        beat = self.node.cluster.timing.heartbeat
        self._steps = beat - self.driver.now % beat if self._ticket == before and self.driver is not None else 1
        self.node.cluster.timeline.at(TICK_MS * MS * self.node.tick_factor * self._steps, self.tick)

    def _tick(self) -> None:
        assert self.driver is not None, "a life that ticks has a driver"
        if self.driver.now % DISK_TICKS == 0:
            self.driver.on_disk(self.node.disk.free < LOW_DISK_BYTES)
        self.driver.tick()

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
        self.disk = SimDisk(self.rng)
        self.ledger = Ledger()
        self.stores = SimStores(self.rng)
        self.boot = 0
        self.tick_factor = 1  # its timer is late by this: what rests on time alone comes too late here
        self.life: Life | None = None
        self.journal: SimJournal | None = None

    def start(self) -> None:
        """It stays down when its disk does not let it start."""
        assert self.life is None, "it runs already"
        self.rng.seed(f"{self.cluster.seed} {self.number} {self.cluster.timeline.now}")
        life = Life(self)
        try:
            journal = SimJournal(life, self.disk, self.ledger, self.rng)
            found = journal.read()
        except Corrupt as error:
            self._refuse(f"{error}")
            return
        except OSError:
            self.cluster.say("cannot start: its disk is full", self.number, "X")
            count("start refused by a full disk")
            self.cluster.start_later(self, 0.5)
            return
        except Died:
            self.cluster.say("dies while it starts", self.number, "X")
            count("death during a start")
            self.disk.lose_power()
            self.cluster.start_later(self, 0.1)
            return
        self.disk.dies_in = -1
        demand(not self.disk.flipped, "7 durable journal", f"n{self.number} starts and does not see a flipped bit")
        self._open(life, journal, read_records(found))

    def _refuse(self, words: str) -> None:
        demand(bool(self.disk.flipped), "7 readable journal", f"n{self.number} cannot start: {words}")
        self.cluster.say(f"cannot start: {words}", self.number, "X")
        count("flip told at the start")

    def _open(self, life: Life, journal: SimJournal, records: dict[int, list[Any]]) -> None:
        self.boot += 1
        self.life, self.journal = life, journal
        known = [record for record in records.pop(NODE_CODE, []) if isinstance(record, Boundaries)]
        world = SimWorld(life, random.Random(self.rng.getrandbits(64)))
        network = life.network = SimNetwork(life, self.rng)
        life.driver = Driver(
            self.number,
            self.cluster.founding,
            self.boot,
            records,
            self.stores,
            world,
            journal,
            network,
            _quiet,
            timing=self.cluster.timing,
            constants=self.cluster.constants,
            own_records=[encode_record((NODE_CODE, Boot(self.boot)))],
            boundaries=known[-1].known if known else [],
        )
        self.cluster.on_start(life)
        life.later(self.rng.randint(0, TICK_MS * MS), life.tick)

    def crash(self, power: bool) -> None:
        """The process ends, with its machine (`power`) or alone."""
        if self.life is None:
            return
        assert self.journal is not None, "a running node has a journal"
        self.life.is_over = True
        self.life = None
        self.journal.crash()
        if power:
            self.disk.lose_power()
        self.stores.crash()


def draw_constants(rng: random.Random, profile: str) -> Constants:
    """Mostly so small that logs and journals are let go of within a run; in the profile "late" outcomes, too; in "disk"
    segments begin often."""
    forgets, is_disk = profile == "late", profile == "disk"
    if rng.random() < 0.2 and not forgets and not is_disk:
        return Constants()
    return Constants(
        compact_entries=rng.choice((10, 40)),
        kept_entries=rng.choice((1, 5, 20)),
        journal_segments=rng.choice((1, 3)),
        segment_bytes=2_000 if is_disk else rng.choice((2_000, 20_000)),
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

    def __init__(
        self,
        seed: int,
        shards: int,
        on_start: Callable[[Life], None],
        profile: str = "",
        constants: Constants | None = None,
    ) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.timeline = Timeline()
        self.weather = Weather()
        self.on_start = on_start
        chunk_bytes = random.Random(f"{seed} chunks").choice((3_000, 30_000, 256 << 10))
        drawn = msgspec.structs.replace(
            draw_constants(self.rng, profile), chunk_bytes=chunk_bytes, interactive_idle_ms=3_000
        )
        self.constants = constants or drawn
        self.timing = draw_timing(self.rng, often_small=profile == "turnover")
        self.clock_steps_ms = 0  # forward, of all nodes together
        self.founding = Founding(CLUSTER_ID, {n: b"i%d" % n for n in NODES}, shards, len(NODES))
        self.trace = hashlib.blake2b(digest_size=16)
        self.recorder: Recorder | None = None
        self.buried: set[int] = set()
        self.nodes = {number: SimNode(self, number) for number in NODES}
        for node in self.nodes.values():
            node.start()

    # -- the network's and the disks' doings

    def note(self, what: bytes, node: int, data: bytes) -> None:
        self.trace.update(b"%s %d %d " % (what, self.timeline.now, node))
        self.trace.update(data)

    def on_roster(self, life: Life, roster: Roster) -> None:
        """A node has heard who joined and who is gone. If it is gone itself, it ends."""
        if life.node.number in roster.gone:
            life.later(0, lambda: self.bury(life.node.number))

    def add(self, number: int) -> None:
        """A node that was no founder starts, and waits to be let in."""
        slowest_ms = min(node.clock.read_ms() for node in self.nodes.values())
        self.nodes[number] = node = SimNode(self, number)
        # With it other clocks are a majority's: the time that groups go by may leap as far.
        self.clock_steps_ms += max(0, node.clock.read_ms() - slowest_ms)
        self.say("is new", number, "^")
        self.nodes[number].start()

    def here(self) -> list[int]:
        """The nodes that are there for clients: not those that are gone for good, nor those that are not let in yet."""
        return [number for number, node in self.nodes.items() if number not in self.buried and self._is_in(node)]

    def _is_in(self, node: SimNode) -> bool:
        driver = node.life.driver if node.life is not None else None
        return node.number in NODES or (driver is not None and driver.is_ready)

    def founded(self) -> list[str]:
        return list(place(len(NODES), self.founding.shards, len(NODES)))

    def bury(self, number: int) -> None:
        """The node is gone for good, with all that it had."""
        self.crash(number)
        self.buried.add(number)

    def say(self, words: str, node: int = 0, sign: str = "*") -> None:
        """For the chart; see `Step` in record.py."""
        if self.recorder is not None:
            self.recorder.say(words, node, sign)

    def say_synced(self, node: int, batch: list[bytes]) -> None:
        if self.recorder is not None:
            self.recorder.syncs(node, batch)

    def post(self, delay: int, sender: int, peer: int, data: bytes, mark: str = "") -> None:
        """A frame on its way; `mark` says what is wrong with this copy."""
        sent = self.timeline.now
        self.timeline.at(delay, lambda: self._deliver(sender, peer, data, sent, mark))

    def lose(self, sender: int, peer: int, items: list[tuple[int, Any]], why: str) -> None:
        if self.recorder is not None:
            self.recorder.loses(sender, peer, items, why)

    def _deliver(self, sender: int, peer: int, data: bytes, sent: int, mark: str) -> None:
        life = self.nodes[peer].life
        if life is None or (sender, peer) in self.weather.cut:
            if self.recorder is not None:
                why = "lost: cut off" if life is not None else f"lost: n{peer} is down"
                self.recorder.loses(sender, peer, peers.decode(data), why)
            return
        if self.recorder is not None:
            self.recorder.arrives(sender, peer, data, sent, mark)
        driver = life.driver
        assert driver is not None, "a running node has a driver"
        assert life.network is not None, "a running node has a network"
        heeded = life.network.known.heeded
        life.do(lambda: driver.receive(sender, heeded(sender, b"i%d" % sender, peers.decode(data))))

    # -- life and death

    def chance(self, number: int) -> random.Random:
        """What is drawn for a node now is the same whatever was drawn before (schedule.py)."""
        return random.Random(f"{self.seed} {number} {self.timeline.now}")

    def crash(self, number: int, power: bool | None = None) -> None:
        """`power`: the machine loses it; None: perhaps."""
        if self.nodes[number].life is None:
            return
        rng = self.chance(number)
        if power is None:
            power = rng.random() < 0.6
        self.say("crashes, its power lost" if power else "crashes", number, "X")
        self.note(b"crash", number, b"")
        self.nodes[number].crash(power)
        for other, node in self.nodes.items():
            if other != number and node.life is not None and rng.random() < 0.7:
                self._lose_peer(node.life, number, rng.randint(100, 20 * MS))

    def _lose_peer(self, life: Life, peer: int, delay: int) -> None:
        driver = life.driver
        assert driver is not None, "a running node has a driver"
        life.later(delay, lambda: driver.on_peer_lost(peer))

    def crash_soon(self, number: int) -> None:
        """Not inside a turn: the turn's own sends leave first, or do not."""
        life, rng = self.nodes[number].life, self.chance(number)
        down_for = int(rng.uniform(0.05, self.weather.down_for) * SECOND)

        def crash() -> None:
            if life is not None and not life.is_over:
                self.crash(number)
                self.timeline.at(down_for, lambda: self.start(number))

        self.timeline.at(rng.choice((0, 0, 1000, rng.randint(0, 30 * MS))), crash)

    def end(self, life: Life, words: str) -> None:
        """The process ends by itself."""
        number = life.node.number
        self.say(f"ends: {words}", number, "X")
        if not life.is_over:
            self.crash(number, power=False)
            rng = self.chance(number)
            self.start_later(life.node, rng.choice((0.01, rng.uniform(0.05, 3))))

    def start_later(self, node: SimNode, seconds: float) -> None:
        self.timeline.at(int(seconds * SECOND), lambda: self.start(node.number))

    def start(self, number: int) -> None:
        if self.nodes[number].life is None and number not in self.buried:
            self.say("starts", number, "^")
            self.nodes[number].start()

    def pause(self, number: int, how_long: int) -> None:
        life = self.nodes[number].life
        if life is not None and not life.is_paused:
            self.say(f"is paused for {how_long / SECOND:.2f} s", number)
            life.is_paused = True
            self.timeline.at(how_long, life.wake_up)

    def driver(self, number: int) -> Driver | None:
        """None while the node is down, or not yet a member."""
        life = self.nodes[number].life
        return None if life is None else life.driver

    def drivers(self) -> list[Driver]:
        return [driver for driver in map(self.driver, self.nodes) if driver is not None]

    def lost(self) -> set[tuple[int, str]]:
        """Stores that were lost under a node that lives."""
        return {(number, group) for number, node in self.nodes.items() for group in node.stores.lost}

    def run(self, duration: int) -> None:
        self.timeline.run_until(self.timeline.now + duration)

    def close(self) -> None:
        for node in self.nodes.values():
            node.stores.close()
