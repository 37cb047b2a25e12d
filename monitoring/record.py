"""What the watch found, written down: results, standings and flips; and how long each is kept.

*Invariants*: a run is recorded once, whole or not at all, however often its message is delivered; standings move in the
order in which facts were gathered: a run that was overtaken by a later one is kept as a result and moves nothing, but
for a failure that is certain, which is never lost. Thinning a second time changes nothing, and what a self-check failed
with stays for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.db import transaction

from monitoring import verdicts
from monitoring.models import CheckResult, Flip, Standing
from monitoring.rules import SELF_CHECK
from monitoring.verdicts import FAIL, OK, SEVERITY, Change, Sample

ALL_RESULTS_KEPT = timedelta(days=1)
HOURLY_RESULTS_KEPT = timedelta(days=30)
FLIPS_KEPT = timedelta(days=365)
DELETED_AT_ONCE = 500


@dataclass(frozen=True)
class Run:
    """One run of a check: the task's id, when its facts were gathered, and how long that took."""

    id: str
    check: str
    at: datetime
    took_ms: int


def standings(check: str, *, for_update: bool = False) -> dict[str, verdicts.Standing]:
    """Where each subject of a check stands."""
    rows = Standing.objects.filter(check_name=check).order_by("subject")  # one order, so that nobody waits in a ring
    if for_update:
        rows = rows.select_for_update()
    return {
        row.subject: verdicts.Standing(row.state, row.since, row.words, row.value, tuple(row.recent.split()))
        for row in rows
    }


def record(run: Run, samples: Sequence[Sample], patience: int, *, is_part: bool = False) -> list[Flip]:
    """Keep a run's samples (at least one) and what follows from them; the flips, saved. `is_part`: a subject without a
    sample was not looked at, and stands as it stood."""
    with transaction.atomic():
        if not _keep_result(run, samples):
            return []
        before = standings(run.check, for_update=True)  # first the rows, so that no other run moves them meanwhile
        if _is_overtaken(run):
            samples, is_part = [sample for sample in samples if sample.certain and sample.state == FAIL], True
        after, changes = verdicts.judge(before, samples, run.at, patience)
        _keep_standings(run.check, before, before | after if is_part else after)
        return [_keep_flip(run, change) for change in changes]


def _keep_result(run: Run, samples: Sequence[Sample]) -> bool:
    """False if this run was kept before."""
    worst = max(samples, key=lambda sample: SEVERITY[sample.state])
    found = {
        "check_name": run.check,
        "at": run.at,
        "took_ms": run.took_ms,
        "state": worst.state,
        "words": worst.words,
        "samples": [_as_json(sample) for sample in samples if sample.state != OK],
    }
    return CheckResult.objects.get_or_create(run=run.id, defaults=found)[1]


def _as_json(sample: Sample) -> dict[str, object]:
    return {name: value for name, value in asdict(sample).items() if name != "certain"}


def _is_overtaken(run: Run) -> bool:
    return CheckResult.objects.filter(check_name=run.check, at__gt=run.at).exists()


def _keep_standings(check: str, before: dict[str, verdicts.Standing], after: dict[str, verdicts.Standing]) -> None:
    """Write what is new or other than before; nothing, as long as all stays as it is."""
    for subject, standing in after.items():
        if before.get(subject) != standing:
            fields = asdict(standing) | {"recent": " ".join(standing.recent)}
            Standing.objects.update_or_create(check_name=check, subject=subject, defaults=fields)
    if gone := before.keys() - after.keys():
        Standing.objects.filter(check_name=check, subject__in=gone).delete()


def _keep_flip(run: Run, change: Change) -> Flip:
    return Flip.objects.create(
        check_name=run.check,
        subject=change.subject,
        at=run.at,
        before=change.before,
        after=change.after,
        cause=change.cause,
    )


def thin(now: datetime) -> int:
    """Delete what is too old, and of each check's results older than a day all but the worst of each hour; the number
    of rows that went."""
    old = CheckResult.objects.filter(at__lt=now - HOURLY_RESULTS_KEPT)
    flips = Flip.objects.filter(at__lt=now - FLIPS_KEPT).exclude(check_name=SELF_CHECK, after=FAIL)
    gone = old.delete()[0] + flips.delete()[0]
    aged = CheckResult.objects.filter(at__lt=_hour(now - ALL_RESULTS_KEPT)).order_by("check_name", "at", "id")
    return gone + _delete(superfluous(aged.values_list("check_name", "at", "id", "state").iterator()))


def superfluous(rows: Iterable[tuple[str, datetime, int, str]]) -> list[int]:
    """Of (check, at, id, state), ordered, the ids of all but the first of the worst of each check and hour."""
    kept: dict[tuple[str, datetime], tuple[int, int]] = {}
    gone = []
    for check, at, id, state in rows:
        hour, severity = (check, _hour(at)), SEVERITY[state]
        if hour in kept and kept[hour][0] >= severity:
            gone.append(id)
            continue
        if hour in kept:
            gone.append(kept[hour][1])
        kept[hour] = (severity, id)
    return gone


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _delete(ids: list[int]) -> int:
    """In small parts: the file of SQLite has one writer at a time, and others wait for it."""
    parts = [ids[start : start + DELETED_AT_ONCE] for start in range(0, len(ids), DELETED_AT_ONCE)]
    return sum(CheckResult.objects.filter(id__in=part).delete()[0] for part in parts)
