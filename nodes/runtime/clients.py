"""What clients ask a node over its connections, answered by the gateway, from its catalog or from the status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nodes import ids
from nodes.core.membership import NodeFacts
from nodes.core.roster import ADD, Order
from nodes.errors import BadRequest, StoreError, Unavailable
from nodes.requests import Reply
from nodes.runtime import listing
from nodes.runtime.connection import Connection
from nodes.runtime.execution import HOME
from nodes.runtime.gateway import Gateway
from nodes.runtime.load import Load
from nodes.runtime.messages import answers
from nodes.runtime.survey import Survey
from nodes.wire.protocol import (
    COMMIT,
    AskShards,
    AskStatus,
    AskTables,
    AskTrace,
    AskTransactions,
    Begin,
    Call,
    ChangeNodes,
    Done,
    Failed,
    FateIs,
    LeadershipIs,
    Named,
    NodesAre,
    Opened,
    Ran,
    ShardsAre,
    StatusIs,
    TablesAre,
    ToClient,
    TraceIs,
    TransactionsAre,
    TransferLeader,
    Within,
)


class Clients:
    """`gateway()` is None until the cluster is founded; the survey answers what is asked of all nodes."""

    def __init__(self, gateway: Callable[[], Gateway | None], survey: Survey, load: Load) -> None:
        self._gateway = gateway
        self._survey = survey
        self._load = load

    def receive(self, connection: Connection, message: Any) -> None:
        if isinstance(message, AskStatus):
            self._survey.status(message.wide, _sender(connection, message.number, StatusIs))
            return
        if isinstance(message, AskTransactions | AskTrace):
            self._on_survey(connection, message)
            return
        gateway = self._gateway()
        if gateway is None:
            error = Unavailable("this node is not part of a running cluster yet; nothing happened")
            _send(connection, Failed(message.number, error.info))
        elif isinstance(message, Call):
            self._on_call(gateway, connection, message)
        elif isinstance(message, Begin):
            self._on_begin(gateway, connection, message)
        elif isinstance(message, Within):
            self._on_within(gateway, connection, message)
        elif isinstance(message, AskTables):
            self._on_ask_tables(gateway, connection, message)
        elif isinstance(message, AskShards):
            _send(connection, ShardsAre(message.number, listing.shards(gateway.surroundings)))
        elif isinstance(message, TransferLeader):
            then = _sender(connection, message.number, LeadershipIs)
            gateway.inquiries.transfer_leader(message.group, message.to, message.timeout_ms, then)
        elif isinstance(message, ChangeNodes):
            self._on_change_nodes(gateway, connection, message)
        else:
            then = _sender(connection, message.number, FateIs)
            gateway.inquiries.ask_fate(message.id, message.fence, message.timeout_ms, then, message.since)

    def _on_survey(self, connection: Connection, message: AskTransactions | AskTrace) -> None:
        if isinstance(message, AskTransactions):
            then = _sender(connection, message.number, TransactionsAre)
            self._survey.transactions(message.filter, message.limit, message.after, then)
        else:
            self._survey.trace(message.id, _sender(connection, message.number, TraceIs))

    def _on_begin(self, gateway: Gateway, connection: Connection, message: Begin) -> None:
        age = _age(connection, message)
        if age is not None:
            gateway.interactive.begin(age, _sender(connection, message.number, Opened))

    def _on_within(self, gateway: Gateway, connection: Connection, message: Within) -> None:
        answer = self._done if message.verb == COMMIT else Ran
        gateway.interactive.within(message, _sender(connection, message.number, answer))

    def _on_call(self, gateway: Gateway, connection: Connection, message: Call) -> None:
        age = _age(connection, message)
        if age is None:
            return

        def named(txn: str) -> None:
            if not connection.is_open:
                raise Unavailable("the client has gone, so nothing was begun")
            _send(connection, Named(message.number, txn))

        gateway.submit(message.request, message.named, age, named, _sender(connection, message.number, self._done))

    def _done(self, number: int, reply: Reply) -> Done:
        """The home's leader stamps and decides without a message, so clients are sent there until it is busy."""
        gateway = self._gateway()
        leader = gateway.surroundings.leader_of(HOME) if gateway is not None else 0
        is_busy = gateway is not None and leader == gateway.surroundings.node and self._load.is_high()
        return Done(number, reply, 0 if is_busy else leader)

    def _on_change_nodes(self, gateway: Gateway, connection: Connection, message: ChangeNodes) -> None:
        """Whom to add may have asked another node than this one."""

        def order(facts: NodeFacts | None) -> None:
            ordered = Order(message.action, message.node, message.successor, message.fewer, facts)
            then = _sender(connection, message.number, NodesAre)
            gateway.inquiries.change_nodes(ordered, message.timeout_ms, then)

        if message.action == ADD:
            self._survey.newcomer(message.node, order)
        else:
            order(None)

    def _on_ask_tables(self, gateway: Gateway, connection: Connection, message: AskTables) -> None:
        def then(error: StoreError | None) -> None:
            if error is not None:
                _send(connection, Failed(message.number, error.info))
            else:
                _send(connection, TablesAre(message.number, listing.tables(gateway.catalog, message)))

        gateway.inquiries.refresh_catalog(message.timeout_ms, then)


def _age(connection: Connection, message: Call | Begin) -> bytes | None:
    """None: it is none, and the client was told so."""
    try:
        age = bytes.fromhex(message.age)
    except ValueError:
        age = b"?"
    if len(age) in (0, ids.AGE_BYTES):
        return age
    words = f"age must be empty or {ids.AGE_BYTES} bytes in hexadecimal, as an error gave it"
    _send(connection, Failed(message.number, BadRequest(words).info))
    return None


def _sender(connection: Connection, number: int, answer: Callable[[int, Any], ToClient]) -> Callable[[Any], None]:
    """Takes what comes of call `number`: sends an error as Failed, all else as an `answer`."""

    def then(end: Any) -> None:
        is_error = isinstance(end, StoreError)
        _send(connection, Failed(number, end.info) if is_error else answer(number, end))

    return then


def _send(connection: Connection, message: Any) -> None:
    connection.send(answers.encode(message))
