"""The verdict on a history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from monitoring.selfcheck.checker import cycles, intervals, lists, registers, sets
from monitoring.selfcheck.checker.anomalies import Anomaly
from monitoring.selfcheck.checker.graph import Graph
from monitoring.selfcheck.checker.history import Transaction


@dataclass(frozen=True)
class Verdict:
    """`outcomes`: how many transactions had each; `edges`: how many of each kind the answers gave, by name."""

    anomalies: tuple[Anomaly, ...]
    outcomes: dict[str, int]
    edges: dict[str, int]

    @property
    def holds(self) -> bool:
        return not self.anomalies

    @property
    def names(self) -> list[str]:
        """Of the anomalies, each once."""
        return sorted({anomaly.name for anomaly in self.anomalies})


def check(history: Iterable[Transaction]) -> Verdict:
    """Is it strictly serializable, as far as the answers show? ValueError for a history that cannot be judged: a value
    is written to one key twice."""
    history = list(history)
    found = [kind.find(history) for kind in (lists, registers, sets)]
    graph = Graph([*(edge for each in found for edge in each.edges), *intervals.edges(history)])
    anomalies = [*(anomaly for each in found for anomaly in each.anomalies), *cycles.find(graph)]
    return Verdict(tuple(anomalies), _count(history), graph.counts)


def _count(history: Sequence[Transaction]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for txn in history:
        counts[txn.outcome] = counts.get(txn.outcome, 0) + 1
    return counts
