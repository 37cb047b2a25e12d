"""Each check with made-up facts: what it finds of each subject, and what it says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from monitoring.rules import CHECKS, MIB, Check, Sight, Trial, check_named
from monitoring.verdicts import FAIL, OK, UNKNOWN, WARN, Sample, Standing
from tests.monitoring.cluster import group, node, status

BLIND = Sight(None, "no node answers")


def judged(name: str, facts: Any, known: dict[str, Standing] | None = None, **thresholds: Any) -> dict[str, Sample]:
    return {sample.subject: sample for sample in check_named(name, thresholds).judge(facts, known or {})}


def states(name: str, seen: dict[str, Any], **thresholds: Any) -> dict[str, str]:
    return {subject: sample.state for subject, sample in judged(name, Sight(seen), **thresholds).items()}


def standing(state: str, value: float | None = None) -> Standing:
    return Standing(state, datetime(2026, 1, 1, tzinfo=UTC), "", value, (state,))


@pytest.mark.parametrize("name", [name for name, check in CHECKS.items() if check.source == "status"])
def test_a_healthy_cluster_is_ok_and_what_is_known_is_not_ok_while_nothing_is_seen(name):
    assert set(states(name, status()).values()) == {OK}
    blind = judged(name, BLIND, {"n1": standing(OK, 5.0), "n2": standing(OK)})
    expected = FAIL if name == "node_answers" else UNKNOWN
    assert [(s.subject, s.state, s.words, s.value) for s in blind.values()] == [
        ("n1", expected, "no node answers", 5.0),
        ("n2", expected, "no node answers", None),
    ]
    assert list(judged(name, BLIND)) == ["cluster"]


def test_a_node_that_does_not_answer_fails_alone_and_keeps_its_life():
    seen = status(nodes=[node(1), node(2, up=False), node(3)])
    found = judged("node_answers", Sight(seen), {"n2": standing(OK, 3.0)})
    assert [found[name].state for name in ("n1", "n2", "n3")] == [OK, FAIL, OK]
    assert found["n2"].words == "n2 (127.0.0.1:7102) did not answer"
    assert found["n2"].value == 3.0


def test_a_node_that_was_back_before_it_was_missed_is_found_by_its_life():
    seen = status(nodes=[node(1, boot=4)])
    found = judged("node_answers", Sight(seen), {"n1": standing(OK, 3.0)})["n1"]
    assert found == Sample("n1", WARN, "n1 ended and began life 4", 4, certain=True)
    assert judged("node_answers", Sight(seen), {"n1": standing(FAIL, 3.0)})["n1"].state == OK
    assert judged("node_answers", Sight(seen), {"n1": standing(OK, 4.0)})["n1"].state == OK
    assert judged("node_answers", Sight(seen), {"n1": standing(OK, None)})["n1"].state == OK


def test_a_group_without_a_leader_fails():
    seen = status(groups=[group("c1"), group("s0", leader=None)])
    assert states("group_leader", seen) == {"c1": OK, "s0": FAIL}


@pytest.mark.parametrize(("lag", "state"), [(0, OK), (999, OK), (1_000, WARN), (9_999, WARN), (10_000, FAIL)])
def test_the_lag_of_a_node_is_that_of_its_worst_replica(lag, state):
    seen = status(groups=[group("s0"), group("s1", lags={2: lag})])
    assert states("replica_lag", seen) == {"n1": OK, "n2": state, "n3": OK}


def test_a_stopped_replica_fails_whatever_its_lag():
    seen = status(groups=[group("s1", stopped={3: "slot 7 names a version that is not there"})])
    found = judged("replica_lag", Sight(seen))["n3"]
    assert (found.state, found.value) == (FAIL, 0)
    assert found.words == "a replica on n3 has stopped: s1: slot 7 names a version that is not there"


@pytest.mark.parametrize("name", ["replica_lag", "disk_space", "clock_difference"])
def test_what_a_node_alone_can_tell_is_unknown_while_it_does_not_answer(name):
    seen = status(nodes=[node(1), node(2, up=False), node(3)], groups=[group("s0", nodes=(1, 3))])
    assert states(name, seen) == {"n1": OK, "n2": UNKNOWN, "n3": OK}


def test_a_replica_that_only_learns_is_not_behind_and_who_votes_nowhere_is_well():
    joined = [node(1), node(2), node(3), node(4)]
    groups = [group("s0", nodes=(1, 2, 3, 4), lags={4: 50_000, 2: 1_000}, learners=(4,))]
    assert states("replica_lag", status(nodes=joined, groups=groups)) == {"n1": OK, "n2": WARN, "n3": OK, "n4": OK}


def test_what_was_wrong_with_a_node_ends_when_it_was_removed_and_then_it_is_no_subject():
    seen = Sight(status(nodes=[node(1), node(3)], gone=[2]))
    for name in ("node_answers", "replica_lag", "disk_space", "clock_difference"):
        for state in (FAIL, UNKNOWN, WARN):
            found = judged(name, seen, {"n1": standing(OK), "n2": standing(state, 3.0)})
            assert (found["n2"].state, found["n2"].words) == (OK, "n2 was removed from the cluster")
        assert set(judged(name, seen, {"n1": standing(OK), "n2": standing(OK, 3.0)})) == {"n1", "n3"}
        assert set(judged(name, seen)) == {"n1", "n3"}


@pytest.mark.parametrize(("oldest_ms", "state"), [(0, OK), (9_999, OK), (10_000, WARN), (60_000, FAIL)])
def test_the_oldest_in_doubt_is_judged_by_its_age(oldest_ms, state):
    found = judged("in_doubt_age", Sight(status(in_doubt={"count": 3, "oldest_ms": oldest_ms})))["cluster"]
    assert (found.state, found.value) == (state, oldest_ms)
    assert found.words.startswith("3 in doubt")


@pytest.mark.parametrize(("free_mib", "state"), [(2_048, OK), (2_047, WARN), (512, WARN), (511, FAIL)])
def test_disk_space_is_judged_per_node(free_mib, state):
    seen = status(nodes=[node(1), node(2, free_bytes=free_mib * MIB)])
    assert states("disk_space", seen) == {"n1": OK, "n2": state}


@pytest.mark.parametrize(("ahead_ms", "state"), [(499, OK), (500, WARN), (-500, WARN), (10_000, FAIL), (-10_000, FAIL)])
def test_a_clock_is_compared_with_the_middle_one_whoever_was_asked(ahead_ms, state):
    wrong_one_tells = status(nodes=[node(1), node(2, clock_ahead_ms=-ahead_ms), node(3, clock_ahead_ms=-ahead_ms)])
    other_tells = status(nodes=[node(1, clock_ahead_ms=ahead_ms), node(2), node(3)])
    for seen in (wrong_one_tells, other_tells):
        assert states("clock_difference", seen) == {"n1": state, "n2": OK, "n3": OK}


def test_the_canary_warns_when_it_is_slow_and_fails_when_it_fails():
    def canary(trial: Trial) -> str:
        return judged("canary", trial)["cluster"].state

    assert canary(Trial(OK, "", 999.0)) == OK
    assert canary(Trial(OK, "", 1_000.0)) == WARN
    assert canary(Trial(FAIL, "no quorum", 5_000.0)) == FAIL
    assert canary(Trial(FAIL, "no quorum")) == FAIL


def test_thresholds_are_taken_as_given():
    assert states("disk_space", status(nodes=[node(1, free_bytes=5 * MIB)]), warn_mib=5, fail_mib=1.5) == {"n1": OK}


@pytest.mark.parametrize(
    ("name", "thresholds", "words"),
    [
        ("nodes", {}, "there is no check 'nodes'"),
        ("canary", {"fail_ms": 3}, "canary has no threshold 'fail_ms'; it has patience, warn_ms"),
        ("canary", {"warn_ms": "3"}, "warn_ms must be a number that is not negative, not '3'"),
        ("canary", {"warn_ms": True}, "warn_ms must be a number"),
        ("canary", {"warn_ms": -1}, "warn_ms must be a number"),
        ("canary", {"warn_ms": float("nan")}, "warn_ms must be a number"),
        ("canary", {"warn_ms": float("inf")}, "warn_ms must be a number"),
        ("canary", {"patience": 0}, "patience must be a whole number from 1 to 100"),
        ("canary", {"patience": 101}, "patience must be a whole number"),
        ("canary", {"patience": 2.0}, "patience must be a whole number"),
        ("canary", {"patience": True}, "patience must be a whole number"),
    ],
)
def test_what_is_no_threshold_is_refused_in_words(name, thresholds, words):
    with pytest.raises(ValueError, match=words.replace("?", r"\?")):
        check_named(name, thresholds)


def test_every_check_has_a_name_a_title_and_one_source():
    for name, check in CHECKS.items():
        assert issubclass(check, Check)
        assert (check.name, check.source in ("status", "canary")) == (name, True)
        assert check.title
        assert check.__doc__
