"""The blocking client against the transport."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from nodes.client.connection import Connection as ClientConnection
from nodes.client.connection import Ended, Unreachable
from nodes.errors import AuthenticationFailed
from tests.runtime.scene import (
    SECRET,
    WAIT_S,
    Scene,
    free_ports,
    requests,
    running,
)


def test_the_blocking_client_names_what_is_wrong(play: Scene) -> None:
    async def scene() -> None:
        async with running(1) as (n1,):
            address = ("127.0.0.1", n1.transport.port)
            with pytest.raises(AuthenticationFailed, match="the cluster secret was not proved"):
                await asyncio.to_thread(lambda: ClientConnection(address, b"a guess", WAIT_S))
            client = await asyncio.to_thread(lambda: ClientConnection(address, SECRET, WAIT_S))
            with pytest.raises(TimeoutError, match="gave no answer in time"):
                await asyncio.to_thread(lambda: client.receive(0.01))
            client.send(requests.encode("echo later"))
            assert await asyncio.to_thread(lambda: client.receive(WAIT_S)) == b"echo later"
            n1.asked[0][0].close()
            with pytest.raises(Ended, match="closed by the other end"):
                await asyncio.to_thread(lambda: client.receive(WAIT_S))
            with pytest.raises(ConnectionError):
                client.send(b"more")
        with pytest.raises(Unreachable, match="cannot be reached"):
            await asyncio.to_thread(lambda: ClientConnection(address, SECRET, WAIT_S))

    play(scene)


@pytest.mark.parametrize("is_reset", [False, True])
def test_a_reset_and_a_half_message_are_no_clean_end(play: Scene, is_reset: bool) -> None:
    async def scene() -> None:
        async with running(1) as (n1,):
            address = ("127.0.0.1", n1.transport.port)
            client = await asyncio.to_thread(lambda: ClientConnection(address, SECRET, WAIT_S))
            assert client.is_idle()
            client.send(requests.encode("echo later"))
            assert await asyncio.to_thread(lambda: client.receive(WAIT_S)) == b"echo later"
            transport = n1.asked[0][0]._transport
            if is_reset:
                client._socket.sendall(b"\0")  # unread at the close, so that the kernel resets
                linger = struct.pack("ii", 1, 0)
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                transport.abort()
            else:
                transport.write(b"\0\0\0\x09half")
                transport.close()
            with pytest.raises(ConnectionError) as caught:
                await asyncio.to_thread(lambda: client.receive(WAIT_S))
            assert not isinstance(caught.value, Ended)
            assert not client.is_idle()

    play(scene)


def test_a_connection_that_the_node_closed_is_not_idle(play: Scene) -> None:
    async def scene() -> None:
        async with running(1) as (n1,):
            address = ("127.0.0.1", n1.transport.port)
            client = await asyncio.to_thread(lambda: ClientConnection(address, SECRET, WAIT_S))
            client.send(requests.encode("echo once"))
            assert await asyncio.to_thread(lambda: client.receive(WAIT_S)) == b"echo once"
            assert client.is_idle()
            n1.asked[0][0].close()
            await n1.asked[0][0].ended
            assert not client.is_idle()

    play(scene)


def test_the_blocking_client_does_not_wait_for_ever_for_something_that_is_no_node(play: Scene) -> None:
    async def scene() -> None:
        async def chatter(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example.org ready\r\n")

        port = free_ports(1)[1]
        for answer, reason in ((lambda *_: None, "in time"), (chatter, "at most 1024")):
            server = await asyncio.start_server(answer, "127.0.0.1", port)
            with pytest.raises(Unreachable, match=reason):
                await asyncio.to_thread(lambda: ClientConnection(("127.0.0.1", port), SECRET, 0.2))
            server.close()
            await server.wait_closed()

    play(scene)
