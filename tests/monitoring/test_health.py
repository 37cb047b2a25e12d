"""What the watch says of itself now: the worst counts, what is off does not, and silence is not health."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from monitoring.health import SELFCHECK, health, intervals, is_stale
from monitoring.record import Run, record
from monitoring.rules import CHECKS
from monitoring.verdicts import OK, Sample

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)

pytestmark = pytest.mark.django_db


@pytest.fixture
def all_ok() -> None:
    for name in CHECKS:
        run(name, OK, 0)


def run(name: str, state: str, number: int) -> None:
    record(Run(f"{name} {number}", name, NOW + number * SECOND, 3), [Sample("n1", state, f"is {state}", 1.0)], 1)


def of(name: str, now: datetime = NOW) -> dict[str, Any]:
    return next(check for check in health(now)["checks"] if check["check"] == name)


def task(name: str) -> PeriodicTask:
    return PeriodicTask.objects.get(args=json.dumps([name]))


def test_a_new_home_is_unknown_until_it_has_been_looked_at():
    assert health(NOW)["state"] == "unknown"
    assert of("canary") == {
        "check": "canary",
        "title": "Canary",
        "enabled": True,
        "every_s": 10.0,
        "state": "unknown",
        "at": None,
        "took_ms": None,
        "words": "it has not run yet",
        "stale": True,
        "subjects": [],
    }


@pytest.mark.usefixtures("all_ok")
def test_all_is_as_bad_as_the_worst_check_that_is_switched_on():
    assert health(NOW)["state"] == "ok"
    run("canary", "fail", 1)
    assert health(NOW)["state"] == "fail"
    assert of("canary")["subjects"] == [
        {"subject": "n1", "state": "fail", "since": NOW + SECOND, "words": "is fail", "value": 1.0}
    ]
    PeriodicTask.objects.filter(pk=task("canary").pk).update(enabled=False)
    assert health(NOW)["state"] == "ok"
    assert not of("canary")["enabled"]


@pytest.mark.usefixtures("all_ok")
def test_a_self_check_counts_where_it_is_switched_on_and_its_anomalies_everywhere():
    assert not of("self_check")["enabled"]
    run("self_check", "warn", 1)
    assert health(NOW)["state"] == "ok"
    run("self_check", "fail", 2)
    assert health(NOW)["state"] == "fail"
    run("self_check", "warn", 3)
    PeriodicTask.objects.filter(task=SELFCHECK).update(enabled=True)
    assert health(NOW)["state"] == "warn"
    assert of("self_check")["enabled"]


@pytest.mark.usefixtures("all_ok")
def test_a_check_that_does_not_run_any_more_is_unknown():
    assert of("disk_space", NOW + 30 * SECOND)["state"] == "ok"
    late = of("disk_space", NOW + 31 * SECOND)
    assert (late["state"], late["stale"]) == ("unknown", True)


@pytest.mark.parametrize(("every_s", "limit_s"), [(1.0, 30), (5.0, 30), (60.0, 240)])
def test_how_many_runs_may_be_missed(every_s, limit_s):
    assert not is_stale(NOW, every_s, NOW + limit_s * SECOND)
    assert is_stale(NOW, every_s, NOW + (limit_s + 1) * SECOND)


@pytest.mark.usefixtures("all_ok")
def test_a_check_on_a_crontab_is_never_stale():
    row = task("disk_space")
    row.interval, row.crontab = None, CrontabSchedule.objects.create(hour="3")
    row.save()
    assert of("disk_space", NOW + timedelta(days=9))["state"] == "ok"


@pytest.mark.parametrize("args", ["", "[", "{}", "7", "[7]", "[[]]", "[null]"])
def test_a_row_with_nonsense_for_arguments_hides_no_other_check(args):
    PeriodicTask.objects.filter(pk=task("canary").pk).update(args=args)
    assert intervals().keys() == CHECKS.keys() - {"canary"}
