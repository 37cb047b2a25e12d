"""The catalogue of wrong input: each is refused with words, nothing is ignored, nothing reaches the store."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import KEY, TXN, FakeCluster
from tests.api.test_errors import check_problem

PATH = "/api/v1/transactions"

NOT_JSON = {
    "empty": b"",
    "half": b'{"statements": [',
    "nan": b'{"statements": [{"sql": "SELECT $1", "params": [NaN]}]}',
    "infinity": b'{"statements": [{"sql": "SELECT $1", "params": [-Infinity]}]}',
    "key twice": b'{"timeout_ms": 1, "timeout_ms": 2, "statements": [{"sql": "SELECT 1"}]}',
    "key twice below": b'{"statements": [{"sql": "SELECT 1", "sql": "DELETE FROM t"}]}',
    "not utf-8": b'{"statements": [{"sql": "\xff"}]}',
    "utf-16": '{"statements": []}'.encode("utf-16"),
    "deep": b"[" * 100_000,
    "raw control character": b'{"statements": [{"sql": "a\nb"}]}',
    "two values": b"{} {}",
    "comment": b"{} // all",
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_what_is_not_one_json_value_is_refused(api: Any, cluster: FakeCluster, body: bytes) -> None:
    check_problem(api.generic("POST", PATH, body, content_type="application/json"), 400, "bad_request")
    assert cluster.asked == []


@pytest.mark.parametrize("number", [b"1e400", b"-1e999", b"1" * 5000, b"9223372036854775808", b"-9223372036854775809"])
def test_a_number_that_no_type_holds_is_out_of_range(api: Any, cluster: FakeCluster, number: bytes) -> None:
    body = b'{"statements": [{"sql": "SELECT $1", "params": [' + number + b"]}]}"
    problem = check_problem(api.generic("POST", PATH, body, content_type="application/json"), 400, "bad_request")
    assert problem["sqlstate"] == "22003"


def statement(**fields: Any) -> dict[str, Any]:
    return {"statements": [{"sql": "SELECT 1"}, {"sql": "SELECT $1", "params": [1], **fields}]}


ONE = {"statements": [{"sql": "SELECT 1"}]}
WRONG_FORM: dict[str, Any] = {
    "a list": [ONE],
    "null": None,
    "a text": "SELECT 1",
    "nothing": {},
    "no statements": {"statements": []},
    "statements an object": {"statements": {"sql": "SELECT 1"}},
    "statement a text": {"statements": ["SELECT 1"]},
    "unknown field": {**ONE, "isolation": "serializable"},
    "timeout 0": {**ONE, "timeout_ms": 0},
    "timeout too long": {**ONE, "timeout_ms": 60_001},
    "timeout a text": {**ONE, "timeout_ms": "100"},
    "timeout a float": {**ONE, "timeout_ms": 1.0},
    "timeout true": {**ONE, "timeout_ms": True},
    "timeout null": {**ONE, "timeout_ms": None},
    "read_only a number": {**ONE, "read_only": 1},
    "another mode": {**ONE, "mode": "batch"},
    "mode a list": {**ONE, "mode": ["interactive"]},
    "mode null": {**ONE, "mode": None},
    "as_of a number": {**ONE, "as_of": 5},
    "as_of empty": {**ONE, "as_of": ""},
    "as_of null": {**ONE, "as_of": None},
    "max_staleness_ms 0": {**ONE, "max_staleness_ms": 0},
    "max_staleness_ms a text": {**ONE, "max_staleness_ms": "5"},
    "max_staleness_ms null": {**ONE, "max_staleness_ms": None},
    "max_staleness_ms of two hours": {**ONE, "max_staleness_ms": 7_200_000},
    "session_token a number": {**ONE, "session_token": 5},
    "session_token empty": {**ONE, "session_token": ""},
    "session_token null": {**ONE, "session_token": None},
    "session_token signed": {**ONE, "session_token": "+5"},
    "session_token of other digits": {**ONE, "session_token": "\u0665"},
    "session_token too large": {**ONE, "session_token": "9223372036854775808"},
}
WRONG_STATEMENT: dict[str, Any] = {
    "unknown statement field": statement(args=[]),
    "no sql": {"statements": [{"sql": "SELECT 1"}, {"params": []}]},
    "sql null": statement(sql=None),
    "sql blank": statement(sql="  \n"),
    "params a text": statement(params="1"),
    "params null": statement(params=None),
    "expect_rows negative": statement(expect_rows=-1),
    "expect_rows null": statement(expect_rows=None),
    "expect_rows true": statement(expect_rows=True),
}
WRONG_VALUE = {
    "list": (statement(params=[[1]]), "22P02"),
    "object": (statement(params={"a": {}}), "22P02"),
    "nul in text": (statement(params=["a\0b"]), "22021"),
    "nul in sql": (statement(sql="SELECT '\0'"), "22021"),
    "nul in name": (statement(params={"a\0": 1}), "22021"),
    "half a surrogate": (statement(params=["\ud800"]), "22021"),
}


@pytest.mark.parametrize("body", WRONG_FORM.values(), ids=WRONG_FORM.keys())
def test_a_request_of_another_form_is_refused(api: Any, cluster: FakeCluster, body: Any) -> None:
    problem = check_problem(api.post(PATH, body, content_type="application/json"), 400, "bad_request")
    assert problem["outcome"] == "did_not_happen"
    assert cluster.asked == []


@pytest.mark.parametrize("body", WRONG_STATEMENT.values(), ids=WRONG_STATEMENT.keys())
def test_a_statement_of_another_form_is_refused_by_its_number(api: Any, cluster: FakeCluster, body: Any) -> None:
    assert check_problem(api.post(PATH, body, content_type="application/json"), 400, "bad_request")["statement"] == 1
    assert cluster.asked == []


@pytest.mark.parametrize(("body", "sqlstate"), WRONG_VALUE.values(), ids=WRONG_VALUE.keys())
def test_a_value_that_cannot_be_sent_is_refused(api: Any, cluster: FakeCluster, body: Any, sqlstate: str) -> None:
    problem = check_problem(api.post(PATH, body, content_type="application/json"), 400, "bad_request")
    assert (problem["sqlstate"], problem["statement"]) == (sqlstate, 1)
    assert cluster.asked == []


@pytest.mark.parametrize("key", ["", "0197", KEY.replace("-", ""), f"{{{KEY}}}", KEY.replace("0", "x")])
def test_a_key_that_is_no_uuid_is_refused(api: Any, cluster: FakeCluster, key: str) -> None:
    response = api.post(PATH, ONE, content_type="application/json", HTTP_IDEMPOTENCY_KEY=key)
    assert "Idempotency-Key" in check_problem(response, 400, "bad_request")["detail"]
    assert cluster.asked == []


def test_a_key_is_refused_where_it_has_no_meaning(api: Any, cluster: FakeCluster) -> None:
    for method, path in (("get", PATH), ("get", f"{PATH}/{TXN}"), ("post", f"{PATH}/{TXN}/fence")):
        response = getattr(api, method)(path, HTTP_IDEMPOTENCY_KEY=KEY)
        assert "Idempotency-Key" in check_problem(response, 400, "bad_request")["detail"]
    assert cluster.asked == []


def test_a_query_parameter_is_refused_not_ignored(api: Any, cluster: FakeCluster) -> None:
    check_problem(api.get("/api/v1/cluster?wide=0"), 400, "bad_request")
    check_problem(api.post(f"{PATH}?timeout_ms=1", ONE, content_type="application/json"), 400, "bad_request")
    assert cluster.asked == []


def test_a_body_without_a_length_is_refused_not_ignored(api: Any, cluster: FakeCluster) -> None:
    response = api.generic("POST", f"{PATH}/{TXN}/fence", b"", HTTP_TRANSFER_ENCODING="chunked")
    assert "Content-Length" in check_problem(response, 400, "bad_request")["detail"]
    assert cluster.asked == []


def test_a_fence_takes_no_fields(api: Any, cluster: FakeCluster) -> None:
    for body in (b'{"timeout_ms": 1}', b"[]", b"null", b"0"):
        response = api.generic("POST", f"{PATH}/{TXN}/fence", body, content_type="application/json")
        check_problem(response, 400, "bad_request")
    assert cluster.asked == []


def test_too_many_statements_are_too_large(api: Any, cluster: FakeCluster) -> None:
    body = {"statements": [{"sql": "SELECT 1"}] * 1_001}
    check_problem(api.post(PATH, body, content_type="application/json"), 413, "too_large")
    assert cluster.asked == []


def test_a_body_over_the_limit_is_too_large_and_one_at_the_limit_is_read(api: Any, cluster: FakeCluster) -> None:
    limit = 4 * 1024 * 1024
    frame = b'{"statements": [{"sql": "SELECT $1", "params": [""]}]}'
    body = frame.replace(b'""', b'"' + b"x" * (limit - len(frame)) + b'"')
    assert api.generic("POST", PATH, body, content_type="application/json").status_code == 200
    check_problem(api.generic("POST", PATH, body + b" ", content_type="application/json"), 413, "too_large")
