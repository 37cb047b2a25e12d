"""The verbs of an interactive transaction: what they hand to the store, and how its answers read in JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from jsonschema import Draft202012Validator
from knox.models import AuthToken

from nodes.errors import BadRequest, Conflict, OutcomeUnknown, TransactionAborted, Unavailable
from nodes.requests import Column, Result, Statement
from tests.api.conftest import KEY, TXN, FakeCluster
from tests.api.test_errors import check_problem
from txstore.api.components import SCHEMAS

PATH = "/api/v1/transactions"
OPEN = f"{PATH}/{TXN}"
AGE = "0123456789abcdef" * 2 + "01234567"
RUN = {"statements": [{"sql": "SELECT 1"}]}
# path -> a body that it takes
VERBS: dict[str, dict[str, Any]] = {
    "statements": RUN,
    "commit": {},
    "rollback": {},
    "savepoints": {"name": "here"},
    "savepoints/here/rollback": {},
}


def post(api: Any, path: str, body: Any = None, **headers: Any) -> Any:
    return api.post(path, {} if body is None else body, content_type="application/json", **headers)


def fits(name: str, body: Any) -> Any:
    shape = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": SCHEMAS}}
    Draft202012Validator(shape).validate(body)
    return body


# -- the beginning


def test_one_is_begun_and_says_where_it_is_and_how_long_it_lives(api: Any, cluster: FakeCluster) -> None:
    before = datetime.now(UTC)
    answer = post(api, PATH, {"mode": "interactive"})
    assert (answer.status_code, answer["Location"]) == (201, OPEN)
    body = fits("Begun", answer.json())
    assert (body["id"], body["state"], body["idle_ms"], body["lives_ms"]) == (TXN, "active", 30_000, 300_000)
    left = datetime.fromisoformat(body["expires_at"]) - before
    assert timedelta(seconds=30) <= left < timedelta(seconds=35)
    assert cluster.asked == [("begin", (10.0, ""))]


def test_one_is_begun_with_an_age_and_in_a_time(api: Any, cluster: FakeCluster) -> None:
    body = fits("Transaction", {"mode": "interactive", "age": AGE, "timeout_ms": 500})
    assert post(api, PATH, body).status_code == 201
    assert cluster.asked == [("begin", (0.5, AGE))]


@pytest.mark.parametrize(
    "field",
    [
        {"statements": [{"sql": "SELECT 1"}]},
        {"read_only": True},
        {"as_of": "-5s"},
        {"max_staleness_ms": 5},
        {"session_token": "5"},
        {"age": AGE[1:]},
        {"age": AGE.upper()},
        {"age": ""},
        {"age": None},
        {"timeout_ms": 0},
    ],
    ids=str,
)
def test_what_does_not_go_with_it_is_refused(api: Any, cluster: FakeCluster, field: dict[str, Any]) -> None:
    check_problem(post(api, PATH, {"mode": "interactive", **field}), 400, "bad_request")
    assert cluster.asked == []


def test_it_takes_no_key(api: Any, cluster: FakeCluster) -> None:
    answer = post(api, PATH, {"mode": "interactive"}, HTTP_IDEMPOTENCY_KEY=KEY)
    assert "Idempotency-Key" in check_problem(answer, 400, "bad_request")["detail"]
    for verb, body in VERBS.items():
        check_problem(post(api, f"{OPEN}/{verb}", body, HTTP_IDEMPOTENCY_KEY=KEY), 400, "bad_request")
    assert cluster.asked == []


def test_one_shot_may_be_stated(api: Any, cluster: FakeCluster) -> None:
    assert post(api, PATH, fits("Transaction", {**RUN, "mode": "one-shot"})).status_code == 200
    assert [name for name, _ in cluster.asked] == ["submit"]


# -- what is asked in it


def test_statements_are_run_and_answered(api: Any, cluster: FakeCluster) -> None:
    cluster.answers["run"] = [Result([Column("b", "BIGINT")], [[2**60]], 1), Result()]
    body = {"statements": [{"sql": "SELECT b", "params": [1], "expect_rows": 1}, {"sql": "X"}], "timeout_ms": 700}
    answer = post(api, f"{OPEN}/statements", fits("Statements", body))
    assert fits("Ran", answer.json()) == {
        "id": TXN,
        "state": "active",
        "results": [
            {"columns": ["b"], "rows": [[str(2**60)]], "row_count": 1},
            {"columns": [], "rows": [], "row_count": 0},
        ],
    }
    assert cluster.asked == [("run", (TXN, 0.7, [Statement("SELECT b", [1], 1), Statement("X")]))]


def test_a_commit_is_answered_as_a_one_shot_transaction_is(api: Any, cluster: FakeCluster) -> None:
    answer = post(api, f"{OPEN}/commit", {"timeout_ms": 2_000})
    body = fits("Reply", answer.json())
    assert (answer.status_code, body["state"], body["commit_ts"]) == (200, "committed", str(5 << 16))
    assert cluster.asked == [("commit", (TXN, 2.0))]


def test_a_rollback_and_savepoints_are_answered_with_the_state(api: Any, cluster: FakeCluster) -> None:
    assert fits("RolledBack", post(api, f"{OPEN}/rollback").json()) == {"id": TXN, "state": "aborted"}
    assert fits("Open", post(api, f"{OPEN}/savepoints", {"name": "a_1"}).json()) == {"id": TXN, "state": "active"}
    assert fits("Open", post(api, f"{OPEN}/savepoints/a_1/rollback").json()) == {"id": TXN, "state": "active"}
    assert cluster.asked == [
        ("rollback", (TXN, None)),
        ("savepoint", (TXN, None, "a_1")),
        ("rollback_to", (TXN, None, "a_1")),
    ]


def test_an_empty_body_is_one_without_fields(api: Any, cluster: FakeCluster) -> None:
    for verb in ("commit", "rollback", "savepoints/here/rollback"):
        assert api.generic("POST", f"{OPEN}/{verb}", b"", content_type="").status_code == 200


@pytest.mark.parametrize("name", ["", "1a", "a b", "a\0", "é", "a" * 64, None, 5, "a\n"])
def test_a_savepoint_has_a_name_like_a_column(api: Any, cluster: FakeCluster, name: Any) -> None:
    check_problem(post(api, f"{OPEN}/savepoints", {"name": name}), 400, "bad_request")
    assert cluster.asked == []


def test_a_name_that_no_savepoint_has_is_not_found(api: Any, cluster: FakeCluster) -> None:
    check_problem(post(api, f"{OPEN}/savepoints/a%20b/rollback"), 404, "not_found")
    assert cluster.asked == []


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_not_known_is_refused(api: Any, cluster: FakeCluster, verb: str) -> None:
    for body in ({**VERBS[verb], "read_only": True}, [], None):
        if body is not None or verb in ("statements", "savepoints"):
            check_problem(post(api, f"{OPEN}/{verb}", body), 400, "bad_request")
    check_problem(post(api, f"{OPEN}/{verb}?x=1", VERBS[verb]), 400, "bad_request")
    assert cluster.asked == []


@pytest.mark.parametrize("verb", VERBS)
def test_a_key_is_no_open_transaction(api: Any, cluster: FakeCluster, verb: str) -> None:
    check_problem(post(api, f"{PATH}/{KEY}/{verb}", VERBS[verb]), 404, "not_found")
    assert cluster.asked == []


# -- errors


def test_a_verb_that_does_not_fit_the_state_is_a_conflict_of_states(api: Any, cluster: FakeCluster) -> None:
    gone = TransactionAborted("no such transaction is open", sqlstate="25P01", transaction=TXN)
    for name in ("run", "commit", "rollback", "savepoint", "rollback_to"):
        cluster.answers[name] = gone
    for verb, body in VERBS.items():
        problem = check_problem(post(api, f"{OPEN}/{verb}", body), 409, "aborted")
        assert (problem["sqlstate"], problem["transaction"]) == ("25P01", TXN)


def test_a_lost_transaction_names_its_age(api: Any, cluster: FakeCluster) -> None:
    cluster.answers["run"] = Conflict("lost to an older transaction", detail={"age": AGE})
    problem = fits("Problem", check_problem(post(api, f"{OPEN}/statements", RUN), 409, "conflict"))
    assert (problem["age"], problem["retryable"]) == (AGE, True)


def test_a_lost_statement_and_a_lost_commit_are_told_apart(api: Any, cluster: FakeCluster) -> None:
    cluster.answers["run"] = Unavailable("the answer was lost: roll it back", retryable=False)
    cluster.answers["commit"] = OutcomeUnknown("the answer was lost", transaction=TXN)
    problem = check_problem(post(api, f"{OPEN}/statements", RUN), 503, "unavailable")
    assert (problem["retryable"], problem["outcome"]) == (False, "did_not_happen")
    answer = post(api, f"{OPEN}/commit")
    check_problem(answer, 504, "outcome_unknown")
    assert answer["Location"] == OPEN


def test_a_savepoint_that_is_none_is_told_so(api: Any, cluster: FakeCluster) -> None:
    cluster.answers["rollback_to"] = BadRequest("there is none", sqlstate="3B001")
    assert check_problem(post(api, f"{OPEN}/savepoints/b/rollback"), 400, "bad_request")["sqlstate"] == "3B001"


# -- who may


def as_user(client: Any, group: str) -> Any:
    user = User.objects.create_user("bob")
    user.groups.set(Group.objects.filter(name=group))
    client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {AuthToken.objects.create(user)[1]}"
    return client


def test_who_may_only_read_may_not_begin_one_nor_act_in_one(client: Any, cluster: FakeCluster) -> None:
    api = as_user(client, "readers")
    check_problem(post(api, PATH, {"mode": "interactive"}), 403, "forbidden")
    for verb, body in VERBS.items():
        check_problem(post(api, f"{OPEN}/{verb}", body), 403, "forbidden")
    assert cluster.asked == []


def test_who_may_write_may(client: Any, cluster: FakeCluster) -> None:
    api = as_user(client, "writers")
    assert post(api, PATH, {"mode": "interactive"}).status_code == 201
    for verb, body in VERBS.items():
        assert post(api, f"{OPEN}/{verb}", body).status_code == 200
    assert len(cluster.asked) == 6
