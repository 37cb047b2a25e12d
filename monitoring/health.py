"""What the watch knows now, as one plain dictionary: for the API, and for whoever draws it.

    {"state": "warn", "checks": [
        {"check": "node_answers", "title": "Node answers", "enabled": true, "every_s": 5.0, "state": "warn",
         "at": datetime, "took_ms": 4, "words": "n2 ended and began life 2", "stale": false,
         "subjects": [{"subject": "n1", "state": "ok", "since": datetime, "words": "n1 answers", "value": 1.0}]}]}

*Invariants*: a check that has not run for STALE_RUNS of its intervals (at least STALE_S_MIN) is unknown, whatever it
found last: a worker that is dead must not leave everything looking well. What is switched off does not count, but for
an anomaly that a self-check found: it counts until a later run finds none.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django_celery_beat.models import PeriodicTask

from monitoring.models import CheckResult, Flip, Standing
from monitoring.rules import SELF_CHECK, TITLES
from monitoring.verdicts import FAIL, UNKNOWN, worst

RUN_CHECK, SELFCHECK = "monitoring.run_check", "monitoring.selfcheck"
STALE_RUNS, STALE_S_MIN = 4, 30.0


def health(now: datetime) -> dict[str, Any]:
    """The state of all, of each check and of each of its subjects."""
    every_s = intervals()
    checks = [_of_check(name, name in every_s, every_s.get(name), now) for name in TITLES]
    return {"state": worst(check["state"] for check in checks if _counts(check)), "checks": checks}


def _counts(check: dict[str, Any]) -> bool:
    return check["enabled"] or (check["check"], check["state"]) == (SELF_CHECK, FAIL)


def flips(limit: int, after: int | None = None, check: str = "", subject: str = "") -> list[dict[str, Any]]:
    """The newest flips, at most `limit`, of one check or subject; `after`: only those behind the one with this id."""
    rows = Flip.objects.order_by("-id")
    if after is not None:
        rows = rows.filter(id__lt=after)
    wanted = {"check_name": check, "subject": subject}
    rows = rows.filter(**{name: value for name, value in wanted.items() if value})
    return [
        {
            "id": row.pk,
            "check": row.check_name,
            "subject": row.subject,
            "at": row.at,
            "before": row.before,
            "after": row.after,
            "cause": row.cause,
            "told_at": row.told_at,
        }
        for row in rows[:limit]
    ]


def intervals() -> dict[str, float | None]:
    """The seconds between two runs of each check that is switched on; None where its schedule is no interval."""
    found: dict[str, float | None] = {}
    for task in PeriodicTask.objects.filter(task__in=[RUN_CHECK, SELFCHECK], enabled=True).select_related("interval"):
        every_s = task.interval.schedule.run_every.total_seconds() if task.interval else None
        for name in [SELF_CHECK] if task.task == SELFCHECK else _names(task.args):
            found[name] = every_s
    return found


def _names(args: str) -> list[str]:
    """The checks that a row's arguments name, whatever somebody wrote there."""
    try:
        listed = json.loads(args)
    except ValueError:
        return []
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []


def is_stale(at: datetime, every_s: float | None, now: datetime) -> bool:
    """Has a check with this interval missed so many runs that its last result tells nothing any more?"""
    return every_s is not None and (now - at).total_seconds() > max(STALE_S_MIN, STALE_RUNS * every_s)


def _of_check(name: str, is_enabled: bool, every_s: float | None, now: datetime) -> dict[str, Any]:
    last = CheckResult.objects.filter(check_name=name).order_by("-at").first()
    rows = Standing.objects.filter(check_name=name).order_by("subject")
    subjects = list(rows.values("subject", "state", "since", "words", "value"))
    stale = last is None or is_stale(last.at, every_s, now)
    return {
        "check": name,
        "title": TITLES[name],
        "enabled": is_enabled,
        "every_s": every_s,
        "state": UNKNOWN if stale else worst(subject["state"] for subject in subjects),
        "at": last.at if last else None,
        "took_ms": last.took_ms if last else None,
        "words": last.words if last else "it has not run yet",
        "stale": stale,
        "subjects": subjects,
    }
