"""One run of a check or a self-check, from facts to flips: gather, judge, record. Who is told is for the caller to see
to."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from monitoring import collect, record
from monitoring.collect import SOURCES
from monitoring.models import Flip
from monitoring.rules import CHECKS, Known, check_named, unjudged
from monitoring.selfcheck import verdict
from monitoring.selfcheck.run import Wishes
from monitoring.verdicts import UNKNOWN, Sample

logger = logging.getLogger(__name__)


def run_check(run_id: str, name: str, thresholds: Mapping[str, Any]) -> list[Flip]:
    """The flips that it led to. ValueError: there is no such check."""
    at, began = timezone.now(), time.monotonic()
    samples, patience = _judged(name, thresholds, record.standings(name))
    took_ms = round((time.monotonic() - began) * 1000)
    flips = record.record(record.Run(run_id, name, at, took_ms), samples, patience)
    for flip in flips:
        logger.warning("%s: %s", flip, flip.cause)
    return flips


def run_selfcheck(run_id: str, wishes: Mapping[str, Any]) -> list[Flip]:
    """The flips that it led to. Wishes that make no sense leave all workloads unjudged, and say so."""
    try:
        wanted = Wishes(**wishes)
    except (TypeError, ValueError) as error:
        return verdict.keep_refusal(error, run_id)
    return verdict.run_and_keep(collect.cluster, wanted, run_id).flips


def _judged(name: str, thresholds: Mapping[str, Any], known: Known) -> tuple[list[Sample], int]:
    """The samples, and how many of them have to agree. Thresholds that do not fit leave all unknown, and say so."""
    try:
        check = check_named(name, thresholds)
    except ValueError as error:
        if name not in CHECKS:
            raise
        logger.error("the check %s cannot run: %s", name, error)
        return unjudged(known, UNKNOWN, str(error)), CHECKS[name]().patience
    return check.judge(SOURCES[check.source](), known), check.patience
