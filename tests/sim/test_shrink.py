"""Schedules whose events can be left out one by one, and failing ones that are made smaller."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.planted.hunt import PATCHES, SEARCH, copy_with
from tests.sim.report import Report
from tests.sim.schedule import Event, Number, numbers_of, numbers_text
from tests.sim.shrink import Shrinker
from tests.sim.simulation import simulate

BUG = "key-not-asked-before-a-refusal"  # the first seeds find it
CPU_SECONDS = 6


def test_numbers_read_as_they_are_written() -> None:
    text = "1-6,7.1-7.2,8-12,20"
    assert numbers_text(numbers_of(text)) == text
    assert numbers_of("3,7,7.1") == {(3,), (7,), (7, 1)}
    for wrong in ("3-1", "7.1-8.2", "7-7.2", "x"):
        with pytest.raises(ValueError, match=r"number|literal"):
            numbers_of(wrong)


def test_what_is_left_out_changes_neither_plan_nor_chance_of_the_others() -> None:
    whole = simulate(3, "crash")
    left_out = frozenset(event.number for event in whole.events if len(event.number) == 1 and event.number[0] % 3 == 0)
    part = simulate(3, "crash", left_out)

    def planned(report: Report) -> list[tuple[Number, int, str]]:
        return [(event.number, event.due, event.what) for event in report.events if len(event.number) == 1]

    assert planned(part) == [each for each in planned(whole) if each[0] not in left_out]


def _pretended(seed: int, asked: str, without: frozenset[Number]) -> Report:
    """Thirty events, each of two parts; it fails when 5, 21 and the second part of 8 are there."""
    numbers = [number for event in range(1, 31) for number in ((event,), (event, 1), (event, 2))]
    left = [number for number in numbers if number not in without and number[:1] not in without]
    fails = {(5,), (21,), (8, 2)} <= set(left)
    report = Report(seed, asked, "calm", without, invariant="1 agreement" if fails else "8 progress")
    report.events = [Event(number, number[0], "") for number in left]
    return report


def test_the_events_that_matter_are_left_and_no_others() -> None:
    shrinker = Shrinker(_pretended(1, "", frozenset()), 60, _pretended)
    left = [event.number for event in shrinker.shrink().events]
    assert left == [(5,), (8,), (8, 2), (21,)]
    assert shrinker.runs < 60
    assert numbers_text(shrinker.report.without) == "1-4,5.1-5.2,6-7,8.1,9-20,21.1-21.2,22-30"


def test_without_a_budget_nothing_is_tried() -> None:
    shrinker = Shrinker(_pretended(1, "", frozenset()), -1, _pretended)
    assert (len(shrinker.shrink().events), shrinker.runs) == (90, 0)


@pytest.mark.timeout(600)
def test_a_planted_bug_is_shrunk_and_the_printed_command_shows_it_again(tmp_path: Path) -> None:
    code = copy_with(next(patch for patch in PATCHES if patch.stem == BUG), tmp_path)

    def run(*command: str) -> str:
        command = (sys.executable, "-B", *command)
        return subprocess.run(command, cwd=code, capture_output=True, text=True, check=False).stdout

    seed, invariant, _ = json.loads(run("-c", SEARCH, "40"))
    told = run("-m", "tests.sim", "--seed", str(seed), "--shrink", str(CPU_SECONDS))
    assert f"FAILED {invariant}" in told
    before, after = map(int, re.findall(r"shrunk: (\d+) events to (\d+) ", told)[0])
    assert after < before
    (command,) = re.findall(r"replay: python (.*--without .*)", told)
    assert f": {invariant}: " in run(*command.split()).splitlines()[-1]
    assert "├────────>│" in told
