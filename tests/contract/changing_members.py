"""A random schedule in which the members change all the time, beside everything else that a random schedule has.

Nodes join as learners, become voters, are removed; leaders fall in the middle of it. Whoever was removed is told so by
a leader that serves, at once or much later, and forgets everything. *Left out*: what the driver never does, such as
promoting a learner that is not near.
"""

from __future__ import annotations

from contextlib import suppress

from nodes.core.membership import ChangeRefused, Joined, Members, promoted, with_learner, without
from nodes.core.replicated_log import NotLeader, ReplicatedLog
from tests.contract.log_cluster import LogCluster
from tests.contract.random_schedule import SMALL, RandomSchedule, Timing


class ChangingMembers(RandomSchedule):
    def __init__(self, core: type[ReplicatedLog], seed: int) -> None:
        super().__init__(core, seed)
        founders = tuple(range(1, self.rng.choice((1, 2, 3, 3, 4, 5)) + 1))
        spares = tuple(range(len(founders) + 1, 11))
        timing = self.rng.choice((Timing(), SMALL))
        self.cluster = LogCluster(core, founders, seed, timing, eager=self.rng.choice((None, 1)), spares=spares)
        self.absent = set(spares)
        self.left = dict.fromkeys(self.cluster.nodes, 0)  # as of which slot
        self.joined = dict.fromkeys(self.cluster.nodes, 0)
        self.told: list[tuple[int, Joined]] = []
        self.changed = self.joins = 0
        self.actions |= {self.change: 15, self.tell: 3, self.hear: 20}

    # -- what changes
    def change(self) -> None:
        """A leader that serves proposes some step."""
        for node in self.cluster.leaders():
            core = self.cluster[node]
            step = self._step(node, core.configuration.members)
            if step is None or not self.cluster.serving(node):
                continue
            with suppress(NotLeader, ChangeRefused):
                core.change(step, core.epoch)
                self.changed += 1
            self.cluster.pump(node)

    def _step(self, leader: int, members: Members) -> Members | None:
        near = [node for node in members.learners if self.cluster[leader].is_near(node)]
        others = [node for node in self.cluster.nodes if node not in members.all + members.former]
        what = self.rng.choice(("learn", "vote", "vote", "leave"))
        if what == "learn" and others:
            return with_learner(members, self.rng.choice(others))
        if what == "vote" and near:
            return promoted(members, self.rng.choice(near), self.rng.choice(members.voters))
        going = self.rng.choice(members.all)
        return without(members, going) if what == "leave" else None

    def tell(self) -> None:
        """A leader that serves tells everybody who is a member; they hear of it whenever."""
        for leader in self.cluster.leaders():
            if (joined := self.cluster.invitation(leader)) is not None:
                self.told += [(node, joined) for node in self.cluster.nodes]

    def hear(self) -> None:
        if self.told:
            self._hear(*self.told.pop(self.rng.randrange(len(self.told))))

    def _hear(self, node: int, told: Joined) -> None:
        if node in self.absent:
            if node in told.members.all and told.slot > self.left[node]:
                self.absent.discard(node)
                self.joined[node] = told.slot
                self.cluster.join(node, told)
                self.joins += 1
        elif node not in told.members.all and self._own_slot(node) <= told.slot:
            self.absent.add(node)
            self.left[node] = told.slot
            self.cluster.leave(node)

    def _own_slot(self, node: int) -> int:
        """As of which chosen members the node holds its replica, whatever its log names besides."""
        known = self.cluster.members[node].known
        return max(known.slot if known is not None else 0, self.joined[node])

    def start(self) -> None:
        down = [
            node for node in self.cluster.nodes
            if self.cluster.members[node].core is None and node not in self.absent
        ]  # fmt: skip
        if down:
            self.cluster.start(self.rng.choice(down))

    def hold_disk(self) -> None:
        self.cluster.hold_disk(self.rng.choice(sorted(set(self.cluster.nodes) - self.absent)))

    # -- peace
    def make_peace(self) -> None:
        cluster = self.cluster
        cluster.heal()
        for node in cluster.nodes:
            cluster.members[node].disk_holds = False
            if node in self.absent:
                continue
            if cluster.members[node].core is None:
                cluster.start(node)
            cluster.release_disk(node)
        cluster.deliver_all()
        cluster.run(50)
        leader = cluster.elect(400)
        cluster.propose(leader, b"the end")
        cluster.run_until(self._all_have_the_end, 400)

    def _all_have_the_end(self) -> bool:
        self.told.clear()
        self.tell()
        for node, told in self.told:
            self._hear(node, told)
        members = self.cluster.members
        there = [node for node in self.cluster.nodes if node not in self.absent]
        return all(members[node].data[-1:] == [b"the end"] for node in there)
