"""The hunt for one planted bug: a copy of the tree with the patch in it, seed after seed until one fails.

A patch that no longer applies is an error: the rule that it takes away has moved, and the patch must follow.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PATCHES = sorted(Path(__file__).parent.glob("*.patch"))
SEEDS = 200
FOLDERS = (
    "nodes", "monitoring",
    "tests/sim", "tests/core", "tests/storage", "tests/contract", "tests/scripts", "tests/runtime",
)  # fmt: skip
# Faults that need a rarer meeting of events than whole runs give: each is found by the one test that plays it.
_SCRIPT = "tests/core/raft/test_scripts.py::test_script_reads_as_it_plays"
_MEMBERS = "tests/contract/test_members.py"
PLAYED = {
    "changed-key-locked-when-it-is-evaluated": (
        "tests/core/txn/test_lock_features.py"
        "::test_a_statement_holds_these_locks_and_others_wait_for_them_or_not[delete key]"
    ),
    "store-installed-over-a-longer-log": f"{_SCRIPT}[r25_store_over_a_longer_log]",
    "members-change-before-an-own-entry": f"{_MEMBERS}::test_nothing_changes_before_an_own_entry_is_chosen[raft]",
    "members-change-twice-at-once": f"{_MEMBERS}::test_one_change_after_the_other[paxos]",
    "members-never-chosen-outlive-a-store": f"{_MEMBERS}::test_a_store_takes_lost_members_away_with_the_log[raft]",
    "candidate-outlives-a-store": f"{_MEMBERS}::test_who_stands_and_is_removed_by_a_store_stands_no_more[raft]",
    "learner-counts-as-a-voter": f"{_MEMBERS}::test_a_learner_catches_up_and_is_no_part_of_a_majority[raft]",
    "removed-member-comes-back": f"{_MEMBERS}::test_who_was_removed_does_not_come_back[raft]",
    "leader-removes-itself": f"{_MEMBERS}::test_what_is_no_safe_step_is_refused[raft-without the leader]",
    "members-found-in-phase-1-not-asked": (
        f"{_MEMBERS}::test_who_finds_newer_members_when_it_stands_needs_a_majority_of_them[paxos]"
    ),
    "node-gone-while-others-are-not-heard-of": (
        "tests/runtime/test_placement.py::test_a_node_is_not_taken_for_free_while_a_group_has_told_nothing_or_knew_less"
    ),
    "error-of-a-row-that-is-not-named": (
        "tests/core/txn/test_locks_cover.py::test_a_row_that_is_not_locked_gives_no_error[two lists]"
    ),
    "members-not-in-the-store": "tests/core/txn/test_decisions.py::test_members_are_in_the_store_when_it_is_flushed",
    "store-sent-only-by-who-serves": (
        "tests/runtime/test_transfer.py::test_a_leader_that_does_not_serve_yet_helps_whom_its_first_entry_may_wait_for"
    ),
    "store-half-sent-is-not-begun-anew": (
        "tests/core/test_transfer.py::test_what_the_laggard_knows_nothing_of_goes_from_its_beginning"
    ),
    "row-locks-do-not-wait-for-the-prepared": (
        "tests/core/txn/test_row_locks.py::test_who_stays_prepared_is_not_waited_for_for_ever"
    ),
    "cut-change-of-members-still-counts": f"{_MEMBERS}::test_a_change_that_is_lost_was_none[raft]",
    "fate-told-by-the-gateway-before-the-home": (
        "tests/runtime/test_fates.py::test_what_the_home_knows_is_told_without_the_gateway[committed]"
    ),
    "closed-without-a-round": (
        "tests/core/txn/test_closed.py::test_it_is_told_after_a_round_begun_after_it_was_taken_and_as_it_was_taken"
    ),
    "follower-reads-another-version": (
        "tests/core/txn/test_closed.py::test_a_follower_reads_a_table_only_by_the_definition_that_held_then"
    ),
    "age-of-what-is-closed-counted-from-its-answer": (
        "tests/runtime/test_follower_reads.py::test_how_old_it_is_is_counted_from_before_the_draw"
    ),
    "unknown-end-told-as-an-abort": (
        "tests/runtime/test_execution.py"
        "::test_only_an_end_that_nothing_can_change_and_no_home_knows_is_kept[the commit was asked for]"
    ),
    "commit-forgotten-before-it-is-done": (
        "tests/core/txn/test_coordinator.py::test_a_decision_is_kept_until_all_participants_have_it_however_old"
    ),
    "held-for-ever-by-a-lost-gateway": "tests/core/txn/test_interactive.py::test_a_gateway_that_is_silent_ends_it",
    "other-shards-keep-a-step-that-failed": (
        "tests/core/txn/test_session.py::test_what_stands_is_named_by_the_next_step_at_each_shard"
    ),
    "outdated-id-decided": (
        "tests/sim/test_outdated.py::test_an_interactive_transaction_that_is_older_did_not_happen_and_keeps_its_age"
    ),
    "end-that-waits-is-never-proposed": (
        "tests/core/txn/test_ends.py::test_at_the_next_tick_it_is_proposed_in_any_case"
    ),
    "id-dated-by-an-old-value": ("tests/sim/test_outdated.py::test_after_a_long_rest_an_id_is_dated_by_a_fresh_value"),
    "store-that-has-fallen-back-leads": (
        "tests/sim/test_stopped.py::test_a_follower_whose_store_has_fallen_back_does_not_lead[7]"
    ),
    "one-page-a-drain": "tests/core/paxos/test_scripts.py::test_a_script_comes_out_as_written[p17_pages_of_phase_1]",
    "segments-wait-for-all-that-is-applied": (
        "tests/runtime/test_compaction.py::test_under_load_a_log_lets_go_of_what_the_oldest_segment_needs"
    ),
    "removed-leader-just-stops": (
        "tests/core/paxos/test_paxos.py::test_who_was_removed_and_leads_asks_a_voter_to_take_over"
    ),
    "read-waits-for-a-round-that-runs": (
        "tests/contract/test_replicated_log.py::test_answers_to_a_round_begun_before_do_not_confirm[paxos]"
    ),
    "transfer-given-up-within-its-term": (
        "tests/contract/test_replicated_log_faults.py"
        "::test_who_refused_a_proposal_for_an_heir_that_is_gone_does_not_go_on_in_its_epoch[raft]"
    ),
    "removed-are-told-before-it-is-settled": f"{_MEMBERS}::test_who_was_removed_goes_when_others_can_do_without[paxos]",
}

# What a check was made for must be found by that check; it may be that another one sees it in an earlier seed.
FOUND_BY = {
    "follower-read-older-than-wanted": ("6 bounded staleness",),
    "images-lock-full-keys-only": ("11 locks",),
    "key-read-without-its-lock": ("17 dependencies",),
    "large-statement-under-an-intention": ("11 locks",),
    "locks-released-when-appended": ("11 locks",),
    "new-key-not-locked": ("11 locks",),
    "oracle-follows-one-clock": ("14 oracle beside the clocks",),
    "predicate-of-every-shard-under-an-intention": ("17 dependencies",),
    "predicate-under-an-intention": ("18 serial order of a few",),
    "prefix-under-an-intention": ("18 serial order of a few",),
    "session-token-ignored": ("6 bounded staleness",),
    "snapshot-below-the-horizon": ("5 same snapshot",),
    "wound-is-not-heeded": ("13 wait graph",),
    "wound-is-not-repeated": ("13 wait graph",),
    "wound-is-not-told-to-the-gateway": ("13 wait graph",),
}

# Runs in the copy; prints [seed, violation] of the first seed that fails, by one of the checks that are named, or any.
SEARCH = """
import json, sys
from tests.sim.simulation import simulate
for seed in range(int(sys.argv[1])):
    report = simulate(seed)
    if report.violation and report.invariant in (sys.argv[2:] or [report.invariant]):
        print(json.dumps([seed, report.invariant, report.violation]))
        break
