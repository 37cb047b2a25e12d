"""The verbs that operate on groups."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from txstore import audit
from txstore.api.components import GROUP_PATTERN
from txstore.api.openapi import described, path_parameter
from txstore.api.serializers import leadership_to_json, read_node
from txstore.api.store_view import StoreView
from txstore.models import OPERATE

GROUP = path_parameter("group", {"type": "string", "pattern": GROUP_PATTERN})


class GroupLeader(StoreView):
    """PUT has a node lead the group."""

    needs = {"PUT": OPERATE}

    @described(
        "transfer_leader",
        "Have a node lead a group",
        (200, "Leadership"),
        body="Leader",
        errors=(404, 504),
        parameters=[GROUP],
    )
    def put(self, request: Request, group: str) -> Response:
        node, timeout = read_node(request.data, "that shall lead")
        now = audit.transfer_leader(group, node, request.user.get_username(), "REST", timeout)
        return Response(leadership_to_json(now))
