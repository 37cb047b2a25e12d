"""Wide statuses as a cluster would give them (nodes/runtime/status.py), made up piece by piece."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

GIB = 1 << 30


def node(number: int, *, up: bool = True, **facts: Any) -> dict[str, Any]:
    """One node; one that is not up tells nothing of itself."""
    told = {"boot": 1, "free_bytes": 50 * GIB, "clock_ahead_ms": 0}
    if not up:
        told = dict.fromkeys(told)
    address = f"127.0.0.1:{7100 + number}"
    error = "" if up else "did not answer"
    return {"node": number, "name": f"n{number}", "address": address, "up": up, "error": error, **told, **facts}


def group(
    name: str,
    leader: int | None = 1,
    nodes: Sequence[int] = (1, 2, 3),
    lags: Mapping[int, int] | None = None,
    stopped: Mapping[int, str] | None = None,
    learners: Sequence[int] = (),
) -> dict[str, Any]:
    """One group with a replica on each of `nodes`; the `learners` among them do not vote."""
    lags, stopped = lags or {}, stopped or {}
    replicas = [{"node": each, "lag": lags.get(each, 0), "stopped": stopped.get(each, "")} for each in nodes]
    return {"group": name, "leader": leader, "learners": list(learners), "replicas": replicas}


def status(
    nodes: Sequence[dict[str, Any]] | None = None,
    groups: Sequence[dict[str, Any]] | None = None,
    in_doubt: dict[str, int] | None = None,
    gone: Sequence[int] = (),
) -> dict[str, Any]:
    """A healthy cluster of three nodes, but for what is named."""
    return {
        "gone": list(gone),
        "nodes": list(nodes or [node(1), node(2), node(3)]),
        "groups": list(groups or [group("c1"), group("s0"), group("s1")]),
        "in_doubt": in_doubt or {"count": 0, "oldest_ms": 0},
    }
