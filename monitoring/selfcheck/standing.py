"""What a self-check means for the watch: a sample of each workload that it ran. Pure.

An anomaly is FAIL, and certain: it comes with its proof. A run that could not be made is WARN: it says nothing about
the store, but somebody has to know that nothing was judged, and no other check would tell.

*Invariant*: only a later verdict of the same workload that finds no anomaly ends a failure, and its words say that
there was one.
"""

from __future__ import annotations

from collections.abc import Iterable

from monitoring.rules import Known
from monitoring.selfcheck.run import Finding
from monitoring.verdicts import FAIL, OK, WARN, Sample

PATIENCE = 1  # each verdict counts


def samples(findings: Iterable[Finding], known: Known) -> list[Sample]:
    """One of each finding. `known`: where the workloads stood before."""
    return [_sample(each, each.workload in known and known[each.workload].state == FAIL) for each in findings]


def _sample(finding: Finding, has_failed: bool) -> Sample:
    name = finding.workload
    if finding.state == FAIL:
        words = f"{name} was not strictly serializable: {finding.words}; the proof is among the self-checks"
        return Sample(name, FAIL, words, len(finding.anomalies), certain=True)
    if finding.state == OK:
        before = "; the anomaly that was found before stays among the self-checks" if has_failed else ""
        return Sample(name, OK, f"{name}: {finding.words}, {finding.happened} transactions happened{before}", 0)
    before = "; the anomaly that was found before still stands" if has_failed else ""
    return Sample(name, WARN, f"{name}: {finding.words}; nothing was judged{before}", certain=True)
