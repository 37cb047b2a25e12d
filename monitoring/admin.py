"""The watch in the admin: what it found, to read; how often each check runs and its thresholds, to change."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django_celery_beat import admin as beat
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from monitoring.health import RUN_CHECK, SELFCHECK
from monitoring.models import CheckResult, Flip, SelfCheck, Standing
from monitoring.rules import TITLES, check_named
from monitoring.selfcheck.run import WORKLOADS, Wishes

COLOURS = {"ok": "success", "unknown": "info", "warn": "warning", "fail": "danger"}
LINE = (
    '<div style="min-height: 1lh; overflow-wrap: anywhere; padding-left: calc({}ch + 2ch); text-indent: -2ch">{}</div>'
)


def moment(name: str) -> Callable[[Any], str]:
    """A column with the time in field `name`, to the second: Django's own form stops at the minute."""

    @display(description=name.replace("_", " "), ordering=name)
    def column(row: Any) -> str:
        at = getattr(row, name)
        return f"{at:%Y-%m-%d %H:%M:%S}" if at else "-"

    return column


def coloured(name: str) -> Callable[[Any], str]:
    """A column with the state in field `name`."""

    @display(description=name, ordering=name, label=COLOURS)
    def column(row: Any) -> str:
        return str(getattr(row, name))

    return column


class ReadOnlyAdmin(ModelAdmin):
    """What happened can be looked at, not changed. Times are UTC."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class CheckFilter(admin.SimpleListFilter):
    """By check, without asking the table which there are."""

    title = "check"
    parameter_name = "check_name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(TITLES.items())

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(check_name=self.value()) if self.value() else queryset


@admin.register(CheckResult)
class CheckResultAdmin(ReadOnlyAdmin):
    list_display = (moment("at"), "check_name", coloured("state"), "words", "took_ms")
    list_filter = (CheckFilter, "state")
    show_full_result_count = False


@admin.register(Standing)
class StandingAdmin(ReadOnlyAdmin):
    list_display = ("check_name", "subject", coloured("state"), moment("since"), "words")
    list_filter = (CheckFilter, "state")


@admin.register(Flip)
class FlipAdmin(ReadOnlyAdmin):
    list_display = (
        moment("at"), "check_name", "subject", coloured("before"), coloured("after"), "cause", moment("told_at"),
    )  # fmt: skip
    list_filter = (CheckFilter, "after")
    search_fields = ("subject", "cause")


class WorkloadFilter(admin.SimpleListFilter):
    """By workload, without asking the table which there are."""

    title = "workload"
    parameter_name = "workload"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in WORKLOADS]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(workload=self.value()) if self.value() else queryset


@admin.register(SelfCheck)
class SelfCheckAdmin(ReadOnlyAdmin):
    list_display = (
        moment("at"), "workload", coloured("state"), "words", "happened", "did_not_happen", "unknown",
    )  # fmt: skip
    list_filter = (WorkloadFilter, "state")
    fields = (
        moment("at"), "took_ms", "workload", "state", "words",
        "happened", "did_not_happen", "unknown", "cycles",
    )  # fmt: skip
    readonly_fields = fields
    show_full_result_count = False

    @display(description="anomalies")
    def cycles(self, row: SelfCheck) -> str:
        """Line by line, as they are told; what is too long for the window goes on below its own beginning."""
        if not row.anomalies:
            return "-"
        lines = ((len(line) - len(line.lstrip(" ")), line.lstrip(" ")) for line in row.anomalies.split("\n"))
        return format_html(
            '<div class="text-xs" style="font-family: ui-monospace, monospace">{}</div>',
            format_html_join("", LINE, lines),
        )


class TaskSelectWidget(UnfoldAdminSelectWidget, beat.TaskSelectWidget):
    """The list of tasks in the theme's looks."""


class PeriodicTaskForm(beat.PeriodicTaskForm):
    """A check's arguments are refused before they are saved, not by its next run."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = TaskSelectWidget()

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean()
        if data.get("task") == RUN_CHECK and "args" in data and "kwargs" in data:
            _refuse_arguments(data["args"], data["kwargs"])
        if data.get("task") == SELFCHECK and "args" in data and "kwargs" in data:
            _refuse_wishes(data["args"], data["kwargs"])
        return data


def _refuse_arguments(args: str, kwargs: str) -> None:
    listed, thresholds = json.loads(args), json.loads(kwargs)
    if not isinstance(listed, list) or len(listed) != 1 or not isinstance(thresholds, dict):
        raise forms.ValidationError(
            'A check has arguments like ["node_answers"] and keyword arguments like {"patience": 2}.'
        )
    try:
        check_named(listed[0], thresholds)
    except ValueError as error:
        raise forms.ValidationError(f"The check cannot run so: {error}.") from error


def _refuse_wishes(args: str, kwargs: str) -> None:
    try:
        if json.loads(args):
            raise ValueError('a self-check has keyword arguments alone, like {"seconds": 10, "clients": 3}')
        Wishes(**json.loads(kwargs))
    except (TypeError, ValueError) as error:
        raise forms.ValidationError(f"The self-check cannot run so: {error}.") from error


for model in (PeriodicTask, IntervalSchedule, CrontabSchedule, SolarSchedule, ClockedSchedule):
    admin.site.unregister(model)


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(beat.PeriodicTaskAdmin, ModelAdmin):
    """What is changed often stands first."""

    form = PeriodicTaskForm
    list_display = ("name", "enabled", "scheduler", "kwargs")
    list_filter = ("enabled", "task")
    date_hierarchy = None
    fieldsets = (
        (None, {"fields": ("name", "enabled", "interval", "kwargs", "expire_seconds", "description")}),
        ("Task", {"fields": ("regtask", "task", "args")}),
        (
            "Other schedules",
            {"fields": ("crontab", "crontab_translation", "solar", "clocked", "start_time", "expires", "one_off")},
        ),
        ("Delivery", {"fields": ("queue", "exchange", "routing_key", "priority", "headers", "last_run_at")}),
    )


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(ModelAdmin):
    pass


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(beat.CrontabScheduleAdmin, ModelAdmin):
    pass
