"""One self-check: the workloads on a live cluster for a while, then the verdict on each of their histories.

*Invariants*: a workload whose history shows nothing (no transaction happened, or it could not be carried out) is
unknown, never ok. Whatever happens, the scratch tables are dropped as far as the cluster lets them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

from monitoring.selfcheck.bank import Bank
from monitoring.selfcheck.checker import check
from monitoring.selfcheck.checker.anomalies import Anomaly
from monitoring.selfcheck.checker.history import DID_NOT_HAPPEN, HAPPENED
from monitoring.selfcheck.checker.history import UNKNOWN as MAY_HAVE_HAPPENED
from monitoring.selfcheck.scratch import Scratch
from monitoring.selfcheck.session import Recorder, Session, WrongRequest
from monitoring.selfcheck.workloads import (
    CausalReverse,
    ListAppend,
    LongFork,
    Predicate,
    Register,
    Workload,
    WriteSkew,
)
from monitoring.verdicts import FAIL, OK, UNKNOWN, worst
from nodes.client import Cluster
from nodes.errors import StoreError

WORKLOADS: dict[str, type[Workload]] = {
    workload.name: workload for workload in (ListAppend, Bank, Register, LongFork, CausalReverse, WriteSkew, Predicate)
}
OUTCOMES = (HAPPENED, DID_NOT_HAPPEN, MAY_HAVE_HAPPENED)
LOOK_S, PAUSE_S, TELL_EVERY_S = 30.0, 0.05, 0.5
MOST_ANOMALIES = 20
MOST_S, MOST_CLIENTS = 3600, 32

Tell = Callable[[float, int], None]
"""Told (seconds since the beginning, transactions begun so far) while the workloads run."""


def say_nothing(seconds: float, begun: int) -> None:
    """For who wants to be told nothing."""


@dataclass(frozen=True)
class Wishes:
    """`clients`: threads of each workload. ValueError for what cannot be wished."""

    seconds: float = 10.0
    clients: int = 3
    workloads: Sequence[str] = tuple(WORKLOADS)

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= MOST_S:
            raise ValueError(f"seconds must be above 0 and at most {MOST_S}, not {self.seconds}")
        if not 1 <= self.clients <= MOST_CLIENTS:
            raise ValueError(f"clients of a workload must be from 1 to {MOST_CLIENTS}, not {self.clients}")
        if unknown := [name for name in self.workloads if name not in WORKLOADS]:
            raise ValueError(f"no workload is called {unknown[0]!r}; there are {', '.join(WORKLOADS)}")
        if not self.workloads or len(set(self.workloads)) < len(self.workloads):
            raise ValueError("each workload is named once, and at least one is")


@dataclass(frozen=True)
class Finding:
    """What one workload showed. `words`: one line; `anomalies`: each in lines."""

    workload: str
    state: str
    words: str
    happened: int = 0
    did_not_happen: int = 0
    unknown: int = 0
    anomalies: list[str] = field(default_factory=list)


class Player:
    """One workload with its clients; the last of them reads at the end what the others did."""

    def __init__(self, cluster: Cluster, scratch: Scratch, workload: Workload, clients: int) -> None:
        self.workload, self.recorder = workload, Recorder()
        self.sessions = [
            Session(cluster, scratch, self.recorder, f"{workload.name} {number}", Random())
            for number in range(1, clients + 2)
        ]
        self.error: Exception | None = None

    def play(self, session: Session, ends_at: float) -> None:
        """Until that time; what is no error of the store ends it, and is told with the finding."""
        try:
            while time.monotonic() < ends_at and self.error is None:
                with suppress(StoreError):  # rows that are not there yet: the next turn asks again
                    self.workload.step(session)
        except Exception as error:
            self.error = error

    def look(self) -> None:
        """Read the newest groups."""
        deadline = time.monotonic() + LOOK_S
        try:
            for group in range(max(0, self.workload.group - 1), self.workload.group + 1):
                while not self.workload.look(self.sessions[-1], group) and time.monotonic() < deadline:
                    time.sleep(PAUSE_S)
        except WrongRequest as error:
            self.error = error

    def finding(self) -> Finding:
        history = self.recorder.history
        happened, did_not, unknown = (sum(txn.outcome == outcome for txn in history) for outcome in OUTCOMES)

        def found(state: str, words: str, anomalies: Sequence[Anomaly] = ()) -> Finding:
            told = [str(each) for each in anomalies]
            return Finding(self.workload.name, state, words, happened, did_not, unknown, told)

        if self.error is not None:
            return found(UNKNOWN, f"was not carried out: {self.error}")
        if not happened:
            return found(UNKNOWN, "no transaction happened")
        anomalies = [*check(history).anomalies, *self.workload.broken()]
        if anomalies:
            names = ", ".join(sorted({anomaly.name for anomaly in anomalies}))
            return found(FAIL, names, anomalies[:MOST_ANOMALIES])
        return found(OK, "no anomaly")


def run(cluster: Cluster, wishes: Wishes, tell: Tell = say_nothing) -> list[Finding]:
    """The finding of each workload. StoreError if the cluster does not even let the tables be made."""
    scratch = Scratch(cluster)
    try:
        scratch.drop_what_others_left()
        players = []
        for name in wishes.workloads:
            scratch.make(WORKLOADS[name].tables)
            players.append(Player(cluster, scratch, WORKLOADS[name](scratch), wishes.clients))
        _play(players, wishes.seconds, tell)
        for player in players:
            player.look()
        return [player.finding() for player in players]
    finally:
        with suppress(StoreError):  # a later run drops them
            scratch.drop()


def _play(players: list[Player], seconds: float, tell: Tell) -> None:
    """All clients at once; returns when the last of them has its answer."""
    begun = time.monotonic()
    threads = [
        threading.Thread(target=player.play, args=[session, begun + seconds], daemon=True)
        for player in players
        for session in player.sessions[:-1]
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        threads[-1].join(TELL_EVERY_S)
        tell(time.monotonic() - begun, sum(len(player.recorder.history) for player in players))


def worst_of(findings: Iterable[Finding]) -> str:
    return worst(finding.state for finding in findings)
