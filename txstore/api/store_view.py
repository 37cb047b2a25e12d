"""What every verb of the store shares."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.views import APIView

from txstore.api import throttles
from txstore.api.permissions import USUAL
from txstore.api.serializers import refuse_ignored


class StoreView(APIView):
    """A verb of the store: after the token is checked, what would be ignored is refused.

    `needs` has the permission that each method asks for, `known` the query parameters that it takes, `keyed` the
    methods that take an `Idempotency-Key`.
    """

    http_method_names = ["get", "head", "post", "put", "patch", "delete", "trace"]
    needs: ClassVar[dict[str, str]] = USUAL
    known: ClassVar[dict[str, tuple[str, ...]]] = {}
    keyed: ClassVar[tuple[str, ...]] = ()
    throttle_scope = throttles.TRANSACTIONS

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        method = request.method or ""
        if method in self.allowed_methods:  # a method that is not taken is told so, whatever else is wrong
            method = "GET" if method == "HEAD" else method
            takes_key = method in self.keyed
            refuse_ignored(request.META, lambda: request.query_params, self.known.get(method, ()), takes_key)
