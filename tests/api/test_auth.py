"""Whose a token is: the home's own, knox's; what is remembered, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from knox.auth import TokenAuthentication
from knox.models import AuthToken

from tests.api.conftest import TOKEN, FakeCluster
from tests.api.test_errors import check_problem
from txstore.api import auth
from txstore.home import write_whole

ANY = "/api/v1/tokens"


def ask(client: Any, token: str, path: str = "/api/v1/shards") -> Any:
    return client.get(path, HTTP_AUTHORIZATION=f"Bearer {token}")


@pytest.fixture
def bob(cluster: FakeCluster) -> str:
    """The token of a user who may read, for an hour."""
    user = User.objects.create_user("bob")
    user.groups.add(_group("readers"))
    return str(AuthToken.objects.create(user, timedelta(hours=1))[1])


def _group(name: str) -> Any:
    from django.contrib.auth.models import Group

    return Group.objects.get(name=name)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves both clocks that tokens are judged by."""

    def move(seconds: float) -> None:
        now, monotonic = timezone.now() + timedelta(seconds=seconds), auth.time.monotonic() + seconds
        monkeypatch.setattr(timezone, "now", lambda: now)
        monkeypatch.setattr(auth.time, "monotonic", lambda: monotonic)

    return move


def test_a_token_of_knox_is_its_users(client: Any, bob: str) -> None:
    assert ask(client, bob).status_code == 200
    assert [row["user"] for row in ask(client, bob, ANY).json()["results"]] == ["bob"]


def test_only_the_hash_of_a_token_is_kept(bob: str) -> None:
    row = AuthToken.objects.values().get()
    assert not [value for value in row.values() if bob in str(value)]


def test_an_expired_token_is_refused(client: Any, bob: str, clock: Any) -> None:
    assert ask(client, bob).status_code == 200
    clock(3_601)
    problem = check_problem(ask(client, bob), 401, "unauthenticated")
    assert "expired" in problem["detail"]


def test_a_token_is_not_remembered_beyond_its_end(client: Any, bob: str, clock: Any) -> None:
    clock(3_599)
    assert ask(client, bob).status_code == 200
    clock(1.5)
    check_problem(ask(client, bob), 401, "unauthenticated")


@pytest.mark.parametrize("token", [TOKEN, "knox"])
def test_a_token_that_is_remembered_costs_no_question_to_the_database(client: Any, bob: str, token: str) -> None:
    token = bob if token == "knox" else token
    assert ask(client, token).status_code == 200
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert ask(client, token).status_code == 200
        answer = client.post(
            "/api/v1/transactions",
            {"statements": [{"sql": "SELECT 1"}]},
            content_type="application/json",
            HTTP_AUTHORIZATION=f"Bearer {token}",
        )
        assert answer.status_code == 200
    assert len(queries) == 0, queries.captured_queries


def test_what_another_process_revoked_is_forgotten_in_a_few_seconds(client: Any, bob: str, clock: Any) -> None:
    assert ask(client, bob).status_code == 200
    AuthToken.objects.all()._raw_delete("default")
    assert ask(client, bob).status_code == 200
    clock(auth.REMEMBERED_S)
    check_problem(ask(client, bob), 401, "unauthenticated")


def test_a_user_who_is_not_active_any_more_is_refused_at_once(client: Any, bob: str) -> None:
    assert ask(client, bob).status_code == 200
    user = User.objects.get(username="bob")
    user.is_active = False
    user.save()
    check_problem(ask(client, bob), 401, "unauthenticated")


def test_a_user_who_leaves_a_group_loses_its_permission_at_once(client: Any, bob: str) -> None:
    assert ask(client, bob).status_code == 200
    User.objects.get(username="bob").groups.clear()
    check_problem(ask(client, bob), 403, "forbidden")


def test_what_was_asked_before_a_change_is_not_remembered_after_it(client: Any, bob: str, monkeypatch: Any) -> None:
    real = TokenAuthentication.authenticate_credentials

    def slow(self: Any, token: bytes) -> Any:
        found = real(self, token)
        auth.memory.clear()  # another thread changes something meanwhile
        return found

    monkeypatch.setattr(TokenAuthentication, "authenticate_credentials", slow)
    assert ask(client, bob).status_code == 200
    AuthToken.objects.all()._raw_delete("default")
    check_problem(ask(client, bob), 401, "unauthenticated")


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "REMEMBERED_MOST", 3)
    memory, holder = auth.Memory(), auth.Holder(User(), None, 1e18)
    for number in range(10):
        memory.put(bytes([number]), holder, memory.changes)
    assert 0 < sum(memory.get(bytes([number])) is not None for number in range(10)) <= 3


# -- the home's own token


def test_the_homes_token_is_the_admins_and_does_not_expire(client: Any, cluster: FakeCluster, clock: Any) -> None:
    assert ask(client, TOKEN).status_code == 200
    clock(10 * 366 * 86_400)
    assert ask(client, TOKEN).status_code == 200


def test_a_rotated_token_counts_at_once(client: Any, cluster: FakeCluster, home: Path) -> None:
    assert ask(client, TOKEN).status_code == 200
    write_whole(home / "api-token", "the-next-token-of-it")
    check_problem(ask(client, TOKEN), 401, "unauthenticated")
    assert ask(client, "the-next-token-of-it").status_code == 200


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_without_a_token_in_the_home_no_token_is_the_homes(
    client: Any, cluster: FakeCluster, home: Path, content: str | None
) -> None:
    (home / "api-token").unlink()
    if content is not None:
        (home / "api-token").write_text(content)
    for token in (TOKEN, "", "x"):
        check_problem(ask(client, token), 401, "unauthenticated")


@pytest.mark.parametrize("change", [{"is_active": False}, {"username": "root"}])
def test_without_an_active_admin_the_homes_token_is_nobodys(
    client: Any, cluster: FakeCluster, change: dict[str, Any]
) -> None:
    assert ask(client, TOKEN).status_code == 200
    User.objects.update(**change)
    auth.memory.clear()
    check_problem(ask(client, TOKEN), 401, "unauthenticated")


def test_an_admin_who_is_no_superuser_any_more_may_no_more(client: Any, cluster: FakeCluster) -> None:
    user = User.objects.get()
    user.is_superuser = False
    user.save()
    check_problem(ask(client, TOKEN), 403, "forbidden")


def test_a_database_that_fails_makes_it_unavailable(client: Any, cluster: FakeCluster, monkeypatch: Any) -> None:
    def fail(self: Any, token: bytes) -> None:
        raise DatabaseError("the disk is gone")

    monkeypatch.setattr(TokenAuthentication, "authenticate_credentials", fail)
    problem = check_problem(ask(client, "0" * 64), 503, "unavailable")
    assert problem["outcome"] == "did_not_happen"
    assert cluster.asked == []


@pytest.mark.parametrize("token", ["\x00", "a b", "é", "\ud800", "x" * 201, "0" * 64, "0" * 15, "'", "%00"])
def test_a_token_of_whatever_form_is_refused_with_words(client: Any, cluster: FakeCluster, token: str) -> None:
    check_problem(ask(client, token), 401, "unauthenticated")
    assert cluster.asked == []
