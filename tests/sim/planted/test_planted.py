"""Planted bugs are found: a few here, all of them by `python -m tests.sim.planted`. Each patch must still apply."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sim.planted.hunt import PATCHES, PLAYED, copy_with, hunt

# Found at once; the others take up to some dozen seeds.
QUICK = (
    *PLAYED,
    "fence-does-not-end-what-is-open",
    "fence-not-through-the-log",
    "commit-ts-drawn-before-the-last-vote",
    "only-read-aborted-by-a-fence",
    "only-read-told-after-its-fence",
)


def test_there_are_planted_bugs_for_the_rules() -> None:
    assert len(PATCHES) >= 10


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_the_patch_still_applies(patch: Path, tmp_path: Path) -> None:
    copy_with(patch, tmp_path)


@pytest.mark.parametrize("patch", [patch for patch in PATCHES if patch.stem in QUICK], ids=lambda patch: patch.stem)
def test_the_planted_bug_is_found(patch: Path) -> None:
    find = hunt(patch, seeds=40)
    assert find.seed >= 0, f"{patch.stem} was not found"
