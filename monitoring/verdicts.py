"""Health states, and when one gives way to another: pure, without clock, database or cluster.

A check looks at *subjects* (a node, a group, the whole cluster) and gives a *sample* of each. One sample may be an
accident; so the state of a subject moves only as far as its last samples agree: never beyond the best of them when it
gets worse, nor beyond the worst when it gets better. A sample that is *certain* (a node that began a new life, an
anomaly with its proof) needs no second one to make it worse, and makes nothing better.

*Invariants*: fewer than `patience` samples in a row never move a state, unless one is certain; `patience` equal ones
that are not always do. A flip is given exactly when the state moved. A subject's first sample makes no flip, for
nothing is known that it could be a change of, unless it is certain and bad: that is a change from not knowing.
*Left out*: what a sample is made of (`rules.py`); where standings are kept and who is told (`record.py`, `notify.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

OK, UNKNOWN, WARN, FAIL = "ok", "unknown", "warn", "fail"
STATES = (OK, UNKNOWN, WARN, FAIL)  # from good to bad: not to know is worse than to know it well
SEVERITY = {state: place for place, state in enumerate(STATES)}


@dataclass(frozen=True)
class Sample:
    """What one run of a check found of one subject; `value` is the number that was measured, None where none was."""

    subject: str
    state: str
    words: str
    value: float | None = None
    certain: bool = False


@dataclass(frozen=True)
class Standing:
    """A subject's state, when it began, the last sample, and the states of the last samples, oldest first."""

    state: str
    since: datetime
    words: str
    value: float | None
    recent: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """A flip of one subject, with the words of the sample that caused it."""

    subject: str
    before: str
    after: str
    cause: str


def step(standing: Standing | None, sample: Sample, now: datetime, patience: int) -> tuple[Standing, Change | None]:
    """The standing after one more sample. `patience`: how many samples have to agree, at least 1."""
    if standing is None:
        return _first(sample, now, patience)
    recent = (*standing.recent, sample.state)[-patience:]
    if sample.certain:
        state = worst([standing.state, sample.state])
    else:
        state = agreed(standing.state, recent, patience)
    after = replace(standing, words=sample.words, value=sample.value, recent=recent)
    if state == standing.state:
        return after, None
    return replace(after, state=state, since=now), Change(sample.subject, standing.state, state, sample.words)


def _first(sample: Sample, now: datetime, patience: int) -> tuple[Standing, Change | None]:
    """What is bad at first sight is unknown until the next samples confirm it, unless it is certain."""
    is_news = sample.certain and SEVERITY[sample.state] > SEVERITY[UNKNOWN]
    state = sample.state if is_news or sample.state == OK or patience == 1 else UNKNOWN
    change = Change(sample.subject, UNKNOWN, state, sample.words) if is_news else None
    return Standing(state, now, sample.words, sample.value, (sample.state,)), change


def agreed(state: str, recent: Sequence[str], patience: int) -> str:
    """The state as far as the last `patience` samples agree; as it is while there are fewer."""
    if len(recent) < patience:
        return state
    best, worst = min(recent, key=SEVERITY.__getitem__), max(recent, key=SEVERITY.__getitem__)
    return max(best, min(state, worst, key=SEVERITY.__getitem__), key=SEVERITY.__getitem__)


def judge(
    standings: Mapping[str, Standing], samples: Iterable[Sample], now: datetime, patience: int
) -> tuple[dict[str, Standing], list[Change]]:
    """One step of every subject of a check. A subject without a sample is gone: it has no standing any more."""
    after, changes = {}, []
    for sample in samples:
        after[sample.subject], change = step(standings.get(sample.subject), sample, now, patience)
        if change is not None:
            changes.append(change)
    return after, changes


def worst(states: Iterable[str]) -> str:
    """The worst of them; UNKNOWN of none."""
    return max(states, key=SEVERITY.__getitem__, default=UNKNOWN)
