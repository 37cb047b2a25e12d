"""`python -m benchmarks`: cross-shard transfers, ours beside psycopg two-phase commit over two PostgreSQL servers.

Through the native client and over REST; and what an idle cluster costs, and how soon it is there.

Rounds are interleaved: in each every subject starts on a fresh directory, is loaded, measured at each number of
clients and stopped, so that no subject runs beside another. Prints a table and each bar of `report.py`, met or MISSED,
writes one JSON, and exits with 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from benchmarks import clients, contended, facts, footprint, postgres, report, rest, starts, store

ROWS, BALANCE = 100_000, 1_000
OUR_CLIENTS, PEER_CLIENTS, ONE_WIDTH = (1, 16, 64, 128), (8, 16, 32, 64), (16,)


class Subject(Protocol):
    """What is measured: a store or its peer."""

    name: str
    is_durable: bool

    def start(self) -> None: ...
    def load(self, rows: int, balance: int) -> None: ...
    def total(self) -> int: ...
    def facts(self) -> dict[str, Any]: ...
    def counters(self) -> dict[str, int]: ...
    def arguments(self) -> dict[str, Any]: ...
    def stop(self) -> None: ...


SUBJECTS: dict[str, tuple[Callable[[Path, bool], Subject], tuple[int, ...]]] = {
    "txstore-1": (lambda directory, multiplexed: store.Store(directory, 1, multiplexed), OUR_CLIENTS),
    "txstore-3": (lambda directory, multiplexed: store.Store(directory, 3, multiplexed), OUR_CLIENTS),
    report.PEER: (lambda directory, _: postgres.Servers(directory), PEER_CLIENTS),
    "rest-txstore": (lambda directory, _: rest.RestStore(directory), ONE_WIDTH),
    report.REST_PEER: (
        lambda directory, _: rest.RestPeer(directory, postgres.Servers(directory / "servers")),
        ONE_WIDTH,
    ),
    "rest-nothing": (lambda directory, _: rest.RestPeer(directory, None), ONE_WIDTH),
    "interactive-1": (lambda directory, _: store.Store(directory, 1, False, "interactive"), ONE_WIDTH),
    "contended-1": (lambda directory, _: store.Store(directory, 1, False, "contended"), ONE_WIDTH),
    "contended-3": (lambda directory, _: store.Store(directory, 3, False, "contended"), ONE_WIDTH),
    report.HOT_PEER: (lambda directory, _: contended.Serializable(directory), ONE_WIDTH),
}
# What is no rate: figures by name.
FIGURES: dict[str, Callable[[Path, argparse.Namespace], dict[str, Any]]] = {
    "nodes": starts.measure,
    "up": footprint.measure,
}
NAMES = [*SUBJECTS, *FIGURES]


class Run:
    """All rounds; `points`, `figures` and `running` (what was read from the running processes) are its result."""

    def __init__(self, directory: Path, options: argparse.Namespace) -> None:
        self.directory, self.options = directory, options
        self.points: list[dict[str, Any]] = []
        self.figures: list[dict[str, Any]] = []
        self.running: dict[str, dict[str, Any]] = {}

    def play(self) -> None:
        for number in range(1, self.options.rounds + 1):
            for name in self.options.only:
                directory = self.directory / f"{name}-{number}"
                if name in SUBJECTS:
                    self._measure(number, name, directory)
                else:
                    self._read_figures(number, name, directory)
                shutil.rmtree(directory, ignore_errors=True)

    def _read_figures(self, number: int, name: str, directory: Path) -> None:
        figures = FIGURES[name](directory, self.options)
        self.figures.append({"round": number, "subject": name} | figures)
        print(f"round {number} {name}: {figures}", flush=True)

    def _measure(self, number: int, name: str, directory: Path) -> None:
        """One subject in one round, from an empty directory to its end."""
        make, default_clients = SUBJECTS[name]
        subject = make(directory, self.options.multiplexed)
        try:
            subject.start()
            begun = time.monotonic()
            subject.load(self.options.rows, BALANCE)
            print(f"round {number} {name}: loaded in {time.monotonic() - begun:.1f} s", flush=True)
            self.running[name] = subject.facts()
            for count in self.options.clients or default_clients:
                self._point(number, subject, count)
            if subject.is_durable and subject.total() != self.options.rows * BALANCE:
                raise RuntimeError(f"{name}: {subject.total()} is not the money that was loaded")
        finally:
            subject.stop()

    def _point(self, number: int, subject: Subject, count: int) -> None:
        before = subject.counters()["fsyncs"]
        point = clients.measure(subject.arguments(), count, self.options.rows, self.options.seconds)
        syncs = subject.counters()["fsyncs"] - before
        if subject.is_durable and not syncs:
            raise RuntimeError(f"{subject.name} made no fsync during a point: its commits are not durable")
        self.points.append(
            {"round": number, "subject": subject.name, "per_second": round(point.per_second, 1), "fsyncs": syncs}
            | point._asdict()
        )
        print(
            f"round {number} {subject.name} {count:>3} clients: {point.per_second:8.1f}/s  p50 {point.p50_ms} ms  "
            f"p99 {point.p99_ms} ms  client cores {point.client_cpu}  fsyncs {syncs}"
            f"{f'  most attempts {point.most_attempts}' if point.most_attempts else ''}  {point.failures or ''}",
            flush=True,
        )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of one point, after a second to warm up")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--clients", type=int, nargs="+", help="instead of 1 16 64 (peer: 8 16 32; over REST: 16)")
    parser.add_argument("--idle-seconds", type=float, default=60.0, help="before memory is read")
    parser.add_argument("--cpu-seconds", type=float, default=30.0, help="over which idle CPU is read")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="on a real file system")
    parser.add_argument("--json", type=Path, default=Path("var/bench.json"))
    parser.add_argument("--multiplexed", action="store_true", help="our clients share connections")
    parser.add_argument("--assert", dest="judge", action=argparse.BooleanOptionalAction, default=True)
    return parser.parse_args()


def main() -> int:
    options = parse()
    facts.refuse_memory(options.directory)
    os.umask(0o022)  # whatever it was: the user that PostgreSQL runs as gets through our directories
    directory = Path(tempfile.mkdtemp(prefix="txstore-bench-", dir=options.directory))
    directory.chmod(0o755)
    run = Run(directory, options)
    result: dict[str, Any] = {"at": datetime.now(UTC).isoformat(), "machine": facts.machine(directory)}
    try:
        run.play()
    except BaseException:
        print(f"the data and logs of this run are kept in {directory}")
        raise
    shutil.rmtree(directory, ignore_errors=True)
    rates = report.medians(run.points)
    judged = report.verdicts(rates, run.figures)
    result |= {
        "rows": options.rows, "seconds": options.seconds, "rounds": options.rounds, "multiplexed": options.multiplexed,
        "running": run.running,
        "points": run.points, "figures": run.figures, "medians": rates, "verdicts": judged,
    }  # fmt: skip
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=2) + "\n")
    print(f"\n{report.table(run.points, rates)}\n" if rates else "")
    for verdict in judged:
        print(f"{'met' if verdict['met'] else 'MISSED':6}  {verdict['words']}")
    print(f"written: {options.json}")
    return 1 if options.judge and not all(verdict["met"] for verdict in judged) else 0


if __name__ == "__main__":
    sys.exit(main())
