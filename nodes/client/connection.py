"""One blocking connection from a client to one node: connect, prove the secret, then whole messages out and in.

Opening one fails with `Unreachable` or AuthenticationFailed: certainly nothing was asked. Afterwards the clean end of
the stream is `Ended` (all that the node wrote was received), any other failure, a reset for one, a plain
ConnectionError (what the node wrote last may be missing), and silence a plain TimeoutError: whether a request that was
sent happened, only who sent it can judge.

*Invariants*: nothing but the handshake is sent before the node has proved the secret too; after a ConnectionError the
connection is closed; a TimeoutError of `receive` leaves it whole, and the message may still be received.

*Left out*: which node to turn to, reconnecting, and several threads on one connection.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque

from nodes.errors import AuthenticationFailed, Unavailable
from nodes.wire.frames import FORMAT, MAX_HANDSHAKE_BYTES, MAX_NODE_BYTES, FrameError, Splitter, encode_frame
from nodes.wire.handshake import CLIENT, NONCE_BYTES, Handshake, Hello

_PIECE_BYTES = 256 << 10


class Unreachable(Unavailable, ConnectionError):
    """No connection to the node is to be had: nobody listens, no answer in time, or it is no node."""


class Ended(ConnectionError):
    """The other end closed the stream, behind a whole frame: nothing that it wrote is missing."""


class Connection:
    """To the node at `address` (host, port). `timeout` is in seconds, for connecting and handshake together, and later
    for each `send`. Raises Unreachable or AuthenticationFailed."""

    def __init__(self, address: tuple[str, int], secret: bytes, timeout: float = 10.0) -> None:
        self.address = address
        self._timeout = timeout
        self._splitter = Splitter(MAX_HANDSHAKE_BYTES)
        self._bodies: deque[bytes] = deque()  # came whole, not yet asked for
        deadline = time.monotonic() + timeout
        try:
            self._socket = socket.create_connection(address, timeout)
        except OSError as error:
            raise Unreachable(f"{self._name()} cannot be reached: {error}") from error
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._shake_hands(secret, deadline)
        except OSError as error:
            self.close()
            raise Unreachable(f"{self._name()} did not finish the handshake: {error}") from error
        except BaseException:
            self.close()
            raise

    def send(self, body: bytes) -> None:
        """All of it, as one frame; ConnectionError if not all of it could be handed over."""
        try:
            self._socket.settimeout(self._timeout)
            self._socket.sendall(encode_frame(body))
        except OSError as error:
            raise self._lost(str(error)) from error

    def receive(self, timeout: float) -> bytes:
        """The next message; TimeoutError if none came within `timeout` seconds, Ended at the end of the stream."""
        deadline = time.monotonic() + timeout
        while not self._bodies:
            piece = self._receive_piece(deadline)
            try:
                self._bodies.extend(self._splitter.feed(piece))
            except FrameError as error:
                raise self._lost(str(error)) from error
        return self._bodies.popleft()

    def is_idle(self) -> bool:
        """Nothing has come that was not asked for, no end and no reset: as far as is known here, the node listens."""
        if self._bodies or self._splitter.is_within_frame:
            return False
        try:
            self._socket.settimeout(0)
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """May be called twice."""
        self._socket.close()

    def _shake_hands(self, secret: bytes, deadline: float) -> None:
        mine = Hello(FORMAT, CLIENT, 0, b"", b"", os.urandom(NONCE_BYTES))
        handshake = Handshake(secret, mine, is_dialler=True)
        answers = handshake.begin()
        while not handshake.is_done:
            for answer in answers:
                self.send(answer)
            try:
                answers = handshake.receive(self.receive(deadline - time.monotonic()))
            except FrameError as error:
                raise self._lost(f"it is no node of this protocol: {error}") from error
            except AuthenticationFailed as error:
                raise AuthenticationFailed(f"{self._name()}: {error}") from error
        self._splitter.limit = MAX_NODE_BYTES

    def _receive_piece(self, deadline: float) -> bytes:
        try:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            piece = self._socket.recv(_PIECE_BYTES)
        except TimeoutError as error:
            raise TimeoutError(f"{self._name()} gave no answer in time") from error
        except OSError as error:
            raise self._lost(str(error)) from error
        if not piece:
            raise self._ended()
        return piece

    def _ended(self) -> ConnectionError:
        if self._splitter.is_within_frame:
            return self._lost("closed by the other end within a message")
        self.close()
        return Ended(f"the connection to {self._name()} is lost: closed by the other end")

    def _lost(self, why: str) -> ConnectionError:
        self.close()
        return ConnectionError(f"the connection to {self._name()} is lost: {why}")

    def _name(self) -> str:
        return "{}:{}".format(*self.address)
