"""The verbs for tokens."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from txstore.api import examples, throttles, tokens
from txstore.api.openapi import described, link, page_parameters, path_parameter
from txstore.api.paging import MAX_AFTER, PARAMETERS, page_to_json, read_page
from txstore.api.shapes import TEXT
from txstore.api.store_view import StoreView

BY_ID = page_parameters({"type": "string", "minLength": 1, "maxLength": MAX_AFTER, "pattern": TEXT})
ID = path_parameter("id", {"type": "string", "pattern": tokens.ID_PATTERN})


class Tokens(StoreView):
    """GET lists tokens, POST makes one; whoever has a token may."""

    needs = {}
    throttle_scope = throttles.TOKENS
    known = {"GET": PARAMETERS}

    @described(
        "tokens",
        "One's own tokens that have not expired, in the order of their ids; for a superuser, everybody's",
        (200, "Tokens"),
        parameters=BY_ID,
    )
    def get(self, request: Request) -> Response:
        page = read_page(request.path, request.query_params)
        found = tokens.page(request.user, page)
        return Response(page_to_json(page, found, lambda row: row.token_key, tokens.to_json))

    @described(
        "make_token",
        "Make a token",
        (201, "NewToken"),
        body="TokenRequest",
        errors=(404,),
        examples=examples.TOKENS,
        links={"token": link("token", "id", "/id"), "revoke": link("revoke_token", "id", "/id")},
    )
    def post(self, request: Request) -> Response:
        made = tokens.make(request.user, request.data)
        return Response(made, status=201, headers={"Location": f"/api/v1/tokens/{made['id']}"})


class OneToken(StoreView):
    """GET shows a token without its secret, DELETE revokes it."""

    needs = {}
    throttle_scope = throttles.TOKENS

    @described("token", "A token, without its secret", (200, "Token"), errors=(404,), parameters=[ID])
    def get(self, request: Request, id: str) -> Response:
        return Response(tokens.to_json(tokens.find(request.user, id)))

    @described("revoke_token", "Revoke a token", (204, None), errors=(404,), parameters=[ID])
    def delete(self, request: Request, id: str) -> Response:
        tokens.find(request.user, id).delete()
        return Response(status=204)
