"""The checks of the cluster: facts in, one sample of each subject out. Pure.

A check is a dataclass; its fields are its thresholds, which the admin may set for each check (docs/monitoring.md has
the table). `collect.py` gathers the facts of its `source`; `judge(facts, known)` gives the samples, where `known` has
the standings of the subjects so far.

*Invariants*: every subject that is known or can be seen gets exactly one sample; what could not be learnt is UNKNOWN,
never OK. A threshold is the first value that is too much, for space the last that is enough.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import median_low
from typing import Any, ClassVar

from monitoring.verdicts import FAIL, OK, UNKNOWN, WARN, Sample, Standing
from nodes.ids import node_name

CLUSTER = "cluster"
SELF_CHECK = "self_check"  # judged by its own checker (selfcheck/), not by a rule
MIB = 1 << 20
PATIENCE_MAX = 100

Known = Mapping[str, Standing]
Status = dict[str, Any]


@dataclass(frozen=True)
class Sight:
    """A wide status of the cluster (nodes/runtime/status.py has its shape), or why there is none."""

    status: Status | None
    why: str = ""


@dataclass(frozen=True)
class Trial:
    """How the canary's transaction went. `took_ms`: from asking to the answer."""

    state: str
    words: str
    took_ms: float | None = None


@dataclass(frozen=True, kw_only=True)
class Check:
    """What all checks have. `patience`: the samples in a row that it takes to move a state; `every_s`: the interval
    that a new home begins with."""

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    every_s: ClassVar[int] = 5

    patience: int = 2

    def __post_init__(self) -> None:
        if type(self.patience) is not int or not 1 <= self.patience <= PATIENCE_MAX:
            raise ValueError(f"patience must be a whole number from 1 to {PATIENCE_MAX}, not {self.patience!r}")
        for name, value in self.thresholds().items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise ValueError(f"{name} must be a number that is not negative, not {value!r}")

    def thresholds(self) -> dict[str, Any]:
        """Every field with its value."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def judge(self, facts: Any, known: Known) -> list[Sample]:
        """A sample of each subject."""
        raise NotImplementedError


def unjudged(known: Known, state: str, why: str) -> list[Sample]:
    """The same sample of all that is known, or of the cluster where nothing is."""
    values = {subject: standing.value for subject, standing in known.items()} or {CLUSTER: None}
    return [Sample(subject, state, why, value) for subject, value in values.items()]


@dataclass(frozen=True, kw_only=True)
class StatusCheck(Check):
    """A check of the cluster's status. While there is none, all its subjects are `blind`. A node that was removed is
    well until that is what stands there of it, and no subject from then on."""

    source = "status"
    blind: ClassVar[str] = UNKNOWN

    def judge(self, facts: Sight, known: Known) -> list[Sample]:
        if facts.status is None:
            return unjudged(known, self.blind, facts.why)
        gone = [node_name(node) for node in facts.status["gone"]]
        return [*self.seen(facts.status, known), *_parted(gone, known)]

    def seen(self, status: Status, known: Known) -> Iterator[Sample]:
        """A sample of each subject in the status."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class NodeAnswers(StatusCheck):
    """Each node answers, and goes on living: its life has the same number as before."""

    name = "node_answers"
    title = "Node answers"

    blind = FAIL

    def seen(self, status: Status, known: Known) -> Iterator[Sample]:
        for node in status["nodes"]:
            name, boot = node["name"], node["boot"]
            standing = known.get(name)
            before = standing.value if standing else None
            if not node["up"]:
                yield Sample(name, FAIL, f"{name} ({node['address']}) {node['error']}", before)
            elif standing and before not in (None, boot) and standing.state != FAIL:
                # It was away and is back before anybody saw it missing; after a failure its return is no news.
                yield Sample(name, WARN, f"{name} ended and began life {boot}", boot, certain=True)
            else:
                yield Sample(name, OK, f"{name} answers", boot)


@dataclass(frozen=True, kw_only=True)
class GroupLeader(StatusCheck):
    """Each group has a leader that serves."""

    name = "group_leader"
    title = "Group has a leader"

    def seen(self, status: Status, known: Known) -> Iterator[Sample]:
        for group in status["groups"]:
            name, leader = group["group"], group["leader"]
            if leader is None:
                yield Sample(name, FAIL, f"{name} has no leader: it takes no writes")
            else:
                yield Sample(name, OK, f"n{leader} leads {name}")


@dataclass(frozen=True, kw_only=True)
class ReplicaLag(StatusCheck):
    """How many entries each node's replicas are behind, the worst of them; a replica that stopped fails. One that only
    learns is behind until it votes."""

    name = "replica_lag"
    title = "Replica lag"

    warn_entries: float = 1_000
    fail_entries: float = 10_000

    def seen(self, status: Status, known: Known) -> Iterator[Sample]:
        of_node: dict[int, list[tuple[str, dict[str, Any]]]] = {}
        for group in status["groups"]:
            for replica in group["replicas"]:
                if replica["node"] not in group["learners"]:
                    of_node.setdefault(replica["node"], []).append((group["group"], replica))
        for node in status["nodes"]:
            yield self._sample(node, of_node.get(node["node"], [])) if node["up"] else _unseen(node)

    def _sample(self, node: dict[str, Any], replicas: list[tuple[str, dict[str, Any]]]) -> Sample:
        name = node["name"]
        if not replicas:
            return Sample(name, OK, f"{name} votes in no group", 0)
        stopped = [f"{group}: {replica['stopped']}" for group, replica in replicas if replica["stopped"]]
        group, worst = max(replicas, key=lambda each: int(each[1]["lag"]))
        lag = worst["lag"]
        if stopped:
            return Sample(name, FAIL, f"a replica on {name} has stopped: {'; '.join(stopped)}", lag)
        state = _level(lag, self.warn_entries, self.fail_entries)
        words = f"{name} is {lag} entries behind, in {group}" if lag else f"{name} has all entries"
        return Sample(name, state, words, lag)


