"""The nodes over REST and on their admin page: who may say which there are, what is refused, what the log keeps."""

from __future__ import annotations

import re
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


# -- the admin's pages

PAGE = "/admin/cluster/nodes/"


def text_of(answer: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.content.decode()))


def test_the_page_shows_who_is_there_who_waits_and_how_far_who_leaves_is(client: Any, cluster: FakeCluster) -> None:
    cluster.answers["status"] = changing()
    client.force_login(user("operators", is_staff=True))
    page = client.get(PAGE)
    shown = text_of(page)
    for words in (
        "n2 is leaving 1 of 2 groups are done",
        "It still has a replica of s0.",
        "leaving, n4 takes its place",
        "n5 asks to be let in 127.0.0.1:7105",
        "Let n5 in",
        "Have n1 leave",
        "Removed for good: n3.",
    ):
        assert words in shown, words
    assert "Have n2 leave" not in shown  # it is leaving already
    assert f'hx-get="{PAGE}live/"' in page.content.decode()
    part = text_of(client.get(f"{PAGE}live/"))
    assert "1 of 2 groups are done" in part
    assert "Let n5 in" not in part


def test_a_page_on_which_nothing_changes_does_not_refresh_itself(client: Any, cluster: FakeCluster) -> None:
    client.force_login(user("operators", is_staff=True))
    assert f"{PAGE}live/" not in client.get(PAGE).content.decode()


def test_who_may_not_operate_sees_the_nodes_and_gives_no_orders(client: Any, cluster: FakeCluster) -> None:
    cluster.answers["status"] = changing()
    client.force_login(user("readers", is_staff=True))
    shown = text_of(client.get(PAGE))
    assert "n5 asks to be let in" in shown
    assert "Let n5 in" not in shown
    assert "Have n1 leave" not in shown
    cluster.asked.clear()
    assert client.post(f"{PAGE}5/add/").status_code == 403
    for method in (client.get, client.post):
        assert method(f"{PAGE}2/leave/").status_code == 403
    assert cluster.asked == []
    assert not Operation.objects.exists()


def test_a_visitor_sees_nothing(client: Any, cluster: FakeCluster) -> None:
    assert client.get(PAGE).url.startswith("/admin/login/")
    assert client.get(f"{PAGE}live/").headers["HX-Redirect"] == "/admin/login/"
    assert client.post(f"{PAGE}5/add/").url.startswith("/admin/login/")
    assert cluster.asked == []


def test_the_second_page_says_what_will_happen(client: Any, cluster: FakeCluster) -> None:
    cluster.answers["status"] = changing()
    client.force_login(user("operators", is_staff=True))
    shown = text_of(client.get(f"{PAGE}1/leave/?successor="))
    for words in ("n1 leaves the cluster for good", "Whoever has room takes its place in 2 groups", "Remove n1"):
        assert words in shown
    shown = text_of(client.get(f"{PAGE}1/leave/?successor=2"))
    for words in ("n2 takes its place", "n2 is not reached now", "Replace n1 by n2"):
        assert words in shown
    assert not Operation.objects.exists()


@pytest.mark.parametrize(
    ("path", "body", "asked", "logged", "words"),
    [
        ("5/add/", {}, ("add_node", 5), "add-node n5", "n5 is let in."),
        ("2/leave/", {}, ("remove_node", (2, False)), "remove-node n2", "n2 leaves, whoever has room takes its place."),
        ("2/leave/", {"fewer": "on"}, ("remove_node", (2, True)), "remove-node n2 --fewer-replicas",
         "n2 leaves, whoever has room takes its place."),
        ("2/leave/", {"successor": "4"}, ("replace_node", (2, 4)), "replace-node n2 n4",
         "n2 leaves, n4 takes its place."),
    ],
)  # fmt: skip
def test_an_order_on_the_page_is_given_told_and_logged(
    client: Any, cluster: FakeCluster, path: str, body: Any, asked: Any, logged: str, words: str
) -> None:
    client.force_login(user("operators", is_staff=True))
    answer = client.post(PAGE + path, body, follow=True)
    assert answer.redirect_chain == [(PAGE, 302)]
    assert words in text_of(answer)
    assert cluster.asked[0] == asked
    row = Operation.objects.get()
    assert (row.by, row.via, row.what, row.outcome) == ("olga", "admin", logged, "happened")


def test_a_refusal_and_a_silent_cluster_are_shown(client: Any, cluster: FakeCluster) -> None:
    client.force_login(user("operators", is_staff=True))
    cluster.answers["remove_node"] = BadRequest("without n2 there are 2 nodes for 3 replicas")
    assert "there are 2 nodes for 3 replicas" in text_of(client.post(f"{PAGE}2/leave/", follow=True))
    cluster.answers["status"] = Unavailable("no node answers")
    for path, status in ((PAGE, 503), (f"{PAGE}2/leave/", 503), (f"{PAGE}live/", 200)):
        answer = client.get(path)
        assert answer.status_code == status
        assert "no node answers" in text_of(answer)


@pytest.mark.parametrize("path", ["9/leave/", "5/leave/", "3/leave/", "1/leave/?successor=9", "1/leave/?successor=n2"])
def test_who_is_not_there_cannot_leave(client: Any, cluster: FakeCluster, path: str) -> None:
    cluster.answers["status"] = changing()
    client.force_login(user("operators", is_staff=True))
    assert client.get(PAGE + path).status_code == 404


def test_the_page_of_a_group_shows_who_learns(client: Any, cluster: FakeCluster) -> None:
    cluster.answers["status"] = changing()
    client.force_login(user("operators", is_staff=True))
    assert "n4 learns what the group holds" in text_of(client.get("/admin/cluster/groups/s0/"))
    assert "learn" not in text_of(client.get("/admin/cluster/groups/c1/"))
