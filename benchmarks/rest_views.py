"""The peers behind REST: a view that does nothing, and one that moves money by two-phase commit over two PostgreSQL.

Both stand on the product's own server, middleware, authentication, parser and renderer. `TXSTORE_BENCH_DSNS` names the
servers. Each of the web server's threads keeps its own connections, as a careful author would have it.
"""

from __future__ import annotations

import json
import os
import secrets
import threading

from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from benchmarks.postgres import TwoPhase
from txstore.api.views import healthz

_own = threading.local()


class Nothing(APIView):
    """Takes a body, and answers."""

    def post(self, request: Request) -> Response:
        return Response({"state": "committed", "statements": len(request.data["statements"])})


class Transfer(APIView):
    """`{"source", "target"}`: one from the one to the other, on two servers."""

    def post(self, request: Request) -> Response:
        if not hasattr(_own, "servers"):
            _own.servers = TwoPhase(json.loads(os.environ["TXSTORE_BENCH_DSNS"]), secrets.token_hex(8))
        _own.servers.move(request.data["source"], request.data["target"])
        return Response({"state": "committed"})


urlpatterns = [
    path("healthz", healthz),
    path("nothing", Nothing.as_view()),
    path("transfer", Transfer.as_view()),
]
