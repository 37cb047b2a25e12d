"""How long a lost leader is missed: `python -m tests.e2e.failover --rounds 50 --minutes 10` (`make failover`).

Each round, under load, loses the node that leads the measured groups, by kill -9 and by SIGSTOP in turn, and times the
way to the next acknowledged write that was begun after the loss: of a row on a shard that it led (`shard`), and of a
transfer of two shards, that one among them, which a coordinator group that it led has to decide (`transfer`). These
write through the nodes that are left. Beside them, not judged, stands what clients see that know all nodes: the slowest
of three that write under a key (`keyed`), and of three that do not (`bare`). Then the node comes back, is caught up and
leads what it led, and every row is compared with what the writers were told. After the rounds: full load without a
fault, in which nobody should need an election.

Shares of the slower write, by the nodes' own words on one machine's clock: `election`, from the loss until all that
it needs of the lost node is led and served anew; `recovery`, from then until its gateway answers (it, and those before
it, wait for locks of the lost node's transactions); `client`, until the client has the answer. What a client loses on
the lost node itself is seen in `keyed` and `bare`. Exit status 1 when a bound is missed or a row is wrong.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from typing import NamedTuple

from nodes.client import Cluster
from nodes.core.txn.steps import ANSWERED
from nodes.errors import StoreError
from tests.e2e import bank, elections, writers
from tests.e2e.cluster import LocalCluster, NotReady
from tests.e2e.kill import REST_S
from tests.e2e.rounds import BACK_S, KILL, STOP, Calm, Round, missed_by, summary
from tests.e2e.writers import BARE, KEYED, PROBES, SHARD, TRANSFER, Aim, AimedBoard, Party, Told, Write

LOAD_CLIENTS, FULL = 16, 1_000_000.0
CALM_S, READY_S, SPREAD_S = 1.0, 60.0, 20.0
SAMPLE_S, SAY_S = 0.5, 60.0


class Failover:
    """One cluster, its load, and the probes; the clients in two processes of their own."""

    def __init__(self, directory: Path, seed: int, rate: float) -> None:
        self.rng, self.rate = Random(seed), rate
        self.stack = ExitStack()
        self.cluster = LocalCluster(directory, restart_s=None)
        self.rows = writers.rows_of(self.cluster.shards)
        probes = sum(PROBES.values())
        context = multiprocessing.get_context("spawn")
        self.board = AimedBoard(context, LOAD_CLIENTS + probes, self.cluster.shards)
        self.told = Told(self.board)
        common = (self.cluster.addresses, self.cluster.secret, self.cluster.shards, seed, 0.0)
        parties = [
            Party(*common, 0, load=LOAD_CLIENTS, rows=self.rows),
            Party(*common, LOAD_CLIENTS, probing=True, rows=self.rows),
        ]
        self.processes = [
            context.Process(target=writers.run, args=(party, self.board), daemon=True) for party in parties
        ]

    def __enter__(self) -> Failover:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.board.end()
        self.stack.close()

    def _start(self) -> None:
        self.stack.callback(self.cluster.terminate)
        self.cluster.start_all()
        self.cluster.wait_ready()
        self.client: Cluster = self.stack.enter_context(self.cluster.client())
        writers.create(self.client, self.rows)
        elections.spread(self.cluster, SPREAD_S, READY_S)
        self.told.start()
        for process in self.processes:
            process.start()
        self.stack.callback(self.board.end_with, self.processes)

    # -- one round

    def round(self, number: int) -> Round:
        """Lose a node, time the way back, bring it back, compare."""
        action = KILL if number % 2 else STOP
        seen = Round(number, action, self._aim(number))
        self.board.aim = seen.aim
        self.board.rate.value = self.rate / LOAD_CLIENTS
        self._work()
        time.sleep(CALM_S + self.rng.random() / 2)
        self.board.eager.value = 1
        try:
            self._lose(seen)
        finally:
            self.board.eager.value = 0
        self._bring_back(seen)
        seen.violations += self._rest()
        return seen

    def _aim(self, number: int) -> Aim:
        """Each node in its turn, as each action: two times three rounds."""
        victim = self.cluster.numbers[(number - 1) % len(self.cluster.numbers)]
        led = elections.leaders(self.cluster.status())
        shards = {int(group[1:]): node for group, node in led.items() if group[0] == "s" and group != "s0"}
        coordinators = [int(group[1:]) for group, node in led.items() if group[0] == "c" and node == victim]
        shard = self.rng.choice([shard for shard, node in shards.items() if node == victim])
        other = self.rng.choice([shard for shard, node in shards.items() if node != victim])
        return Aim(number, victim, shard, self.rng.choice(coordinators), other)

    def _work(self) -> None:
        self.told.new_round()
        self.told.forget()
        self.told.violations.clear()
        self.board.work()

    def _lose(self, seen: Round) -> None:
        lost = Moment(time.monotonic(), time.time())
        strike = self.cluster.kill if seen.action == KILL else self.cluster.pause
        strike(seen.aim.victim)
        self._wait(lambda: self.told.first(SHARD, lost.at) and self.told.first(TRANSFER, lost.at))
        seen.load = os.getloadavg()[0]
        shard, transfer = self.told.first(SHARD, lost.at), self.told.first(TRANSFER, lost.at)
        if shard is None or transfer is None:
            seen.violations.append(f"not back {BACK_S:.0f} s after the loss")
            return
        seen.shard_s, seen.transfer_s = shard.ended - lost.at, transfer.ended - lost.at
        with suppress(StoreError):
            self._share(seen, lost, max(shard, transfer, key=lambda write: write.ended))
        self._wait(lambda: self.told.slowest(KEYED, lost.at) and self.told.slowest(BARE, lost.at))
        keyed, bare = self.told.slowest(KEYED, lost.at), self.told.slowest(BARE, lost.at)
        seen.keyed_s, seen.bare_s = (each.ended - lost.at if each else None for each in (keyed, bare))

    @staticmethod
    def _wait(holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + BACK_S
        while not holds() and time.monotonic() < deadline:
            time.sleep(0.01)

    def _share(self, seen: Round, lost: Moment, write: Write) -> None:
        """Where the time of this write went; nothing is noted if the nodes do not tell all of it."""
        survivors = [node for node in self.cluster.numbers if node != seen.aim.victim]
        with self.cluster.client(*survivors) as client:
            steps = client.trace(write.id, timeout=10).steps
            status = client.status(timeout=10)
        needed = {f"s{seen.aim.shard}"} | ({f"c{seen.aim.coordinator}"} if write.kind == TRANSFER else set())
        needed |= {"c1"} if elections.preferred(status)["c1"] == seen.aim.victim else set()  # the oracle
        served = [elections.leads_at(status, group, lost.wall) for group in sorted(needed)]
        answered = [step.at_us / 1e6 for step in steps if step.step == ANSWERED and not step.group]
        known = [at for at in served if at is not None]
        if answered and len(known) == len(served):
            seen.election_s = max(known) - lost.wall
            seen.recovery_s = answered[-1] - max(known)
            seen.client_s = write.ended - lost.at - seen.election_s - seen.recovery_s

    def _bring_back(self, seen: Round) -> None:
        begun = time.monotonic()
        back = self.cluster.start if seen.action == KILL else self.cluster.resume
        back(seen.aim.victim)
        try:
            self.cluster.wait_ready(READY_S, caught_up=True)
            seen.caught_up_s = time.monotonic() - begun
            seen.asked = elections.spread(self.cluster, SPREAD_S, READY_S)
            seen.spread_s = time.monotonic() - begun
        except (NotReady, StoreError) as error:
            seen.violations.append(str(error))

    def _rest(self) -> list[str]:
        """All clients come to rest, and every row is what they were told; what is wrong, in words."""
        wrong = [] if self.board.pause(REST_S) else [f"not every client had its answers after {REST_S} s"]
        self.told.catch_up(60)
        query = bank.read_request((bank.READ_ACCOUNTS, []), (bank.READ_COUNTERS, []))
        accounts, counters = ({row[0]: row[1] for row in each.rows} for each in self.client.submit(query).results)
        wrong += self.told.judge("accounts", accounts, writers.START_BALANCE)
        wrong += self.told.judge("counters", counters, 0)
        return wrong + self.told.violations + self.cluster.unexpected

    # -- no fault

    def calm(self, minutes: float) -> Calm:
        """Full load; every epoch that rises is counted."""
        elections.spread(self.cluster, SPREAD_S, READY_S)
        before = last = elections.epochs(self.cluster.status())
        self.board.rate.value = FULL
        self.board.aim = Aim()
        self._work()
        begun, said, loads = time.monotonic(), 0.0, [os.getloadavg()[0]]
        while (passed := time.monotonic() - begun) < minutes * 60:
            time.sleep(min(SAMPLE_S, minutes * 60 - passed))
            last = self._sample(last, passed)
            if passed - said >= SAY_S:
                said = passed
                loads.append(os.getloadavg()[0])
                print(f"{passed / 60:5.1f} min  {self._rate(passed):6.0f} writes/s  load {loads[-1]:.2f}", flush=True)
        writes, wrong = self._rate(time.monotonic() - begun), self._rest()
        after = elections.epochs(self.cluster.status())
        return Calm(minutes, elections.risen(before, after), writes, statistics.mean(loads), wrong)

    def _sample(self, last: dict[str, int], passed: float) -> dict[str, int]:
        """The epochs now; says which rose."""
        try:
            now = elections.epochs(self.client.status())
        except StoreError as error:
            print(f"{passed / 60:5.1f} min  no status: {error}", flush=True)
            return last
        if rose := elections.risen(last, now):
            print(f"{passed / 60:5.1f} min  elections: {rose}, load {os.getloadavg()[0]:.2f}", flush=True)
        return now

    def _rate(self, seconds: float) -> float:
        return self.told.happened / max(seconds, 0.001)


class Moment(NamedTuple):
    """`at` by the monotonic clock, `wall` by the wall clock; seconds."""

    at: float
    wall: float


def play(failover: Failover, rounds: int) -> list[Round]:
    """The rounds, each printed when it is over."""
    played = []
    print(Round.HEADER, flush=True)
    for number in range(1, rounds + 1):
        seen = failover.round(number)
        played.append(seen)
        print(seen.line(), flush=True)
        for words in seen.violations[:20]:
            print(f"       {words}", flush=True)
    return played


def run(directory: Path, rounds: int, minutes: float, seed: int, rate: float) -> int:
    """The exit status; prints a line per round, a summary, and what full load did."""
    print(f"{rounds} rounds, seed {seed}, data in {directory}, load average {os.getloadavg()[0]:.2f}", flush=True)
    with Failover(directory, seed, rate) as failover:
        played = play(failover, rounds)
        print("\n".join(summary(played)), flush=True)
        missed = missed_by(played)
        violations = [each for seen in played for each in seen.violations]
        if minutes:
            calm = failover.calm(minutes)
            violations += calm.violations
            missed += calm.missed()
            print(calm.line(), flush=True)
        print(f"told: {dict(sorted(failover.told.counted.items()))}")
        for why, count in failover.told.refused.most_common(12):
            print(f"  {count} x {why}")
    print(f"{len(violations)} violations")
    for each in [*violations[:20], *(f"bound missed: {miss}" for miss in missed)]:
        print(each)
    return 1 if violations or missed else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.failover", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=10.0, help="of full load without a fault")
    parser.add_argument("--seed", type=int, default=None, help="of shards and amounts; printed, random by default")
    parser.add_argument("--rate", type=float, default=FULL, help="of the load in the rounds, writes a second in all")
    parser.add_argument("--directory", type=Path, default=None, help="where the cluster's data goes; a new one in /tmp")
    options = parser.parse_args()
    directory = options.directory or Path(tempfile.mkdtemp(prefix="txstore-failover-"))
    seed = options.seed if options.seed is not None else Random().randrange(1_000_000)
    failed = 1
    try:
        failed = run(directory, options.rounds, options.minutes, seed, options.rate)
    finally:
        if failed:
            print(f"the data and logs of this run are kept in {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
