"""Every error of the store, of the framework and of the server comes as problem+json and says whether it happened."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest

from nodes import errors as store_errors
from nodes.errors import ConflictInfo, ErrorInfo, StoreError
from tests.api.conftest import TXN, FakeCluster
from txstore.api.errors import TABLE, problem

STORE_ERRORS = sorted(
    (cls for cls in vars(store_errors).values() if isinstance(cls, type) and issubclass(cls, StoreError)),
    key=lambda cls: cls.code,
)
ONE = {"statements": [{"sql": "SELECT 1"}]}


def post(api: Any, path: str = "/api/v1/transactions", data: Any = ONE, **headers: Any) -> Any:
    return api.post(path, data, content_type="application/json", **headers)


def check_problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """Is it the problem+json that every error has to be? Its body."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert (body["status"], body["code"], body["type"]) == (status, code, f"/docs/errors#{code}")
    assert all(body[field] for field in ("title", "detail", "outcome"))
    assert isinstance(body["retryable"], bool)
    return body


@pytest.mark.parametrize("error", STORE_ERRORS, ids=lambda cls: cls.code)
def test_each_store_error_has_the_status_that_its_class_names(
    api: Any, cluster: FakeCluster, error: type[StoreError]
) -> None:
    cluster.answers["submit"] = error("in words", transaction=TXN)
    body = check_problem(post(api), error.status, error.code)
    assert body["detail"] == "in words"
    assert body["outcome"] == error.outcome
    assert body["retryable"] == error.retryable
    assert body.get("sqlstate", "") == error.sqlstate
    assert body["transaction"] == TXN


def test_the_table_has_no_other_status_than_the_classes() -> None:
    assert {cls.code: TABLE[cls.code].status for cls in STORE_ERRORS} == {cls.code: cls.status for cls in STORE_ERRORS}


def test_unavailable_says_when_to_come_back(api: Any, cluster: FakeCluster) -> None:
    cluster.answers["submit"] = store_errors.Unavailable("no quorum")
    response = post(api)
    assert response["Retry-After"] == "1"
    assert response.json()["outcome"] == "did_not_happen"


def test_an_unknown_outcome_says_where_to_ask(api: Any, cluster: FakeCluster) -> None:
    cluster.answers["submit"] = store_errors.OutcomeUnknown("lost", transaction=TXN)
    assert post(api)["Location"] == f"/api/v1/transactions/{TXN}"


def test_an_unknown_outcome_without_an_id_names_no_place(api: Any, cluster: FakeCluster) -> None:
    cluster.answers["submit"] = store_errors.OutcomeUnknown("lost")
    response = post(api)
    assert "Location" not in response
    assert "transaction" not in response.json()


def test_a_conflict_names_what_it_lost_to(api: Any, cluster: FakeCluster) -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    key = [2, 2**60, "a", True, math.nan, b"ab", moment]
    lost_to = ConflictInfo(TXN, "accounts", key, 12, "wounded", "try again")
    cluster.answers["submit"] = store_errors.Conflict("wounded", statement=1, conflict=lost_to)
    body = check_problem(post(api), 409, "conflict")
    assert body["statement"] == 1
    assert body["conflict"] == {
        "transaction": TXN,
        "table": "accounts",
        "key": [2, "1152921504606846976", "a", True, "NaN", "YWI=", "2026-01-02T00:00:00.000000Z"],
        "waited_ms": 12,
        "cause": "wounded",
        "help": "try again",
    }


def test_a_sqlstate_of_the_store_wins_over_the_class(api: Any, cluster: FakeCluster) -> None:
    cluster.answers["submit"] = store_errors.ConstraintViolation("twice", sqlstate="23505")
    assert check_problem(post(api), 409, "constraint")["sqlstate"] == "23505"


def test_a_code_of_a_newer_node_is_internal_and_keeps_its_outcome() -> None:
    body = problem(ErrorInfo("of_tomorrow", "words", outcome="unknown"))
    assert (body["status"], body["outcome"], body["code"]) == (500, "unknown", "internal")
    assert body["type"] == "/docs/errors#internal"


def test_a_fault_in_a_verb_tells_no_trace_and_no_outcome(api: Any, cluster: FakeCluster) -> None:
    cluster.answers["submit"] = ZeroDivisionError("a secret")
    response = post(api)
    assert check_problem(response, 500, "internal")["outcome"] == "unknown"
    assert b"secret" not in response.content


def test_a_fault_in_a_question_changed_nothing(api: Any, cluster: FakeCluster) -> None:
    cluster.answers["status"] = ZeroDivisionError()
    assert check_problem(api.get("/api/v1/cluster"), 500, "internal")["outcome"] == "did_not_happen"


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic dDp0", "Bearer \xff", "Token the-token"])
@pytest.mark.parametrize("path", ["/api/v1/transactions", f"/api/v1/transactions/{TXN}/fence"])
def test_without_the_token_nothing_is_asked(client: Any, cluster: FakeCluster, header: str, path: str) -> None:
    response = post(client, path, HTTP_AUTHORIZATION=header)
    check_problem(response, 401, "unauthenticated")
    assert response["WWW-Authenticate"].startswith("Bearer")
    assert cluster.asked == []


def test_the_word_bearer_may_be_written_small(client: Any, cluster: FakeCluster) -> None:
    assert client.get("/api/v1/cluster", HTTP_AUTHORIZATION="bearer the-token-of-this-test").status_code == 200


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/v1", "/api/v1/transactions/", "/api/v2/cluster", "/api/%00"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_an_unknown_path_is_a_problem(api: Any, path: str, method: str) -> None:
    check_problem(getattr(api, method)(path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("put", "/api/v1/transactions"),
        ("post", f"/api/v1/transactions/{TXN}/trace"),
        ("delete", f"/api/v1/transactions/{TXN}"),
        ("get", f"/api/v1/transactions/{TXN}/fence"),
        ("post", "/api/v1/cluster"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(api: Any, cluster: FakeCluster, method: str, path: str) -> None:
    response = getattr(api, method)(path)
    check_problem(response, 405, "method_not_allowed")
    assert response["Allow"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"]
)
def test_a_body_that_is_not_json_by_its_header_is_refused(api: Any, cluster: FakeCluster, kind: str) -> None:
    response = api.generic("POST", "/api/v1/transactions", b'{"statements": []}', content_type=kind)
    check_problem(response, 415, "unsupported_media_type")


def test_any_accept_header_gets_json(api: Any, cluster: FakeCluster) -> None:
    assert api.get("/api/v1/cluster", HTTP_ACCEPT="text/html").status_code == 200


def test_a_foreign_host_is_a_problem(api: Any, cluster: FakeCluster) -> None:
    check_problem(api.get("/api/v1/cluster", HTTP_HOST="evil.example"), 400, "bad_request")


@pytest.mark.parametrize("id", ["t1", "T" + TXN[1:], TXN + "a", "0197", "019700d0-0000-7000-8000-00000000000", "%00"])
def test_a_malformed_id_is_not_found(api: Any, cluster: FakeCluster, id: str) -> None:
    check_problem(api.get(f"/api/v1/transactions/{id}"), 404, "not_found")
    check_problem(post(api, f"/api/v1/transactions/{id}/fence", {}), 404, "not_found")
    assert cluster.asked == []


def test_a_foreign_id_is_not_found(api: Any, cluster: FakeCluster) -> None:
    cluster.answers["fate"] = store_errors.NotFound("an id of another cluster")
    check_problem(api.get(f"/api/v1/transactions/{TXN}"), 404, "not_found")
