"""The awaited form's surroundings: the running event loop and its transports.

A frame that was handed to the transport counts as sent: part of it may have left. Only what a transport is too full to
take in time is thrown away whole with it, and was certainly not sent whole.

*Left out*: which node, what is sent, what a loss means.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections import deque
from collections.abc import Callable
from typing import cast

from nodes.client.surroundings import Address, Surroundings

_PIECE_BYTES = 32 << 10


class Loop(Surroundings):
    """For clients whose callers are tasks of one loop."""

    def __init__(self) -> None:
        self._home: tuple[asyncio.AbstractEventLoop, int] | None = None  # the loop, and the process

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def dial(self, address: Address, seconds: float) -> Stream:
        try:
            async with asyncio.timeout(seconds):
                _, stream = await asyncio.get_running_loop().create_connection(Stream, *address)
        except TimeoutError as error:
            raise TimeoutError("timed out") from error
        return stream

    def turn(self) -> AwaitedTurn:
        return AwaitedTurn()

    def is_elsewhere(self) -> bool:
        loop, process = asyncio.get_running_loop(), os.getpid()
        if self._home is None:
            self._home = (loop, process)
        if self._home == (loop, process):
            return False
        if self._home[1] == process and not self._home[0].is_closed():
            raise RuntimeError("this client belongs to another event loop, which still lives: give each loop its own")
        self._home = (loop, process)
        return True


class Stream(asyncio.BufferedProtocol):
    """One connected transport, used by one call at a time. It is read into a buffer that is made once: a new one of the
    loop's size for each piece took a third of the time of a whole call."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._buffer = memoryview(bytearray(_PIECE_BYTES))
        self._pieces: deque[bytes] = deque()
        self._end: OSError | None = None  # it broke
        self._has_ended = False  # the other side closed it, behind all of its bytes
        self._is_full = False
        self._is_late = False  # what is waited for did not come in time
        self._waiter: asyncio.Future[None] | None = None

    # -- for the client
    async def send(self, data: bytes, seconds: float) -> None:
        if self._transport.is_closing():
            raise self._end or ConnectionError("the connection is closed")
        self._transport.write(data)
        try:
            await self._until(lambda: not self._is_full or self._end is not None, seconds)
        except BaseException:
            self._transport.abort()
            raise
        if self._is_full and self._end is not None:
            raise self._end

    async def receive(self, seconds: float, least: int = 1) -> bytes:
        await self._until(lambda: bool(self._pieces) or self._has_ended or self._end is not None, seconds)
        if self._pieces:
            return self._pieces.popleft()
        if self._end is not None and not self._has_ended:
            raise self._end
        return b""

    def is_quiet(self) -> bool:
        """The kernel is asked too: the loop may not have come to read what is there."""
        return not (self._pieces or self._has_ended or self._transport.is_closing() or self._readable.poll(0))

    def close(self) -> None:
        self._transport.abort()

    def abandon(self) -> None:
        """In a forked child the transport cannot be closed: its loop's selector is the parent's too. Its descriptor is
        made to lead nowhere instead. A loop that was closed has no use for its transports, and drops them."""
        if not self._loop.is_closed() and not self._transport.is_closing():
            with open(os.devnull, "rb") as nowhere:
                os.dup2(nowhere.fileno(), self._descriptor, inheritable=False)

    # -- for the loop
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        connected = transport.get_extra_info("socket")
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._descriptor: int = connected.fileno()
        self._readable = select.poll()
        self._readable.register(self._descriptor, select.POLLIN)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        self._pieces.append(bytes(self._buffer[:count]))
        self._wake()

    def eof_received(self) -> None:
        self._has_ended = True
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._end = error if isinstance(error, OSError) else ConnectionError("the connection is closed")
        self._wake()

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _on_late(self) -> None:
        self._is_late = True
        self._wake()

    async def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        """TimeoutError if the condition does not hold within the seconds."""
        if condition():
            return
        self._is_late = False
        timer = self._loop.call_later(max(0.0, seconds), self._on_late)
        try:
            while not condition():
                if self._is_late:
                    raise TimeoutError("nothing came in time")
                self._waiter = self._loop.create_future()
                await self._waiter
        finally:
            self._waiter = None
            timer.cancel()


class AwaitedTurn:
    """A future that is done when the turn comes."""

    def __init__(self) -> None:
        self._called: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait(self, seconds: float) -> None:
        await asyncio.wait([self._called], timeout=max(0.0, seconds))

    def call(self) -> None:
        if not self._called.done():
            self._called.set_result(None)
