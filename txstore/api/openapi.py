"""The OpenAPI document: what each view says of itself, the shapes of `components`, and the errors of every path.

A view's method is `described`; the errors that it names become answers in problem+json, each with the codes of its
status and an example made by the same function as the error itself. The document is built once in a process.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from nodes.requests import FILTERS, MOST_TRANSACTIONS, NEWEST
from txstore.api import errors, paging, traces
from txstore.api.components import SCHEMAS
from txstore.api.examples import PROBLEMS
from txstore.api.shapes import Schema, ref

EVERYWHERE = (400, 401, 403, 429, 500, 503)
WITH_BODY = (413, 415)
HEADERS: dict[int, dict[str, Schema]] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}},
    429: {"Retry-After": {"schema": {"type": "integer", "minimum": 1}, "required": True}},
    503: {"Retry-After": {"schema": {"type": "integer", "minimum": 1}, "required": True}},
    504: {"Location": {"schema": {"type": "string", "format": "uri-reference"}}},
}
CREATED = {"Location": {"schema": {"type": "string", "format": "uri-reference"}, "required": True}}
Verb = Callable[..., Any]


def _open(name: str, summary: str, *statuses: int, kind: str = "text/plain") -> Schema:
    """A path that needs no token."""
    content = {kind: {"schema": {"type": "object" if kind == "application/json" else "string"}}}
    answers = {str(status): {"description": "", "content": content} for status in statuses}
    return {"get": {"operationId": name, "summary": summary, "security": [{}], "responses": answers}}


OPEN_PATHS = {
    "/healthz": _open("healthz", "Does the web server run?", 200),
    "/readyz": _open("readyz", "Can the store serve? A line for each check.", 200, 503),
    "/api/schema/": _open("schema", "This document.", 200, kind="application/json"),
    "/api/docs/": _open("docs", "This document as a page.", 200, kind="text/html"),
}


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How a request shows its token."""

    target_class = "txstore.api.auth.BearerToken"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> Schema:
        return {"type": "http", "scheme": "bearer"}


def described(
    name: str,
    summary: str,
    answer: tuple[int, str | None],
    *,
    body: str | None = None,
    errors: Sequence[int] = (),
    parameters: Sequence[OpenApiParameter] = (),
    examples: Sequence[OpenApiExample] = (),
    links: dict[str, Schema] | None = None,
    begun: tuple[str, dict[str, Schema]] | None = None,
) -> Callable[[Verb], Verb]:
    """What the document says of a view's method: its name, its answer (status and component), the body it takes, the
    errors it has besides those that every path has, and what an answer's id is good for. `begun`: the component and the
    links of a 201 that it may answer instead."""
    status, component = answer
    responses = {status: OpenApiResponse(ref(component) if component else None, summary)}
    told_links = {str(status): links or {}}
    if begun is not None:
        responses[201] = OpenApiResponse(ref(begun[0]), summary)
        told_links["201"] = begun[1]
    told = sorted({*EVERYWHERE, *errors, *(WITH_BODY if body else ())})
    return extend_schema(
        operation_id=name,
        summary=summary,
        request={"application/json": ref(body)} if body else None,
        responses=responses,
        parameters=list(parameters),
        examples=list(examples),
        extensions={"x-errors": told, "x-links": told_links},
    )


def page_parameters(after: Schema) -> list[OpenApiParameter]:
    """The parameters of a list; `after` is what the names or ids of its entries look like."""
    limit = {"type": "integer", "minimum": 1, "maximum": paging.MAX_LIMIT, "default": paging.DEFAULT_LIMIT}
    words = "The name or id of the last entry of the page before."
    return [OpenApiParameter("limit", limit), OpenApiParameter("after", after, description=words)]


KEY_HEADER = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "format": "uuid"},
    OpenApiParameter.HEADER,
    description="A UUID. Under one key a request happens at most once; a repeat is told the first outcome.",
)
_AFTER = "What `next` of the page before says."
TRANSACTION_PAGE = [
    OpenApiParameter("filter", {"enum": list(FILTERS), "default": NEWEST}),
    OpenApiParameter(
        "limit", {"type": "integer", "minimum": 1, "maximum": MOST_TRANSACTIONS, "default": traces.DEFAULT_LIMIT}
    ),
    OpenApiParameter("after", {"type": "string", "pattern": traces.CURSOR}, description=_AFTER),
]


def path_parameter(name: str, schema: Schema) -> OpenApiParameter:
    return OpenApiParameter(name, schema, OpenApiParameter.PATH)


def link(operation: str, parameter: str, at: str) -> Schema:
    """An answer's value, found `at` its body, is a parameter of another operation."""
    return {"operationId": operation, "parameters": {parameter: f"$response.body#{at}"}}


def finish(result: Schema, **_: Any) -> Schema:
    """drf-spectacular's last step: errors, links and the open paths."""
    result["components"].setdefault("schemas", {}).update(SCHEMAS)
    result["components"]["responses"] = {f"Error{status}": _error(status) for status in _statuses()}
    for operations in result["paths"].values():
        for operation in operations.values():
            _finish_operation(operation)
    result["paths"].update(OPEN_PATHS)
    return result


def _finish_operation(operation: Schema) -> None:
    links = operation.pop("x-links", {})
    for status, answer in operation["responses"].items():
        if links.get(status):
            answer["links"] = links[status]
        if status == "201":
            answer["headers"] = CREATED
    for status in operation.pop("x-errors", EVERYWHERE):
        operation["responses"][str(status)] = {"$ref": f"#/components/responses/Error{status}"}
    for content in operation.get("requestBody", {}).get("content", {}).values():
        shape = SCHEMAS.get(content["schema"].get("$ref", "").rpartition("/")[2], {})
        operation["requestBody"]["required"] = bool(shape.get("required") or shape.get("anyOf"))


@functools.cache
def document() -> Schema:
    """The OpenAPI document."""
    found: Schema = SchemaGenerator().get_schema(request=None, public=True)
    return found


def _statuses() -> list[int]:
    return sorted({row.status for row in errors.TABLE.values()})


def _error(status: int) -> Schema:
    codes = [code for code, row in errors.TABLE.items() if row.status == status]
    properties = {"status": {"const": status}, "code": {"enum": codes}}
    told = {info.code: {"value": errors.problem(info)} for info in PROBLEMS if info.code in codes}
    content = {"schema": {"allOf": [ref("Problem"), {"properties": properties}]}, "examples": told}
    words = "; ".join(f"`{code}`: {errors.TABLE[code].title}" for code in codes)
    found: Schema = {"description": words, "content": {errors.PROBLEM: content}}
    return {**found, "headers": HEADERS[status]} if status in HEADERS else found
