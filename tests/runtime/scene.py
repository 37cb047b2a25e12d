"""A node's transport with a memory, and hand-made peers and clients, over real sockets on 127.0.0.1."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from nodes.client.connection import Connection as ClientConnection
from nodes.client.threads import Threads, run
from nodes.runtime.transport import Connection, Limits, Transport
from nodes.wire.codec import Codec
from nodes.wire.frames import FORMAT, Splitter, encode_frame
from nodes.wire.handshake import CLIENT, NODE, Handshake, Hello

WAIT_S = 30
SECRET, CLUSTER = b"open sesame", b"cluster 1"
QUICK = Limits(retry_first_s=0.01, retry_most_s=0.1)
IMPATIENT = Limits(retry_first_s=0.01, retry_most_s=0.1, handshake_s=0.2)

messages: Codec[list[int | bytes]] = Codec(list[int | bytes])
requests: Codec[str] = Codec(str)

Scene = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


@dataclass(eq=False)
class Node:
    """A transport and all that it told."""

    number: int
    ports: dict[int, int]
    options: dict[str, Any]
    received: list[tuple[int, list[Any]]] = field(default_factory=list)
    up: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    asked: list[tuple[Connection, str]] = field(default_factory=list)
    gone: list[Connection] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.changed = asyncio.Event()
        self.on_request: Callable[[Connection, str], Any] = self._on_request
        log = logging.Logger(f"n{self.number}")
        handler = logging.Handler()
        handler.emit = lambda record: self._note(self.lines, record.getMessage())  # type: ignore[method-assign]
        log.addHandler(handler)
        options: dict[str, Any] = {"secret": SECRET, "limits": QUICK, "incarnation": b"i%d" % self.number}
        self.transport = Transport(
            **{"cluster_id": lambda: CLUSTER, **options, **self.options},
            node=self.number,
            addresses={number: ("127.0.0.1", port) for number, port in self.ports.items()},
            listen=("127.0.0.1", self.ports[self.number]),
            decode=messages.decode,
            decode_client=requests.decode,
            on_peer_message=lambda peer, batch: self._note(self.received, (peer, batch)),
            on_peer_up=lambda peer: self._note(self.up, peer),
            on_peer_lost=lambda peer: self._note(self.lost, peer),
            on_client_message=lambda connection, request: self.on_request(connection, request),
            on_client_lost=lambda connection: self._note(self.gone, connection),
            log=log,
        )

    def _note(self, events: list[Any], event: Any) -> None:
        events.append(event)
        self.changed.set()

    def _on_request(self, connection: Connection, request: str) -> None:
        self._note(self.asked, (connection, request))
        if request.startswith("echo "):
            connection.send(request.encode())

    async def until(self, condition: Callable[[], bool]) -> None:
        async def wait() -> None:
            while not condition():
                self.changed.clear()
                await self.changed.wait()

        await asyncio.wait_for(wait(), WAIT_S)

    def of_bodies(self, peer: int) -> list[Any]:
        return [message for sender, batch in self.received if sender == peer for message in batch]


def free_ports(count: int) -> dict[int, int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return {number: one.getsockname()[1] for number, one in enumerate(sockets, start=1)}


@asynccontextmanager
async def running(count: int = 1, **options: Any) -> AsyncIterator[list[Node]]:
    """Nodes n1.. that all know each other; connected, if there are several."""
    ports = free_ports(count)
    nodes = [Node(number, ports, options) for number in ports]
    try:
        for node in nodes:
            await node.transport.start()
        for node in nodes:
            await node.until(lambda node=node: len(node.up) == count - 1)  # type: ignore[misc]
        yield nodes
    finally:
        for node in nodes:
            await node.transport.stop()


async def stranger(node: Node) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", node.transport.port, limit=1 << 26)


async def enter(node: Node, number: int = 0, secret: bytes = SECRET, **changes: Any) -> asyncio.StreamWriter:
    """Connect as a client, or as the node `number`, by hand."""
    reader, writer = await stranger(node)
    fields = {"format": FORMAT, "role": NODE if number else CLIENT, "node": number, "cluster": CLUSTER}
    hello = Hello(**{**fields, "incarnation": b"i%d" % number, "nonce": random.randbytes(32), **changes})
    handshake, splitter = Handshake(secret, hello, is_dialler=True), Splitter(1000)
    answers = handshake.begin()
    while not handshake.is_done:
        writer.writelines(encode_frame(answer) for answer in answers)
        data = await reader.read(1000)
        assert data, "closed during the handshake"
        answers = [answer for body in splitter.feed(data) for answer in handshake.receive(body)]
    return writer


async def ask(node: Node, request: str) -> str:
    """Request and answer by the blocking client, in a thread."""

    def ask() -> str:
        client = run(ClientConnection.open(Threads(), ("127.0.0.1", node.transport.port), SECRET, WAIT_S))
        run(client.send(requests.encode(request), WAIT_S))
        answer = run(client.receive(WAIT_S)).decode()
        client.close()
        return answer

    return await asyncio.to_thread(ask)


async def must_be_closed(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        while await asyncio.wait_for(reader.read(1 << 16), WAIT_S):
            pass


async def is_whole(node: Node) -> None:
    assert await ask(node, "echo still here") == "echo still here"
