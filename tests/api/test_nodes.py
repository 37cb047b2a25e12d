"""The nodes over REST and on their admin page: who may say which there are, what is refused, what the log keeps."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from knox.models import AuthToken

from nodes.errors import BadRequest, NotFound, OutcomeUnknown, Unavailable
from nodes.requests import Nodes
from tests.api.conftest import FakeCluster, changing
from tests.api.test_errors import check_problem
from txstore.models import Operation

NODES = "/api/v1/nodes"


def user(*groups: str, **fields: Any) -> User:
    made = User.objects.create_user("olga", **fields)
    made.groups.set(Group.objects.filter(name__in=groups))
    return made


def ask(client: Any, method: str, path: str, body: Any = None, asker: User | None = None) -> Any:
    token = AuthToken.objects.create(asker or user("operators"))[1]
    headers = {"HTTP_AUTHORIZATION": f"Bearer {token}", "content_type": "application/json"}
    return getattr(client, method)(f"{NODES}{path}", body, **headers)


def test_the_list_says_of_each_node_what_it_is(client: Any, cluster: FakeCluster) -> None:
    cluster.answers["status"] = changing()
    listed = ask(client, "get", "", asker=user("readers")).json()["results"]
    assert [(each["node"], each["state"], each["successor"], each["up"]) for each in listed] == [
        (1, "member", None, True),
        (2, "leaving", 4, False),
        (3, "gone", None, False),
        (4, "member", None, True),
        (5, "waiting", None, True),
    ]
    assert [each["groups"] for each in listed] == [["c1", "s0"], ["s0"], [], ["c1", "s0"], []]
    assert [each["address"] for each in listed] == [
        f"127.0.0.1:710{node}" if node != 3 else None for node in range(1, 6)
    ]


@pytest.mark.parametrize(
    ("method", "path", "body", "asked", "logged", "answer"),
    [
        ("put", "/4", {}, ("add_node", 4), "add-node n4", ("member", None)),
        ("put", "/4", {"timeout_ms": 500}, ("add_node", 4), "add-node n4", ("member", None)),
        ("delete", "/2", None, ("remove_node", (2, False)), "remove-node n2", ("leaving", None)),
        ("delete", "/2?fewer_replicas=true", None, ("remove_node", (2, True)), "remove-node n2 --fewer-replicas",
         ("leaving", None)),
        ("put", "/2/successor", {"node": 4}, ("replace_node", (2, 4)), "replace-node n2 n4", ("leaving", 4)),
    ],
)  # fmt: skip
def test_an_operator_says_which_nodes_there_are_and_the_log_has_it(
    client: Any, cluster: FakeCluster, method: str, path: str, body: Any, asked: Any, logged: str, answer: Any
) -> None:
    told = ask(client, method, path, body)
    assert told.status_code == 200, told.content
    assert (told.json()["state"], told.json()["successor"]) == answer
    assert cluster.asked == [asked]
    row = Operation.objects.get()
    assert (row.by, row.via, row.what, row.outcome) == ("olga", "REST", logged, "happened")


def test_what_is_gone_already_is_told_so(client: Any, cluster: FakeCluster) -> None:
    cluster.answers["remove_node"] = Nodes({}, [2])
    assert ask(client, "delete", "/2").json() == {"node": 2, "state": "gone", "successor": None}
    assert Operation.objects.get().words == "is gone"


@pytest.mark.parametrize("groups", [[], ["readers"], ["writers"]], ids=str)
def test_who_is_no_operator_may_not(client: Any, cluster: FakeCluster, groups: list[str]) -> None:
    asker = user(*groups)
    for method, path, body in (("put", "/4", {}), ("delete", "/2", None), ("put", "/2/successor", {"node": 4})):
        assert "operators" in check_problem(ask(client, method, path, body, asker), 403, "forbidden")["detail"]
    assert cluster.asked == []
    assert not Operation.objects.exists()


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("put", "/4", {"node": 4}, 400),
        ("put", "/4", {"timeout_ms": 0}, 400),
        ("put", "/0", {}, 404),
        ("put", "/256", {}, 404),
        ("put", f"/{10**30}", {}, 404),
        ("put", "/n4", {}, 404),
        ("delete", "/2?fewer_replicas=yes", None, 400),
        ("delete", "/2?fewer=true", None, 400),
        ("put", "/2/successor", {}, 400),
        ("put", "/2/successor", {"node": "n4"}, 400),
        ("put", "/2/successor", {"node": 256}, 400),
    ],
)
def test_what_is_no_order_is_refused(
    client: Any, cluster: FakeCluster, method: str, path: str, body: Any, status: int
) -> None:
    check_problem(ask(client, method, path, body), status, "bad_request" if status == 400 else "not_found")
    assert cluster.asked == []
    assert not Operation.objects.exists()


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotFound("there is no node n2"), 404, "not_found"),
        (BadRequest("without n2 there are 2 nodes for 3 replicas"), 400, "bad_request"),
        (Unavailable("no node answers"), 503, "unavailable"),
        (OutcomeUnknown("the leader of s0 did not say"), 504, "outcome_unknown"),
    ],
    ids=str,
)
def test_what_the_cluster_refuses_is_told_and_logged(
    client: Any, cluster: FakeCluster, error: Any, status: int, code: str
) -> None:
    cluster.answers["remove_node"] = error
    check_problem(ask(client, "delete", "/2"), status, code)
    row = Operation.objects.get()
    assert (row.outcome, row.words) == (error.info.outcome, str(error))
