"""A check as the worker runs it, on a cluster that says what the test tells it to."""

from __future__ import annotations

import logging
import threading

import pytest

from monitoring import collect
from monitoring.models import CheckResult, Flip
from monitoring.record import standings
from monitoring.runs import run_check
from nodes.errors import Unavailable
from tests.monitoring.cluster import node, status

pytestmark = pytest.mark.django_db


def runs(count: int, name: str = "node_answers", **thresholds: object) -> list[Flip]:
    first = CheckResult.objects.count()
    return [flip for number in range(count) for flip in run_check(f"run {first + number}", name, thresholds)]


def states(name: str) -> dict[str, str]:
    return {subject: standing.state for subject, standing in standings(name).items()}


def test_a_node_that_dies_and_returns_flips_and_flips_back(told, caplog):
    runs(2)
    told["status"] = status(nodes=[node(1), node(2, up=False), node(3)])
    with caplog.at_level(logging.WARNING):
        (flip,) = runs(3)
    assert (flip.subject, flip.before, flip.after) == ("n2", "ok", "fail")
    assert caplog.messages == ["node_answers n2: ok -> fail: n2 (127.0.0.1:7102) did not answer"]
    told["status"] = status(nodes=[node(1), node(2, boot=2), node(3)])
    assert [(each.before, each.after) for each in runs(3)] == [("fail", "ok")]


def test_a_dead_node_that_is_replaced_flips_back_and_is_no_subject_any_more(told):
    told["status"] = status(nodes=[node(1), node(2, up=False), node(3)])
    runs(3)
    told["status"] = status(nodes=[node(1), node(3), node(4)], gone=[2])
    (flip,) = runs(2)
    assert (flip.subject, flip.before, flip.after) == ("n2", "fail", "ok")
    assert flip.cause == "n2 was removed from the cluster"
    assert runs(1) == []
    assert states("node_answers") == {"n1": "ok", "n3": "ok", "n4": "ok"}


def test_a_node_that_was_away_between_two_runs_flips_and_flips_back(told):
    runs(1)
    told["status"] = status(nodes=[node(1), node(2, boot=2), node(3)])
    assert [(each.subject, each.before, each.after) for each in runs(3)] == [("n2", "ok", "warn"), ("n2", "warn", "ok")]


def test_a_cluster_that_does_not_answer_is_unknown_and_says_why(told):
    runs(1, "disk_space")
    told["status"] = Unavailable("no node answers: refused")
    flips = runs(2, "disk_space")
    assert [(flip.subject, flip.after, flip.cause) for flip in flips] == [
        (name, "unknown", "no node answers: refused") for name in ("n1", "n2", "n3")
    ]


def test_patience_is_a_threshold_like_any_other(told):
    runs(3, patience=3)
    told["status"] = status(nodes=[node(1, up=False)])
    assert runs(2, patience=3) == []
    assert len(runs(1, patience=3)) == 1


def test_thresholds_that_do_not_fit_leave_the_check_unknown_and_say_so(told, caplog):
    runs(1, "in_doubt_age")
    flips = runs(2, "in_doubt_age", warn_s=3)
    assert states("in_doubt_age") == {"cluster": "unknown"}
    assert "in_doubt_age has no threshold 'warn_s'" in flips[0].cause
    assert "the check in_doubt_age cannot run" in caplog.text


def test_a_check_that_does_not_exist_is_an_error_and_leaves_nothing(told):
    with pytest.raises(ValueError, match="there is no check 'weather'"):
        run_check("run", "weather", {})
    assert not CheckResult.objects.exists()


def test_checks_that_begin_together_ask_the_cluster_once(monkeypatch):
    asked = []
    together = threading.Barrier(6)
    monkeypatch.setattr(collect, "_latest", None)
    monkeypatch.setattr(collect, "FRESH_S", 60.0)
    monkeypatch.setattr(collect, "_ask_status", lambda: asked.append(1) or "seen")
    found = []

    def ask() -> None:
        together.wait(30)
        found.append(collect.status())

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == ["seen"] * 6
    assert len(asked) == 1


def test_facts_that_are_not_fresh_are_asked_for_again(told):
    assert collect.status().status == told["status"]
    told["status"] = status(nodes=[node(1, up=False)])
    assert collect.status().status == told["status"]
