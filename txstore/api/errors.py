"""Every error as `application/problem+json` (RFC 9457): one table from codes to HTTP, and the doors that lead to it.

*Invariant*: an answer says whether the request happened; a 500 tells its trace to the log only, and that the outcome
is not known if the request could have had one.
"""

from __future__ import annotations

import logging
import math
from typing import Any, NamedTuple

import msgspec
from django.http import HttpRequest, HttpResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response

from nodes.errors import DID_NOT_HAPPEN, UNKNOWN, ErrorInfo, StoreError
from txstore.api.serializers import conflict_to_json, time_of

PROBLEM = "application/problem+json"
RETRY_AFTER_S = 1
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

logger = logging.getLogger("txstore.api")


class Row(NamedTuple):
    status: int
    title: str


TABLE = {
    "bad_request": Row(400, "The request is wrong"),
    "not_supported": Row(400, "Not supported"),
    "unauthenticated": Row(401, "A valid token is needed"),
    "forbidden": Row(403, "Not allowed"),
    "not_found": Row(404, "No such thing"),
    "method_not_allowed": Row(405, "This path does not take this method"),
    "conflict": Row(409, "Lost to another transaction"),
    "constraint": Row(409, "A constraint was violated"),
    "expectation_failed": Row(409, "Another number of rows than expected"),
    "aborted": Row(409, "The transaction is aborted for good"),
    "lock_not_available": Row(409, "A row is locked by another transaction"),
    "snapshot_too_old": Row(409, "The snapshot is too old"),
    "too_large": Row(413, "Too large"),
    "key_reused": Row(422, "The key belongs to another request"),
    "unsupported_media_type": Row(415, "The body must be application/json"),
    "too_many_requests": Row(429, "Too many requests; nothing happened"),
    "internal": Row(500, "A fault of the server"),
    "results_lost": Row(500, "Committed, but the answer was lost"),
    "unavailable": Row(503, "Not available now; nothing happened"),
    "outcome_unknown": Row(504, "It is not known whether it happened"),
}

_CODE_OF_EXCEPTION: list[tuple[type[exceptions.APIException], str]] = [
    (exceptions.NotAuthenticated, "unauthenticated"),
    (exceptions.AuthenticationFailed, "unauthenticated"),
    (exceptions.PermissionDenied, "forbidden"),
    (exceptions.NotFound, "not_found"),
    (exceptions.MethodNotAllowed, "method_not_allowed"),
    (exceptions.Throttled, "too_many_requests"),
    (exceptions.UnsupportedMediaType, "unsupported_media_type"),
    (exceptions.ParseError, "bad_request"),
]


def problem(info: ErrorInfo) -> dict[str, Any]:
    """The body that describes an error; what is not known of it is left out."""
    code = info.code if info.code in TABLE else "internal"
    body: dict[str, Any] = {
        "type": f"/docs/errors#{code}",
        "title": TABLE[code].title,
        "status": TABLE[code].status,
        "detail": info.message,
        "code": code,
        "outcome": info.outcome,
        "retryable": info.retryable,
    }
    if info.sqlstate:
        body["sqlstate"] = info.sqlstate
    if info.transaction:
        body["transaction"] = info.transaction
    if info.statement >= 0:
        body["statement"] = info.statement
    if "known_since" in info.detail:
        body["known_since"] = time_of(info.detail["known_since"])
    if "age" in info.detail:
        body["age"] = info.detail["age"]
    if info.conflict:
        body["conflict"] = conflict_to_json(info.conflict)
    return body


def headers(info: ErrorInfo) -> dict[str, str]:
    """What the status of an error asks for besides the body."""
    status = TABLE.get(info.code, TABLE["internal"]).status
    if status == 503:
        return {"Retry-After": str(RETRY_AFTER_S)}
    if status == 504 and info.transaction:
        return {"Location": f"/api/v1/transactions/{info.transaction}"}
    return {}


def on_exception(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's door: whatever a view, a parser or the authentication raised."""
    if isinstance(error, StoreError):
        return _response(error.info, headers(error.info))
    if isinstance(error, exceptions.APIException):
        return _of_api_exception(error)
    request = context["request"]
    logger.error("%s %s failed", request.method, request.path, exc_info=error)
    return _response(_internal(request.method))


def _of_api_exception(error: exceptions.APIException) -> Response:
    code = next((code for kind, code in _CODE_OF_EXCEPTION if isinstance(error, kind)), "internal")
    if isinstance(error, exceptions.Throttled):
        seconds = math.ceil(error.wait or RETRY_AFTER_S)
        words = f"The caller has used up its requests. The next one is taken in {seconds} s."
        return _response(ErrorInfo(code, words, retryable=True), {"Retry-After": str(seconds)})
    auth_header = getattr(error, "auth_header", None)
    return _response(ErrorInfo(code, str(error.detail)), {"WWW-Authenticate": auth_header} if auth_header else {})


def _internal(method: str | None) -> ErrorInfo:
    outcome = DID_NOT_HAPPEN if method in SAFE_METHODS else UNKNOWN
    return ErrorInfo("internal", "The server failed; its log says how.", outcome=outcome)


def _response(info: ErrorInfo, extra: dict[str, str] | None = None) -> Response:
    body = problem(info)
    return Response(body, status=body["status"], headers=extra, content_type=PROBLEM)


def response(info: ErrorInfo) -> HttpResponse:
    """The same outside of DRF."""
    body = problem(info)
    return HttpResponse(msgspec.json.encode(body), status=body["status"], headers=headers(info), content_type=PROBLEM)


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """What Django itself refuses: a host that is not allowed, a malformed request."""
    if _is_api(request):
        return response(ErrorInfo("bad_request", "The request is malformed, or for a host that is not served here."))
    return defaults.bad_request(request, exception)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_api(request):
        return response(ErrorInfo("forbidden", "Not allowed."))
    return defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_api(request):
        return response(ErrorInfo("not_found", f"There is nothing at {request.path[:200]}."))
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    if _is_api(request):
        return response(_internal(request.method))
    return defaults.server_error(request)
