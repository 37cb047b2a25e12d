"""The blocking form's surroundings: the threads of the caller, and sockets of the operating system.

Every method that is awaited does its work before it returns and never suspends, so `run` takes a coroutine of the
client to its end in one step, without a loop. To receive is one system call, for each lets another thread in: the
kernel itself waits, for as long and for as many bytes as the socket was told last, which is seldom anything new.

*Left out*: which node, what is sent, what a loss means.
"""

from __future__ import annotations

import queue
import select
import socket
import struct
import threading
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from nodes.client.surroundings import Address, Surroundings

T = TypeVar("T")

_PIECE_BYTES = 64 << 10


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """What the coroutine returns or raises; it must stand on `Threads` alone."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise AssertionError("a blocking call suspended")


class Threads(Surroundings):
    """For clients whose callers are threads."""

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def dial(self, address: Address, seconds: float) -> BlockingSocket:
        deadline = time.monotonic() + seconds
        failure = OSError(f"{address[0]} has no address")
        for family, kind, protocol, _, where in _look_up(address, seconds):
            try:
                return BlockingSocket(_connected(socket.socket(family, kind, protocol), where, deadline))
            except OSError as error:
                failure = error
        raise failure

    def turn(self) -> BlockingTurn:
        return BlockingTurn()


class BlockingSocket:
    """One connected socket, used by one thread at a time."""

    __slots__ = ("_least", "_seconds", "_socket")

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(True)
        self._socket = connected
        self._seconds, self._least = 0.0, 1  # as the kernel was told; 0: without end

    async def send(self, data: bytes, seconds: float) -> None:
        sent = self._send_some(data)
        if sent == len(data):
            return
        deadline, rest, writable = time.monotonic() + seconds, memoryview(data)[sent:], select.poll()
        writable.register(self._socket, select.POLLOUT)
        while rest:
            if not writable.poll(_milliseconds(deadline - time.monotonic())):
                raise TimeoutError(f"{len(rest)} of {len(data)} bytes were not taken in time")
            rest = rest[self._send_some(rest) :]

    async def receive(self, seconds: float, least: int = 1) -> bytes:
        if seconds != self._seconds:
            self._seconds = seconds
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(seconds))
        if least != self._least:
            self._least = least
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, least)
        try:
            return self._socket.recv(_PIECE_BYTES)
        except BlockingIOError:
            raise TimeoutError("nothing came in time") from None

    def is_quiet(self) -> bool:
        try:
            self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def close(self) -> None:
        self._socket.close()

    def abandon(self) -> None:
        """Closing it here sends nothing while the parent has it open."""
        self._socket.close()

    def _send_some(self, data: bytes | memoryview) -> int:
        try:
            return self._socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0


class BlockingTurn:
    """A lock that is held until the turn comes."""

    __slots__ = ("_closed",)

    def __init__(self) -> None:
        self._closed = threading.Lock()
        self._closed.acquire()

    async def wait(self, seconds: float) -> None:
        self._closed.acquire(timeout=max(0.0, min(seconds, threading.TIMEOUT_MAX)))

    def call(self) -> None:
        self._closed.release()


def _timeval(seconds: float) -> bytes:
    """For the kernel, for which none would be without end."""
    micros = max(1, int(min(seconds, 86_400.0) * 1_000_000))
    return struct.pack("ll", *divmod(micros, 1_000_000))


def _milliseconds(seconds: float) -> float:
    """For poll, which takes neither a negative number nor one of 32 bits or more."""
    return max(0.0, min(seconds, 86_400.0)) * 1000


def _connected(sock: socket.socket, where: Any, deadline: float) -> socket.socket:
    """The socket, connected; closed if that failed."""
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(max(0.001, deadline - time.monotonic()))
        sock.connect(where)
    except BaseException:
        sock.close()
        raise
    return sock


def _look_up(address: Address, seconds: float) -> list[Any]:
    """What getaddrinfo gives. A name is looked up in a thread of its own: the resolver knows no time-out."""
    host, port = address
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        answers: queue.SimpleQueue[list[Any] | OSError] = queue.SimpleQueue()
    threading.Thread(target=_ask_resolver, args=(address, answers), name=f"look up {host}", daemon=True).start()
    try:
        answer = answers.get(timeout=max(0.0, seconds))
    except queue.Empty:
        raise TimeoutError(f"the address of {host} was not found in time") from None
    if isinstance(answer, OSError):
        raise answer
    return answer


def _ask_resolver(address: Address, answers: queue.SimpleQueue[list[Any] | OSError]) -> None:
    try:
        answers.put(socket.getaddrinfo(*address, type=socket.SOCK_STREAM))
    except OSError as error:
        answers.put(error)
