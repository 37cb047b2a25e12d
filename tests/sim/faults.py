"""What goes wrong, by profile: crashes, pauses, partitions, weather, clocks. All of it is planned at the beginning, and
each fault is an event of the schedule, so any of them may be left out (schedule.py).

Four profiles aim: "stale" leaves a shard's leader behind that still believes in itself, and asks it; "turnover"
changes leaders faster than their logs settle; both cut off one group's log traffic only, so gateways still reach
everybody. "laggard" leaves one node behind for longer than logs are kept; "late" has copies of messages arrive when
what they are about is forgotten; "disk" breaks disks and stores (disk_faults.py). In "clocks" these jump and run at any
rate; "pairs" has a traffic of its own.
"""

from __future__ import annotations

from collections.abc import Callable

from nodes import ids
from tests.sim.cluster import Cluster
from tests.sim.disk_faults import DiskFaults
from tests.sim.operations import ACCOUNTS, Steps, shard_of
from tests.sim.schedule import Schedule
from tests.sim.timeline import SECOND

# Weights of what happens; "none" does nothing.
PROFILES: dict[str, dict[str, float]] = {
    "calm": {"none": 1},
    "pairs": {"none": 1},  # see pairs.py
    "network": {"weather": 3, "victims": 3, "cut": 1, "cut_one_way": 1, "heal": 2},
    "crash": {"crash": 3, "crash_leader": 3, "crash_all": 0.5, "crash_at": 3, "slow_disk": 1},
    "pause": {"pause": 3, "pause_leader": 2, "slow_disk": 1, "clock": 1},
    "partition": {"isolate_leader": 3, "cut": 2, "cut_one_way": 2, "heal": 3, "pause_leader": 1},
    "mixed": {
        "crash": 1, "crash_leader": 1.5, "crash_all": 0.3, "crash_at": 2, "slow_disk": 1, "pause": 1, "pause_leader": 1,
        "isolate_leader": 1, "cut": 0.6, "cut_one_way": 0.8, "heal": 2, "weather": 1.5, "victims": 2, "clock": 0.7,
        "hand_over": 1,
    },
    "stale": {"stale": 5, "stale_home": 2, "heal": 1, "none": 1},
    "laggard": {"leave_behind": 4, "crash_leader": 1, "crash_in_log": 1, "slow_disk": 1, "weather": 1},
    "late": {"echoes": 3, "crash": 1, "pause_leader": 1, "heal": 1},
    "members": {"crash": 1, "crash_leader": 1.5, "hand_over": 1, "unseat": 1, "weather": 1, "victims": 1, "cut": 0.5,
                "cut_one_way": 0.5, "heal": 3, "pause_leader": 1, "slow_disk": 0.5},
    "disk": {
        "flip_bit": 2, "fail_call": 2, "power_off": 1, "cut_power": 5, "fill_disk": 1.5, "slow_syncs": 1,
        "lose_engine": 3, "crash_leader": 1, "crash_at": 1, "weather": 0.5,
    },
    "clocks": {"clock": 3, "clocks": 4, "crash_leader": 1, "hand_over": 1, "isolate_leader": 0.7, "heal": 1},
    "turnover": {"unseat": 5, "rivals": 3, "hand_over": 4, "crash_in_log": 1, "crash_leader": 1, "heal": 1},
}  # fmt: skip
# Seeds with this remainder by 10 have this profile; the others draw theirs.
REGULAR = {1: "laggard", 3: "stale", 4: "members", 5: "late", 6: "turnover", 7: "disk", 9: "pairs"}
DRAWN = ("mixed", "mixed", "mixed", "network", "crash", "pause", "partition", "calm", "clocks", "disk", "disk")
MESSAGES = (
    "Execute", "Execute", "Execute", "Voted", "Finished", "Refused", "Decide", "Decided", "Outcome", "Acknowledge",
    "InDoubt", "Deciding", "Wound", "SnapshotRead", "TimestampRequest", "TimestampReply", "FateKnown", "AskFate",
    "AskClosed", "ClosedIs",
)  # fmt: skip

LOG_WORDS = ("RequestVote", "Vote", "Append", "Appended", "Prepare", "Promise", "Accept", "Accepted")

FAULTS_FOR = 10 * SECOND
OWN_MARKERS = 1 << 40  # from here on rows of the ledger are a fault's own
RUN_MS = 10_000  # a clock that is too fast gains in so long a time

# (node, steps): a request of a client at that node; no steps: any.
Submit = Callable[[int, Steps], None]
# (group, node, seconds): keys whose home is the group, whose leader at that node is left behind for so long.
PlanStale = Callable[[str, int, float], None]
# (node, account, until): one that reads the account at that node now, and comes to its end until then.
ReadOn = Callable[[int, int, int], None]


