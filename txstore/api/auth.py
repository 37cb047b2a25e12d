"""Who asks: `Authorization: Bearer TOKEN`, where the token is the home's own or one of knox's.

The home's token (the file `api-token`) belongs to the user `admin` and does not expire. The file is looked at for each
request, so that a rotated token counts at once. Every other token is a row of knox: its hash, its user, its end. What
the database said of a token is remembered for a few seconds, so that a request costs no question to the database.

*Invariants*: what is answered from memory was true at most REMEMBERED_S ago, and the token has not expired since. A
change of a user, group or token that this process makes counts at once.
*Left out*: sessions and passwords: a program that has no token yet gets one from the admin pages.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import time
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth.models import AbstractUser, Group, User
from django.db import DatabaseError, transaction
from django.db.models.signals import m2m_changed, post_delete, post_save
from django.utils import timezone
from knox.auth import TokenAuthentication
from knox.models import AuthToken
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from nodes.errors import Unavailable

ADMIN = "admin"
REMEMBERED_S = 5.0
REMEMBERED_MOST = 10_000
FORM = re.compile(r"[!-~]{1,200}")


class Holder(NamedTuple):
    """Whose a token is; `row` is None for the home's own. `until` is in seconds of the monotonic clock."""

    user: AbstractUser
    row: AuthToken | None
    until: float


class Memory:
    """Holders by the digest of their token. An answer that is older than a change is not taken in."""

    def __init__(self) -> None:
        self._holders: dict[bytes, Holder] = {}
        self.changes = 0

    def get(self, digest: bytes) -> Holder | None:
        holder = self._holders.get(digest)
        return holder if holder is not None and time.monotonic() < holder.until else None

    def put(self, digest: bytes, holder: Holder, changes: int) -> None:
        if changes == self.changes:
            if len(self._holders) >= REMEMBERED_MOST:
                self._holders.clear()
            self._holders[digest] = holder

    def clear(self) -> None:
        self.changes += 1
        self._holders.clear()


class HomeToken:
    """The digest of the file's token, read again when the file is another one; b"" while there is none."""

    def __init__(self) -> None:
        self._known: tuple[Any, bytes] = (None, b"")

    def digest(self, file: Path) -> bytes:
        try:
            found = os.stat(file)
            stamp = (file, found.st_ino, found.st_mtime_ns, found.st_size)
            if stamp != self._known[0]:
                token = file.read_text().strip()
                self._known = (stamp, digest_of(token) if token else b"")
        except FileNotFoundError:
            return b""
        return self._known[1]


class BearerToken(BaseAuthentication):
    """DRF's door. `request.auth` is knox's row, or None with the home's token."""

    def authenticate(self, request: Request) -> tuple[AbstractUser, AuthToken | None] | None:
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not header:
            return None
        scheme, _, token = header.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not FORM.fullmatch(token):
            raise AuthenticationFailed("The Authorization header must be: Bearer TOKEN.")
        digest = digest_of(token)
        is_home = hmac.compare_digest(digest, home_token.digest(settings.HOME.api_token_file))
        # The home's own token and a row of knox are told apart even if somebody made them equal.
        key = b"home" if is_home else digest
        holder = memory.get(key) or _asked(key, token, is_home)
        return holder.user, holder.row

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="txstore"'


memory = Memory()
home_token = HomeToken()


def digest_of(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _asked(key: bytes, token: str, is_home: bool) -> Holder:
    """What the database says, which is then remembered; AuthenticationFailed, Unavailable."""
    changes = memory.changes
    try:
        user, row = (_admin(), None) if is_home else TokenAuthentication().authenticate_credentials(token.encode())
    except AuthenticationFailed as error:
        raise AuthenticationFailed("The token is wrong, revoked or expired, or its user is not active.") from error
    except DatabaseError as error:
        raise Unavailable(f"the database of users could not be asked, so nothing was done: {error}") from error
    left = REMEMBERED_S
    if row is not None and row.expiry is not None:
        left = min(left, (row.expiry - timezone.now()).total_seconds())
    holder = Holder(user, row, time.monotonic() + left)
    memory.put(key, holder, changes)
    return holder


def _admin() -> AbstractUser:
    user: AbstractUser | None = User.objects.filter(username=ADMIN, is_active=True).first()
    if user is None:
        raise AuthenticationFailed
    return user


def _forget_when_users_change() -> None:
    for model in (AuthToken, User, Group):
        for signal in (post_save, post_delete):
            signal.connect(_forget, sender=model, dispatch_uid=f"forget {model.__name__}")
    for relation in (User.groups.through, User.user_permissions.through, Group.permissions.through):
        m2m_changed.connect(_forget, sender=relation, dispatch_uid="forget")


def _forget(**_: Any) -> None:
    """Others still read what was there before the change, until it is committed: what they learnt goes then."""
    memory.clear()
    transaction.on_commit(memory.clear)


_forget_when_users_change()
