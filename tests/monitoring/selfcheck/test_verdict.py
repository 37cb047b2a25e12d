"""Verdicts are rows, one for each workload of a run, whatever became of it; when they run is for the admin to say."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from monitoring import tasks
from monitoring.admin import PeriodicTaskForm, SelfCheckAdmin
from monitoring.health import SELFCHECK
from monitoring.models import SelfCheck
from monitoring.selfcheck import verdict
from monitoring.selfcheck.run import WORKLOADS, Wishes
from nodes.client import Cluster
from nodes.errors import Unavailable
from tests.monitoring.selfcheck import broken_store
from tests.monitoring.selfcheck.broken_store import BrokenStore

pytestmark = pytest.mark.django_db
SHORT = Wishes(1.0, 2, ("causal-reverse", "bank"))


def store(fault: str) -> Callable[[], Cluster]:
    return lambda: BrokenStore(fault)


def test_a_run_leaves_a_row_for_each_workload() -> None:
    verdict.run_and_keep(store(broken_store.SOUND), SHORT, "run 1")
    rows = {row.workload: row for row in SelfCheck.objects.all()}
    assert rows.keys() == set(SHORT.workloads)
    for row in rows.values():
        assert (row.state, row.words, row.anomalies, row.run) == ("ok", "no anomaly", "", "run 1")
        assert row.happened > 0
        assert row.took_ms >= 1000


def test_what_was_found_is_kept_logged_and_shown_with_its_cycle(caplog: pytest.LogCaptureFixture) -> None:
    for number in range(30):
        verdict.run_and_keep(store(broken_store.STALE), SHORT, f"run {number}")
        row = SelfCheck.objects.filter(workload="causal-reverse", state="fail").first()
        if row is not None:
            break
    assert row is not None
    assert "Each came before the next, and the last before the first" in row.anomalies
    assert "self-check: causal-reverse" in caplog.text
    shown = SelfCheckAdmin.cycles(None, row)  # type: ignore[arg-type]
    lines = re.findall(r'<div style="[^"]*padding-left: calc\((\d+)ch[^"]*">(.*?)</div>', shown)
    assert "\n".join(" " * int(indent) + html.unescape(words) for indent, words in lines) == row.anomalies


def test_a_message_that_comes_twice_is_kept_once() -> None:
    first, second = (verdict.run_and_keep(store(broken_store.SOUND), SHORT, "the same") for _ in range(2))
    assert (len(first.findings), second.findings) == (2, [])
    assert SelfCheck.objects.count() == 2


def test_a_cluster_that_is_not_there_leaves_all_unknown() -> None:
    def no_cluster() -> Cluster:
        raise Unavailable("this home has no cluster yet")

    findings = verdict.run_and_keep(no_cluster, Wishes(), "run").findings
    assert {finding.state for finding in findings} == {"unknown"}
    assert set(SelfCheck.objects.values_list("state", "words")) == {
        ("unknown", "was not carried out: this home has no cluster yet")
    }
    assert SelfCheck.objects.count() == len(WORKLOADS)


def test_old_verdicts_go() -> None:
    verdict.run_and_keep(store(broken_store.SOUND), SHORT, "run")
    assert verdict.thin(timezone.now() + timedelta(days=364)) == 0
    assert verdict.thin(timezone.now() + timedelta(days=366)) == 2


def test_a_verdict_with_an_anomaly_is_never_deleted() -> None:
    verdict.run_and_keep(store(broken_store.SOUND), SHORT, "run")
    anomaly = SelfCheck.objects.filter(workload="bank")
    anomaly.update(state="fail")
    verdict.thin(timezone.now() + timedelta(days=9 * 365))
    assert list(SelfCheck.objects.all()) == list(anomaly)


def test_the_task_runs_what_its_row_says_and_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitoring.collect.cluster", store(broken_store.SOUND))
    tasks.selfcheck.apply(kwargs={"seconds": 1.0, "clients": 1, "workloads": ["write-skew"]}, task_id="task 7")
    row = SelfCheck.objects.get()
    assert (row.run, row.workload, row.state) == ("task 7", "write-skew", "ok")


def test_a_new_home_has_one_for_every_night_which_is_off() -> None:
    row = PeriodicTask.objects.get(task=SELFCHECK)
    assert (row.enabled, str(row.crontab.hour), str(row.crontab.minute)) == (False, "3", "30")
    assert Wishes(**json.loads(row.kwargs)) == Wishes()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kwargs": '{"seconds": 0}'}, "seconds must be above 0"),
        ({"kwargs": '{"clients": 100}'}, "from 1 to 32"),
        ({"kwargs": '{"workloads": ["elle"]}'}, "no workload is called"),
        ({"kwargs": '{"second": 3}'}, "second"),
        ({"kwargs": '{"seconds": "long"}'}, "cannot run so"),
        ({"args": '["bank"]'}, "keyword arguments alone"),
    ],
)
def test_wishes_that_make_no_sense_are_refused_by_the_form(changes: dict[str, Any], words: str) -> None:
    row = PeriodicTask.objects.get(task=SELFCHECK)
    fields = {**PeriodicTaskForm(instance=row).initial, **changes}
    form = PeriodicTaskForm({key: value for key, value in fields.items() if value is not None}, instance=row)
    assert not form.is_valid()
    assert words in str(form.errors)


@pytest.mark.parametrize("workloads", [(), ("bank", "bank"), ("nobody",)])
def test_workloads_that_make_no_sense_are_refused(workloads: tuple[str, ...]) -> None:
    with pytest.raises(ValueError):
        Wishes(workloads=workloads)
