"""Full load for a long time: `python -m tests.e2e.soak --minutes 30` (`make soak MINUTES=30`).

Clients move money as fast as they get answers. Every few seconds the memory of the nodes and what they have on the disk
is read; every turn the clients rest, the bank is judged on one snapshot (`proof.py`) and the ledger that was judged is
deleted, so that what grows is not the users' data. At the end: a plot, the slopes, and exit status 1 on any violation,
when something is still in doubt, or when memory or disk are not flat.

Retention times are a few minutes here, so that what is kept and what goes is in balance within the run.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.e2e import bank, proof
from tests.e2e.kill import REST_S, Conductor, Round
from tests.e2e.plot import Series, plot

CONSTANTS = {"outcomes_kept_ms": 180_000, "txn_age_max_ms": 60_000, "history_kept_ms": 60_000}
TURN_S, SAMPLE_S = 20.0, 2.0
MB = 1 << 20
GROWTH_MOST = 1.15  # the last quarter against the second
SETTLED_MINUTES = 8.0  # what is shorter than that is mostly filling up to what is kept


@dataclass
class Sample:
    """Seconds since the start; MB of all nodes together; transfers committed since the last sample, a second."""

    at: float
    memory_mb: float
    journal_mb: float
    stores_mb: float
    rate: float = 0.0


def pss_mb(pid: int) -> float:
    """What a process has in memory, its share of what it shares."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def files_mb(paths: list[Path]) -> float:
    """What they take of the disk; a file may go while we look."""
    total = 0
    for path in paths:
        try:
            total += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total / MB


class Soak:
    """One cluster under load."""

    def __init__(self, conductor: Conductor) -> None:
        self.conductor = conductor
        self.begun = time.monotonic()
        self.samples: list[Sample] = []
        self.violations: list[str] = []
        self.transfers = 0

    def sample(self) -> Sample:
        cluster = self.conductor.cluster
        folders = [cluster.home(node) / "data" for node in cluster.numbers]
        found = Sample(
            time.monotonic() - self.begun,
            sum(pss_mb(cluster.processes[node].pid) for node in cluster.numbers),
            files_mb([path for folder in folders for path in folder.glob("segment-*")]),
            files_mb([path for folder in folders for path in (folder / "engines").iterdir()]),
        )
        self.samples.append(found)
        return found

    def turn(self, number: int, seconds: float) -> None:
        """Load, rest, proof, and the judged part of the ledger goes."""
        conductor = self.conductor
        conductor.collector.new_round()
        conductor.collector.violations.clear()
        conductor.board.work()
        end, taken = time.monotonic() + seconds, []
        while time.monotonic() < end:
            time.sleep(SAMPLE_S)
            taken.append(self.sample())
        seen = Round(number, None, [])  # type: ignore[arg-type]
        if not conductor.board.pause(REST_S):
            seen.violations.append(f"not every client had its answers after {REST_S} s")
        conductor.wait_resolved(seen)
        conductor.judge(seen)
        committed = sum(moved.answer == proof.COMMITTED for moved in seen.transfers)
        for each in taken:
            each.rate = committed / seconds
        self.transfers += committed
        self.violations += seen.violations + conductor.collector.violations + conductor.cluster.unexpected
        conductor.entries -= conductor.client.execute(bank.CLEAR_LEDGER).row_count
        last = taken[-1]
        print(
            f"{last.at / 60:6.1f} min  {committed / seconds:7.1f}/s  memory {last.memory_mb:7.1f} MB  "
            f"journal {last.journal_mb:7.1f} MB  stores {last.stores_mb:7.1f} MB  {len(self.violations)} violations",
            flush=True,
        )

    # -- the end

    def growth(self, values: list[float]) -> float:
        """The median of the last quarter against that of the second."""
        quarter = max(1, len(values) // 4)
        return statistics.median(values[-quarter:]) / max(1.0, statistics.median(values[quarter : 2 * quarter]))

    def slope_mb_per_hour(self, values: list[float]) -> float:
        """Of the second half, by least squares."""
        half = len(values) // 2
        times = [sample.at / 3600 for sample in self.samples[half:]]
        return statistics.linear_regression(times, values[half:]).slope if len(times) > 1 else 0.0

    def judge(self, minutes: float) -> list[str]:
        """Prints what became of memory and disk; returns what is wrong."""
        wrong = list(dict.fromkeys(self.violations))
        columns = {
            "memory of the nodes": [sample.memory_mb for sample in self.samples],
            "journals": [sample.journal_mb for sample in self.samples],
            "stores": [sample.stores_mb for sample in self.samples],
        }
        for name, values in columns.items():
            growth, slope = self.growth(values), self.slope_mb_per_hour(values)
            print(f"{name}: at most {max(values):.1f} MB, last quarter / second {growth:.2f}, {slope:+.1f} MB an hour")
            if minutes >= SETTLED_MINUTES and growth > GROWTH_MOST:
                wrong.append(f"{name} are not flat: {growth:.2f} times as much in the last quarter as in the second")
        return wrong


def draw(soak: Soak, path: Path) -> None:
    minutes = [sample.at / 60 for sample in soak.samples]
    series = [
        Series("memory of three nodes, MB", minutes, [sample.memory_mb for sample in soak.samples]),
        Series("journals, MB", minutes, [sample.journal_mb for sample in soak.samples]),
        Series("stores, MB", minutes, [sample.stores_mb for sample in soak.samples]),
        Series("transfers a second", minutes, [sample.rate for sample in soak.samples]),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(plot("Full load", series, "minutes"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=None, help="printed, random by default")
    parser.add_argument("--rate", type=float, default=100_000.0, help="the most transfers a second, over all clients")
    parser.add_argument("--directory", type=Path, default=None, help="where the cluster's data goes")
    parser.add_argument("--plot", type=Path, default=Path("var/soak.svg"))
    options = parser.parse_args()
    directory = options.directory or Path(tempfile.mkdtemp(prefix="txstore-soak-", dir="/var/tmp"))
    seed = options.seed if options.seed is not None else Random().randrange(1_000_000)
    print(f"{options.minutes} minutes, seed {seed}, {CONSTANTS}, data in {directory}", flush=True)
    with Conductor(directory, seed, options.rate, constants=CONSTANTS) as conductor:
        soak = Soak(conductor)
        number = 0
        while time.monotonic() - soak.begun < options.minutes * 60:
            number += 1
            soak.turn(number, min(TURN_S, options.minutes * 60))
        wrong = soak.judge(options.minutes)
    draw(soak, options.plot)
    print(f"{soak.transfers} transfers committed; plot: {options.plot}")
    for words in wrong[:20]:
        print(words)
    if not wrong:
        shutil.rmtree(directory, ignore_errors=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
