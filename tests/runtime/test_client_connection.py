"""A client's connection against the transport, on threads and on the loop."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from nodes.client.aio.streams import Loop
from nodes.client.connection import Connection, Ended, Unreachable
from nodes.client.threads import Threads, run
from nodes.errors import AuthenticationFailed
from tests.runtime.scene import (
    SECRET,
    WAIT_S,
    Node,
    Scene,
    free_ports,
    requests,
    running,
)


class Form:
    """One of the client's two forms, both awaited: what blocks does so in a thread."""

    def __init__(self, name: str) -> None:
        self.surroundings = Threads() if name == "blocking" else Loop()
        self.does_block = name == "blocking"

    async def do(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return await asyncio.to_thread(run, coroutine) if self.does_block else await coroutine

    async def open(self, port: int, secret: bytes = SECRET, seconds: float = WAIT_S) -> Connection:
        opened: Connection = await self.do(Connection.open(self.surroundings, ("127.0.0.1", port), secret, seconds))
        return opened

    async def echo(self, client: Connection, words: str) -> None:
        await self.do(client.send(requests.encode(words), WAIT_S))
        assert await self.do(client.receive(WAIT_S)) == words.encode()


@pytest.fixture(params=["blocking", "awaited"])
def form(request: pytest.FixtureRequest) -> Callable[[], Form]:
    return lambda: Form(request.param)


async def until_not_idle(client: Connection) -> None:
    """What the other side did has then arrived here."""
    async with asyncio.timeout(WAIT_S):
        while client.is_idle():
            await asyncio.sleep(0)


def transport_of(node: Node) -> Any:
    return node.asked[0][0]._transport


def test_a_connection_names_what_is_wrong(play: Scene, form: Callable[[], Form]) -> None:
    async def scene() -> None:
        by = form()
        async with running(1) as (n1,):
            port = n1.transport.port
            with pytest.raises(AuthenticationFailed, match="the cluster secret was not proved"):
                await by.open(port, b"a guess")
            client = await by.open(port)
            with pytest.raises(TimeoutError, match="gave no answer in time"):
                await by.do(client.receive(0.01))
            await by.echo(client, "echo later")
            n1.asked[0][0].close()
            with pytest.raises(Ended, match="closed by the other end"):
                await by.do(client.receive(WAIT_S))
            with pytest.raises(ConnectionError):
                await by.do(client.send(b"more", WAIT_S))
        with pytest.raises(Unreachable, match="cannot be reached"):
            await by.open(port)

    play(scene)


@pytest.mark.parametrize("is_reset", [False, True])
def test_a_reset_and_a_half_message_are_no_clean_end(play: Scene, form: Callable[[], Form], is_reset: bool) -> None:
    async def scene() -> None:
        by = form()
        async with running(1) as (n1,):
            client = await by.open(n1.transport.port)
            assert client.is_idle()
            await by.echo(client, "echo later")
            if is_reset:
                await by.do(client._socket.send(b"\0", WAIT_S))  # unread at the close, so that the kernel resets
                linger = struct.pack("ii", 1, 0)
                transport_of(n1).get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                transport_of(n1).abort()
            else:
                transport_of(n1).write(b"\0\0\0\x09half")
                transport_of(n1).close()
            with pytest.raises(ConnectionError) as caught:
                await by.do(client.receive(WAIT_S))
            assert not isinstance(caught.value, Ended)
            assert not client.is_idle()

    play(scene)


def test_a_connection_that_the_node_closed_is_not_idle(play: Scene, form: Callable[[], Form]) -> None:
    async def scene() -> None:
        by = form()
        async with running(1) as (n1,):
            client = await by.open(n1.transport.port)
            await by.echo(client, "echo once")
            assert client.is_idle()
            n1.asked[0][0].close()
            await n1.asked[0][0].ended
            await until_not_idle(client)

    play(scene)


def test_a_client_does_not_wait_for_ever_for_something_that_is_no_node(play: Scene, form: Callable[[], Form]) -> None:
    async def scene() -> None:
        by = form()

        async def chatter(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example.org ready\r\n")

        port = free_ports(1)[1]
        for answer, reason in ((lambda *_: None, "in time"), (chatter, "at most 1024")):
            server = await asyncio.start_server(answer, "127.0.0.1", port)
            with pytest.raises(Unreachable, match=reason):
                await by.open(port, seconds=0.2)
            server.close()
            await server.wait_closed()

    play(scene)
