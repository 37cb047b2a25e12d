"""What a user may do: `read`, `write` and `operate` are Django permissions, held by users, groups and every superuser.

A view says in `needs` which permission each of its methods asks for (USUAL if it says nothing); a method that is not
there needs only a token.
"""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from txstore.models import OPERATE, READ, WRITE

USUAL = {"GET": READ, "HEAD": READ, "POST": WRITE}
WORDS = {
    READ: "read the store: that takes the group readers or writers",
    WRITE: "write: that takes the group writers",
    OPERATE: "say who leads and which nodes there are: that takes the group operators",
}


class HasWhatItNeeds(BasePermission):
    """DRF's door; False without a user, which is then told to send a token."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if request.user is None:
            return False
        needed = getattr(view, "needs", USUAL).get(request.method)
        if needed is not None and not request.user.has_perm(needed):
            raise PermissionDenied(refusal(request, needed))
        return True


def refusal(request: Request, needed: str) -> str:
    """Why the user may not do this."""
    return f"The user {request.user.get_username()} may not {WORDS[needed]}."
