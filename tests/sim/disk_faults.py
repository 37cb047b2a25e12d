"""What goes wrong with disks and stores: the profile "disk" (faults.py).

At most one node at a time has a damaged journal, and it keeps its disk: `stop` mends it, for nothing replaces a node
here. What may befall several at once (lost power, a full disk, a failed sync) leaves them what was synced.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from nodes import ids
from nodes.runtime.node import LOW_DISK_BYTES
from tests.sim.cluster import Cluster, SimNode
from tests.sim.journal import draw_flip
from tests.sim.operations import Steps
from tests.sim.timeline import SECOND


class DiskFaults:
    """A part of `Faults`."""

    cluster: Cluster
    rng: random.Random
    is_over: bool
    _any: Callable[[], int]
    _later: Callable[[float, float, Callable[[], None]], None]
    _ask_later: Callable[[float, float, Callable[[], tuple[int, Steps]]], None]

    def _node(self) -> SimNode:
        return self.cluster.nodes[self._any()]

    def _nodes(self) -> list[SimNode]:
        return [self.cluster.nodes[number] for number in self.cluster.here()]

    def flip_bit(self) -> None:
        """At rest, in what was synced. The node must not start until it is taken back."""
        node = self._node()
        if any(each.disk.flipped for each in self.cluster.nodes.values()):
            return
        self.cluster.crash(node.number)
        place = draw_flip(node.disk, self.rng)
        if place is None or node.life is not None:
            self._start_later(node, 0.1, 1)
            return
        node.disk.flip(*place)
        self.cluster.say("a bit flips at {1} of {0}".format(*place), node.number)
        self._start_later(node, 0.01, 0.5)

        def mend() -> None:
            node.disk.restore()
            self.cluster.say("the bit is restored", node.number)
            self.cluster.start(node.number)

        self._later(0.6, 3, mend)

    def fail_call(self) -> None:
        """The next write or sync fails; what that lost may come to light only when the power goes, too."""
        node = self._node()
        node.disk.fails = self.rng.choice(("write", "sync", "sync"))
        self.cluster.say(f"the next {node.disk.fails} will fail", node.number)
        if self.rng.random() < 0.5:
            node.disk.start_dies_in = self.rng.randint(0, 2)
        for _ in range(self.rng.randint(0, 2)):
            self._later(0.05, 3, lambda: self._power_off(node))

    def _power_off(self, node: SimNode) -> None:
        if not self.is_over:
            self.cluster.crash(node.number, power=True)
            self._start_later(node, 0.01, 1)

    def power_off(self) -> None:
        """Of one node or of all; the first starts may be cut short, too."""
        for node in self._nodes() if self.rng.random() < 0.4 else [self._node()]:
            self._power_off(node)
            if self.rng.random() < 0.4:
                node.disk.start_dies_in = self.rng.randint(0, 5)

    def cut_power(self) -> None:
        """In the middle of a write; soon again, for what one start makes of it the next one must read."""
        node = self._node()
        node.disk.aim = self.rng.choice(("batch", "large", "large", "segment", "release", "release"))
        self.cluster.say(f"power will go at the next {node.disk.aim}", node.number)
        for _ in range(self.rng.randint(0, 3)):
            self._later(0.3, 3, lambda: self._power_off(node))

    def fill_disk(self) -> None:
        """First it runs low, then little or nothing is left, then there is room again."""
        node = self._node()
        node.disk.free = self.rng.randrange(LOW_DISK_BYTES)
        self.cluster.say("its disk runs low", node.number)
        self._later(0, 2, lambda: self._fill(node))
        self._later(1, 4, node.disk.make_room)

    def _fill(self, node: SimNode) -> None:
        if node.disk.free < LOW_DISK_BYTES and not self.is_over:
            node.disk.room = self.rng.choice((0, self.rng.randrange(3_000)))
            self.cluster.say(f"its disk has {node.disk.room} bytes left", node.number)

    def slow_syncs(self) -> None:
        node = self._node()
        node.disk.sluggish = int(self.rng.uniform(0.2, 3) * SECOND)
        self.cluster.say(f"syncs take {node.disk.sluggish / SECOND:.2f} s at most", node.number)
        self._later(0.5, 4, node.disk.be_quick)

    def lose_engine(self) -> None:
        """Just when it has something to lose."""
        for _ in range(6):
            self._ask_later(0, 0.3, lambda: (self._any(), []))
        self._later(0.1, 0.6, self._lose_engine)

    def _lose_engine(self) -> None:
        """Of a replica that serves, or that does not: then it may not be told."""
        node = self._node()
        driver = node.life.driver if node.life is not None else None
        if driver is None or self.is_over:
            return
        kinds = self.rng.choice(("s", "sc"))
        groups = [each for each in driver.groups.values() if each.group[0] in kinds and not each.stopped]
        if not groups:
            return
        group = self.rng.choice(groups)
        # A coordinator would notice with its next batch only, and may serve before: SQLite does not do that to anybody.
        is_told = bool(group.log.leads) or group.group[0] == "c" or self.rng.random() < 0.3
        if not node.stores.lose(group.group, is_told):
            return
        how = "is told of it" if is_told else "does not notice"
        self.cluster.say(f"the store of {group.group} falls back, its replica {how}", node.number)
        self._later(1, 5, lambda: self._restart(node))
        if not is_told and self.rng.random() < 0.8:  # whoever is to lead must see it, at the latest, by then
            self._give(group.group, node)

    def _give(self, group: str, heir: SimNode) -> None:
        """The leader of the group gives it to that node, which is asked much meanwhile."""
        code = ids.group_code(group)
        for driver in self.cluster.drivers():
            replica = driver.groups.get(code)
            if replica is not None and replica.served_epoch:
                replica.hand_over(heir.number)
                driver.wake()
        for _ in range(8):
            self._ask_later(0, 0.5, lambda: (heir.number, []))

    def _restart(self, node: SimNode) -> None:
        """Somebody sees that a replica has stopped."""
        if node.stores.lost:
            self.cluster.crash(node.number, power=False)
            self._start_later(node, 0.01, 0.3)

    def _start_later(self, node: SimNode, least: float, most: float) -> None:
        self.cluster.start_later(node, self.rng.uniform(least, most))

    def mend_disks(self) -> None:
        for node in self.cluster.nodes.values():
            node.disk.heal()
            if node.stores.lost:
                self.cluster.crash(node.number, power=False)
