"""GET transactions and GET transactions/ID/trace: what of the nodes' memory is told, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.errors import BadRequest, NotFound, Unavailable
from nodes.requests import (
    ABORTED,
    COMMITTED,
    Decision,
    Doubt,
    Fate,
    LocksOn,
    StatementText,
    Step,
    Trace,
    Transaction,
    Transactions,
)
from tests.api.conftest import TXN, FakeCluster

PATH = "/api/v1/transactions"
ONE = Transaction(
    TXN,
    2,
    ABORTED,
    1_700_000_000_123_456,
    1_700_000_000_129_756,
    attempt=3,
    shards=["s1", "s4"],
    statements=[StatementText("UPDATE t SET x = $1", ["integer"])],
    left_out=2,
    code="conflict",
    cause="was wounded",
    retried_as=TXN,
    in_doubt={"s4": 700},
    doubts=[Doubt("s4", 2, 700, [LocksOn("accounts", "X", 2)], [TXN], 3)],
    decision=Decision("c1", True, 5 << 16, "", "3.n2", 41, [1, 3], [1, 2, 3]),
)


def test_the_list_tells_what_is_remembered_of_each(api: Any, cluster: FakeCluster) -> None:
    cluster.answers["transactions"] = Transactions([ONE], "", {1: 1_700_000_000_000_000, 2: 1_600_000_000_000_000}, [3])
    answer = api.get(PATH)
    assert answer.status_code == 200
    assert cluster.asked == [("transactions", ("newest", 50, ""))]
    assert answer.json() == {
        "results": [
            {
                "id": TXN,
                "gateway": "n2",
                "state": "aborted",
                "begun_at": "2023-11-14T22:13:20.123456Z",
                "ended_at": "2023-11-14T22:13:20.129756Z",
                "duration_ms": 6.3,
                "attempt": 3,
                "shards": ["s1", "s4"],
                "statements": [{"sql": "UPDATE t SET x = $1", "params": ["integer"]}],
                "statements_left_out": 2,
                "commit_ts": None,
                "code": "conflict",
                "cause": "was wounded",
                "retried_as": TXN,
                "in_doubt": [
                    {
                        "shard": "s4",
                        "for_ms": 700,
                        "node": "n2",
                        "locks": [{"table": "accounts", "mode": "X", "keys": 2}],
                        "waiting": [TXN],
                        "waiting_count": 3,
                    }
                ],
                "decision": {
                    "home": "c1",
                    "commit": True,
                    "commit_ts": str(5 << 16),
                    "reason": None,
                    "ballot": "3.n2",
                    "slot": 41,
                    "held_by": ["n1", "n3"],
                    "members": ["n1", "n2", "n3"],
                },
            }
        ],
        "next": None,
        "known_since": "2023-11-14T22:13:20.000000Z",
        "silent": ["n3"],
    }


def test_the_next_page_is_a_path_that_can_be_asked(api: Any, cluster: FakeCluster) -> None:
    cluster.answers["transactions"] = Transactions([ONE], f"17.{TXN}", {1: 5}, [])
    following = api.get(f"{PATH}?filter=aborted&limit=1").json()["next"]
    assert following == f"{PATH}?filter=aborted&limit=1&after=17.{TXN}"
    assert api.get(following).status_code == 200
    assert cluster.asked[-1] == ("transactions", ("aborted", 1, f"17.{TXN}"))


@pytest.mark.parametrize("query", ["filter=fastest", "limit=0", "limit=201", "limit=x", "limit=", "page=2"])
def test_a_query_that_means_nothing_is_refused_and_nothing_is_asked(api: Any, cluster: FakeCluster, query: str) -> None:
    answer = api.get(f"{PATH}?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert cluster.asked == []


def test_a_cursor_that_is_none_is_refused_by_the_store(api: Any, cluster: FakeCluster) -> None:
    cluster.answers["transactions"] = BadRequest("after must be the `next` of a page")
    assert api.get(f"{PATH}?after=x").status_code == 400


def test_a_query_of_the_list_is_none_of_a_post(api: Any, cluster: FakeCluster) -> None:
    answer = api.post(f"{PATH}?filter=slow", {"statements": [{"sql": "SELECT 1"}]}, content_type="application/json")
    assert (answer.status_code, cluster.asked) == (400, [])


def test_a_trace_tells_the_steps_in_order_the_fate_and_the_statements(api: Any, cluster: FakeCluster) -> None:
    steps = [
        Step(1_700_000_000_000_001, 2, "", "begun", {"attempt": 1}),
        Step(1_700_000_000_000_900, 1, "s1", "ended", {"commit_ts": 5 << 50}),
    ]
    fate = Fate(TXN, COMMITTED, "happened", 5 << 16)
    cluster.answers["trace"] = Trace(TXN, fate, ONE, steps, {1: 1_600_000_000_000_000}, [2])
    body = api.get(f"{PATH}/{TXN}/trace").json()
    assert body["fate"] == {
        "id": TXN,
        "state": "committed",
        "outcome": "happened",
        "commit_ts": str(5 << 16),
        "reason": None,
        "transaction": None,
        "known_since": None,
    }
    assert body["transaction"]["statements"] == [{"sql": "UPDATE t SET x = $1", "params": ["integer"]}]
    assert body["steps"] == [
        {
            "at": "2023-11-14T22:13:20.000001Z",
            "node": "n2",
            "group": None,
            "step": "begun",
            "detail": {"attempt": 1},
        },
        {
            "at": "2023-11-14T22:13:20.000900Z",
            "node": "n1",
            "group": "s1",
            "step": "ended",
            "detail": {"commit_ts": str(5 << 50)},
        },
    ]
    assert (body["known_since"], body["silent"]) == ("2020-09-13T12:26:40.000000Z", ["n2"])


def test_an_id_without_steps_has_an_empty_list_its_fate_and_the_time_since_when_steps_are_known(
    api: Any, cluster: FakeCluster
) -> None:
    cluster.answers["trace"] = Trace(TXN, Fate(TXN, "undecided", "unknown"), None, [], {1: 1_600_000_000_000_000})
    answer = api.get(f"{PATH}/{TXN}/trace")
    body = answer.json()
    assert (answer.status_code, body["steps"], body["transaction"]) == (200, [], None)
    assert (body["fate"]["state"], body["known_since"]) == ("undecided", "2020-09-13T12:26:40.000000Z")


def test_a_fate_that_the_home_did_not_tell_is_null(api: Any, cluster: FakeCluster) -> None:
    cluster.answers["trace"] = Trace(TXN, None, None, [], {1: 5})
    assert api.get(f"{PATH}/{TXN}/trace").json()["fate"] is None


def test_a_foreign_id_is_not_found(api: Any, cluster: FakeCluster) -> None:
    assert api.get(f"{PATH}/t1/trace").status_code == 404
    assert cluster.asked == []
    cluster.answers["trace"] = NotFound("no such transaction: the id was minted by another cluster")
    assert api.get(f"{PATH}/{TXN}/trace").status_code == 404


def test_without_the_token_nothing_is_told(client: Any, cluster: FakeCluster) -> None:
    assert [client.get(path).status_code for path in (PATH, f"{PATH}/{TXN}/trace")] == [401, 401]
    assert cluster.asked == []


def test_a_cluster_that_does_not_answer_is_told(api: Any, cluster: FakeCluster) -> None:
    cluster.answers["transactions"] = Unavailable("no node answers")
    assert api.get(PATH).status_code == 503
