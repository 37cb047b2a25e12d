"""The self-check's workloads on real processes under faults: `python -m tests.e2e.histories --rounds N`, or
`make histories`.

Each round lets all workloads run while one fault after the other strikes: kill -9, SIGSTOP, all nodes at once, messages
between nodes dropped, delayed and repeated (`proxy.py`), clocks of single nodes hours off (libfaketime). Then the
product's checker judges what clients were told. Exit status 1 when it finds an anomaly, or a workload in which nothing
happened; the data of a failed run is kept.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from monitoring.selfcheck.run import Finding, Wishes, run
from monitoring.verdicts import OK
from tests.e2e.cluster import HOST, LocalCluster, free_ports
from tests.e2e.proxy import FAIR, Proxies, Weather

LOSSY = Weather(dropped=0.05)
SLOW = Weather(delayed=0.3, delay_s=0.3)
TWICE = Weather(repeated=0.3)
FOUL = Weather(dropped=0.03, repeated=0.1, delayed=0.1, delay_s=1.0)
HOURS = (-30, -3, 3, 30)
FAULT_S, CALM_S, STOP_S = 2.0, 1.0, 3.0
FAKETIME = "libfaketime.so.1"


def library() -> str:
    """Where Debian has libfaketime."""
    found = sorted(Path("/usr/lib").glob(f"*/faketime/{FAKETIME}"))
    assert found, f"{FAKETIME} is missing: the Debian package libfaketime has it"
    return str(found[0])


class FaultyCluster(LocalCluster):
    """Nodes dial each other through proxies; each may have a clock of its own. Clients dial the nodes themselves."""

    def __init__(self, directory: Path, **options: Any) -> None:
        super().__init__(directory, **options)
        self.hours = dict.fromkeys(self.numbers, 0)
        fronts = {node: _port(address) for node, address in self.addresses.items()}
        backs = dict(zip(self.numbers, free_ports(len(self.numbers)), strict=True))
        self.addresses = {node: f"{HOST}:{port}" for node, port in backs.items()}
        for node, port in backs.items():
            config = self.home(node) / "config.toml"
            config.write_text(
                config.read_text().replace(f'listen = "{HOST}:{fronts[node]}"', f'listen = "{HOST}:{port}"')
            )
        self.proxies = Proxies(fronts, backs)

    def wrapper_of(self, node: int) -> Sequence[str]:
        """`env` becomes the node, so the process id stays."""
        if not self.hours[node]:
            return self.wrapper
        clock = [f"FAKETIME={self.hours[node]:+d}h", "FAKETIME_DONT_FAKE_MONOTONIC=1", f"LD_PRELOAD={library()}"]
        return [*self.wrapper, "env", *clock]


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


class Nemesis:
    """The faults, each a few seconds; at the end of each all nodes run, and messages go their way."""

    def __init__(self, cluster: FaultyCluster, tell: Callable[[str], None]) -> None:
        self.cluster, self.tell, self.rng = cluster, tell, Random()
        self.faults: dict[str, Callable[[], None]] = {
            "kill -9": self.kill_one,
            "messages dropped": lambda: self.weather(LOSSY),
            "SIGSTOP": self.stop_one,
            "messages repeated": lambda: self.weather(TWICE),
            "a clock hours off": self.set_clock,
            "kill -9 of all": self.kill_all,
            "messages delayed": lambda: self.weather(SLOW),
            "kill -9 in foul weather": self.kill_in_foul_weather,
        }

    @property
    def turn_s(self) -> float:
        """The time that all of them take, about."""
        return len(self.faults) * (FAULT_S + CALM_S) + 2

    def strike(self) -> None:
        """Each once."""
        for name, fault in self.faults.items():
            self.tell(name)
            fault()
            time.sleep(CALM_S)
        self.cluster.proxies.weather = FAIR

    def _anybody(self) -> int:
        return self.rng.choice(self.cluster.numbers)

    def kill_one(self) -> None:
        self.cluster.kill(self._anybody())
        time.sleep(FAULT_S)

    def kill_all(self) -> None:
        for node in self.cluster.numbers:
            self.cluster.kill(node)
        time.sleep(FAULT_S)

    def stop_one(self) -> None:
        self.cluster.stop_continue(self._anybody(), STOP_S)

    def weather(self, weather: Weather) -> None:
        self.cluster.proxies.weather = weather
        time.sleep(FAULT_S)
        self.cluster.proxies.weather = FAIR

    def set_clock(self) -> None:
        """Of one node, in its next life; another one that was off goes right again."""
        node = self._anybody()
        for other in self.cluster.numbers:
            was, self.cluster.hours[other] = self.cluster.hours[other], 0
            if was and other != node:
                self.cluster.kill(other)
        self.cluster.hours[node] = self.rng.choice(HOURS)
        self.tell(f"n{node} is {self.cluster.hours[node]:+d} h off")
        self.cluster.kill(node)
        time.sleep(FAULT_S)

    def kill_in_foul_weather(self) -> None:
        self.cluster.proxies.weather = FOUL
        self.kill_one()


@contextmanager
def faulty_cluster(directory: Path) -> Iterator[FaultyCluster]:
    """Ready; no node may have ended by itself when it is done with."""
    cluster = FaultyCluster(directory)
    cluster.proxies.start()
    try:
        cluster.start_all()
        cluster.wait_ready()
        yield cluster
    finally:
        cluster.terminate()
        cluster.proxies.stop()
    assert not cluster.unexpected, cluster.unexpected


def one_round(cluster: FaultyCluster, clients: int, tell: Callable[[str], None]) -> list[Finding]:
    """The workloads for as long as all faults take."""
    nemesis = Nemesis(cluster, tell)
    found: list[Finding] = []
    begun = threading.Event()
    wishes = Wishes(nemesis.turn_s, clients)

    def check() -> None:
        with cluster.client() as client:
            found.extend(run(client, wishes, lambda seconds, number: begun.set()))

    thread = threading.Thread(target=check)
    thread.start()
    assert begun.wait(60), "the workloads have begun"
    nemesis.strike()
    thread.join()
    return found


def failures(findings: Sequence[Finding]) -> list[str]:
    """In words."""
    return [
        "\n".join([f"{each.workload}: {each.state}: {each.words}", *each.anomalies])
        for each in findings
        if each.state != OK
    ] or ([] if findings else ["the workloads were not carried out"])


def summary(findings: Sequence[Finding]) -> str:
    """How many transactions of each workload had which outcome."""
    counts = [f"{each.workload} {each.happened}/{each.did_not_happen}/{each.unknown}" for each in findings]
    return f"happened/did not/unknown: {', '.join(counts)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--clients", type=int, default=3)
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="histories-"))
    failed = 0
    with faulty_cluster(directory / "home") as cluster:
        for number in range(1, arguments.rounds + 1):
            findings = one_round(cluster, arguments.clients, lambda words: print(f"  {words}", flush=True))
            wrong = failures(findings)
            failed += bool(wrong)
            counts = ", ".join(
                f"{each.workload} {each.happened}/{each.did_not_happen}/{each.unknown}" for each in findings
            )
            weather = ", ".join(f"{count} {what}" for what, count in sorted(cluster.proxies.counts.items()))
            print(f"round {number}: {counts} (happened/did not/unknown); messages: {weather}", flush=True)
            print("\n".join(wrong), end="\n" if wrong else "", flush=True)
            cluster.wait_ready(60)
    print(f"{arguments.rounds} rounds, {failed} with anomalies" + (f"; the data is in {directory}" if failed else ""))
    if not failed:
        shutil.rmtree(directory)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
