"""The pages of the watch on a cluster that answers what the test tells it to."""

from __future__ import annotations

from typing import Any

import pytest

from nodes import ids
from nodes.requests import Fate, Trace, Transactions

TXN = ids.to_text(ids.mint(7 << 16, 2, 1, 1, "c1", b"abc"))
OTHER = ids.to_text(ids.mint(7 << 16, 1, 1, 9, "c1", b"abc"))
NOW_MS = 1_700_000_000_000


class FakeCluster:
    """Answers with what is in `answers`, raising what is an exception."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.answers: dict[str, Any] = {
            "status": status(),
            "transactions": Transactions([], "", {1: 1_700_000_000_000_000}),
            "trace": Trace(TXN, Fate(TXN, "undecided", "unknown"), None, [], {1: 1_700_000_000_000_000}),
        }

    def status(self, wide: bool = True, timeout: float | None = None) -> Any:
        return self._answer("status", wide)

    def transactions(self, filter: str, limit: int, after: str) -> Any:
        return self._answer("transactions", (filter, limit, after))

    def trace(self, id: str) -> Any:
        return self._answer("trace", id)

    def _answer(self, method: str, question: Any) -> Any:
        self.asked.append((method, question))
        answer = self.answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer


def status(**changes: Any) -> dict[str, Any]:
    """A wide status of three nodes and two groups, at NOW_MS."""
    return {
        "node": 1,
        "clock_ms": NOW_MS,
        "waiting": [],
        "leaving": [],
        "gone": [],
        "nodes": [node(1), node(2), node(3)],
        "groups": [group("c1", 1, 3 << 8 | 1), group("s1", 2, 7)],
        "in_doubt": {"count": 0, "oldest_ms": 0},
        "requests": {"live": 0, "committed": 7, "aborted": 0, "read": 3},
        "per_second": [[1_700_000_000 - 2, 10, 1, 5], [1_700_000_000 - 1, 30, 0, 15]],
        "changes": [],
        **changes,
    }


def node(number: int, up: bool = True, since_ms: int = NOW_MS - 14_000) -> dict[str, Any]:
    address = f"127.0.0.1:{7100 + number}"
    error = "" if up else "did not answer"
    return {"node": number, "name": f"n{number}", "address": address, "up": up, "error": error, "since_ms": since_ms}


def group(name: str, leader: int | None, epoch: int, **replicas: dict[str, Any]) -> dict[str, Any]:
    """Replicas on n1..n3; `n2={"lag": 5}` changes one, `n2={}` takes it away."""
    found = []
    for number in (1, 2, 3):
        changes = replicas.get(f"n{number}", {"lag": 0})
        if changes:
            whole = {"node": number, "role": "follower", "applied_slot": 10, "lag": 0, "stopped": "", **changes}
            found.append(whole)
    kind = "coordinator" if name[0] == "c" else "shard"
    members: dict[str, Any] = {"members": [1, 2, 3], "learners": []}
    return {"group": name, "kind": kind, "leader": leader, "epoch": epoch, **members, "replicas": found}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    from monitoring import collect, dashboard

    fake = FakeCluster()
    monkeypatch.setattr(collect, "cluster", lambda: fake)
    monkeypatch.setattr(dashboard, "memory", dashboard.Memory())
    return fake
