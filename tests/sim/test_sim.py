"""Fixed seeds and fresh ones, as `make sim` runs them; the profiles; that a seed is a history."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.sim.failure import explain
from tests.sim.faults import PROFILES
from tests.sim.simulation import simulate

SEEDS = 200


@pytest.mark.timeout(1_200)
def test_fixed_and_fresh_seeds_give_sound_histories_and_reach_every_branch() -> None:
    """As `make sim`: it names the fresh seeds, each failure with the command that replays it, and what it reached."""
    command = [sys.executable, "-m", "tests.sim", "--seeds", str(SEEDS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("profile", PROFILES)
def test_transactions_commit_under_every_profile(profile: str) -> None:
    report = simulate(7, profile)
    assert not report.violation, explain(report)
    assert report.committed >= 8


def test_the_same_seed_is_the_same_history_to_the_byte_whatever_the_hash_seed() -> None:
    """DESIGN.md §9, invariant 9: in processes that hash strings differently."""
    runs = ((3, "mixed"), (4, "mixed"), (3, "disk"), (4, "members"), (7, "pairs"), (8, "clocks"))
    program = f"from tests.sim.simulation import simulate; print(*[simulate(*run).trace for run in {runs}])"
    traces = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        traces.add(done.stdout)
    assert len(traces) == 1
