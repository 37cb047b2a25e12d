"""What a new home begins with, and what the admin may make of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.urls import reverse
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

from monitoring.admin import PeriodicTaskForm
from monitoring.health import RUN_CHECK
from monitoring.models import CheckResult, Flip, Standing
from monitoring.rules import CHECKS

pytestmark = pytest.mark.django_db


def test_every_check_is_scheduled_with_its_own_defaults():
    rows = {json.loads(row.args)[0]: row for row in PeriodicTask.objects.filter(task=RUN_CHECK)}
    assert rows.keys() == CHECKS.keys()
    for name, row in rows.items():
        check = CHECKS[name]()
        assert json.loads(row.kwargs) == check.thresholds()
        assert (row.interval.every, row.interval.period, row.enabled) == (check.every_s, "seconds", True)
        assert row.expire_seconds == 2 * check.every_s
    assert PeriodicTask.objects.get(task="monitoring.thin").interval.period == "hours"


def test_every_scheduled_task_is_one_that_the_worker_knows():
    from txstore.celery import app

    app.loader.import_default_modules()
    assert set(PeriodicTask.objects.values_list("task", flat=True)) <= set(app.tasks)


def form(name: str = "Check: canary", **changes: Any) -> PeriodicTaskForm:
    row = PeriodicTask.objects.get(name=name)
    fields = PeriodicTaskForm(instance=row).initial
    return PeriodicTaskForm(
        {key: value for key, value in {**fields, **changes}.items() if value is not None}, instance=row
    )


def test_a_threshold_that_is_changed_in_the_admin_is_told_to_beat():
    before = PeriodicTasks.last_change()
    changed = form(kwargs='{"warn_ms": 50}')
    assert changed.is_valid(), changed.errors
    changed.save()
    assert PeriodicTasks.last_change() > before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kwargs": '{"warn": 50}'}, "canary has no threshold"),
        ({"kwargs": '{"warn_ms": "fast"}'}, "warn_ms must be a number"),
        ({"kwargs": "[]"}, "A check has arguments like"),
        ({"kwargs": "{"}, "Unable to parse JSON"),
        ({"args": "[]"}, "A check has arguments like"),
        ({"args": '["weather"]'}, "there is no check"),
        ({"args": "[[]]"}, "there is no check"),
        ({"args": '"canary"'}, "A check has arguments like"),
    ],
)
def test_a_check_that_could_not_run_is_refused_by_the_form(changes, words):
    refused = form(**changes)
    assert not refused.is_valid()
    assert words in str(refused.errors)


def test_other_tasks_take_any_arguments():
    assert form("Thin out results", kwargs='{"whatever": 1}').is_valid()


@pytest.fixture
def rows() -> None:
    result = {"check_name": "canary", "at": "2026-01-01T00:00:00Z", "took_ms": 1, "state": "fail", "words": "no quorum"}
    CheckResult.objects.create(run="1", **result)
    Standing.objects.create(check_name="canary", subject="cluster", state="fail", since=result["at"], words="no quorum")
    Flip.objects.create(
        check_name="canary", subject="cluster", at=result["at"], before="ok", after="fail", cause="no quorum"
    )


PAGES = ["monitoring_checkresult", "monitoring_standing", "monitoring_flip"]
BEAT = ["periodictask", "intervalschedule", "crontabschedule"]


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("page", PAGES)
def test_what_was_found_can_be_read_and_not_changed(admin_client, page):
    seen = admin_client.get(reverse(f"admin:{page}_changelist"), {"check_name": "canary"}).content.decode()
    assert "no quorum" in seen
    row = {"checkresult": CheckResult, "standing": Standing, "flip": Flip}[page.partition("_")[2]].objects.get()
    change = reverse(f"admin:{page}_change", args=[row.pk])
    assert "no quorum" in admin_client.get(change).content.decode()
    assert admin_client.post(change, {"state": "ok"}).status_code == 403
    assert admin_client.get(reverse(f"admin:{page}_add")).status_code == 403
    assert admin_client.post(reverse(f"admin:{page}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("model", BEAT)
def test_the_pages_of_the_schedule_open(admin_client, model):
    assert admin_client.get(reverse(f"admin:django_celery_beat_{model}_changelist")).status_code == 200
    assert admin_client.get(reverse(f"admin:django_celery_beat_{model}_add")).status_code == 200


def test_the_page_of_a_check_lists_the_tasks_and_saves_another_interval(admin_client):
    row = PeriodicTask.objects.get(name="Check: canary")
    page = reverse("admin:django_celery_beat_periodictask_change", args=[row.pk])
    assert "monitoring.run_check" in admin_client.get(page).content.decode()
    minute = IntervalSchedule.objects.create(every=1, period="minutes")
    fields = {"name": row.name, "task": row.task, "args": row.args, "kwargs": row.kwargs, "headers": "{}"}
    answer = admin_client.post(page, {**fields, "interval": minute.pk, "enabled": "on", "expire_seconds": 20})
    assert answer.status_code == 302, answer.content.decode()
    row.refresh_from_db()
    assert row.interval == minute
