"""Random schedules: messages lost, repeated, reordered and late, disks slow, nodes crashing; then everything heals.

A failing seed is named in the failure; `Schedule(seed)` replays it.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

import pytest

from nodes.core.replicated_log import NotLeader, Timing
from tests.core.raft.cluster import Cluster

STEPS = 1500
SEEDS_A_TEST = 10
FAST = Timing(heartbeat=1, election_min=4, election_max=8, retransmit=2, max_batch_bytes=12, max_inflight_bytes=30)


class Schedule:
    """One seed, one history."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.cluster = Cluster(self.random.choice([1, 2, 3, 3, 3, 5, 5]), FAST, seed, eager=self.random.choice([0, 1]))
        self.token = 0
        self.loss = self.random.choice([0.0, 0.05, 0.2])
        self.repeats = self.random.choice([0.0, 0.1, 0.3])
        self.slow_disk = self.random.choice([0, *self.cluster.members])
        self.disorder = self.random.choice([0.0, 0.3])

    def run(self) -> None:
        actions: list[tuple[int, Callable[[], None]]] = [
            (100, self.deliver), (40, self.drain), (40, self.sync), (3, self.tick),
            (4, self.tick_all), (12, self.propose), (4, self.confirm), (self.random.choice([0, 1, 2]), self.crash),
            (4, self.restart), (self.random.choice([0, 1, 2]), self.cut), (2, self.heal), (1, self.transfer),
            (1, self.lose_peer),
        ]  # fmt: skip
        weights = [weight for weight, _ in actions]
        for _, action in self.random.choices(actions, weights, k=STEPS):
            action()

    def any_up(self) -> int | None:
        up = [name for name, node in self.cluster.nodes.items() if node.is_up]
        return self.random.choice(up) if up else None

    def deliver(self) -> None:
        links = self.cluster.pending()
        if not links:
            return self.drain_all()
        link = self.random.choice(links)
        messages = self.cluster.links[link]
        position = self.random.randrange(len(messages)) if self.random.random() < self.disorder else 0
        if self.random.random() < self.loss:
            del messages[position]
            return None
        self.cluster.deliver(*link, position, keep=self.random.random() < self.repeats)
        return None

    def drain_all(self) -> None:
        for name, node in self.cluster.nodes.items():
            if node.is_up:
                self.cluster.drain(name)

    def drain(self) -> None:
        if (name := self.any_up()) is not None:
            self.cluster.drain(name)

    def sync(self) -> None:
        name = self.any_up()
        if name is not None and (name != self.slow_disk or self.random.random() < 0.05):
            self.cluster.sync(name, self.random.choice([1, 1, 99]))

    def tick(self) -> None:
        if (name := self.any_up()) is not None:
            self.cluster.tick(name)

    def tick_all(self) -> None:
        for name in self.cluster.members:
            self.cluster.tick(name)

    def asked(self) -> int | None:
        """Whom clients ask: mostly somebody who believes it leads, rightly or not."""
        leading = [name for name, node in self.cluster.nodes.items() if node.is_up and node.replica.leads]
        return self.random.choice(leading) if leading and self.random.random() < 0.9 else self.any_up()

    def propose(self) -> None:
        if (name := self.asked()) is None:
            return
        for _ in range(self.random.randint(1, 4)):
            try:
                self.cluster.propose(name, b"%d" % self.random.randrange(10 ** self.random.choice([1, 5, 15])))
            except NotLeader:
                assert not self.cluster.nodes[name].replica.leads or self.transferring(name)

    def transferring(self, name: int) -> bool:
        return self.cluster.nodes[name].replica.role._transfer_to is not None  # type: ignore[attr-defined]

    def confirm(self) -> None:
        if (name := self.asked()) is not None:
            self.token += 1
            self.cluster.confirm(name, self.token)

    def crash(self) -> None:
        if (name := self.any_up()) is not None:
            self.cluster.crash(name, survives=self.random.randint(0, 3))

    def restart(self) -> None:
        for name, node in self.cluster.nodes.items():
            if not node.is_up:
                self.cluster.restart(name)
                return

    def cut(self) -> None:
        """One node is cut off, or only its words, or only its ears."""
        lost = self.asked() or self.cluster.members[0]
        how = self.random.choice(["both", "words", "ears"])
        for peer in self.cluster.members:
            self.cluster.cut[lost, peer] = how != "ears"
            self.cluster.cut[peer, lost] = how != "words"

    def heal(self) -> None:
        self.cluster.cut.clear()

    def transfer(self) -> None:
        if (name := self.any_up()) is not None:
            self.cluster.nodes[name].replica.transfer(self.random.choice([None, *self.cluster.members]))

    def lose_peer(self) -> None:
        """A connection breaks: what was on it is gone, and the receiving end notices."""
        name, peer = self.any_up(), self.random.choice(self.cluster.members)
        if name is not None:
            self.cluster.links[peer, name] = deque()
            self.cluster.nodes[name].replica.on_peer_lost(peer)

    def heal_and_converge(self) -> None:
        """Afterwards everybody comes back, agrees, and takes a new entry."""
        cluster = self.cluster
        self.heal()
        for name, node in cluster.nodes.items():
            if not node.is_up:
                cluster.restart(name)
        cluster.run(60)
        leader = cluster.leader()
        assert leader is not None, "with all nodes up there is a leader"
        cluster.propose(leader.name, b"last")
        cluster.confirm(leader.name, 0)
        cluster.run(3)
        assert (0, True) in leader.reads
        assert cluster.invariants.chosen[-1].data == b"last"
        for node in cluster.nodes.values():
            assert node.delivered == cluster.invariants.chosen
            assert sorted(token for token, _ in node.reads) == sorted(node.asked), "every read is told once"


@pytest.mark.parametrize("first", range(0, 120, SEEDS_A_TEST))
def test_every_schedule_keeps_the_invariants_and_heals(first: int) -> None:
    for seed in range(first, first + SEEDS_A_TEST):
        schedule = Schedule(seed)
        try:
            schedule.run()
            schedule.heal_and_converge()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
