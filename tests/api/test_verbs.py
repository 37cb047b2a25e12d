"""What the verbs hand to the store, and how its replies read in JSON."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from nodes.errors import NotFound, Unavailable
from nodes.requests import Column, Fate, Reply, Request, Result, Statement
from tests.api.conftest import KEY, TXN, FakeCluster, status
from tests.api.test_errors import check_problem

PATH = "/api/v1/transactions"


def test_a_request_reaches_the_store_as_it_was_written(api: Any, cluster: FakeCluster) -> None:
    body = {
        "statements": [
            {"sql": "UPDATE a SET b = $1", "params": [10, "12345678901234567", None, True, 1.5, "é"], "expect_rows": 0},
            {"sql": "SELECT :x", "params": {"x": -(2**63)}},
        ],
        "timeout_ms": 60_000,
        "read_only": False,
    }
    assert api.post(PATH, body, content_type="application/json").status_code == 200
    first = Statement("UPDATE a SET b = $1", [10, "12345678901234567", None, True, 1.5, "é"], 0)
    assert cluster.asked == [("submit", Request([first, Statement("SELECT :x", {"x": -(2**63)})], 60_000, False))]


def test_how_old_a_read_may_be_and_its_session_token_reach_the_store(api: Any, cluster: FakeCluster) -> None:
    body = {"statements": [{"sql": "SELECT 1"}], "max_staleness_ms": 3_600_000, "session_token": str(2**63 - 1)}
    assert api.post(PATH, body, content_type="application/json").status_code == 200
    (_, request) = cluster.asked[-1]
    assert (request.max_staleness_ms, request.session_token) == (3_600_000, 2**63 - 1)


def test_what_is_not_stated_has_its_default(api: Any, cluster: FakeCluster) -> None:
    api.post(PATH, {"statements": [{"sql": "SELECT 1"}]}, content_type="application/json")
    assert cluster.asked == [("submit", Request([Statement("SELECT 1", [], -1)], 10_000, None))]


def test_a_reply_reads_as_the_values_table_says(api: Any, cluster: FakeCluster) -> None:
    columns = [Column("i", "INT"), Column("b", "BIGINT"), Column("t", "TEXT"), Column("o", "BOOLEAN")]
    columns.append(Column("n", "NUMERIC"))
    rows = [[1, 2**53, "é", True, 12], [-1, 2**53 + 1, "", False, "1.50"], [0, -(2**63), "1", None, None], [None] * 5]
    cluster.answers["submit"] = Reply(TXN, "committed", 2**60, 2, ["s1", "s4"], [Result(columns, rows, 4), Result()])
    answer = api.post(PATH, {"statements": [{"sql": "SELECT 1"}]}, content_type="application/json")
    assert answer["Content-Type"] == "application/json"
    assert answer.json() == {
        "id": TXN,
        "state": "committed",
        "commit_ts": str(2**60),
        "ts": None,
        "session_token": str(2**60),
        "attempts": 2,
        "shards": ["s1", "s4"],
        "results": [
            {
                "columns": ["i", "b", "t", "o", "n"],
                "rows": [
                    [1, 2**53, "é", True, "12"],
                    [-1, str(2**53 + 1), "", False, "1.50"],
                    [0, str(-(2**63)), "1", None, None],
                    [None, None, None, None, None],
                ],
                "row_count": 4,
            },
            {"columns": [], "rows": [], "row_count": 0},
        ],
    }


VALUES: list[tuple[str, Any, Any]] = [
    ("DOUBLE PRECISION", 1.5, 1.5),
    ("DOUBLE PRECISION", -0.0, -0.0),
    ("DOUBLE PRECISION", 1e308, 1e308),
    ("DOUBLE PRECISION", math.nan, "NaN"),
    ("DOUBLE PRECISION", math.inf, "Infinity"),
    ("DOUBLE PRECISION", -math.inf, "-Infinity"),
    ("BYTEA", b"\x00\xff\xfe", "AP/+"),
    ("BYTEA", b"", ""),
    ("UUID", "00000000-0000-0000-0000-0000000000ff", "00000000-0000-0000-0000-0000000000ff"),
    ("TIMESTAMPTZ", datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "2026-01-02T03:04:05.000006Z"),
    ("TIMESTAMPTZ", datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=5))), "2026-01-01T19:00:00.000000Z"),
    *((type, None, None) for type in ("DOUBLE PRECISION", "BYTEA", "UUID", "TIMESTAMPTZ")),
]


@pytest.mark.parametrize(("type", "value", "told"), VALUES)
def test_a_value_reads_as_the_values_table_says(
    api: Any, cluster: FakeCluster, type: str, value: Any, told: Any
) -> None:
    cluster.answers["submit"] = Reply(TXN, "committed", 9, 1, [], [Result([Column("v", type)], [[value]], 1)])
    answer = api.post(PATH, {"statements": [{"sql": "SELECT 1"}]}, content_type="application/json")
    assert answer.json()["results"][0]["rows"] == [[told]]


def test_a_commit_whose_results_were_lost_says_so(api: Any, cluster: FakeCluster) -> None:
    cluster.answers["submit"] = Reply(TXN, "committed", 9, 1, [], [], results_lost=True)
    answer = api.post(PATH, {"statements": [{"sql": "SELECT 1"}]}, content_type="application/json").json()
    assert (answer["state"], answer["commit_ts"], answer["results"], answer["results_lost"]) == (
        "committed",
        "9",
        [],
        True,
    )


def test_a_fate_is_told(api: Any, cluster: FakeCluster) -> None:
    assert api.get(f"{PATH}/{TXN}").json() == {
        "id": TXN,
        "state": "committed",
        "outcome": "happened",
        "commit_ts": str(5 << 16),
        "reason": None,
        "transaction": None,
        "known_since": None,
    }
    assert cluster.asked == [("fate", TXN)]


def test_a_key_reaches_the_store_and_a_repeat_is_told(api: Any, cluster: FakeCluster) -> None:
    cluster.answers["submit"] = Reply(TXN, "committed", 5 << 16, 1, ["s1"], [], repeated=True)
    body = {"statements": [{"sql": "SELECT 1"}]}
    answer = api.post(PATH, body, content_type="application/json", HTTP_IDEMPOTENCY_KEY=KEY.upper())
    assert answer.json()["repeated"] is True
    assert cluster.asked == [("submit", Request([Statement("SELECT 1")], 10_000, None, KEY))]


def test_a_key_stands_where_an_id_stands(api: Any, cluster: FakeCluster) -> None:
    cluster.answers["fate"] = Fate(KEY, "committed", "happened", 5 << 16, "", TXN)
    cluster.answers["fence"] = NotFound("nothing is known", transaction=KEY, detail={"known_since": 1 << 16})
    told = api.get(f"{PATH}/{KEY}").json()
    assert (told["id"], told["transaction"], told["known_since"]) == (KEY, TXN, None)
    problem = check_problem(api.post(f"{PATH}/{KEY.upper()}/fence", content_type="application/json"), 404, "not_found")
    assert problem["known_since"].startswith("1970-01-01T00:00:00.00")
    assert [question for _, question in cluster.asked] == [KEY, KEY]


def test_a_fence_needs_no_body(api: Any, cluster: FakeCluster) -> None:
    answer = api.generic("POST", f"{PATH}/{TXN}/fence", b"", content_type="").json()
    assert (answer["state"], answer["outcome"], answer["commit_ts"]) == ("aborted", "did_not_happen", None)
    assert cluster.asked == [("fence", TXN)]


def test_the_cluster_is_shown_as_the_store_tells_it(api: Any, cluster: FakeCluster) -> None:
    assert api.get("/api/v1/cluster").json() == status()


def test_healthz_asks_nobody_and_needs_no_token(client: Any, cluster: FakeCluster) -> None:
    response = client.get("/healthz")
    assert (response.status_code, response.content) == (200, b"ok\n")
    assert cluster.asked == []


def test_readyz_has_a_line_for_each_check(client: Any, cluster: FakeCluster) -> None:
    cluster.answers["status"] = status(second_up=False)
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.content.decode().splitlines() == [
        "ok\tthe store answers",
        "ok\tc1 has a leader: n1",
        "ok\ts0 has a leader: n1",
        "ok\tn1 is up",
        "warn\tn2 is up",
    ]


def test_readyz_is_503_while_a_group_has_no_leader(client: Any, cluster: FakeCluster) -> None:
    cluster.answers["status"] = status(leader=None)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert "FAIL\ts0 has a leader" in response.content.decode().splitlines()


@pytest.mark.parametrize("error", [Unavailable("no node answers")])
def test_readyz_is_503_while_the_store_does_not_answer(client: Any, cluster: FakeCluster, error: Exception) -> None:
    cluster.answers["status"] = error
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.content == b"FAIL\tthe store answers: no node answers\n"


def test_a_home_without_a_cluster_is_unavailable(api: Any) -> None:
    check_problem(api.get("/api/v1/cluster"), 503, "unavailable")