"""


@dataclass(frozen=True)
class Find:
    """`seed` -1: not found."""

    bug: str
    seed: int
    invariant: str
    words: str


def copy_with(patch: Path, directory: Path) -> Path:
    """A copy of nodes/, of the checker, and of the tests that hunts run, with the patch in it."""
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, directory / folder, ignore=ignored)
    (directory / "tests" / "__init__.py").touch()
    command = ["patch", "--strip=1", "--fuzz=0", "--forward", "--batch", f"--directory={directory}", f"--input={patch}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{patch.name} no longer applies: {done.stdout}{done.stderr}")
    return directory


def hunt(patch: Path, seeds: int = SEEDS) -> Find:
    """The first seed of 0..seeds-1 that fails, by the check that must find it if one is named; of what is played,
    whether the test fails (seed 0)."""
    with tempfile.TemporaryDirectory() as name:
        code = copy_with(patch, Path(name))
        if patch.stem in PLAYED:
            return _play(patch, code)
        command = [sys.executable, "-B", "-c", SEARCH, str(seeds), *FOUND_BY.get(patch.stem, ())]
        done = subprocess.run(command, cwd=code, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{patch.name}: the search itself failed:\n{done.stderr[-2000:]}")
    if not done.stdout.strip():
        return Find(patch.stem, -1, "", "")
    seed, invariant, words = json.loads(done.stdout.splitlines()[-1])
    return Find(patch.stem, seed, invariant, words)


def _play(patch: Path, code: Path) -> Find:
    """Run the test on the copy: found if what it asserts, and nothing else, is not so."""
    test = PLAYED[patch.stem]
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:django", test]
    done = subprocess.run(command, cwd=code, capture_output=True, text=True, check=False)
    if done.returncode == 0 and "1 passed" in done.stdout:
        return Find(patch.stem, -1, "", "")
    asserted = any(words in done.stdout for words in ("AssertionError", "E       assert ", "DID NOT RAISE"))
    if done.returncode != 1 or "1 failed" not in done.stdout or not asserted:
        raise AssertionError(f"{patch.name}: {test} itself failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return Find(patch.stem, 0, "played", test.partition("::")[2])
