"""The verbs that operate on nodes: who is in the cluster, who is let in, who leaves and who takes its place.

Each order is written down in the cluster when it is answered; the groups follow by and by, and GET shows how far they
are. An order that was given before changes nothing.
"""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from nodes import ids
from nodes.errors import NotFound
from txstore import audit, store
from txstore.api.components import NODE
from txstore.api.openapi import OpenApiParameter, described, path_parameter
from txstore.api.serializers import member_to_json, ordered_to_json, read_flag, read_node, read_timeout
from txstore.api.store_view import StoreView
from txstore.members import members
from txstore.models import OPERATE, READ

WHICH = path_parameter("node", {**NODE, "maximum": ids.MAX_NODE})
FEWER = OpenApiParameter(
    "fewer_replicas",
    {"type": "boolean", "default": False},
    description="Also when not enough nodes are left for all replicas.",
)


class Nodes(StoreView):
    """GET lists the nodes."""

    needs = {"GET": READ, "HEAD": READ}

    @described(
        "nodes", "The nodes: members, those that leave, those that ask to be let in and those gone", (200, "Nodes")
    )
    def get(self, request: Request) -> Response:
        found = members(store.cluster().status(wide=True))
        return Response({"results": [member_to_json(each) for each in found]})


class OneNode(StoreView):
    """PUT lets a node in, DELETE has it leave."""

    needs = {"PUT": OPERATE, "DELETE": OPERATE}
    known = {"DELETE": ("fewer_replicas",)}

    @described(
        "add_node",
        "Let a node in that asks for it",
        (200, "NodeOrder"),
        body="Patience",
        errors=(404, 504),
        parameters=[WHICH],
    )
    def put(self, request: Request, node: int) -> Response:
        timeout = read_timeout(request.data)
        nodes = audit.add_node(_known(node), request.user.get_username(), "REST", timeout)
        return Response(ordered_to_json(nodes, node))

    @described(
        "remove_node",
        "Have a node leave; others take over its replicas",
        (200, "NodeOrder"),
        errors=(404, 504),
        parameters=[WHICH, FEWER],
    )
    def delete(self, request: Request, node: int) -> Response:
        fewer = read_flag(request.query_params, "fewer_replicas")
        nodes = audit.remove_node(_known(node), fewer, request.user.get_username(), "REST")
        return Response(ordered_to_json(nodes, node))


class NodeSuccessor(StoreView):
    """PUT has a node leave and another one take its place."""

    needs = {"PUT": OPERATE}

    @described(
        "replace_node",
        "Have a node leave, dead or alive, and a member take its place",
        (200, "NodeOrder"),
        body="Successor",
        errors=(404, 504),
        parameters=[WHICH],
    )
    def put(self, request: Request, node: int) -> Response:
        successor, timeout = read_node(request.data, "that shall take the place")
        nodes = audit.replace_node(_known(node), successor, request.user.get_username(), "REST", timeout)
        return Response(ordered_to_json(nodes, node))


def _known(node: int) -> int:
    """A number that a node can have."""
    if not 1 <= node <= ids.MAX_NODE:
        raise NotFound(f"There is no node n{str(node)[:80]}.")
    return node
