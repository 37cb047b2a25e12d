"""The REST API on a cluster that answers what the test tells it to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "txstore.settings")

from nodes import ids
from nodes.requests import COMMITTED, Fate, Reply, Request, Trace, Transactions

TOKEN = "the-token-of-this-test"
TXN = ids.to_text(ids.mint(7 << 16, 1, 1, 1, "c1", b"abc"))


class FakeCluster:
    """Answers with what is in `answers` (raising what is an exception) and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.answers: dict[str, Any] = {
            "submit": Reply(TXN, COMMITTED, 5 << 16, 1, ["s1"], []),
            "fate": Fate(TXN, COMMITTED, "happened", 5 << 16),
            "fence": Fate(TXN, "aborted", "did_not_happen", 0, "fenced"),
            "status": status(),
            "transactions": Transactions([]),
            "trace": Trace(TXN, Fate(TXN, COMMITTED, "happened", 5 << 16), None, []),
        }

    def submit(self, request: Request) -> Any:
        return self._answer("submit", request)

    def fate(self, id: str) -> Any:
        return self._answer("fate", id)

    def fence(self, id: str) -> Any:
        return self._answer("fence", id)

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


def status(leader: int | None = 1, second_up: bool = True) -> dict[str, Any]:
    """A wide status of two nodes and two groups; `leader` leads s0."""
    replicas = [{"node": 1, "applied_slot": 10, "last_slot": 10, "lag": 0, "role": "leader"}]
    return {
        "node": 1,
        "cluster_id": "abc123",
        "nodes": [
            {"node": 1, "name": "n1", "address": "127.0.0.1:7101", "up": True, "error": ""},
            {"node": 2, "name": "n2", "address": "127.0.0.1:7102", "up": second_up, "error": ""},
        ],
        "groups": [
            {"group": "c1", "kind": "coordinator", "leader": 1, "epoch": 3, "replicas": replicas},
            {"group": "s0", "kind": "shard", "leader": leader, "epoch": 3, "replicas": replicas},
        ],
        "in_doubt": {"count": 0, "oldest_ms": 0},
    }


@pytest.fixture(autouse=True)
def home(settings: Any, tmp_path: Path) -> Iterator[Path]:
    """A home with a token."""
    from txstore.api.auth import expected_token
    from txstore.home import Home

    (tmp_path / "api-token").write_text(TOKEN + "\n")
    settings.HOME = Home(tmp_path)
    expected_token.cache_clear()
    yield tmp_path
    expected_token.cache_clear()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    from txstore import store

    fake = FakeCluster()
    monkeypatch.setattr(store, "cluster", lambda: fake)
    return fake


@pytest.fixture
def api(client: Any) -> Any:
    """Django's test client with the token."""
    client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {TOKEN}"
    client.raise_request_exception = False
    return client