class Faults(DiskFaults):
    """Does something every now and then until `stop`."""

    def __init__(
        self,
        cluster: Cluster,
        schedule: Schedule,
        profile: str,
        submit: Submit,
        plan_stale: PlanStale,
        read_on: ReadOn,
    ) -> None:
        self.cluster = cluster
        self.submit = submit
        self.plan_stale, self.read_on = plan_stale, read_on
        self.schedule = schedule
        self.rng = schedule.rng
        self.is_over = False
        self._plan(PROFILES[profile])

    def _plan(self, weights: dict[str, float]) -> None:
        often, due = self.rng.choice((0.15, 0.5, 1.0)), 0
        while True:
            due += int(self.rng.uniform(0.05, 2) * often * SECOND)
            if due >= FAULTS_FOR:
                return
            name = self.rng.choices(list(weights), list(weights.values()))[0]
            self.schedule.at(due, name, getattr(self, name))

    def stop(self) -> None:
        """Heal everything; who is down starts, who sleeps wakes."""
        self.is_over = True
        self.cluster.weather.clear()
        for node in self.cluster.nodes.values():
            if node.life is not None and node.life.is_paused:
                node.life.wake_up()
            node.tick_factor = 1
        self.mend_disks()
        for number in self.cluster.nodes:
            self.cluster.start(number)

    # -- one each

    def none(self) -> None:
        pass

    def _any(self) -> int:
        return self.rng.choice(self.cluster.here())

    def _leader(self) -> int:
        """Who leads some group, `c1` rather than others."""
        return self._leader_of(self.rng.choice(("c1", "c1", "s0", "s1", "s2", "s3"))) or self._any()

    def _leader_of(self, group: str) -> int:
        """Who serves it, 0: nobody does."""
        for driver in self.cluster.drivers():
            for replica in driver.groups.values():
                if replica.group == group and replica.served_epoch:
                    return driver.node
        return 0

    def _down(self, number: int) -> None:
        self.cluster.crash(number)
        self.cluster.timeline.at(
            int(self.rng.choice((0.01, self.rng.uniform(0.1, 3))) * SECOND), lambda: self.cluster.start(number)
        )

    def crash(self) -> None:
        self._down(self._any())

    def crash_leader(self) -> None:
        self._down(self._leader())

    def crash_all(self) -> None:
        for number in self.cluster.here():
            self._down(number)

    def crash_at(self) -> None:
        self.cluster.weather.crash_at = {self.rng.choice(MESSAGES): 0.1 for _ in range(2)}

    def slow_disk(self) -> None:
        self.cluster.weather.slow_disk = self.rng.choice((0, 0.05, 0.3))

    def pause(self) -> None:
        self.cluster.pause(self._any(), int(self.rng.uniform(0.05, 4) * SECOND))

    def pause_leader(self) -> None:
        self.cluster.pause(self._leader(), int(self.rng.uniform(0.05, 4) * SECOND))

    def _cut_off(self, number: int) -> None:
        pairs = [(number, other) for other in self.cluster.here() if other != number]
        self.cluster.weather.cut.update(pairs, [(b, a) for a, b in pairs])

    def isolate_leader(self) -> None:
        self.cluster.weather.cut.clear()
        self._cut_off(self._leader())

    def cut(self) -> None:
        self._cut_off(self._any())

    def cut_one_way(self) -> None:
        a, b = self.rng.sample(self.cluster.here(), 2)
        self.cluster.weather.cut.add((a, b))

    def heal(self) -> None:
        self.cluster.weather.clear()

    def weather(self) -> None:
        weather, rng = self.cluster.weather, self.rng
        weather.lose = rng.choice((0, 0.02, 0.15))
        weather.repeat = rng.choice((0, 0.02, 0.15))
        weather.slow = rng.choice((0, 0.02, 0.1))

    def victims(self) -> None:
        self.cluster.weather.victims = tuple(self.rng.choice(MESSAGES) for _ in range(self.rng.randint(1, 3)))

    def clock(self) -> None:
        clock, step_ms = self.cluster.nodes[self._any()].clock, self.rng.choice((-60_000, -2_000, 500, 5_000, 600_000))
        clock.offset_ms += step_ms
        self.cluster.say(f"a clock steps by {step_ms} ms")
        self.cluster.clock_steps_ms += max(0, step_ms)

    def clocks(self) -> None:
        """One clock runs much too fast or slow from now on, or all jump, each by its own."""
        rng = self.rng
        if rng.random() < 0.5:
            rate = rng.choice((0.2, 0.9, 1.0, 1.1, 5.0))
            number = self._any()
            self.cluster.nodes[number].clock.run_at(rate)
            self.cluster.say(f"its clock runs at {rate}", number)
            self.cluster.clock_steps_ms += int(max(0, rate - 1) * RUN_MS)
            return
        for number in self.cluster.here():
            step_ms = rng.choice((-30_000, -500, -1, 0, 3, 700, 4_000))
            self.cluster.nodes[number].clock.offset_ms += step_ms
            self.cluster.say(f"its clock steps by {step_ms} ms", number)
            self.cluster.clock_steps_ms += max(0, step_ms)

    # -- one group's replicas part

    def _later(self, least: float, most: float, then: Callable[[], None]) -> None:
        """After so many seconds."""
        self.schedule.later(int(self.rng.uniform(least, most) * SECOND), then)

    def _ask_later(self, least: float, most: float, draw: Callable[[], tuple[int, Steps]]) -> None:
        """A request, which may be left out alone; `draw` gives its node and steps when it is due."""

        def ask() -> None:
            if not self.is_over:
                self.submit(*draw())

        self.schedule.at(int(self.rng.uniform(least, most) * SECOND), "request", ask)

    def _lose_in(self, group: str, number: int, peer: int) -> None:
        """That node's replica of the group takes the connection to `peer` for broken."""
        life = self.cluster.nodes[number].life
        driver = life.driver if life is not None else None
        if life is None or driver is None:
            return
        replica = driver.groups.get(ids.group_code(group))
        if replica is None:
            return

        def lose() -> None:
            replica.on_peer_lost(peer)
            driver.wake()

        life.do(lose)

    def _part(self, group: str, leader: int, seconds: float) -> None:
        """Cut the leader's replica off, both ways or one; mostly the others notice at once, and elect."""
        others = [node for node in self.cluster.here() if node != leader]
        code = ids.group_code(group)
        out, back = [(leader, other, code) for other in others], [(other, leader, code) for other in others]
        cut = self.rng.choice((out + back, out + back, out))
        weather = self.cluster.weather
        weather.cut_logs.update(cut)
        if self.rng.random() < 0.85:
            for other in others:
                self._later(0, 0.02, lambda other=other: self._lose_in(group, other, leader))  # type: ignore[misc]
        self._later(seconds, seconds, lambda: weather.cut_logs.difference_update(cut))

    def leave_behind(self) -> None:
        """One node is down, or its replicas hear nothing, while the others are busy."""
        number = self._any()
        seconds = self.rng.uniform(1.5, 5)
        others = [node for node in self.cluster.here() if node != number]
        if self.rng.random() < 0.5:
            self.cluster.crash(number)
            self._later(seconds, seconds, lambda: self.cluster.start(number))
        else:
            codes = [ids.group_code(group) for group in self.cluster.founded()]
            cut = [(other, number, code) for other in others for code in codes]
            self.cluster.weather.cut_logs.update(cut)
            self._later(seconds, seconds, lambda: self.cluster.weather.cut_logs.difference_update(cut))
        for _ in range(self.rng.randint(10, 40)):
            self._ask_later(0, seconds, lambda: (self.rng.choice(others), []))
        if self.rng.random() < 0.4:  # what is sent it then comes in pieces
            self.cluster.weather.victims = ("Chunk", "ChunkTaken")

    def echoes(self) -> None:
        """Copies of what is said now come again much later."""
        self.cluster.weather.echo = self.rng.choice((0.0, 0.05, 0.2))
        self.cluster.weather.echo_of = self.rng.choice(((), ("Decide",), ("Decide", "Execute")))

    def stale(self) -> None:
        """A shard's leader is left behind; its own node's clients read there, and have read before, what others change
        elsewhere."""
        shards = self.cluster.founding.shards
        shard = self.rng.randint(1, shards)
        leader = self._leader_of(f"s{shard}")
        here = [account for account in range(ACCOUNTS) if shard_of(account, shards) == shard]
        if not leader or not here:
            return
        seconds = self.rng.uniform(1, 4)
        node = self.cluster.nodes[leader]
        node.tick_factor = self.rng.choice((1, 4, 10))
        account = self.rng.choice(here)
        for _ in range(self.rng.randint(1, 3)):
            self.read_on(leader, account, int(seconds * SECOND))
        self._later(0.02, 0.08, lambda: self._part(f"s{shard}", leader, seconds))
        self._later(seconds, seconds, lambda: setattr(node, "tick_factor", 1))
        others = [other for other in self.cluster.here() if other != leader]
        for _ in range(self.rng.randint(2, 5)):
            self._ask_later(0.1, seconds, lambda: (self.rng.choice(others), [("add", [account, 1])]))
        for _ in range(self.rng.randint(3, 8)):
            self._ask_later(0.1, seconds, lambda: (leader, [("look", [account])]))

    def stale_home(self) -> None:
        """A coordinator's leader is left behind; what is asked of keys at its node was bound elsewhere."""
        home = self.rng.choice(("c1", "c2", "c3"))
        leader = self._leader_of(home)
        if not leader:
            return
        seconds = self.rng.uniform(1, 4)
        node = self.cluster.nodes[leader]
        node.tick_factor = self.rng.choice((1, 4, 10))
        self._part(home, leader, seconds)
        self._later(seconds, seconds, lambda: setattr(node, "tick_factor", 1))
        self.plan_stale(home, leader, seconds)

    def unseat(self) -> None:
        """One leader of a group after the other is cut off, some as soon as they lead, while much is proposed."""
        group = self.rng.choice(("c1", "c1", "c1", "s1", "s2"))
        self._unseat(group, 0, self.rng.randint(2, 4), tries=1)

    def _unseat(self, group: str, epoch: int, left: int, tries: int = 500) -> None:
        """Wait for a leader of a newer epoch and cut it off; who was cut off before may come back."""
        code = ids.group_code(group)
        led = [(d.groups[code].served_epoch, d.node) for d in self.cluster.drivers() if code in d.groups]
        newest, leader = max(led, default=(0, 0))
        if self.is_over or not left or not tries:
            return
        if newest <= epoch:
            self._later(0.001, 0.004, lambda: self._unseat(group, epoch, left, tries - 1))
            return
        weather = self.cluster.weather
        weather.cut_logs = {cut for cut in weather.cut_logs if cut[2] != code}
        self._part(group, leader, self.rng.uniform(0.2, 1.5))
        for _ in range(self.rng.randint(0, 8)):
            self._ask_later(0, 0.05, lambda: (leader, self._marks()))
        pause = self.rng.choice((0.0, self.rng.uniform(0, 0.5)))
        self._later(pause, pause, lambda: self._unseat(group, newest, left - 1))

    def _marks(self) -> Steps:
        """Rows that nobody fights for, mostly on two shards: many such decisions are under way at once."""
        marker = OWN_MARKERS + 2 * self.schedule.own_number()
        return [("mark", [marker, 0, 0, 0]), ("mark", [marker + 1, 0, 0, 0])]

    def hand_over(self) -> None:
        """A leader gives its group to another node, which often does not hear of it, while it has much to propose."""
        group = self.rng.choice(("c1", "s0", "s1", "s2"))
        leader = self._leader_of(group)
        life = self.cluster.nodes[leader].life if leader else None
        if life is None:
            return
        code, heir = ids.group_code(group), self.rng.choice([node for node in self.cluster.here() if node != leader])
        if self.rng.random() < 0.6:
            cut = {(leader, heir, code), (heir, leader, code)}
            self.cluster.weather.cut_logs.update(cut)
            self._later(0.5, 2, lambda: self.cluster.weather.cut_logs.difference_update(cut))
        for _ in range(self.rng.randint(6, 20)):
            self._ask_later(0, 0.8, lambda: (self._any(), self.rng.choice(([], self._marks()))))

        asked = self.cluster.nodes[self._any()].life or life

        def give() -> None:
            driver = asked.driver
            assert driver is not None, "a running node has a driver"
            if asked is life:
                if code in driver.groups:
                    driver.groups[code].hand_over(heir)
            else:
                driver.gateway.inquiries.transfer_leader(group, heir, 3_000, lambda answer: None)
            driver.wake()

        asked.do(give)

    def rivals(self) -> None:
        """The leader falls for a moment, and again at its vote; the others do not hear of each other and want it."""
        group = self.rng.choice(("c1", "s0", "s1", "s2"))
        judge = self._leader_of(group)
        if not judge:
            return
        code = ids.group_code(group)
        one, other = self.rng.sample([node for node in self.cluster.here() if node != judge], 2)
        cut = {(one, other, code), (other, one, code)}
        weather = self.cluster.weather
        weather.cut_logs.update(cut)
        weather.victims = ("RequestVote", "Prepare")
        weather.crash_at, weather.down_for = {"Vote": 0.6, "Promise": 0.6}, 0.3
        self.cluster.crash(judge)
        self._later(0.01, 0.03, lambda: self.cluster.start(judge))
        for node in (one, other):
            self._later(0, 0.01, lambda node=node: self._lose_in(group, node, judge))  # type: ignore[misc]
        if self.rng.random() < 0.7:  # whoever won is not heard of
            cut.add((one, judge, code))
            self._later(0.1, 0.4, lambda: weather.cut_logs.add((one, judge, code)))
        self._later(0.8, 2, lambda: self._make_up(cut))

    def _make_up(self, cut: set[tuple[int, int, int]]) -> None:
        weather = self.cluster.weather
        weather.cut_logs.difference_update(cut)
        weather.victims, weather.crash_at = (), {}

    def crash_in_log(self) -> None:
        self.cluster.weather.crash_at = {self.rng.choice(LOG_WORDS): 0.02}
