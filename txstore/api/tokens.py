"""Tokens of knox over REST: a user makes, lists and revokes its own; a superuser everybody's.

A token is told once, in the answer that makes it; kept are its hash, its user, its end and its first characters, which
are its id. *Invariants*: a token has an end; a user has at most MAX_TOKENS of them.
*Left out*: the home's own token, which is a file (`manage.py cluster rotate-token`).
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractUser, User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from knox.models import AuthToken
from knox.settings import CONSTANTS

from nodes.errors import BadRequest, ErrorInfo, NotFound, StoreError, TooLarge
from txstore.api.paging import Page
from txstore.api.serializers import check_text, integer, refuse_unknown_fields, time_to_json

DEFAULT_LIFETIME_S = int(settings.REST_KNOX["TOKEN_TTL"].total_seconds())
MAX_LIFETIME_S = 366 * 86_400
MAX_TOKENS = 1_000
ID_PATTERN = f"^[0-9a-f]{{{CONSTANTS.TOKEN_KEY_LENGTH}}}$"


def make(asker: AbstractUser, data: Any) -> dict[str, Any]:
    """Make the token that a body describes; BadRequest, TooLarge, or forbidden."""
    refuse_unknown_fields(data, {"user", "lifetime_s"}, "The request")
    lifetime_s = integer(data.get("lifetime_s", DEFAULT_LIFETIME_S), 1, MAX_LIFETIME_S, '"lifetime_s"', -1)
    user = _owner(asker, data["user"]) if "user" in data else asker
    with transaction.atomic():
        owned = AuthToken.objects.filter(user=user)
        owned.filter(expiry__lt=timezone.now()).delete()
        if owned.count() >= MAX_TOKENS:
            raise TooLarge(f"{user.get_username()} has {MAX_TOKENS} tokens: revoke one first.")
        row, token = AuthToken.objects.create(user, timedelta(seconds=lifetime_s))
    return {**to_json(row), "token": token}


def visible(asker: AbstractUser) -> QuerySet[AuthToken]:
    """The tokens that the asker may see and revoke, those that have expired left out."""
    rows = AuthToken.objects.select_related("user").exclude(expiry__lt=timezone.now())
    return rows if asker.is_superuser else rows.filter(user=asker)


def page(asker: AbstractUser, page: Page) -> list[AuthToken]:
    """In the order of their ids."""
    return list(visible(asker).filter(token_key__gt=page.after).order_by("token_key")[: page.limit + 1])


def find(asker: AbstractUser, id: str) -> AuthToken:
    """NotFound for another user's token as for none."""
    row = visible(asker).filter(token_key=id).first() if re.fullmatch(ID_PATTERN, id) else None
    if row is None:
        raise NotFound(f"There is no token {id[:80]!r}.")
    return row


def to_json(row: AuthToken) -> dict[str, Any]:
    return {
        "id": row.token_key,
        "user": row.user.get_username(),
        "created_at": time_to_json(row.created),
        "expires_at": time_to_json(row.expiry) if row.expiry else None,
    }


def _owner(asker: AbstractUser, name: Any) -> AbstractUser:
    if not isinstance(name, str) or not name:
        raise BadRequest('"user" must be the name of a user.')
    check_text(name, '"user"', -1)
    if name == asker.get_username():
        return asker
    if not asker.is_superuser:
        raise StoreError.of(ErrorInfo("forbidden", "Only a superuser makes tokens for others."))
    user: AbstractUser | None = User.objects.filter(username=name, is_active=True).first()
    if user is None:
        raise NotFound(f"There is no active user {name[:80]!r}.")
    return user
