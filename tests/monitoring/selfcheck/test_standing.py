"""A self-check has a state like a check: an anomaly, a run that could not be made, a good verdict that ends both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from monitoring import tasks
from monitoring.health import flips
from monitoring.models import CheckResult, SelfCheck
from monitoring.record import standings
from monitoring.rules import SELF_CHECK
from monitoring.selfcheck import verdict
from monitoring.selfcheck.run import WORKLOADS, Finding
from nodes.errors import Unavailable
from tests.receiver import Receiver, receiving

pytestmark = pytest.mark.django_db
CYCLE = "G2-item: transactions did not see each other's writes"
GOOD = Finding("bank", "ok", "no anomaly", happened=40)
ANOMALY = Finding("bank", "fail", "G2-item", happened=40, anomalies=[CYCLE])
EMPTY = Finding("bank", "unknown", "no transaction happened")


@pytest.fixture
def receiver(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """The webhook; what a worker would be handed is told at once."""
    with receiving() as found:
        settings.NOTIFY_URL = found.url
        monkeypatch.setattr(tasks.tell, "delay", lambda flip: tasks.tell.apply(args=[flip]).get())
        yield found


@pytest.fixture
def nightly(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the task: the workloads find what it is given, or fail with it."""
    numbers = iter(range(1_000))

    def once(*found: Finding | Exception, **wishes: Any) -> None:
        def run(*_: Any) -> list[Finding]:
            if isinstance(found[0], Exception):
                raise found[0]
            return [each for each in found if isinstance(each, Finding)]

        monkeypatch.setattr(verdict, "run", run)
        monkeypatch.setattr("monitoring.collect.cluster", lambda: None)
        wanted = {"workloads": [each.workload for each in found if isinstance(each, Finding)] or ["bank"], **wishes}
        tasks.selfcheck.apply(kwargs=wanted, task_id=f"night {next(numbers)}").get()

    return once


def moved() -> list[tuple[str, str, str]]:
    """Every flip, the oldest first."""
    return [(each["subject"], each["before"], each["after"]) for each in reversed(flips(100, check=SELF_CHECK))]


def states() -> dict[str, str]:
    return {subject: standing.state for subject, standing in standings(SELF_CHECK).items()}


def test_an_anomaly_flips_at_once_and_the_next_good_verdict_flips_back(nightly: Any, receiver: Receiver) -> None:
    for finding in (GOOD, ANOMALY, GOOD):
        nightly(finding)
    assert moved() == [("bank", "ok", "fail"), ("bank", "fail", "ok")]
    told = [(each["check"], each["subject"], each["before"], each["after"], each["cause"]) for each in receiver.got]
    assert told == [
        ("self_check", "bank", "ok", "fail",
         "bank was not strictly serializable: G2-item; the proof is among the self-checks"),
        ("self_check", "bank", "fail", "ok",
         "bank: no anomaly, 40 transactions happened; the anomaly that was found before stays among the self-checks"),
    ]  # fmt: skip
    assert [each["told_at"] is not None for each in flips(9)] == [True, True]
    assert SelfCheck.objects.get(state="fail").anomalies == CYCLE


def test_an_anomaly_in_the_very_first_run_is_told(nightly: Any, receiver: Receiver) -> None:
    nightly(ANOMALY)
    assert moved() == [("bank", "unknown", "fail")]
    assert [each["after"] for each in receiver.got] == ["fail"]


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (EMPTY, "bank: no transaction happened; nothing was judged"),
        (Unavailable("no node answers"), "bank: was not carried out: no node answers; nothing was judged"),
        (RuntimeError("a bug"), "bank: was not carried out: RuntimeError: a bug; nothing was judged"),
    ],
)
def test_a_run_that_could_not_be_made_warns_and_is_told(
    nightly: Any, receiver: Receiver, failure: Finding | Exception, words: str
) -> None:
    for found in (GOOD, failure, failure, GOOD):
        nightly(found)
    assert moved() == [("bank", "ok", "warn"), ("bank", "warn", "ok")]
    assert [each["after"] for each in receiver.got] == ["warn", "ok"]
    assert receiver.got[0]["cause"] == words


def test_one_that_can_not_be_made_from_the_beginning_is_told_too(nightly: Any, receiver: Receiver) -> None:
    nightly(EMPTY)
    assert [(each["before"], each["after"]) for each in receiver.got] == [("unknown", "warn")]


def test_a_run_that_could_not_be_made_ends_no_anomaly_and_is_told_apart_from_it(nightly: Any) -> None:
    for finding in (GOOD, ANOMALY, EMPTY):
        nightly(finding)
    assert (moved(), states()) == ([("bank", "ok", "fail")], {"bank": "fail"})
    words = standings(SELF_CHECK)["bank"].words
    assert words == "bank: no transaction happened; nothing was judged; the anomaly that was found before still stands"
    assert list(CheckResult.objects.order_by("id").values_list("state", flat=True)) == ["ok", "fail", "warn"]
    nightly(GOOD)
    assert states() == {"bank": "ok"}


def test_a_run_of_other_workloads_leaves_an_anomaly_where_it_is(nightly: Any) -> None:
    nightly(ANOMALY)
    nightly(Finding("predicate", "ok", "no anomaly", happened=9))
    assert states() == {"bank": "fail", "predicate": "ok"}
    assert moved() == [("bank", "unknown", "fail")]


def test_wishes_that_make_no_sense_are_a_run_that_could_not_be_made(nightly: Any, receiver: Receiver) -> None:
    nightly(GOOD, seconds=0)
    assert states() == dict.fromkeys(WORKLOADS, "warn")
    assert {each["after"] for each in receiver.got} == {"warn"}
    assert "seconds must be above 0" in receiver.got[0]["cause"]
    nightly(GOOD, second=3)
    assert SelfCheck.objects.filter(words__contains="unexpected keyword argument 'second'").count() == len(WORKLOADS)


def test_a_change_that_a_command_found_is_handed_to_the_worker(
    nightly: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.NOTIFY_URL = ""  # the shell of a command need not know it
    for finding in (GOOD, ANOMALY):
        nightly(finding)
    rows = list(verdict.Flip.objects.all())
    sent: list[Any] = []
    monkeypatch.setattr(tasks.tell, "apply_async", lambda args, retry: sent.append((args, retry)))
    assert tasks.tell_by_worker(rows)
    assert sent == [([rows[0].pk], False)]

    def no_broker(**_: Any) -> None:
        raise tasks.OperationalError("refused")

    monkeypatch.setattr(tasks.tell, "apply_async", no_broker)
    assert not tasks.tell_by_worker(rows)
