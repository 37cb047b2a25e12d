"""The checks that a new home begins with, as rows of the scheduler: from then on the admin has the last word."""

from __future__ import annotations

import json

from django.db import migrations
from django.utils import timezone

RUN_CHECK, THIN = "monitoring.run_check", "monitoring.thin"
CHECKS = {
    "node_answers": ("Check: node answers", 5, {"patience": 2}),
    "group_leader": ("Check: group has a leader", 5, {"patience": 2}),
    "replica_lag": ("Check: replica lag", 5, {"patience": 2, "warn_entries": 1000, "fail_entries": 10000}),
    "in_doubt_age": ("Check: age in doubt", 5, {"patience": 2, "warn_ms": 10000, "fail_ms": 60000}),
    "disk_space": ("Check: disk space", 5, {"patience": 2, "warn_mib": 2048, "fail_mib": 512}),
    "clock_difference": ("Check: clock difference", 5, {"patience": 2, "warn_ms": 500, "fail_ms": 10000}),
    "canary": ("Check: canary", 10, {"patience": 2, "warn_ms": 1000}),
}


def add(apps, schema_editor):
    def interval(every, period):
        rows = apps.get_model("django_celery_beat", "IntervalSchedule").objects
        return rows.filter(every=every, period=period).first() or rows.create(every=every, period=period)

    tasks = apps.get_model("django_celery_beat", "PeriodicTask").objects
    for check, (name, every_s, thresholds) in CHECKS.items():
        # A run that waited for the worker longer than for two intervals is not worth making any more.
        tasks.create(
            name=name,
            task=RUN_CHECK,
            interval=interval(every_s, "seconds"),
            args=json.dumps([check]),
            kwargs=json.dumps(thresholds),
            expire_seconds=2 * every_s,
        )
    tasks.create(name="Thin out results", task=THIN, interval=interval(1, "hours"), expire_seconds=3600)
    changes = apps.get_model("django_celery_beat", "PeriodicTasks").objects
    changes.update_or_create(ident=1, defaults={"last_update": timezone.now()})


def remove(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(task__in=[RUN_CHECK, THIN]).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("monitoring", "0001_initial"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(add, remove)]
