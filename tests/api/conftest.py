"""The REST API on a cluster that answers what the test tells it to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "txstore.settings")

from nodes import ids
from nodes.errors import NotFound
from nodes.requests import (
    COMMITTED,
    Begun,
    Fate,
    Leadership,
    Nodes,
    Reply,
    Request,
    Result,
    Shard,
    Statement,
    Table,
    TableColumn,
    Trace,
    Transactions,
)

TOKEN = "the-token-of-this-test"
TXN = ids.to_text(ids.mint(7 << 16, 1, 1, 1, "c1", b"abc"))
KEY = "0f1e2d3c-4b5a-4978-8697-a6b5c4d3e2f1"
TABLE = Table("accounts", 2, [TableColumn("id", "BIGINT", False, True, 2**60)], ["id"], ["id"], ["a_check"])


class FakeCluster:
    """Answers with what is in `answers` (raising what is an exception) and keeps what it was asked. Of a list of
    statuses each is an answer, the last one for good."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.answers: dict[str, Any] = {
            "submit": Reply(TXN, COMMITTED, 5 << 16, 1, ["s1"], []),
            "begin": Begun(TXN, 30_000, 300_000),
            "run": [Result([], [], 1)],
            "commit": Reply(TXN, COMMITTED, 5 << 16, 1, ["s1"], []),
            "rollback": None,
            "savepoint": None,
            "rollback_to": None,
            "fate": Fate(TXN, COMMITTED, "happened", 5 << 16),
            "fence": Fate(TXN, "aborted", "did_not_happen", 0, "fenced"),
            "status": status(),
            "transactions": Transactions([]),
            "trace": Trace(TXN, Fate(TXN, COMMITTED, "happened", 5 << 16), None, []),
            "tables": [TABLE],
            "table": TABLE,
            "transfer_leader": Leadership("s1", 2, 7),
            "add_node": Nodes({}, []),
            "remove_node": Nodes({2: 0}, []),
            "replace_node": Nodes({2: 4}, []),
            "shards": [Shard("s0", [], [1, 2], 1), Shard("s1", [(0, 1023)], [2, 1], 0)],
        }

    def submit(self, request: Request) -> Any:
        return self._answer("submit", request)

    def transaction(self, timeout: float | None = None, age: str = "") -> FakeTransaction:
        return FakeTransaction(self, (timeout, age))

    def opened(self, id: str, timeout: float | None = None) -> FakeTransaction:
        if ids.is_key(id):
            raise NotFound("no such transaction: that is a key")
        return FakeTransaction(self, (id, timeout))

    def fate(self, id: str) -> Any:
        return self._answer("fate", id)

    def fence(self, id: str, timeout: float | None = None) -> Any:
        return self._answer("fence", id)

    def tables(self, after: str = "", limit: int | None = None) -> Any:
        return self._answer("tables", (after, limit))

    def table(self, name: str) -> Any:
        return self._answer("table", name)

    def shards(self) -> Any:
        return self._answer("shards", None)

    def status(self, wide: bool = True, timeout: float | None = None) -> Any:
        return self._answer("status", wide)

    def transactions(self, filter: str, limit: int, after: str) -> Any:
        return self._answer("transactions", (filter, limit, after))

    def trace(self, id: str) -> Any:
        return self._answer("trace", id)

    def transfer_leader(self, group: str, node: int, timeout: float | None = None) -> Any:
        return self._answer("transfer_leader", (group, node))

    def add_node(self, node: int, timeout: float | None = None) -> Any:
        return self._answer("add_node", node)

    def remove_node(self, node: int, fewer: bool = False, timeout: float | None = None) -> Any:
        return self._answer("remove_node", (node, fewer))

    def replace_node(self, node: int, successor: int, timeout: float | None = None) -> Any:
        return self._answer("replace_node", (node, successor))

    def _answer(self, method: str, question: Any) -> Any:
        self.asked.append((method, question))
        answer = self.answers[method]
        if method == "status" and isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class FakeTransaction:
    """What is asked in it is kept with how it was come by: (timeout, age), or (id, timeout)."""

    def __init__(self, cluster: FakeCluster, how: tuple[Any, Any]) -> None:
        self._cluster = cluster
        self._how = how

    def begin(self) -> Any:
        return self._cluster._answer("begin", self._how)

    def submit(self, statements: list[Statement]) -> Any:
        return self._cluster._answer("run", (*self._how, statements))

    def commit(self) -> Any:
        return self._cluster._answer("commit", self._how)

    def rollback(self) -> Any:
        return self._cluster._answer("rollback", self._how)

    def savepoint(self, name: str) -> Any:
        return self._cluster._answer("savepoint", (*self._how, name))

    def rollback_to(self, name: str) -> Any:
        return self._cluster._answer("rollback_to", (*self._how, name))


def status(leader: int | None = 1, second_up: bool = True) -> dict[str, Any]:
    """A wide status of two nodes and two groups; `leader` leads s0."""
    slots = {"applied_slot": 10, "chosen_slot": 10, "last_slot": 10}
    replicas = [{"node": 1, "role": "leader", **slots, "lag": 0, "stopped": ""}]
    members = {"epoch": 3, "members": [1, 2], "learners": []}
    return {
        "node": 1,
        "cluster_id": "abc123",
        "waiting": [],
        "leaving": [],
        "gone": [],
        "nodes": [
            {"node": 1, "name": "n1", "address": "127.0.0.1:7101", "up": True, "ready": True, "error": ""},
            {"node": 2, "name": "n2", "address": "127.0.0.1:7102", "up": second_up, "ready": second_up, "error": ""},
        ],
        "groups": [
            {"group": "c1", "kind": "coordinator", "leader": 1, **members, "replicas": replicas},
            {"group": "s0", "kind": "shard", "leader": leader, **members, "replicas": replicas},
        ],
        "in_doubt": {"count": 0, "oldest_ms": 0},
        "aborts": {"timed_out": 1, "wounded": 2},
    }


def changing(**roster: Any) -> dict[str, Any]:
    """The same while n2 leaves, n4 takes its place, n5 asks to be let in, and n3 is gone."""
    told = status(second_up=False)
    told |= {"waiting": [[5, "127.0.0.1:7105", "aa"]], "leaving": [[2, 4]], "gone": [3], **roster}
    told["nodes"].append({"node": 4, "name": "n4", "address": "127.0.0.1:7104", "up": True, "ready": True, "error": ""})
    told["groups"][0] |= {"members": [1, 4]}
    told["groups"][1] |= {"learners": [4]}
    return told


@pytest.fixture(autouse=True)
def home(settings: Any, tmp_path: Path, db: None) -> Iterator[Path]:
    """A home with a token, and the user admin whose token it is."""
    from django.contrib.auth.models import User
    from django.core.cache import cache

    from txstore.api.auth import memory
    from txstore.home import Home

    (tmp_path / "api-token").write_text(TOKEN + "\n")
    settings.HOME = Home(tmp_path)
    User.objects.create_superuser("admin")
    yield tmp_path
    memory.clear()
    cache.clear()


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
