"""Who leads a group, over REST and on its admin page: who may say so, what is refused, what the log keeps."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from knox.models import AuthToken

from nodes.errors import NotFound, OutcomeUnknown, Unavailable
from tests.api.conftest import FakeCluster
from tests.api.test_errors import check_problem
from txstore.models import Operation

PATH = "/api/v1/groups/s1/leader"


def user(*groups: str, **fields: Any) -> User:
    made = User.objects.create_user("olga", **fields)
    made.groups.set(Group.objects.filter(name__in=groups))
    return made


def put(client: Any, asker: User, body: Any, path: str = PATH) -> Any:
    token = AuthToken.objects.create(asker)[1]
    return client.put(path, body, content_type="application/json", HTTP_AUTHORIZATION=f"Bearer {token}")


@pytest.mark.parametrize("who", [{"groups": ["operators"]}, {"groups": [], "is_superuser": True}], ids=str)
def test_an_operator_says_who_leads_and_the_log_has_it(client: Any, cluster: FakeCluster, who: dict[str, Any]) -> None:
    answer = put(client, user(*who.pop("groups"), **who), {"node": 2})
    assert (answer.status_code, answer.json()) == (200, {"group": "s1", "leader": 2, "epoch": 7})
    assert cluster.asked == [("transfer_leader", ("s1", 2))]
    row = Operation.objects.get()
    assert (row.by, row.via, row.what, row.outcome) == ("olga", "REST", "transfer-leader s1 n2", "happened")


@pytest.mark.parametrize("groups", [[], ["readers"], ["writers"]], ids=str)
def test_who_is_no_operator_may_not(client: Any, cluster: FakeCluster, groups: list[str]) -> None:
    assert "operators" in check_problem(put(client, user(*groups), {"node": 2}), 403, "forbidden")["detail"]
    assert cluster.asked == []
    assert not Operation.objects.exists()


@pytest.mark.parametrize(
    "body", [{}, {"node": "n2"}, {"node": 0}, {"node": 256}, {"node": True}, {"node": 2, "now": 1}, [2],
             {"node": 2, "timeout_ms": 0}],
)  # fmt: skip
def test_what_is_no_choice_is_refused(client: Any, cluster: FakeCluster, body: Any) -> None:
    check_problem(put(client, user("operators"), body), 400, "bad_request")
    assert cluster.asked == []
    assert not Operation.objects.exists()


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotFound("there is no group s1"), 404, "not_found"),
        (Unavailable("n2 is far behind"), 503, "unavailable"),
        (OutcomeUnknown("n2 was not seen to lead"), 504, "outcome_unknown"),
    ],
    ids=str,
)
def test_what_the_cluster_refuses_is_told_and_logged(
    client: Any, cluster: FakeCluster, error: Any, status: int, code: str
) -> None:
    cluster.answers["transfer_leader"] = error
    check_problem(put(client, user("operators"), {"node": 2}), status, code)
    row = Operation.objects.get()
    assert (row.outcome, row.words) == (error.info.outcome, str(error))


# -- the admin's page


def test_the_page_offers_the_other_nodes(client: Any, cluster: FakeCluster) -> None:
    client.force_login(user("operators", is_staff=True))
    page = client.get("/admin/cluster/groups/s0/").content.decode()
    assert "n1, its preferred leader, leads it now" in page
    assert "Have n2 lead s0" in page
    assert "Have n1 lead s0" not in page


def test_a_choice_on_the_page_is_carried_out_and_logged(client: Any, cluster: FakeCluster) -> None:
    client.force_login(user("operators", is_staff=True))
    answer = client.post("/admin/cluster/groups/s1/", {"node": "2"})
    assert (answer.status_code, answer.url) == (302, "/admin/cluster/")
    assert cluster.asked == [("transfer_leader", ("s1", 2))]
    row = Operation.objects.get()
    assert (row.by, row.via, row.outcome) == ("olga", "admin", "happened")


def test_a_refusal_is_shown_on_the_page(client: Any, cluster: FakeCluster) -> None:
    client.force_login(user("operators", is_staff=True))
    cluster.answers["transfer_leader"] = Unavailable("n2 is far behind")
    answer = client.post("/admin/cluster/groups/s0/", {"node": "2"}, follow=True)
    assert "n2 is far behind" in answer.content.decode()
    cluster.answers["status"] = Unavailable("no node answers")
    answer = client.get("/admin/cluster/groups/s0/")
    assert answer.status_code == 503
    assert "no node answers" in answer.content.decode()


@pytest.mark.parametrize("groups", [[], ["readers"], ["writers"]], ids=str)
def test_the_page_is_for_operators(client: Any, cluster: FakeCluster, groups: list[str]) -> None:
    client.force_login(user(*groups, is_staff=True))
    assert client.get("/admin/cluster/groups/s1/").status_code == 403
    assert client.post("/admin/cluster/groups/s1/", {"node": "2"}).status_code == 403
    assert cluster.asked == []


def test_a_group_or_node_that_is_none_is_not_found(client: Any, cluster: FakeCluster) -> None:
    client.force_login(user("operators", is_staff=True))
    assert client.get("/admin/cluster/groups/s99/").status_code == 404
    assert client.post("/admin/cluster/groups/s1/", {"node": "n2"}).status_code == 404
