"""What the watch keeps: each run's result, where every subject stands, each change of a state, and the verdicts of
self-checks.

*Invariants*: one result per run (`run` is the task's id, so a message that is delivered twice counts once); one
standing per check and subject; a standing's state is that of its last flip; one verdict per run and workload.
*Left out*: the intervals and thresholds of the checks, which are rows of django-celery-beat.
"""

from __future__ import annotations

from django.db import models

from monitoring import verdicts

STATE_CHOICES = [(state, state) for state in verdicts.STATES]


class CheckResult(models.Model):
    """One run of a check. `state` and `words` are of its worst sample; `samples` has those that were not ok."""

    check_name = models.CharField("check", max_length=40)
    at = models.DateTimeField(help_text="when its facts were gathered")
    took_ms = models.PositiveIntegerField("took (ms)")
    state = models.CharField(max_length=8, choices=STATE_CHOICES)
    words = models.TextField()
    samples = models.JSONField(default=list)
    run = models.CharField(max_length=64, unique=True, help_text="the id of the task that ran it")

    class Meta:
        verbose_name = "check result"
        indexes = [models.Index(fields=["check_name", "at"]), models.Index(fields=["at"])]
        ordering = ["-at", "-id"]

    def __str__(self) -> str:
        return f"{self.check_name} {self.state}"


class Standing(models.Model):
    """Where a subject stands now: `state` since `since`. `words` and `value` are of its last sample; `recent` has the
    states of its last samples, oldest first, separated by spaces."""

    check_name = models.CharField("check", max_length=40)
    subject = models.CharField(max_length=80)
    state = models.CharField(max_length=8, choices=STATE_CHOICES)
    since = models.DateTimeField()
    words = models.TextField()
    value = models.FloatField(null=True)
    recent = models.CharField(max_length=1000)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["check_name", "subject"], name="one_standing_per_subject")]
        ordering = ["check_name", "subject"]

    def __str__(self) -> str:
        return f"{self.check_name} {self.subject} {self.state}"


class Flip(models.Model):
    """A change of a subject's state, with its cause. `told_at`: when the webhook took it; null while it has not, or
    where there is none."""

    check_name = models.CharField("check", max_length=40)
    subject = models.CharField(max_length=80)
    at = models.DateTimeField()
    before = models.CharField(max_length=8, choices=STATE_CHOICES)
    after = models.CharField(max_length=8, choices=STATE_CHOICES)
    cause = models.TextField()
    told_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["at"])]
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.check_name} {self.subject}: {self.before} -> {self.after}"


class SelfCheck(models.Model):
    """What one workload of a self-check showed: how many of its transactions had which outcome, and the anomalies with
    their cycles, in words."""

    at = models.DateTimeField(help_text="when the run began")
    took_ms = models.PositiveIntegerField("took (ms)", help_text="the whole run")
    workload = models.CharField(max_length=40)
    state = models.CharField(max_length=8, choices=STATE_CHOICES)
    words = models.TextField("verdict")
    happened = models.PositiveIntegerField()
    did_not_happen = models.PositiveIntegerField()
    unknown = models.PositiveIntegerField()
    anomalies = models.TextField(blank=True)
    run = models.CharField(max_length=64, help_text="the id of the task or command that ran it")

    class Meta:
        verbose_name = "self-check"
        constraints = [models.UniqueConstraint(fields=["run", "workload"], name="one_verdict_per_workload")]
        indexes = [models.Index(fields=["at"])]
        ordering = ["-at", "id"]

    def __str__(self) -> str:
        return f"{self.workload} {self.state}"
