"""The REST verbs. A view decides nothing: it reads the request, calls the client, writes the reply."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from nodes.errors import ErrorInfo, StoreError
from txstore import store
from txstore.api import errors, readiness, traces
from txstore.api.serializers import fate_to_json, read_id, read_nothing, read_request, refuse_ignored, reply_to_json

READINESS_S = 3.0


class StoreView(APIView):
    """A verb of the store: after the token is checked, what would be ignored is refused. `known`: the query parameters
    of each method."""

    known: ClassVar[dict[str, tuple[str, ...]]] = {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        refuse_ignored(request.headers, request.query_params, self.known.get(request.method or "", ()))


class Transactions(StoreView):
    """GET lists transactions that the nodes remember, POST runs a one-shot transaction."""

    known = {"GET": traces.PARAMETERS}

    def get(self, request: Request) -> Response:
        wanted = traces.read_wanted(request.query_params)
        page = store.cluster().transactions(wanted.filter, wanted.limit, wanted.after)
        return Response(traces.transactions_to_json(request.path, wanted, page))

    def post(self, request: Request) -> Response:
        return Response(reply_to_json(store.cluster().submit(read_request(request.data))))


class TransactionFate(StoreView):
    """GET tells what became of a transaction."""

    def get(self, request: Request, id: str) -> Response:
        return Response(fate_to_json(store.cluster().fate(read_id(id))))


class TransactionTrace(StoreView):
    """GET tells the steps of a transaction."""

    def get(self, request: Request, id: str) -> Response:
        return Response(traces.trace_to_json(store.cluster().trace(read_id(id))))


class TransactionFence(StoreView):
    """POST makes sure that a transaction is committed or will never be."""

    def post(self, request: Request, id: str) -> Response:
        read_nothing(request.data)
        return Response(fate_to_json(store.cluster().fence(read_id(id))))


class ClusterStatus(StoreView):
    """GET tells nodes, groups, leaders, lag and what is in doubt."""

    def get(self, request: Request) -> Response:
        return Response(store.cluster().status(wide=True))


@csrf_exempt
def no_such_path(request: HttpRequest) -> HttpResponse:
    """Whatever under /api/ is nothing else."""
    return errors.response(ErrorInfo("not_found", f"There is nothing at {request.path[:200]}."))


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """The store can serve: a line for each check, 503 when one that is essential fails."""
    try:
        checks = readiness.judge(store.cluster().status(wide=True, timeout=READINESS_S))
    except StoreError as error:
        checks = readiness.unreachable(str(error))
    lines = "".join(f"{check}\n" for check in checks)
    if readiness.is_ready(checks):
        return HttpResponse(lines, content_type="text/plain")
    return HttpResponse(lines, status=503, headers={"Retry-After": "1"}, content_type="text/plain")
