"""Who may read and who may write: by group, by a permission of one's own, as a superuser."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from knox.models import AuthToken

from nodes.errors import BadRequest, NotSupported
from tests.api.conftest import TXN, FakeCluster
from tests.api.test_errors import check_problem

READING = ["cluster", "tables", "tables/accounts", "shards", f"transactions/{TXN}"]


@pytest.fixture
def ask(client: Any) -> Any:
    """Asks as a user of these groups and permissions: (method, path, body)."""

    def make(groups: list[str], permissions: list[str] = [], **fields: Any) -> Any:  # noqa: B006
        user = User.objects.create_user("bob", **fields)
        user.groups.set(Group.objects.filter(name__in=groups))
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        token = AuthToken.objects.create(user)[1]

        def send(method: str, path: str, body: Any = None) -> Any:
            options: dict[str, Any] = {"HTTP_AUTHORIZATION": f"Bearer {token}", "content_type": "application/json"}
            return getattr(client, method)(f"/api/v1/{path}", body, **options)

        return send

    return make


def test_the_groups_are_made_by_the_migration() -> None:
    found = {group.name: {p.codename for p in group.permissions.all()} for group in Group.objects.all()}
    assert found == {"readers": {"read"}, "writers": {"read", "write"}, "operators": {"read", "operate"}}


def test_who_is_in_no_group_is_told_so_and_nothing_is_asked(ask: Any, cluster: FakeCluster) -> None:
    send = ask([])
    for path in READING:
        assert "readers" in check_problem(send("get", path), 403, "forbidden")["detail"]
    check_problem(send("post", "transactions", {"statements": [{"sql": "SELECT 1"}]}), 403, "forbidden")
    check_problem(send("post", f"transactions/{TXN}/fence", {}), 403, "forbidden")
    assert cluster.asked == []


@pytest.mark.parametrize(
    "who", [(["readers"],), (["writers"],), ([], ["read"]), ([], ["write", "read"])], ids=lambda who: str(who)
)
def test_who_may_read_sees_everything(ask: Any, cluster: FakeCluster, who: Any) -> None:
    send = ask(*who)
    assert {send("get", path).status_code for path in READING} == {200}


@pytest.mark.parametrize("stated", [{}, {"read_only": True}, {"read_only": False}, {"read_only": None}])
def test_of_a_reader_the_store_takes_only_what_reads(ask: Any, cluster: FakeCluster, stated: dict[str, Any]) -> None:
    send = ask(["readers"])
    assert send("post", "transactions", {"statements": [{"sql": "SELECT 1"}], **stated}).status_code == 200
    (_, request) = cluster.asked[-1]
    assert request.read_only is True


def test_a_reader_who_writes_is_told_that_it_may_not(ask: Any, cluster: FakeCluster) -> None:
    send = ask(["readers"])
    cluster.answers["submit"] = BadRequest("the transaction is read only and a statement writes", sqlstate="25006")
    problem = check_problem(send("post", "transactions", {"statements": [{"sql": "DELETE FROM a"}]}), 403, "forbidden")
    assert (problem["sqlstate"], problem["outcome"]) == ("42501", "did_not_happen")
    assert "bob" in problem["detail"]
    assert "writers" in problem["detail"]


def test_a_reader_is_told_other_errors_as_everybody_is(ask: Any, cluster: FakeCluster) -> None:
    send = ask(["readers"])
    for error in (BadRequest("no such table", sqlstate="42P01"), NotSupported("DROP TABLE")):
        cluster.answers["submit"] = error
        check_problem(send("post", "transactions", {"statements": [{"sql": "x"}]}), 400, error.code)


def test_a_reader_may_not_fence(ask: Any, cluster: FakeCluster) -> None:
    check_problem(ask(["readers"])("post", f"transactions/{TXN}/fence", {}), 403, "forbidden")
    assert cluster.asked == []


@pytest.mark.parametrize("who", [{"groups": ["writers"]}, {"groups": [], "is_superuser": True}], ids=str)
def test_who_may_write_writes(ask: Any, cluster: FakeCluster, who: Any) -> None:
    send = ask(**who)
    assert send("post", "transactions", {"statements": [{"sql": "DELETE FROM a"}]}).status_code == 200
    assert cluster.asked[-1][1].read_only is None
    assert send("post", f"transactions/{TXN}/fence", {}).status_code == 200


def test_a_writer_who_asks_for_read_only_is_told_what_everybody_is(ask: Any, cluster: FakeCluster) -> None:
    cluster.answers["submit"] = BadRequest("the transaction is read only and a statement writes", sqlstate="25006")
    body = {"statements": [{"sql": "DELETE FROM a"}], "read_only": True}
    check_problem(ask(["writers"])("post", "transactions", body), 400, "bad_request")