@dataclass(frozen=True, kw_only=True)
class InDoubtAge(StatusCheck):
    """How long the oldest transaction in doubt has been waiting for its outcome."""

    name = "in_doubt_age"
    title = "Age in doubt"

    warn_ms: float = 10_000
    fail_ms: float = 60_000

    def seen(self, status: Status, known: Known) -> Iterator[Sample]:
        count, oldest_ms = status["in_doubt"]["count"], status["in_doubt"]["oldest_ms"]
        state = _level(oldest_ms, self.warn_ms, self.fail_ms)
        words = f"{count} in doubt, the oldest for {oldest_ms / 1000:g} s" if count else "none in doubt"
        yield Sample(CLUSTER, state, words, oldest_ms)


@dataclass(frozen=True, kw_only=True)
class DiskSpace(StatusCheck):
    """The free space of each node's disk; below `fail_mib` by default the node refuses writes itself."""

    name = "disk_space"
    title = "Disk space"

    warn_mib: float = 2_048
    fail_mib: float = 512

    def seen(self, status: Status, known: Known) -> Iterator[Sample]:
        for node in status["nodes"]:
            if node["free_bytes"] is None:
                yield _unseen(node)
                continue
            free_mib = node["free_bytes"] / MIB
            state = FAIL if free_mib < self.fail_mib else WARN if free_mib < self.warn_mib else OK
            yield Sample(node["name"], state, f"{node['name']} has {free_mib:,.0f} MiB free", round(free_mib, 1))


@dataclass(frozen=True, kw_only=True)
class ClockDifference(StatusCheck):
    """How far each node's clock is from the middle one of all that answered; two clocks cannot say which is wrong."""

    name = "clock_difference"
    title = "Clock difference"

    warn_ms: float = 500
    fail_ms: float = 10_000

    def seen(self, status: Status, known: Known) -> Iterator[Sample]:
        clocks = [node["clock_ahead_ms"] for node in status["nodes"] if node["clock_ahead_ms"] is not None]
        for node in status["nodes"]:
            if node["clock_ahead_ms"] is None:
                yield _unseen(node)
                continue
            ahead_ms = node["clock_ahead_ms"] - median_low(clocks)
            words = f"{node['name']} is {abs(ahead_ms)} ms {'ahead of' if ahead_ms > 0 else 'behind'} the middle clock"
            yield Sample(node["name"], _level(abs(ahead_ms), self.warn_ms, self.fail_ms), words, ahead_ms)


@dataclass(frozen=True, kw_only=True)
class Canary(Check):
    """A real transaction over two shards, and a snapshot of what it left: both happen, and in time."""

    name = "canary"
    title = "Canary"
    every_s = 10
    source = "canary"

    warn_ms: float = 1_000

    def judge(self, facts: Trial, known: Known) -> list[Sample]:
        is_slow = facts.state == OK and facts.took_ms is not None and facts.took_ms >= self.warn_ms
        return [Sample(CLUSTER, WARN if is_slow else facts.state, facts.words, facts.took_ms)]


def _level(value: float, warn: float, fail: float) -> str:
    """The state of a value that is the worse the greater it is."""
    return FAIL if value >= fail else WARN if value >= warn else OK


def _unseen(node: dict[str, Any]) -> Sample:
    why = f"{node['name']} {node['error']}" if not node["up"] else f"{node['name']} did not say"
    return Sample(node["name"], UNKNOWN, why)


def _parted(gone: Sequence[str], known: Known) -> list[Sample]:
    """What was wrong with a node ends when it was removed."""
    words = "{} was removed from the cluster"
    return [Sample(name, OK, words.format(name)) for name in gone if name in known and known[name].state != OK]


CHECKS: dict[str, type[Check]] = {
    check.name: check
    for check in (NodeAnswers, GroupLeader, ReplicaLag, InDoubtAge, DiskSpace, ClockDifference, Canary)
}
TITLES = {name: check.title for name, check in CHECKS.items()} | {SELF_CHECK: "Self-check"}
"""Of everything that has a state, in the order in which it is shown."""


def check_named(name: Any, thresholds: Mapping[str, Any]) -> Check:
    """The check with these thresholds; ValueError, in words, for what it does not have."""
    if not isinstance(name, str) or name not in CHECKS:
        raise ValueError(f"there is no check {name!r}; there are {', '.join(CHECKS)}")
    kind = CHECKS[name]
    unknown = [key for key in thresholds if key not in {each.name for each in fields(kind)}]
    if unknown:
        has = ", ".join(each.name for each in fields(kind))
        raise ValueError(f"{name} has no threshold {unknown[0]!r}; it has {has}")
    return kind(**thresholds)
