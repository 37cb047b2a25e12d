"""`python -m tests.sim --seeds N [--seed S] [--first F] [--profile P] [--trace]`: exit 1 when a seed fails.

Half of the seeds are fixed (0, 1, …, or from --first), half are fresh; each failing one is printed with the command
that replays it. At the end: how often each branch that matters was reached (coverage.py). Of ENOUGH seeds or more, over
all profiles, one that was never reached is a failure, too.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time
from collections import Counter

from tests.sim import coverage
from tests.sim.faults import PROFILES
from tests.sim.simulation import Report, simulate

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


def command_of(report: Report, profile: str) -> str:
    return f"python -m tests.sim --seed {report.seed}" + (f" --profile {profile}" if profile else "")


def _replay(seed: int, profile: str, trace: bool) -> int:
    report = simulate(seed, profile, keep_lines=trace)
    for line in report.lines:
        print(line)
    print(f"seed {seed}, profile {report.profile}: {report.violation or 'sound'}; "
          f"{report.committed} committed, trace {report.trace}")  # fmt: skip
    return int(bool(report.violation))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--seed", type=int, help="replay this one")
    parser.add_argument("--first", type=int, help="fixed seeds from here on, none fresh")
    parser.add_argument("--profile", choices=sorted(PROFILES), default="")
    parser.add_argument("--trace", action="store_true", help="with --seed: print what happens")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return _replay(arguments.seed, arguments.profile, arguments.trace)
    fixed, fresh = _seeds(arguments)
    began = time.monotonic()
    print(f"fixed seeds: {fixed[0]} to {fixed[-1]}" if fixed else "no fixed seeds")
    print("fresh seeds:", " ".join(map(str, fresh)) or "none")
    failed = committed = 0
    reached: Counter[str] = Counter()
    with multiprocessing.Pool(PROCESSES) as pool:
        tasks = [(seed, arguments.profile) for seed in fixed + fresh]
        for report in pool.imap_unordered(_one, tasks):
            committed += report.committed
            reached += report.reached
            if report.violation:
                failed += 1
                print(f"FAILED {report.violation}\n  replay: {command_of(report, arguments.profile)}", flush=True)
    seconds = time.monotonic() - began
    print("\n".join(coverage.table(reached)))
    print(f"{len(tasks)} seeds, {failed} failed, {committed} transactions committed, {seconds:.0f} s")
    missing = coverage.missing(reached) if len(tasks) >= ENOUGH and not arguments.profile else []
    if missing:
        print("never reached:", ", ".join(missing))
    return int(failed > 0 or bool(missing))


if __name__ == "__main__":
    sys.exit(main())
