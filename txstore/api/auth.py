"""Who may use the API: who holds the token in the home's `api-token` file.

The file is read once; a changed token is taken up by a restart of the web server.
"""

from __future__ import annotations

import functools
import hmac

from django.conf import settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request


class TokenHolder:
    """The user of a request that carried the token."""

    is_authenticated = True


@functools.cache
def expected_token() -> bytes:
    """The token of this home."""
    token: str = settings.HOME.api_token()
    return token.encode()


class BearerToken(BaseAuthentication):
    """`Authorization: Bearer TOKEN`; the comparison takes the same time wherever the tokens differ."""

    def authenticate(self, request: Request) -> tuple[TokenHolder, None] | None:
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not header:
            return None
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise AuthenticationFailed("The Authorization header must be: Bearer TOKEN.")
        if not hmac.compare_digest(token.strip().encode(), expected_token()):
            raise AuthenticationFailed("This is not the token.")
        return TokenHolder(), None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="txstore"'
