"""`python -m tests.contract [--seeds N] [--first F]`: the cores alone, in random schedules; exit 1 when one breaks.

Every seed is four schedules: of either protocol, with the members as they are and with members that change all the
time. Without --first half of the seeds are fixed and half fresh. What is done is told as it goes: a long search that
was ended goes on with --first.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time
import traceback

from nodes.core.paxos.replica import PaxosReplica
from nodes.core.raft.replica import RaftReplica
from tests.contract.changing_members import ChangingMembers
from tests.contract.random_schedule import RandomSchedule

PROCESSES = 2
STEPS = 1_000
TOLD_EVERY = 250


def _one(seed: int) -> tuple[int, int, list[str]]:
    """The seed, how often members changed, and what broke."""
    broken, changed = [], 0
    for core in (PaxosReplica, RaftReplica):
        for kind in (RandomSchedule, ChangingMembers):
            schedule = kind(core, seed)
            try:
                schedule.run(STEPS)
            except Exception:  # whatever the code under test raises
                broken.append(f"{kind.__name__}({core.__name__}, {seed}).run({STEPS})\n{traceback.format_exc(-3)}")
            changed += getattr(schedule, "changed", 0)
    return seed, changed, broken


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.contract")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, help="fixed seeds from here on, none fresh")
    arguments = parser.parse_args()
    if arguments.first is not None:
        seeds = list(range(arguments.first, arguments.first + arguments.seeds))
    else:
        chance = random.SystemRandom()
        fresh = [chance.randrange(1_000_000, 1_000_000_000) for _ in range(arguments.seeds // 2)]
        seeds = [*range((arguments.seeds + 1) // 2), *fresh]
        print("fresh seeds:", " ".join(map(str, fresh)) or "none")
    began, failed, changes = time.monotonic(), 0, 0
    with multiprocessing.Pool(PROCESSES) as pool:
        for done, (seed, changed, broken) in enumerate(pool.imap(_one, seeds), start=1):
            changes += changed
            failed += bool(broken)
            for words in broken:
                print(f"FAILED {words}", flush=True)
            if done % TOLD_EVERY == 0:
                print(f"{done} seeds, {failed} failed; the last was {seed}", flush=True)
    seconds = time.monotonic() - began
    print(f"{len(seeds)} seeds of the cores, {failed} failed, members changed {changes} times, {seconds:.0f} s")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
