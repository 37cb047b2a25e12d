"""`python -m tests.sim --seeds N [--first F] [--profile P]`: exit 1 when a seed fails.
`python -m tests.sim --seed S [--profile P] [--without NUMBERS] [--trace]`: one run, perhaps without some of its events.

Half of the seeds are fixed (0, 1, …, or from --first), half are fresh; each failing one is printed with the command
that replays it; the first of each invariant is shrunk and its last steps are charted. At the end: how often each branch
that matters was reached (coverage.py). Of ENOUGH seeds or more, over all profiles, one that was never reached is a
failure, too.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time
from collections import Counter

from tests.sim import coverage
from tests.sim.chart import chart
from tests.sim.failure import explain
from tests.sim.faults import PROFILES
from tests.sim.record import Recorder
from tests.sim.report import Report
from tests.sim.schedule import numbers_of
from tests.sim.shrink import BUDGET_S
from tests.sim.simulation import simulate

PROCESSES = 2
ENOUGH = 200


def _one(task: tuple[int, str]) -> Report:
    return simulate(*task)


def _seeds(arguments: argparse.Namespace) -> tuple[list[int], list[int]]:
    if arguments.first is not None:
        return list(range(arguments.first, arguments.first + arguments.seeds)), []
    fixed = list(range((arguments.seeds + 1) // 2))
    chance = random.SystemRandom()
    return fixed, [chance.randrange(1_000_000, 1_000_000_000) for _ in range(arguments.seeds // 2)]


def _replay(arguments: argparse.Namespace) -> int:
    recorder = Recorder() if arguments.trace else None
    report = simulate(arguments.seed, arguments.profile, arguments.without, recorder)
    if recorder is not None:
        print("\n".join(chart(recorder.steps)))
    elif report.violation:
        print(explain(report, 0 if arguments.without else arguments.shrink))
    print(f"seed {report.seed}, profile {report.profile}: {report.violation or 'sound'}; "
          f"{report.committed} committed, trace {report.trace}")  # fmt: skip
    return int(bool(report.violation))


def _explain_first(failed: list[Report], budget_s: float) -> None:
    """The first one of each invariant, within the budget for all."""
    first = {report.invariant: report for report in reversed(failed)}
    for report in first.values():
        print("\n" + explain(report, budget_s / len(first)), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--seed", type=int, help="replay this one")
    parser.add_argument("--first", type=int, help="fixed seeds from here on, none fresh")
    parser.add_argument("--profile", choices=sorted(PROFILES), default="")
    parser.add_argument("--without", type=numbers_of, default=frozenset(), metavar="3,7.1-7.4", help="leave these out")
    parser.add_argument("--trace", action="store_true", help="with --seed: a chart of the whole run")
    parser.add_argument("--shrink", type=float, default=BUDGET_S, metavar="SECONDS", help="of CPU time; 0: do not")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return _replay(arguments)
    fixed, fresh = _seeds(arguments)
    began = time.monotonic()
    print(f"fixed seeds: {fixed[0]} to {fixed[-1]}" if fixed else "no fixed seeds")
    print("fresh seeds:", " ".join(map(str, fresh)) or "none")
    failed: list[Report] = []
    committed = 0
    reached: Counter[str] = Counter()
    with multiprocessing.Pool(PROCESSES) as pool:
        tasks = [(seed, arguments.profile) for seed in fixed + fresh]
        for report in pool.imap_unordered(_one, tasks):
            committed += report.committed
            reached += report.reached
            if report.violation:
                failed.append(report)
                print(f"FAILED {report.violation}\n  replay: {report.command}", flush=True)
    seconds = time.monotonic() - began
    print("\n".join(coverage.table(reached)))
    print(f"{len(tasks)} seeds, {len(failed)} failed, {committed} transactions committed, {seconds:.0f} s")
    missing = coverage.missing(reached) if len(tasks) >= ENOUGH and not arguments.profile else []
    if missing:
        print("never reached:", ", ".join(missing))
    _explain_first(failed, arguments.shrink)
    return int(bool(failed or missing))


if __name__ == "__main__":
    sys.exit(main())
