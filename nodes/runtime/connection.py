"""One TCP connection of a node, dialled or accepted: handshake, then whole messages in and batches of frames out.

It knows nothing of peers and routes: its `Owner` says who may enter and takes what comes. What a stranger or a faulty
peer sends is never an error of the node: the connection is closed with one line in the log.

*Invariants*: before the handshake is done nothing but a handshake is read, and nothing longer than it; after `close`
or a refusal no message of this connection is delivered; what waits to be sent is bounded, and over the bound the
connection is closed, so that one that reads slowly never holds up or fills the node.

*Left out*: holding back the reading of a fast sender; the driver refuses what is too much for it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from nodes.errors import AuthenticationFailed
from nodes.ids import node_name
from nodes.wire.frames import LENGTH_BYTES, MAX_HANDSHAKE_BYTES, FrameError, Splitter, encode_frame
from nodes.wire.handshake import NODE, Handshake, Hello, encode_refusal

_KEEPALIVE = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))


@dataclass(frozen=True, slots=True)
class Limits:
    """Of all connections of a transport. Times in seconds."""

    connect_s: float = 2.0
    handshake_s: float = 5.0
    closing_s: float = 2.0  # for what was sent before a close to be read by the other end
    retry_first_s: float = 0.05
    retry_most_s: float = 1.0
    # Sent and not acknowledged for so long: dialled afresh. TCP's own repeats would come minutes after a partition.
    unacknowledged_s: float = 5.0
    buffer_bytes: int = 64 << 20  # waiting to be sent on one connection


class Owner(ABC):
    """What a connection asks and tells; all calls come from the loop."""

    limits: Limits
    log: logging.Logger

    @abstractmethod
    def begin_handshake(self, is_dialler: bool) -> Handshake: ...

    @abstractmethod
    def on_made(self, connection: Connection) -> None:
        """There is a connection now; `on_ended` will be called for it."""

    @abstractmethod
    def why_refused(self, connection: Connection, peer: Hello) -> str:
        """Who has proved the secret, is it welcome? "" if so, else the reason."""

    @abstractmethod
    def on_established(self, connection: Connection) -> None:
        """The handshake is done; the owner calls `deliver_to` in it."""

    @abstractmethod
    def on_ended(self, connection: Connection, was_established: bool) -> None: ...

    @abstractmethod
    def on_output(self, connection: Connection) -> None:
        """Something waits for `flush` now, where nothing did."""


class Connection(asyncio.Protocol):
    """`send` and `close` are for the driver, the rest is between owner and loop. `expected` is the node dialled, 0 for
    an accepted connection; `peer` is who it is, from the handshake, None before. All from the loop's thread."""

    __slots__ = (
        "_decode",
        "_deliver",
        "_handshake",
        "_is_closed",
        "_output",
        "_owner",
        "_splitter",
        "_timer",
        "_transport",
        "ended",
        "expected",
        "peer",
    )

    def __init__(self, owner: Owner, expected: int = 0) -> None:
        self.expected = expected
        self.peer: Hello | None = None
        self.ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()  # True: it had been established
        self._owner = owner
        self._handshake = owner.begin_handshake(is_dialler=expected > 0)
        self._splitter = Splitter(MAX_HANDSHAKE_BYTES)
        self._decode: Callable[[bytes], object] | None = None
        self._deliver: Callable[[Any], None] | None = None
        self._output: list[bytes] = []
        self._is_closed = False
        self._timer: asyncio.TimerHandle | None = None  # of the handshake, later of the closing
        self._transport: asyncio.Transport | None = None

    # -- for the driver
    @property
    def is_open(self) -> bool:
        """Would what is sent now go out?"""
        return not self._is_closed

    def send(self, payload: bytes) -> None:
        """Queue one message; it leaves with all else that is queued in this turn of the loop. Dropped when closed."""
        if self._is_closed:
            return
        if not self._output:
            self._owner.on_output(self)
        self._output.append(len(payload).to_bytes(LENGTH_BYTES, "big"))
        self._output.append(payload)

    def close(self) -> None:
        """What was sent before still goes out; nothing more comes in. The end is told as any other."""
        self.flush()
        self._close()

    # -- for the owner
    def deliver_to(self, decode: Callable[[bytes], object], deliver: Callable[[Any], None], limit: int) -> None:
        """From now on: bodies of up to `limit` bytes are decoded and delivered."""
        self._decode, self._deliver, self._splitter.limit = decode, deliver, limit

    def flush(self) -> None:
        """Everything that waits leaves in one write."""
        if self._is_closed or self._transport is None or not self._output:
            return
        data = b"".join(self._output)
        self._output.clear()
        self._transport.write(data)
        waiting = self._transport.get_write_buffer_size()
        if waiting > self._owner.limits.buffer_bytes:
            self.refuse(f"{waiting} bytes wait to be read by the other end")

    def refuse(self, reason: str) -> None:
        """Close with one line in the log. A dialler whose handshake is refused is told why."""
        if self._is_closed:
            return
        self._owner.log.warning("connection with %s closed: %s", self.name, reason)
        if self.peer is None and not self.expected and self._transport is not None:
            self._transport.write(encode_frame(encode_refusal(reason)))
        self._close()
        if self.peer is not None and self._transport is not None:
            self._transport.abort()

    @property
    def name(self) -> str:
        """Who it is, as far as known, for the log."""
        address = self._transport.get_extra_info("peername") if self._transport else None
        place = "{}:{}".format(*address[:2]) if address else "nobody"
        if self.peer is None:
            return place
        return f"{node_name(self.peer.node)} ({place})" if self.peer.role == NODE else f"client {place}"

    # -- for the loop
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._tune(transport.get_extra_info("socket"))
        self._close_after(self._owner.limits.handshake_s, partial(self.refuse, "the handshake was not done in time"))
        self._owner.on_made(self)
        for body in self._handshake.begin() if not self._is_closed else ():
            self._transport.write(encode_frame(body))

    def data_received(self, data: bytes) -> None:
        bodies = self._splitter.feed(data)
        while not self._is_closed:
            try:
                body = next(bodies, None)
                if body is None:
                    return
                message = self._read(body)
            except Exception as error:  # Whatever these bytes do to the decoder is their sender's fault.
                self.refuse(str(error) or type(error).__name__)
                return
            if self._deliver is not None:
                self._deliver(message)
            elif self._handshake.is_done:
                self._enter()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._is_closed and self.peer is not None and (error or self.peer.role == NODE):
            self._owner.log.info("connection with %s lost: %s", self.name, error or "closed by the other end")
        self._is_closed = True
        self._output.clear()
        self._stop_timer()
        was_established = self.peer is not None
        if not self.ended.done():
            self.ended.set_result(was_established)
        self._owner.on_ended(self, was_established)

    def _read(self, body: bytes) -> object | None:
        """The message in a body; None as long as the handshake goes on. Nothing of the driver is called in here."""
        if self._decode is None:
            self._shake_hands(body)
            return None
        return self._decode(body)

    def _shake_hands(self, body: bytes) -> None:
        assert self._transport is not None, "data comes after the connection was made"
        answers = self._handshake.receive(body)
        peer = self._handshake.peer if self._handshake.is_done else None
        if peer is not None and (reason := self._owner.why_refused(self, peer)):
            raise AuthenticationFailed(reason)
        for answer in answers:
            self._transport.write(encode_frame(answer))

    def _enter(self) -> None:
        self._stop_timer()
        self.peer = self._handshake.peer
        self._owner.on_established(self)

    def _close(self) -> None:
        self._is_closed = True
        self._output.clear()
        if self._transport is not None:
            self._transport.close()
            self._close_after(self._owner.limits.closing_s, self._transport.abort)

    def _close_after(self, seconds: float, close: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tune(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        if self.expected:
            unacknowledged_ms = int(self._owner.limits.unacknowledged_s * 1000)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unacknowledged_ms)


def refuse_all(body: bytes) -> object:
    """The decoder of a connection on which nothing may come."""
    raise FrameError(f"{len(body)} bytes, where nothing is to be sent")
