"""A few fixed seeds and some fresh ones; `make sim SEEDS=1000` runs many."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from tests.sim.simulation import simulate

FIXED = range(12)
FRESH = 12


def fail_with_the_command(seed: int) -> None:
    report = simulate(seed)
    assert not report.violation, f"{report.violation}\nreplay: python -m tests.sim --seed {seed} --trace"


@pytest.mark.parametrize("seed", FIXED)
def test_a_fixed_seed_gives_a_sound_history(seed: int) -> None:
    fail_with_the_command(seed)


def test_fresh_seeds_give_sound_histories() -> None:
    seeds = [random.SystemRandom().randrange(1_000_000, 1_000_000_000) for _ in range(FRESH)]
    print("fresh seeds:", *seeds)
    for seed in seeds:
        fail_with_the_command(seed)


@pytest.mark.parametrize("profile", ["calm", "network", "crash", "pause", "partition", "mixed", "stale", "turnover"])
def test_transactions_commit_under_every_profile(profile: str) -> None:
    report = simulate(7, profile)
    assert (report.violation, report.committed >= 8) == ("", True)


def test_the_same_seed_is_the_same_history_to_the_byte_whatever_the_hash_seed() -> None:
    """DESIGN.md §9, invariant 9: in processes that hash strings differently."""
    program = "from tests.sim.simulation import simulate; print(*[simulate(s, 'mixed').trace for s in (3, 4)])"
    traces = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        traces.add(done.stdout)
    assert len(traces) == 1
