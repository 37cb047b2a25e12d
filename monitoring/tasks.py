"""What Celery runs: a check, a self-check, the thinning of what is kept, the telling of a flip. Nothing is decided
here."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from celery import Task, shared_task
from celery.signals import worker_ready
from django.conf import settings
from django.utils import timezone
from kombu.exceptions import OperationalError

from monitoring import notify, record, runs
from monitoring.health import RUN_CHECK, SELFCHECK
from monitoring.models import Flip
from monitoring.selfcheck import verdict

TELL_TRIES, TELL_PAUSE_S_MAX = 12, 600
TOLD_AFTER_RESTART = timedelta(days=1)


@shared_task(name=RUN_CHECK, bind=True)
def run_check(self: Task, name: str, **thresholds: Any) -> None:
    """Run a check, and tell of what changed."""
    _tell_of(runs.run_check(self.request.id, name, thresholds))


@shared_task(name="monitoring.thin")
def thin() -> None:
    """Delete what is too old, and most of what is not new."""
    record.thin(timezone.now())
    verdict.thin(timezone.now())


@shared_task(name=SELFCHECK, bind=True)
def selfcheck(self: Task, **wishes: Any) -> None:
    """Put the workloads on the cluster, keep the verdicts, and tell of what changed."""
    _tell_of(runs.run_selfcheck(self.request.id, wishes))


@shared_task(
    name="monitoring.tell",
    autoretry_for=(notify.NotTold,),
    max_retries=TELL_TRIES,
    retry_backoff=1,
    retry_backoff_max=TELL_PAUSE_S_MAX,
    retry_jitter=True,
)
def tell(flip: int) -> None:
    """Tell of a flip, unless it was told already; tried again with growing pauses."""
    row = Flip.objects.filter(pk=flip, told_at=None).first()
    if row is not None and settings.NOTIFY_URL:
        notify.post(settings.NOTIFY_URL, notify.message(row))
        Flip.objects.filter(pk=flip).update(told_at=timezone.now())


@worker_ready.connect
def tell_what_is_left(**_: Any) -> None:
    """What a worker that died was still to tell is told by the next one."""
    _tell_of(Flip.objects.filter(told_at=None, at__gt=timezone.now() - TOLD_AFTER_RESTART).order_by("id"))


def tell_by_worker(flips: Iterable[Flip]) -> bool:
    """From a process that is no worker, which may not know what a worker knows: the address. False if the broker could
    not be asked: the next worker that begins tells of them."""
    try:
        for flip in filter(_is_news, flips):
            tell.apply_async(args=[flip.pk], retry=False)
    except (OperationalError, OSError):
        return False
    return True


def _tell_of(flips: Iterable[Flip]) -> None:
    if settings.NOTIFY_URL:
        for flip in filter(_is_news, flips):
            tell.delay(flip.pk)


def _is_news(flip: Flip) -> bool:
    return notify.is_news(flip.before, flip.after)
