"""`python -m benchmarks`: cross-shard transfers, ours beside psycopg two-phase commit over two PostgreSQL servers.

Rounds are interleaved: in each every subject starts on a fresh directory, is loaded, measured at each number of
clients and stopped, so that no subject runs beside another. Prints a table, writes one JSON, and exits with 1 when a
bar of `report.py` is missed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from benchmarks import clients, facts, postgres, report, store

ROWS, BALANCE = 100_000, 1_000
OUR_CLIENTS, PEER_CLIENTS = (1, 16, 64), (8, 16, 32)


class Subject(Protocol):
    """What is measured: a store or its peer."""

    name: str

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
}


class Run:
    """All rounds; `points` and `running` (what was read from the running processes) are its result."""

    def __init__(self, directory: Path, options: argparse.Namespace) -> None:
        self.directory, self.options = directory, options
        self.points: list[dict[str, Any]] = []
        self.running: dict[str, dict[str, Any]] = {}

    def play(self) -> None:
        for number in range(1, self.options.rounds + 1):
            for name in self.options.only:
                self._measure(number, name)

    def _measure(self, number: int, name: str) -> None:
        """One subject in one round, from an empty directory to its end."""
        make, default_clients = SUBJECTS[name]
        directory = self.directory / f"{name}-{number}"
        subject = make(directory, self.options.multiplexed)
        try:
            subject.start()
            begun = time.monotonic()
            subject.load(self.options.rows, BALANCE)
            print(f"round {number} {name}: loaded in {time.monotonic() - begun:.1f} s", flush=True)
            self.running[name] = subject.facts()
            for count in self.options.clients or default_clients:
                self._point(number, subject, count)
            if subject.total() != self.options.rows * BALANCE:
                raise RuntimeError(f"{name}: {subject.total()} is not the money that was loaded")
        finally:
            subject.stop()
        shutil.rmtree(directory, ignore_errors=True)

    def _point(self, number: int, subject: Subject, count: int) -> None:
        before = subject.counters()["fsyncs"]
        point = clients.measure(subject.arguments(), count, self.options.rows, self.options.seconds)
        syncs = subject.counters()["fsyncs"] - before
        if not syncs:
            raise RuntimeError(f"{subject.name} made no fsync during a point: its commits are not durable")
        self.points.append(
            {"round": number, "subject": subject.name, "per_second": round(point.per_second, 1), "fsyncs": syncs}
            | point._asdict()
        )
        print(
            f"round {number} {subject.name} {count:>3} clients: {point.per_second:8.1f}/s  p50 {point.p50_ms} ms  "
            f"p99 {point.p99_ms} ms  client cores {point.client_cpu}  fsyncs {syncs}  {point.failures or ''}",
            flush=True,
        )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of one point, after a second to warm up")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--only", nargs="+", choices=list(SUBJECTS), default=list(SUBJECTS))
    parser.add_argument("--clients", type=int, nargs="+", default=None, help="instead of 1 16 64 (peer: 8 16 32)")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="on a real file system")
    parser.add_argument("--json", type=Path, default=Path("var/bench.json"))
    parser.add_argument("--multiplexed", action="store_true", help="our clients share connections")
    parser.add_argument("--assert", dest="judge", action=argparse.BooleanOptionalAction, default=True)
    return parser.parse_args()


def main() -> int:
    options = parse()
    facts.refuse_memory(options.directory)
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
    judged = report.verdicts(rates)
    result |= {
        "rows": options.rows, "seconds": options.seconds, "rounds": options.rounds, "multiplexed": options.multiplexed,
        "running": run.running,
        "points": run.points, "medians": rates, "verdicts": judged,
    }  # fmt: skip
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=2) + "\n")
    print(f"\n{report.table(run.points, rates)}\n")
    for verdict in judged:
        word = "met" if verdict["met"] else "MISSED"
        print(f"{verdict['subject']}: {verdict['ratio']} x the peer's best, bar {verdict['bar']} x: {word}")
    print(f"written: {options.json}")
    return 1 if options.judge and not all(verdict["met"] for verdict in judged) else 0


if __name__ == "__main__":
    sys.exit(main())
