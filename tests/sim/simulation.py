"""One seed, one history: set up in peace, traffic under faults, then heal and demand progress and a sound history."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from uuid import UUID

from nodes import ids
from nodes.constants import Constants
from nodes.core.txn import evaluated, participant
from nodes.errors import OutcomeUnknown, StoreError
from nodes.requests import ABORTED, COMMITTED, EXPIRED, Fate, Reply
from nodes.runtime.driver import Driver
from nodes.storage.sqlite import SqliteEngine
from tests.sim import coverage, dependencies, history, key_checks, phrases, rest
from tests.sim.cluster import Cluster, Life
from tests.sim.faults import DRAWN, FAULTS_FOR, OWN_MARKERS, PROFILES, REGULAR, Faults
from tests.sim.keyed import KeyedTraffic
from tests.sim.lists import ListTraffic
from tests.sim.operations import ACCOUNTS, EXTRA_KEYS, EXTRAS, SCHEMA, Mix, Operation, Steps, shard_of
from tests.sim.pairs import Pairs
from tests.sim.past import PastReads
from tests.sim.readers import ReaderTraffic
from tests.sim.record import Recorder
from tests.sim.replacing import Replacing
from tests.sim.replay import Replays
from tests.sim.report import Report
from tests.sim.schedule import Number, Schedule
from tests.sim.sessions import SessionTraffic
from tests.sim.stale import StaleReads
from tests.sim.timeline import MS, SECOND
from tests.sim.truth import Truth, Violation, demand
from tests.sim.watch import Watch

PROGRESS_WITHIN = 30  # virtual seconds after the faults
MAX_ACTIVE, MAX_LOCKS = participant.MAX_ACTIVE, evaluated.MAX_LOCKS
READERS = 3
CPU_SECONDS = 40  # a run takes about one


class Simulation:
    """Built from a seed; `run` raises Violation."""

    def __init__(
        self, seed: int, profile: str = "", without: Iterable[Number] = (), constants: Constants | None = None
    ) -> None:
        self.rng = random.Random(f"{seed} {profile}")
        self.profile = profile or REGULAR.get(seed % 10) or self.rng.choice(DRAWN)
        assert self.profile in PROFILES, f"profiles: {', '.join(PROFILES)}"
        self.shards = self.rng.choice((2, 3))
        self.truth = Truth()
        self.watch = Watch(self.truth)
        self.operations: list[Operation] = []
        self.largest_told = self.set_up_at = 0  # timestamps
        self.fates: list[tuple[bytes, Fate]] = []
        self.replays = Replays(self.truth, self.rng)
        self.cluster = Cluster(self.rng.getrandbits(64), self.shards, self._on_start, self.profile, constants)
        self.schedule = Schedule(self.cluster.timeline, self.rng, f"{seed} {profile}", without)
        self.truth.constants = self.cluster.constants
        self.mix = Mix(self.rng, self.shards)
        self.lists = ListTraffic(self)
        self.keyed = KeyedTraffic(self)
        self.replacing = Replacing(self)
        self.sessions = SessionTraffic(self, f"{seed} {profile}")
        self.readers = ReaderTraffic(self, f"{seed} {profile}")
        self.past = PastReads(self, f"{seed} {profile}")
        self.stale = StaleReads(self, f"{seed} {profile}")
        self.most_active = self.rng.choice((4_096, 4_096, 2))  # refusals for being busy are rare else
        # So few that most transactions take what is above their keys.
        self.most_locks = random.Random(f"{seed} {profile} locks").choice((MAX_LOCKS, MAX_LOCKS, MAX_LOCKS, 3))
        self.watch.look_often(self.cluster)

    def _on_start(self, life: Life) -> None:
        self.watch.on_start(life)
        self.replays.on_start(life)

    def run(self) -> None:
        participant.MAX_ACTIVE, evaluated.MAX_LOCKS = self.most_active, self.most_locks
        try:
            self._play()
        finally:  # other tests of this process
            participant.MAX_ACTIVE, evaluated.MAX_LOCKS = MAX_ACTIVE, MAX_LOCKS

    def _play(self) -> None:
        if self.profile == "pairs":
            Pairs(self).run()
            return
        self.set_up()
        plan_stale, read_on = self.keyed.plan_stale, self.readers.read_on
        faults = Faults(self.cluster, self.schedule, self.profile, self._one_of_a_fault, plan_stale, read_on)
        within = int(self.rng.uniform(2, 9) * SECOND)
        self._plan_traffic(self.rng.randint(20, 60), within)
        self.keyed.plan(self.rng.randint(0, 16), within)
        self.lists.plan(self.rng.randint(8, 20), within)
        self.sessions.plan(12, within)
        self.stale.plan(12, within)
        self.readers.plan(10, within)
        if self.profile == "members":
            self.replacing.plan()
        self._run(FAULTS_FOR)
        faults.stop()
        self.sessions.is_over = True
        self.schedule.begin("peace")
        participant.MAX_ACTIVE = MAX_ACTIVE  # in peace nobody may be refused for it, whoever comes at once
        self.demand_progress()
        self.sessions.fence_one()
        self.readers.fence_in_peace()
        if self.cluster.constants.rebalance_after_ms <= 1_000:  # else it takes for ever
            self._wait_out(lambda: rest.led_elsewhere(self.cluster.drivers()))
        if self.profile == "late":
            self.schedule.begin("rest")
            self.rng.choice((self._linger, self._rest))()
        self.schedule.begin("end")
        self.lists.look_at_all()
        self.replays.check_at_end(self._run)
        self.wait_for_rest()
        self.check_history()

    def _run(self, duration: int) -> None:
        self.cluster.run(duration)
        self.watch.look(self.cluster.drivers(), self.cluster.lost())

    def _linger(self) -> None:
        """A little traffic, so that all groups forget, while late copies of what is forgotten come in, and repeats
        under keys that end."""
        self.keyed.plan_ends()
        for _ in range(15):
            for account in range(ACCOUNTS):
                self._until_committed([("add", [account, 1])])
            self._run(2 * SECOND)

    def _rest(self) -> None:
        """The clients of one node rest, and all shards but one, until ids of that time are forgotten at the homes.
        Then those clients write on those shards, in peace: nobody may be left without an outcome."""
        rested, busy = self.rng.choice(self.cluster.here()), self.rng.randint(1, self.shards)
        others = [node for node in self.cluster.here() if node != rested]
        accounts: dict[bool, list[int]] = {True: [], False: []}
        for account in range(ACCOUNTS):
            accounts[shard_of(account, self.shards) == busy].append(account)
        for _ in range(self.cluster.constants.outcomes_kept_ms // 2_000 + 5):
            steps: Steps = [("add", [self.rng.choice(accounts[True]), 1])]
            self._until_committed(steps, self.rng.choice(others), self._new_key())
            self._run(2 * SECOND)
        quiet = accounts[False]
        self._until_committed(
            [("add", [account, 1]) for account in quiet], rested, self.rng.choice(("", self._new_key()))
        )
        for account in quiet:
            self._until_committed([("add", [account, 1])], rested, self._new_key())
        self._run(2 * SECOND)

    def _new_key(self) -> str:
        return str(UUID(int=self.rng.getrandbits(128)))

    # -- traffic

    def set_up(self) -> None:
        for sql in SCHEMA:
            self._until_committed([("schema", [sql])])
        self._until_committed([("open", list(range(ACCOUNTS)))])
        self.lists.set_up()
        for name in EXTRAS:
            self._until_committed([("create", [name])])
            self._until_committed([("put", [name, key, key % 3]) for key in range(1, EXTRA_KEYS // 2)])
        self.set_up_at = self.largest_told

    def _clocks_leapt(self) -> bool:
        """Past the time that outcomes are kept: ids that are under way then are as good as forgotten."""
        return self.cluster.clock_steps_ms >= self.cluster.constants.outcomes_kept_ms

    def _until_committed(self, steps: Steps, node: int = 0, key: str = "") -> None:
        operation = self._until_told(steps, node, key)
        for _ in range(2):  # the oracle follows a majority's clock when it can, and that may be now
            if isinstance(operation.told, OutcomeUnknown) and self._clocks_leapt():
                operation = self._until_told(steps, node, key)
        demand(isinstance(operation.told, Reply), "8 progress", f"a request in peace ended with {operation.told!r}")

    def _until_told(self, steps: Steps, node: int, key: str) -> Operation:
        operation = self.submit(steps, node or self.rng.choice(self.cluster.here()), timeout_ms=8_000, key=key)
        for _ in range(200):
            self._run(50 * MS)
            if operation.told is not None:
                break
        return operation

    def _plan_traffic(self, count: int, within: int) -> None:
        """Most requests come in bursts, so that they meet each other's locks."""
        bursts = [self.rng.randint(0, within) for _ in range(self.rng.randint(3, 8))]
        for _ in range(count):
            when = self.rng.choice(bursts) + self.rng.randint(0, 12 * MS)
            alone = self.rng.random() < 0.25
            request = partial(self._one_request, self.mix.draw())
            self.schedule.at(self.rng.randint(0, within) if alone else when, "request", request)

    def _one_request(self, steps: Steps) -> None:
        if self.past.takes(steps):
            return
        rng, operation = self.rng, self.submit_any(steps)
        if operation.named and rng.random() < 0.5:
            delay = int(rng.choice((rng.uniform(0, 0.02), rng.uniform(0, 2))) * SECOND)
            self.schedule.at(delay, "fate of that request", lambda: self.meddle(operation))
        word, arguments = steps[0]
        for _ in range(READERS if word == "widen" else 0):  # of a table that grows meanwhile
            see: Steps = [("see", arguments[:1])]
            self.schedule.at(rng.randint(0, 20 * MS), "reader", partial(self._one_request, see))

    def submit_any(self, steps: Steps) -> Operation:
        rng = self.rng
        timeout_ms = rng.choice((400, 1500, 4000))
        return self.submit(steps, rng.choice(self.cluster.here()), rng.random() < 0.3, timeout_ms)

    def _one_of_a_fault(self, node: int, steps: Steps) -> None:
        """A fault brings its own traffic; without steps, any."""
        self.mix.marker = OWN_MARKERS // 2 + 100 * self.schedule.own_number()
        self.submit(steps or self.mix.draw(), node, False, self.rng.choice((400, 1500, 4000)))

    def submit(
        self, steps: Steps, node: int, named: bool = False, timeout_ms: int = 4_000, key: str = "", locked: Any = None
    ) -> Operation:
        """`locked` None: it is drawn whether it reads under locks."""
        if locked is None:
            locked = self.rng.random() < 0.3
        operation = Operation(len(self.operations), steps, node, named, locked, timeout_ms, key=key)
        operation.after = self.largest_told
        return self.send(operation)

    def send(self, operation: Operation) -> Operation:
        operation.begun_at = self.cluster.timeline.now
        self.operations.append(operation)
        node, request = operation.node, operation.request
        self.watch.of_request[id(request)] = operation
        life = self.cluster.nodes[node].life
        if life is None:
            return operation

        def told(answer: Reply | StoreError) -> None:
            operation.told, operation.told_at = answer, self.cluster.timeline.now
            operation.newest = max(self.largest_told, self.truth.newest)
            self.cluster.say(f"request {operation.number} is told {phrases.answer(answer)}", node, "<")
            self.past.on_told(operation, answer)
            self.stale.on_told(operation, answer)
            if isinstance(answer, Reply):
                self.largest_told = max(self.largest_told, answer.commit_ts, answer.ts)

        def begin() -> None:
            driver = life.driver
            assert driver is not None, "a running node has a driver"
            self.cluster.say(operation.title, node, ">")
            driver.gateway.submit(request, operation.named, b"", lambda name: None, told)
            driver.wake()

        life.do(begin)
        return operation

    # -- fates and fences

    def meddle(self, operation: Operation) -> None:
        if operation.txns:
            self.ask_fate(operation.txns[-1], self.rng.random() < 0.7, self.rng.choice(self.cluster.here()))

    def ask_fate(self, txn: bytes, fence: bool, node: int) -> list[Fate | StoreError]:
        answers: list[Fate | StoreError] = []
        life = self.cluster.nodes[node].life
        if life is None:
            return answers

        was_committed = txn in self.truth.committed

        def then(answer: Fate | StoreError) -> None:
            answers.append(answer)
            name = f"{'fence' if fence else 'fate'} of {phrases.txn_name(txn)}"
            self.cluster.say(f"{name} is told {phrases.answer(answer)}", node, "<")
            if isinstance(answer, Fate):
                self._remember_fate(txn, answer, fence, was_committed)

        def ask(driver: Driver) -> None:
            driver.gateway.inquiries.ask_fate(ids.to_text(txn), fence, 3_000, then)
            driver.wake()

        life.do(lambda: ask(life.driver))  # type: ignore[arg-type]
        return answers

    def _remember_fate(self, txn: bytes, fate: Fate, fence: bool, was_committed: bool) -> None:
        self.fates.append((txn, fate))
        done = fate.state in (COMMITTED, ABORTED, EXPIRED)
        demand(done or (not fence and not was_committed), "3 one decision", f"{txn.hex()} is ended and is {fate.state}")
        history.check_fate(self.truth, txn, fate)

    # -- the end

    def demand_progress(self) -> None:
        self._wait_out(self.replacing.why_not_done)
        self.wait_for_rest()
        here = self.cluster.here()
        for node in here:
            self._until_committed([("add", [a, 1]) for a in range(ACCOUNTS)])
            self._until_committed([("sum", [])])
            for operation in self.operations:
                is_asked_here = here[operation.number % len(here)] == node
                if is_asked_here and operation.txns and not isinstance(operation.told, Reply):
                    self._settle_fate(operation, node)
        self.stale.demand_near()
        self.past.demand_near()
        self.wait_for_rest()

    def wait_for_rest(self) -> None:
        targets = self._chosen()
        self._wait_out(lambda: rest.unsettled(self.cluster.drivers(), targets))

    def _wait_out(self, why_not: Callable[[], str]) -> None:
        """Until it has nothing to say any more, for PROGRESS_WITHIN at most."""
        waited = 0.0
        while why := why_not():
            demand(waited < PROGRESS_WITHIN, "8 progress", f"after {waited} s: {why}")
            self._run(SECOND // 4)
            waited += 0.25

    def _settle_fate(self, operation: Operation, node: int) -> None:
        answers = self.ask_fate(operation.txns[-1], False, node)
        self._wait_out(lambda: "" if answers else "a fate was not told")
        demand(isinstance(answers[0], Fate), "8 progress", f"no fate after the faults: {answers}")

    def _chosen(self) -> dict[str, int]:
        """The last slot of each group that anybody has applied. Marks move on for a while, so a lag of nothing is no
        measure of rest."""
        return {group: len(log) for group, log in self.truth.logs.items()}

    def check_history(self) -> None:
        dependencies.check(self.operations)
        self.check_logs()
        history.check_existence(self.truth, self.operations)
        history.SerialRun(self.truth, self.operations, self.set_up_at).run()
        self.check_engines()

    def check_logs(self) -> None:
        history.check_answers(self.truth, self.operations, self._clocks_leapt())
        key_checks.check(self.truth, self.keyed.families, self.cluster.constants.outcomes_kept_ms)
        for txn, fate in self.fates:
            history.check_fate(self.truth, txn, fate)
        history.check_ends(self.truth)

    def check_engines(self) -> None:
        for driver in self.cluster.drivers():
            for replica in driver.groups.values():
                if not replica.stopped:
                    replica.flush()
        for number in self.cluster.here():
            node = self.cluster.nodes[number]
            for group, engine in sorted(node.stores.live.items()):
                if isinstance(engine, SqliteEngine):
                    history.check_engine(self.truth.shards[group], engine, f"n{number} {group}")


def _on_alarm(number: int, frame: object) -> None:
    raise Violation("8 progress", f"no end after {CPU_SECONDS} s of CPU time: something never stops within a turn")


def simulate(
    seed: int, profile: str = "", without: frozenset[Number] = frozenset(), recorder: Recorder | None = None
) -> Report:
    """One whole run; a broken assertion of the cores is a violation too."""
    signal.signal(signal.SIGVTALRM, _on_alarm)
    with coverage.counting() as reached:
        simulation = Simulation(seed, profile, without)
        if recorder is not None:
            recorder.attach(simulation)
        report = _simulate(simulation, Report(seed, profile, simulation.profile, without))
        report.reached = Counter(reached)
    return report


def _simulate(simulation: Simulation, report: Report) -> Report:
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
    try:
        simulation.run()
    except Violation as violation:
        report.invariant, report.violation = violation.invariant, str(violation)
    except Exception as error:  # whatever the code under test raises
        report.invariant, report.violation = f"raised {type(error).__name__}", f"{error!r}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        report.trace = simulation.cluster.trace.hexdigest()
        report.committed = len(simulation.truth.committed)
        report.events, report.ended_at = simulation.schedule.events, simulation.cluster.timeline.now
        simulation.cluster.close()
    return report
