"""Verdicts of self-checks; and one every night, which is off until somebody wants it: it is load, and makes tables."""

from __future__ import annotations

import json

from django.db import migrations, models
from django.utils import timezone

SELFCHECK = "monitoring.selfcheck"
STATES = ("ok", "unknown", "warn", "fail")


def add(apps, schema_editor):
    crontabs = apps.get_model("django_celery_beat", "CrontabSchedule").objects
    at_night = {"minute": "30", "hour": "3", "timezone": "UTC"}
    tasks = apps.get_model("django_celery_beat", "PeriodicTask").objects
    tasks.create(
        name="Self-check",
        task=SELFCHECK,
        crontab=crontabs.filter(**at_night).first() or crontabs.create(**at_night),
        kwargs=json.dumps({"seconds": 10, "clients": 3}),
        expire_seconds=3600,
        enabled=False,
    )
    changes = apps.get_model("django_celery_beat", "PeriodicTasks").objects
    changes.update_or_create(ident=1, defaults={"last_update": timezone.now()})


def remove(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(task=SELFCHECK).delete()


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0002_checks")]

    operations = [
        migrations.CreateModel(
            name="SelfCheck",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(help_text="when the run began")),
                ("took_ms", models.PositiveIntegerField(help_text="the whole run", verbose_name="took (ms)")),
                ("workload", models.CharField(max_length=40)),
                ("state", models.CharField(choices=[(state, state) for state in STATES], max_length=8)),
                ("words", models.TextField(verbose_name="verdict")),
                ("happened", models.PositiveIntegerField()),
                ("did_not_happen", models.PositiveIntegerField()),
                ("unknown", models.PositiveIntegerField()),
                ("anomalies", models.TextField(blank=True)),
                ("run", models.CharField(help_text="the id of the task or command that ran it", max_length=64)),
            ],
            options={
                "verbose_name": "self-check",
                "ordering": ["-at", "id"],
                "indexes": [models.Index(fields=["at"], name="monitoring__at_79c23a_idx")],
                "constraints": [models.UniqueConstraint(fields=("run", "workload"), name="one_verdict_per_workload")],
            },
        ),
        migrations.RunPython(add, remove),
    ]
