"""The verbs that show what the store is made of: tables and shards."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from txstore import store
from txstore.api import listings
from txstore.api.openapi import described, link, page_parameters, path_parameter
from txstore.api.paging import MAX_AFTER, PARAMETERS, page_to_json, read_page
from txstore.api.shapes import TEXT
from txstore.api.store_view import StoreView

BY_NAME = page_parameters({"type": "string", "minLength": 1, "maxLength": MAX_AFTER, "pattern": TEXT})
BY_SHARD = page_parameters({"type": "string", "pattern": listings.SHARD_PATTERN})


class Tables(StoreView):
    """GET lists the tables."""

    known = {"GET": PARAMETERS}

    @described(
        "tables",
        "The tables, in bytewise order of their names",
        (200, "Tables"),
        parameters=BY_NAME,
        links={"table": link("table", "name", "/results/0/name")},
    )
    def get(self, request: Request) -> Response:
        page = read_page(request.path, request.query_params)
        found = store.cluster().tables(page.after, page.limit + 1)
        return Response(page_to_json(page, found, lambda table: table.name, listings.table_to_json))


class OneTable(StoreView):
    """GET shows one table."""

    @described(
        "table",
        "A table",
        (200, "Table"),
        errors=(404,),
        parameters=[path_parameter("name", {"type": "string", "minLength": 1})],
    )
    def get(self, request: Request, name: str) -> Response:
        return Response(listings.table_to_json(store.cluster().table(listings.read_name(name))))


class Shards(StoreView):
    """GET lists the shards."""

    known = {"GET": PARAMETERS}

    @described("shards", "The shards, in the order of their numbers", (200, "Shards"), parameters=BY_SHARD)
    def get(self, request: Request) -> Response:
        page = read_page(request.path, request.query_params)
        found = listings.shards_after(store.cluster().shards(), page.after)
        return Response(page_to_json(page, found, lambda shard: shard.name, listings.shard_to_json))
