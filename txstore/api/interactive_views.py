"""The verbs within an interactive transaction. Any web worker takes any of them: the transaction lives at a node.

What is asked here has no number, so an answer that was lost is not asked for again: the caller is told so.
"""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from txstore import store
from txstore.api import examples
from txstore.api.interactive import (
    NAME_PATTERN,
    open_to_json,
    ran_to_json,
    read_name,
    read_savepoint,
    read_steps,
    rolled_back_to_json,
)
from txstore.api.openapi import described, link, path_parameter
from txstore.api.serializers import read_nothing, read_timeout, reply_to_json
from txstore.api.shapes import TRANSACTION_ID
from txstore.api.store_view import StoreView

ID = path_parameter("id", TRANSACTION_ID)
NAME = path_parameter("name", {"type": "string", "pattern": NAME_PATTERN})


class TransactionStatements(StoreView):
    """POST runs statements in an open transaction."""

    @described(
        "run_statements",
        "Run statements in an open transaction, all of them or none",
        (200, "Ran"),
        body="Statements",
        errors=(404, 409),
        parameters=[ID],
        examples=examples.STATEMENTS,
        links={"commit": link("commit", "id", "/id"), "rollback": link("rollback", "id", "/id")},
    )
    def post(self, request: Request, id: str) -> Response:
        statements, timeout = read_steps(request.data)
        return Response(ran_to_json(id, store.cluster().opened(id, timeout).submit(statements)))


class TransactionCommit(StoreView):
    """POST commits an open transaction."""

    @described(
        "commit",
        "Commit an open transaction",
        (200, "Reply"),
        body="Patience",
        errors=(404, 409, 504),
        parameters=[ID],
        links={"fate": link("fate", "id", "/id")},
    )
    def post(self, request: Request, id: str) -> Response:
        timeout = read_timeout(request.data)
        return Response(reply_to_json(store.cluster().opened(id, timeout).commit()))


class TransactionRollback(StoreView):
    """POST rolls an open transaction back."""

    @described(
        "rollback",
        "Roll an open transaction back",
        (200, "RolledBack"),
        body="Nothing",
        errors=(404, 409),
        parameters=[ID],
        links={"fate": link("fate", "id", "/id")},
    )
    def post(self, request: Request, id: str) -> Response:
        read_nothing(request.data)
        store.cluster().opened(id).rollback()
        return Response(rolled_back_to_json(id))


class Savepoints(StoreView):
    """POST makes a savepoint in an open transaction."""

    @described(
        "savepoint",
        "Make a savepoint in an open transaction",
        (200, "Open"),
        body="Savepoint",
        errors=(404, 409),
        parameters=[ID],
        examples=examples.SAVEPOINTS,
        links={"statements": link("run_statements", "id", "/id")},
    )
    def post(self, request: Request, id: str) -> Response:
        store.cluster().opened(id).savepoint(read_savepoint(request.data))
        return Response(open_to_json(id))


class SavepointRollback(StoreView):
    """POST goes back to a savepoint."""

    @described(
        "rollback_to_savepoint",
        "Undo what came after a savepoint",
        (200, "Open"),
        body="Nothing",
        errors=(404, 409),
        parameters=[ID, NAME],
        links={"statements": link("run_statements", "id", "/id")},
    )
    def post(self, request: Request, id: str, name: str) -> Response:
        read_nothing(request.data)
        store.cluster().opened(id).rollback_to(read_name(name))
        return Response(open_to_json(id))
