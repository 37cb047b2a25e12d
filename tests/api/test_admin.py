"""Tokens on the admin pages: made, told once, revoked; for superusers alone."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.utils import timezone
from knox.models import AuthToken

from tests.api.conftest import FakeCluster

LIST = "/admin/knox/authtoken/"


@pytest.fixture
def admin_pages(client: Any) -> Any:
    client.force_login(User.objects.get(username="admin"))
    return client


def make(pages: Any, user: User, end: timedelta) -> Any:
    at = timezone.now() + end
    return pages.post(
        f"{LIST}add/", {"user": user.pk, "expiry_0": at.strftime("%Y-%m-%d"), "expiry_1": at.strftime("%H:%M:%S")}
    )


def test_a_token_is_made_told_once_and_revoked(admin_pages: Any, client: Any, cluster: FakeCluster) -> None:
    bob = User.objects.create_user("bob")
    page = make(admin_pages, bob, timedelta(days=3))
    assert page.status_code == 200
    assert "no-store" in page["Cache-Control"]
    token = re.search(r'<code id="token"[^>]*>([0-9a-f]{64})</code>', page.content.decode())
    assert token
    assert client.get("/api/v1/tokens", HTTP_AUTHORIZATION=f"Bearer {token[1]}").status_code == 200
    row = AuthToken.objects.get(user=bob)
    listed = admin_pages.get(LIST).content.decode()
    assert row.token_key in listed
    assert token[1] not in listed
    assert admin_pages.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 302
    assert client.get("/api/v1/tokens", HTTP_AUTHORIZATION=f"Bearer {token[1]}").status_code == 401


@pytest.mark.parametrize("end", [timedelta(hours=-1), timedelta(days=400)])
def test_a_token_without_a_near_end_is_not_made(admin_pages: Any, end: timedelta) -> None:
    page = make(admin_pages, User.objects.create_user("bob"), end)
    assert page.status_code == 200
    assert "A token ends at most 366 days from now." in page.content.decode()
    assert not AuthToken.objects.exists()


def test_a_token_is_not_changed(admin_pages: Any) -> None:
    row, _ = AuthToken.objects.create(User.objects.get())
    assert admin_pages.post(f"{LIST}{row.pk}/change/", {"user": 1}).status_code == 403


def test_who_is_no_superuser_sees_no_tokens_whatever_permissions_it_has(client: Any) -> None:
    staff = User.objects.create_user("staff", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(content_type__app_label="knox"))
    client.force_login(staff)
    assert client.get("/admin/").url == "/admin/cluster/"
    for path in (LIST, f"{LIST}add/"):
        assert client.get(path).status_code == 403
    assert make(client, User.objects.get(username="admin"), timedelta(days=1)).status_code == 403
    assert not AuthToken.objects.exists()
