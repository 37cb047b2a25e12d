"""What clients ask a node over its connections, answered by the gateway, from its catalog or from the status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nodes import ids
from nodes.errors import BadRequest, StoreError, Unavailable
from nodes.requests import Fate, Leadership, Reply, Trace, Transactions
from nodes.runtime import listing
from nodes.runtime.connection import Connection
from nodes.runtime.gateway import Gateway
from nodes.runtime.messages import answers
from nodes.runtime.survey import Survey
from nodes.wire.protocol import (
    AskFate,
    AskShards,
    AskStatus,
    AskTables,
    AskTrace,
    AskTransactions,
    Call,
    Done,
    Failed,
    FateIs,
    LeadershipIs,
    Named,
    ShardsAre,
    StatusIs,
    TablesAre,
    TraceIs,
    TransactionsAre,
    TransferLeader,
)


class Clients:
    """`gateway()` is None until the cluster is founded; the survey answers what is asked of all nodes."""

    def __init__(self, gateway: Callable[[], Gateway | None], survey: Survey) -> None:
        self._gateway = gateway
        self._survey = survey

    def receive(self, connection: Connection, message: Any) -> None:
        if isinstance(message, AskStatus):
            number = message.number
            self._survey.status(message.wide, lambda status: _send(connection, StatusIs(number, status)))
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
        elif isinstance(message, AskTables):
            self._on_ask_tables(gateway, connection, message)
        elif isinstance(message, AskShards):
            _send(connection, ShardsAre(message.number, listing.shards(gateway.surroundings)))
        elif isinstance(message, TransferLeader):
            self._on_transfer_leader(gateway, connection, message)
        else:
            self._on_ask_fate(gateway, connection, message)

    def _on_survey(self, connection: Connection, message: AskTransactions | AskTrace) -> None:
        number = message.number

        def then(answer: Transactions | Trace | StoreError) -> None:
            if isinstance(answer, StoreError):
                _send(connection, Failed(number, answer.info))
            elif isinstance(answer, Transactions):
                _send(connection, TransactionsAre(number, answer))
            else:
                _send(connection, TraceIs(number, answer))

        if isinstance(message, AskTransactions):
            self._survey.transactions(message.filter, message.limit, message.after, then)
        else:
            self._survey.trace(message.id, then)

    def _on_call(self, gateway: Gateway, connection: Connection, message: Call) -> None:
        try:
            age = bytes.fromhex(message.age)
        except ValueError:
            age = b"?"
        if len(age) not in (0, ids.AGE_BYTES):
            words = f"age must be empty or {ids.AGE_BYTES} bytes in hexadecimal, as an error gave it"
            _send(connection, Failed(message.number, BadRequest(words).info))
            return

        def named(txn: str) -> None:
            if not connection.is_open:
                raise Unavailable("the client has gone, so nothing was begun")
            _send(connection, Named(message.number, txn))

        def ended(end: Reply | StoreError) -> None:
            if isinstance(end, StoreError):
                _send(connection, Failed(message.number, end.info))
            else:
                _send(connection, Done(message.number, end))

        gateway.submit(message.request, message.named, age, named, ended)

    def _on_ask_tables(self, gateway: Gateway, connection: Connection, message: AskTables) -> None:
        def then(error: StoreError | None) -> None:
            if error is not None:
                _send(connection, Failed(message.number, error.info))
            else:
                _send(connection, TablesAre(message.number, listing.tables(gateway.catalog, message)))

        gateway.inquiries.refresh_catalog(message.timeout_ms, then)

    def _on_transfer_leader(self, gateway: Gateway, connection: Connection, message: TransferLeader) -> None:
        def then(leadership: Leadership | StoreError) -> None:
            if isinstance(leadership, StoreError):
                _send(connection, Failed(message.number, leadership.info))
            else:
                _send(connection, LeadershipIs(message.number, leadership))

        gateway.inquiries.transfer_leader(message.group, message.to, message.timeout_ms, then)

    def _on_ask_fate(self, gateway: Gateway, connection: Connection, message: AskFate) -> None:
        def then(fate: Fate | StoreError) -> None:
            if isinstance(fate, StoreError):
                _send(connection, Failed(message.number, fate.info))
            else:
                _send(connection, FateIs(message.number, fate))

        gateway.inquiries.ask_fate(message.id, message.fence, message.timeout_ms, then, message.since)


def _send(connection: Connection, message: Any) -> None:
    connection.send(answers.encode(message))
