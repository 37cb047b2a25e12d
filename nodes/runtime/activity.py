"""What a node did lately: how much in each second, and what changed; both bounded, for the status.

A change is noted by the node that it happened to (it began or ceased to lead a group, a replica of it stopped, its
disk runs low) or that saw it (a connection to another node came or went). `merged_changes` puts together what several
nodes saw of the same.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any

SECONDS_KEPT = 180
CHANGES_KEPT = 100
SAME_CHANGE_MS = 10_000

COMMITTED, ABORTED, READ = range(3)

STARTED, LEADS, LEADS_NO_MORE, REPLICA_STOPPED = "started", "leads", "leads no more", "replica stopped"
REACHED, LOST, DISK_LOW, DISK_OK = "reached", "lost", "disk low", "disk ok"


class Counts:
    """Committed, aborted and read requests of this gateway, in total and for each of the last seconds."""

    def __init__(self) -> None:
        self.totals = [0, 0, 0]
        self._current = [0, 0, 0]
        self._second = 0
        self._seconds: deque[list[int]] = deque(maxlen=SECONDS_KEPT)
        self.causes: Counter[str] = Counter()  # of what was aborted

    def add(self, kind: int) -> None:
        self._current[kind] += 1

    def abort(self, cause: str) -> None:
        """`cause` as in nodes/runtime/refusals.py."""
        self.add(ABORTED)
        self.causes[cause] += 1

    def roll(self, clock_ms: int) -> None:
        """Time has passed; called several times a second."""
        second = clock_ms // 1_000
        if second == self._second:
            return
        if self._second:
            self._seconds.append([self._second, *self._current])
        for kind, count in enumerate(self._current):
            self.totals[kind] += count
        self._current = [0, 0, 0]
        self._second = second

    def series(self) -> list[list[int]]:
        """[second of the wall clock, committed, aborted, read], of complete seconds, oldest first."""
        return list(self._seconds)


class Changes:
    """The last changes that this node saw: {"at_ms", "kind", "node", "group", "words"}; `node` is whom it is about. The
    first one is that it takes part itself, for the `boot`th time."""

    def __init__(self, node: int, boot: int, clock_ms: Callable[[], int]) -> None:
        self._clock_ms = clock_ms
        self._changes: deque[dict[str, Any]] = deque(maxlen=CHANGES_KEPT)
        self.note(STARTED, node, words=f"life {boot}")

    def note(self, kind: str, node: int, group: str = "", words: str = "") -> None:
        change = {"at_ms": self._clock_ms(), "kind": kind, "node": node, "group": group, "words": words}
        self._changes.append(change)

    def listed(self) -> list[dict[str, Any]]:
        return list(self._changes)


def merged_series(series: Iterable[list[list[int]]]) -> list[list[int]]:
    """The sums of all nodes' seconds, up to the last one that every node has completed."""
    listed = [one for one in series if one]
    if not listed:
        return []
    through = min(one[-1][0] for one in listed)
    sums: dict[int, list[int]] = {}
    for second, *counts in (entry for one in listed for entry in one if entry[0] <= through):
        known = sums.setdefault(second, [0, 0, 0])
        sums[second] = [a + b for a, b in zip(known, counts, strict=True)]
    return [[second, *sums[second]] for second in sorted(sums)][-SECONDS_KEPT:]


def merged_changes(changes: dict[int, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Newest first, each with `seen_by`: the nodes that saw it within a few seconds of each other."""
    every = sorted(
        ({**change, "seen_by": [node]} for node, listed in changes.items() for change in listed),
        key=lambda change: (change["at_ms"], change["seen_by"]),
    )
    told: list[dict[str, Any]] = []
    last: dict[tuple[Any, ...], dict[str, Any]] = {}
    for change in every:
        about = (change["kind"], change["node"], change["group"], change["words"])
        same = last.get(about)
        is_same = same is not None and change["at_ms"] - same["at_ms"] <= SAME_CHANGE_MS
        if same is not None and is_same and change["seen_by"][0] not in same["seen_by"]:
            same["seen_by"].append(change["seen_by"][0])
        else:
            last[about] = change
            told.append(change)
    return told[::-1][:CHANGES_KEPT]
