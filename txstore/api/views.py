"""The REST verbs. A view decides nothing: it reads the request, calls the client, writes the reply."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from nodes.errors import BadRequest, ErrorInfo, StoreError
from txstore import store
from txstore.api import errors, examples, readiness, traces
from txstore.api.components import ID_OR_KEY
from txstore.api.interactive import begun_to_json, is_interactive, read_begin
from txstore.api.openapi import KEY_HEADER, TRANSACTION_PAGE, described, link, path_parameter
from txstore.api.permissions import refusal
from txstore.api.serializers import fate_to_json, read_id, read_key, read_nothing, read_request, reply_to_json
from txstore.api.store_view import StoreView
from txstore.models import READ, WRITE

WITHIN = ("run_statements", "savepoint", "commit", "rollback", "fate")
READINESS_S = 3.0
ID = path_parameter("id", ID_OR_KEY)


class Transactions(StoreView):
    """GET lists transactions that the nodes remember. POST runs a one-shot transaction, or begins an interactive one.
    Of a user who may only read, the store runs a one-shot one as one that only reads."""

    needs = {"GET": READ, "POST": READ}
    known = {"GET": traces.PARAMETERS}
    keyed = ("POST",)

    @described(
        "transactions", "Transactions that the nodes remember", (200, "Transactions"), parameters=TRANSACTION_PAGE
    )
    def get(self, request: Request) -> Response:
        wanted = traces.read_wanted(request.query_params)
        page = store.cluster().transactions(wanted.filter, wanted.limit, wanted.after)
        return Response(traces.transactions_to_json(request.path, wanted, page))

    @described(
        "transact",
        "Run a transaction in one request, or begin an interactive one",
        (200, "Reply"),
        body="Transaction",
        errors=(409, 422, 504),
        parameters=[KEY_HEADER],
        examples=examples.TRANSACTIONS,
        links={"fate": link("fate", "id", "/id"), "fence": link("fence", "id", "/id")},
        begun=("Begun", {name: link(name, "id", "/id") for name in WITHIN}),
    )
    def post(self, request: Request) -> Response:
        key, data = read_key(request.META), request.data
        if is_interactive(data):
            return self._begin(request, *read_begin(data, key))
        wanted = read_request(data, key)
        if request.user.has_perm(WRITE):
            return Response(reply_to_json(store.cluster().submit(wanted)))
        wanted.read_only = True
        try:
            return Response(reply_to_json(store.cluster().submit(wanted)))
        except BadRequest as error:
            if error.info.sqlstate != "25006":
                raise
            raise StoreError.of(ErrorInfo("forbidden", refusal(request, WRITE), sqlstate="42501")) from error

    def _begin(self, request: Request, age: str, timeout: float) -> Response:
        if not request.user.has_perm(WRITE):
            raise PermissionDenied(refusal(request, WRITE))
        begun = store.cluster().transaction(timeout, age).begin()
        location = f"/api/v1/transactions/{begun.id}"
        return Response(begun_to_json(begun), status=201, headers={"Location": location})


class TransactionFate(StoreView):
    """GET tells what became of a transaction."""

    @described("fate", "What became of a transaction", (200, "Fate"), errors=(404, 504), parameters=[ID])
    def get(self, request: Request, id: str) -> Response:
        return Response(fate_to_json(store.cluster().fate(read_id(id))))


class TransactionTrace(StoreView):
    """GET tells the steps of a transaction."""

    @described("trace", "The steps of a transaction", (200, "Trace"), errors=(404, 504), parameters=[ID])
    def get(self, request: Request, id: str) -> Response:
        return Response(traces.trace_to_json(store.cluster().trace(read_id(id))))


class TransactionFence(StoreView):
    """POST makes sure that a transaction is committed or will never be."""

    @described(
        "fence",
        "Make sure that a transaction is committed or will never be",
        (200, "Fate"),
        body="Nothing",
        errors=(404, 504),
        parameters=[ID],
    )
    def post(self, request: Request, id: str) -> Response:
        read_nothing(request.data)
        return Response(fate_to_json(store.cluster().fence(read_id(id))))


class ClusterStatus(StoreView):
    """GET tells nodes, groups, leaders, lag and what is in doubt."""

    @described("cluster", "Nodes, groups, leaders, lag and what is in doubt", (200, "Cluster"))
    def get(self, request: Request) -> Response:
        return Response(store.cluster().status(wide=True))


@csrf_exempt
def no_such_path(request: HttpRequest) -> HttpResponse:
    """Whatever under /api/ is nothing else."""
    return errors.response(ErrorInfo("not_found", f"There is nothing at {request.path[:200]}."))


@csrf_exempt
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


@csrf_exempt
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
