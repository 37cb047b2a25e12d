"""What the tests of the REST verbs say to a web server, and how they read its answers."""

from __future__ import annotations

import contextlib
import http.client
import json
from typing import Any, NamedTuple

PATH = "/api/v1/transactions"
PATIENCE_S = 30.0
PROBLEM = "application/problem+json"

Step = tuple[str, list[Any]] | tuple[str, list[Any], int]


class Answer(NamedTuple):
    """`headers` by lower-case names; `body` is JSON, or text where the server says so."""

    status: int
    headers: dict[str, str]
    body: Any


class Door:
    """Asks the web server at `address`, each time over a connection of its own; so threads may share it."""

    def __init__(self, address: str, token: str) -> None:
        self.address, self.token = address, token

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """A request as it stands; the token and the content type unless `headers` name others ("" leaves one out)."""
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE_S)
        try:
            # A server that refuses a body may answer and close before all of it is sent.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, body, {name: value for name, value in sent.items() if value})
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            text = response.read().decode()
        finally:
            connection.close()
        return Answer(response.status, found, json.loads(text) if "json" in found.get("content-type", "") else text)

    def transact(self, *steps: Step, **fields: Any) -> Answer:
        """A one-shot request of (sql, params) or (sql, params, expect_rows)."""
        return self.ask(
            "POST", PATH, json.dumps({"statements": [statement(*step) for step in steps], **fields}).encode()
        )

    def rows(self, sql: str, *params: Any) -> list[list[Any]]:
        """What a SELECT gives."""
        answer = self.transact((sql, list(params)))
        assert answer.status == 200, answer
        found: list[list[Any]] = answer.body["results"][0]["rows"]
        return found

    def fate(self, transaction: str) -> Answer:
        return self.ask("GET", f"{PATH}/{transaction}")

    def fence(self, transaction: str) -> Answer:
        return self.ask("POST", f"{PATH}/{transaction}/fence")


def statement(sql: str, params: list[Any], expect_rows: int = -1) -> dict[str, Any]:
    return {"sql": sql, "params": params, **({"expect_rows": expect_rows} if expect_rows >= 0 else {})}


def transfer(source: int, target: int, amount: int = 10) -> list[Step]:
    """The two statements that the README shows."""
    return [
        ("UPDATE accounts SET balance = balance - $1 WHERE id = $2 AND balance >= $1", [amount, source], 1),
        ("UPDATE accounts SET balance = balance + $1 WHERE id = $2 RETURNING balance", [amount, target], 1),
    ]


def check_problem(
    answer: Answer, status: int, code: str, sqlstate: str = "", outcome: str = "did_not_happen"
) -> dict[str, Any]:
    """It is an error as API.md has it; gives its body."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == PROBLEM
    body: dict[str, Any] = answer.body
    assert (body["status"], body["code"], body["type"]) == (status, code, f"/docs/errors#{code}")
    assert body.get("sqlstate", "") == sqlstate or not sqlstate, body
    assert body["title"]
    assert body["detail"]
    assert "Traceback" not in body["detail"]
    assert body["outcome"] == ("unknown" if status == 504 else outcome)
    if status == 503:
        assert int(answer.headers["retry-after"]) >= 1
        assert body["retryable"]
    return body
