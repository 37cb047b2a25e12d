"""Tokens over REST: one's own, everybody's for a superuser; made once, listed without the secret, revoked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from knox.models import AuthToken

from tests.api.test_errors import check_problem
from txstore.api import tokens

PATH = "/api/v1/tokens"


@pytest.fixture
def bob(client: Any) -> Any:
    """Asks as a user without any permission: (method, path, body)."""
    _, token = AuthToken.objects.create(User.objects.create_user("bob"))
    client.raise_request_exception = False

    def send(method: str, path: str = PATH, body: Any = None) -> Any:
        options: dict[str, Any] = {"HTTP_AUTHORIZATION": f"Bearer {token}", "content_type": "application/json"}
        return getattr(client, method)(path, body, **options)

    return send


def test_a_token_is_made_used_shown_and_revoked(bob: Any, client: Any) -> None:
    made = bob("post", body={"lifetime_s": 60})
    assert made.status_code == 201
    told = made.json()
    token, id = told.pop("token"), told["id"]
    assert made["Location"] == f"{PATH}/{id}"
    assert token.startswith(id)
    assert bob("get", f"{PATH}/{id}").json() == told
    assert told["user"] == "bob"
    left = datetime.fromisoformat(told["expires_at"]) - datetime.now(UTC)
    assert timedelta(seconds=50) < left <= timedelta(seconds=60)
    assert client.get(PATH, HTTP_AUTHORIZATION=f"Bearer {token}").status_code == 200
    gone = bob("delete", f"{PATH}/{id}")
    assert (gone.status_code, gone.content) == (204, b"")
    check_problem(client.get(PATH, HTTP_AUTHORIZATION=f"Bearer {token}"), 401, "unauthenticated")
    check_problem(bob("delete", f"{PATH}/{id}"), 404, "not_found")


def test_a_token_lives_30_days_unless_it_is_said(bob: Any) -> None:
    made = bob("post").json()
    left = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)


WRONG: dict[str, Any] = {
    "no object": [],
    "unknown field": {"scope": "read"},
    "no time": {"lifetime_s": 0},
    "too long": {"lifetime_s": tokens.MAX_LIFETIME_S + 1},
    "no end": {"lifetime_s": None},
    "a text": {"lifetime_s": "60"},
    "user a number": {"user": 1},
    "user empty": {"user": ""},
    "user with a NUL": {"user": "a\0"},
    "user half a surrogate": {"user": "\ud800"},
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_request_makes_none(api: Any, body: Any) -> None:
    check_problem(api.post(PATH, body, content_type="application/json"), 400, "bad_request")
    assert not AuthToken.objects.exists()


def test_a_superuser_makes_tokens_for_others(api: Any) -> None:
    User.objects.create_user("carol")
    assert api.post(PATH, {"user": "carol"}, content_type="application/json").json()["user"] == "carol"
    assert AuthToken.objects.get().user.username == "carol"


@pytest.mark.parametrize("active", [None, False])
def test_a_user_who_is_not_there_or_not_active_gets_none(api: Any, active: bool | None) -> None:
    if active is not None:
        User.objects.create_user("carol", is_active=active)
    check_problem(api.post(PATH, {"user": "carol"}, content_type="application/json"), 404, "not_found")
    assert not AuthToken.objects.exists()


def test_nobody_else_makes_tokens_for_others(bob: Any) -> None:
    for name in ("admin", "nobody"):
        check_problem(bob("post", body={"user": name}), 403, "forbidden")
    assert bob("post", body={"user": "bob"}).status_code == 201
    assert set(AuthToken.objects.values_list("user__username", flat=True)) == {"bob"}


def test_the_tokens_of_others_are_not_there_but_for_a_superuser(bob: Any, api: Any) -> None:
    theirs, _ = AuthToken.objects.create(User.objects.get(username="admin"))
    own = bob("get").json()["results"]
    assert [row["user"] for row in own] == ["bob"]
    for method in ("get", "delete"):
        check_problem(bob(method, f"{PATH}/{theirs.token_key}"), 404, "not_found")
    assert {row["user"] for row in api.get(PATH).json()["results"]} == {"admin", "bob"}
    assert api.delete(f"{PATH}/{own[0]['id']}").status_code == 204


def test_the_list_comes_in_pages_by_id(api: Any) -> None:
    user = User.objects.get()
    ids = sorted(AuthToken.objects.create(user)[0].token_key for _ in range(5))
    found, path = [], f"{PATH}?limit=2"
    while path:
        page = api.get(path).json()
        assert len(page["results"]) <= 2
        found += [row["id"] for row in page["results"]]
        path = page["next"]
    assert found == ids


def test_expired_tokens_are_not_listed_and_go_when_one_is_made(api: Any) -> None:
    row, _ = AuthToken.objects.create(User.objects.get())
    AuthToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    assert api.get(PATH).json()["results"] == []
    check_problem(api.get(f"{PATH}/{row.token_key}"), 404, "not_found")
    assert api.post(PATH, {}, content_type="application/json").status_code == 201
    assert not AuthToken.objects.filter(pk=row.pk).exists()


def test_a_user_has_a_bounded_number_of_tokens(bob: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_TOKENS", 3)
    assert [bob("post").status_code for _ in range(2)] == [201, 201]
    check_problem(bob("post"), 413, "too_large")
    assert AuthToken.objects.count() == 3


@pytest.mark.parametrize("id", ["", "x", "0" * 14, "0" * 16, "0" * 15, "%00", "A" * 15])
def test_an_id_of_no_token_is_not_found(api: Any, id: str) -> None:
    for method in (api.get, api.delete):
        check_problem(method(f"{PATH}/{id}"), 404, "not_found")
