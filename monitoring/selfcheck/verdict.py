"""A self-check whose verdicts are kept, as rows of the admin.

*Invariants*: a run leaves one row for each workload that was wished for, whatever became of it, and moves the standing
of these workloads and no others. A verdict with an anomaly is never deleted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from monitoring import record
from monitoring.models import Flip, SelfCheck
from monitoring.rules import SELF_CHECK
from monitoring.selfcheck import standing
from monitoring.selfcheck.run import WORKLOADS, Finding, Tell, Wishes, run, say_nothing
from monitoring.verdicts import FAIL, UNKNOWN
from nodes.client import Cluster
from nodes.errors import StoreError

KEPT = timedelta(days=365)
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """What a run found, and the flips that it led to."""

    findings: list[Finding]
    flips: list[Flip]


def run_and_keep(cluster: Callable[[], Cluster], wishes: Wishes, run_id: str, tell: Tell = say_nothing) -> Kept:
    """A run, kept. A `cluster` that there is not, or that does not answer, leaves all of it unknown, as does any other
    failure. A run that was kept already (its message was delivered twice) is not made again, and has found nothing."""
    if SelfCheck.objects.filter(run=run_id).exists():
        return Kept([], [])
    at, begun = timezone.now(), time.monotonic()
    findings = _found(cluster, wishes, tell)
    for finding in findings:
        if finding.state == FAIL:
            logger.error("self-check: %s: %s\n%s", finding.workload, finding.words, "\n".join(finding.anomalies))
    return Kept(findings, keep(findings, at, round((time.monotonic() - begun) * 1000), run_id))


def keep_refusal(error: Exception, run_id: str) -> list[Flip]:
    """No workload was run, for what was wished makes no sense; the flips that this leads to."""
    logger.error("the self-check cannot run: %s", error)
    return keep(_not_carried_out(WORKLOADS, error), timezone.now(), 0, run_id)


def _found(cluster: Callable[[], Cluster], wishes: Wishes, tell: Tell) -> list[Finding]:
    try:
        return run(cluster(), wishes, tell)
    except StoreError as error:
        return _not_carried_out(wishes.workloads, error)
    except Exception as error:  # a bug of ours must not leave the last verdict standing as if nothing had been
        logger.exception("the self-check broke off")
        return _not_carried_out(wishes.workloads, f"{type(error).__name__}: {error}")


def _not_carried_out(workloads: Iterable[str], why: Exception | str) -> list[Finding]:
    return [Finding(name, UNKNOWN, f"was not carried out: {why}") for name in workloads]


def keep(findings: list[Finding], at: datetime, took_ms: int, run_id: str) -> list[Flip]:
    """The verdicts, and where the workloads stand from then on; the flips."""
    with transaction.atomic():
        for finding in findings:
            found = {
                "at": at,
                "took_ms": took_ms,
                "state": finding.state,
                "words": finding.words,
                "happened": finding.happened,
                "did_not_happen": finding.did_not_happen,
                "unknown": finding.unknown,
                "anomalies": "\n\n".join(finding.anomalies),
            }
            SelfCheck.objects.get_or_create(run=run_id, workload=finding.workload, defaults=found)
        samples = standing.samples(findings, record.standings(SELF_CHECK))
        flips = record.record(record.Run(run_id, SELF_CHECK, at, took_ms), samples, standing.PATIENCE, is_part=True)
    for flip in flips:
        logger.warning("%s: %s", flip, flip.cause)
    return flips


def thin(now: datetime) -> int:
    """Delete verdicts that are too old, but for those with an anomaly; how many."""
    return SelfCheck.objects.filter(at__lt=now - KEPT).exclude(state=FAIL).delete()[0]
