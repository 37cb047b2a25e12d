"""A random schedule for one group: loss, repetition, reordering, delay, partitions, slow disks, crashes; then peace.

One seed, one history. `LogCluster` checks safety at every drain; the end checks that the group lives again and that
what was applied anywhere is applied everywhere.
"""

from __future__ import annotations

import random
from contextlib import suppress

from nodes.core.replicated_log import NotLeader, ReplicatedLog, Timing
from tests.contract.log_cluster import Copied, Envelope, LogCluster

SMALL = Timing(max_batch_bytes=120, max_inflight_bytes=400)  # pages and windows matter early


class RandomSchedule:
    def __init__(self, core: type[ReplicatedLog], seed: int) -> None:
        self.rng = random.Random(seed)
        nodes = tuple(range(1, self.rng.choice((3, 3, 3, 5)) + 1))
        timing = self.rng.choice((Timing(), SMALL))
        self.cluster = LogCluster(core, nodes, seed, timing, eager=self.rng.choice((None, 1)))
        self.proposed = 0
        self.actions = {
            self.deliver: 60, self.tick_all: 6, self.tick_one: 8, self.propose: 10, self.confirm: 3, self.lose: 4,
            self.repeat: 4, self.hold_disk: 1, self.sync_some: 4, self.crash: 0.5, self.start: 1.5, self.cut: 0.3,
            self.cut_one_way: 0.2, self.heal: 0.6, self.transfer: 0.3, self.lose_connection: 0.3,
        }  # fmt: skip
        self.copies: list[Copied] = []
        if self.rng.random() < 0.7:
            self.actions |= {self.store: 1, self.compact: 1, self.drop_journal: 0.5, self.copy: 0.4, self.install: 0.6}

    def run(self, steps: int) -> None:
        for action in self.rng.choices(list(self.actions), list(self.actions.values()), k=steps):
            action()
        self.make_peace()

    def make_peace(self) -> None:
        cluster = self.cluster
        cluster.heal()
        for node in cluster.nodes:
            if cluster.members[node].core is None:
                cluster.start(node)
            cluster.release_disk(node)
        cluster.deliver_all()
        cluster.run(50)  # who only believes to lead is told so; a transfer to nowhere ends
        leader = cluster.elect(400)
        cluster.propose(leader, b"the end")
        cluster.run_until(lambda: all(member.data[-1:] == [b"the end"] for member in cluster.members.values()), 400)
        assert all(len(member.applied) == len(cluster.truth) for member in cluster.members.values())

    # -- one step each
    def deliver(self) -> None:
        queue = self.cluster.queue
        if queue:
            first = self.rng.random() < 0.7
            self.cluster.deliver(0 if first else self.rng.randrange(len(queue)))

    def lose(self) -> None:
        if self.cluster.queue:
            self.cluster.queue.pop(self.rng.randrange(len(self.cluster.queue)))

    def repeat(self) -> None:
        queue = self.cluster.queue
        if queue:
            envelope: Envelope = self.rng.choice(queue)
            queue.insert(self.rng.randrange(len(queue) + 1), envelope)

    def tick_all(self) -> None:
        for node in self.cluster.up():
            self.cluster.tick(node)

    def tick_one(self) -> None:
        up = self.cluster.up()
        if up:
            self.cluster.tick(self.rng.choice(up))

    def propose(self) -> None:
        leaders = self.cluster.leaders()
        if leaders:
            count = self.rng.choice((1, 1, 2, 5))
            data = [
                b"%d" % number + b"." * self.rng.randrange(40) for number in range(self.proposed, self.proposed + count)
            ]
            self.proposed += count
            with suppress(NotLeader):  # a leader that hands over may refuse
                self.cluster.propose_many(self.rng.choice(leaders), data)

    def confirm(self) -> None:
        up = self.cluster.up()
        if up:
            self.proposed += 1
            self.cluster.confirm(self.rng.choice(self.cluster.leaders() or up), self.proposed)

    def transfer(self) -> None:
        for node in self.cluster.leaders():
            self.cluster[node].transfer(self.rng.choice((None, *self.cluster.nodes)))
            self.cluster.pump(node)

    def hold_disk(self) -> None:
        self.cluster.hold_disk(self.rng.choice(self.cluster.nodes))

    def sync_some(self) -> None:
        node = self.rng.choice(self.cluster.nodes)
        waiting = len(self.cluster.members[node].unsynced)
        if self.rng.random() < 0.3 and self.cluster.members[node].core is not None:
            self.cluster.release_disk(node)
        elif waiting:
            self.cluster.sync(node, self.rng.randint(1, waiting))

    def crash(self) -> None:
        up = self.cluster.up()
        if up:
            survives = self.rng.choice((0, 1, 5))
            self.cluster.crash(self.rng.choice(up), noticed=self.rng.random() < 0.5, survives=survives)

    def start(self) -> None:
        down = [node for node in self.cluster.nodes if self.cluster.members[node].core is None]
        if down:
            self.cluster.start(self.rng.choice(down))

    def cut(self) -> None:
        nodes = list(self.cluster.nodes)
        self.rng.shuffle(nodes)
        at = self.rng.randrange(1, len(nodes))
        self.cluster.partition(tuple(nodes[:at]), tuple(nodes[at:]))

    def cut_one_way(self) -> None:
        a, b = self.rng.sample(self.cluster.nodes, 2)
        self.cluster.cut.add((a, b))

    def heal(self) -> None:
        self.cluster.heal()

    # -- stores and what is let go of
    def store(self) -> None:
        for node in self.cluster.up():
            self.cluster.store(node)

    def compact(self) -> None:
        """Mostly all replicas but one, which is left behind."""
        spared = self.rng.choice((0, *self.cluster.nodes))
        for node in self.cluster.up():
            stored = self.cluster.members[node].stored
            if node != spared and stored:
                self.cluster.compact(node, self.rng.choice((stored, self.rng.randint(1, stored))))

    def drop_journal(self) -> None:
        for node in self.cluster.up():
            core, member = self.cluster[node], self.cluster.members[node]
            if not member.unsynced:
                nothing_held = core.first_slot > core.last_slot
                self.cluster.drop_journal(node, entries=not nothing_held or self.rng.random() < 0.5)

    def copy(self) -> None:
        """It may arrive much later, when others lead."""
        for node in self.cluster.leaders():
            self.copies.append(self.cluster.copy(node))

    def install(self) -> None:
        if self.copies:
            self.cluster.install(self.rng.choice(self.cluster.nodes), self.rng.choice(self.copies))

    def lose_connection(self) -> None:
        up = self.cluster.up()
        if len(up) > 1:
            a, b = self.rng.sample(up, 2)
            self.cluster[a].on_peer_lost(b)
            self.cluster.pump(a)
