"""A self-check whose verdicts are kept, as rows of the admin.

*Invariant*: a run leaves one row for each workload that was wished for, whatever became of it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from monitoring.models import SelfCheck
from monitoring.selfcheck.run import Finding, Tell, Wishes, run, say_nothing
from monitoring.verdicts import FAIL, UNKNOWN
from nodes.client import Cluster
from nodes.errors import StoreError

KEPT = timedelta(days=365)
logger = logging.getLogger(__name__)


def run_and_keep(
    cluster: Callable[[], Cluster], wishes: Wishes, run_id: str, tell: Tell = say_nothing
) -> list[Finding]:
    """The findings of a run. A `cluster` that there is not, or that does not answer, leaves all of them unknown. A run
    that was kept already (its message was delivered twice) is made, and not kept again."""
    at, begun = timezone.now(), time.monotonic()
    try:
        findings = run(cluster(), wishes, tell)
    except StoreError as error:
        findings = [Finding(name, UNKNOWN, f"was not carried out: {error}") for name in wishes.workloads]
    for finding in findings:
        if finding.state == FAIL:
            logger.error("self-check: %s: %s\n%s", finding.workload, finding.words, "\n".join(finding.anomalies))
    _keep(findings, at, round((time.monotonic() - begun) * 1000), run_id)
    return findings


def _keep(findings: list[Finding], at: datetime, took_ms: int, run_id: str) -> None:
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


def thin(now: datetime) -> int:
    """Delete verdicts that are too old; how many."""
    return SelfCheck.objects.filter(at__lt=now - KEPT).delete()[0]
