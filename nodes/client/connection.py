"""One connection from a client to one node: connect, prove the secret, then whole messages out and in.

Opening one fails with `Unreachable` or AuthenticationFailed: certainly nothing was asked. Afterwards the clean end of
the stream is `Ended` (all that the node wrote was received), any other failure, a reset for one, a plain
ConnectionError (what the node wrote last may be missing), and silence a plain TimeoutError: whether a request that was
sent happened, only who sent it can judge.

*Invariants*: nothing but the handshake is sent before the node has proved the secret too; after a ConnectionError the
connection is closed; a TimeoutError of `receive` leaves it whole, and the message may still be received.

*Left out*: which node to turn to, reconnecting, and several calls on one connection.
"""

from __future__ import annotations

import os
from collections import deque

from nodes.client.surroundings import Address, Deadline, Socket, Surroundings
from nodes.errors import AuthenticationFailed, Unavailable
from nodes.wire.frames import FORMAT, MAX_HANDSHAKE_BYTES, MAX_NODE_BYTES, FrameError, Splitter, encode_frame
from nodes.wire.handshake import CLIENT, NONCE_BYTES, Handshake, Hello


class Unreachable(Unavailable, ConnectionError):
    """No connection to the node is to be had: nobody listens, no answer in time, or it is no node."""


class Ended(ConnectionError):
    """The other end closed the stream, behind a whole frame: nothing that it wrote is missing."""


class Connection:
    """Made by `open`. `bytes_received` rises with all that comes, so that a caller sees a long message grow;
    `number` is the node's, as it says itself."""

    __slots__ = ("__weakref__", "_bodies", "_name", "_socket", "_splitter", "_surroundings", "bytes_received", "number")

    def __init__(self, surroundings: Surroundings, name: str, connected: Socket) -> None:
        self.bytes_received = 0
        self.number = 0
        self._surroundings = surroundings
        self._name = name
        self._socket = connected
        self._splitter = Splitter(MAX_HANDSHAKE_BYTES)
        self._bodies: deque[bytes] = deque()  # came whole, not yet asked for

    @classmethod
    async def open(cls, surroundings: Surroundings, address: Address, secret: bytes, seconds: float) -> Connection:
        """To the node at `address`, handshake included, within the seconds; Unreachable or AuthenticationFailed."""
        deadline, name = Deadline(surroundings, seconds), "{}:{}".format(*address)
        try:
            connected = await surroundings.dial(address, seconds)
        except OSError as error:
            raise Unreachable(f"{name} cannot be reached: {error}") from error
        connection = cls(surroundings, name, connected)
        try:
            await connection._shake_hands(secret, deadline)
        except OSError as error:
            connection.close()
            raise Unreachable(f"{name} did not finish the handshake: {error}") from error
        except BaseException:
            connection.close()
            raise
        return connection

    async def send(self, body: bytes, seconds: float) -> None:
        """All of it, as one frame; ConnectionError if not all of it could be handed over."""
        try:
            await self._socket.send(encode_frame(body), seconds)
        except OSError as error:
            raise self._lost(str(error)) from error

    async def receive(self, seconds: float, least: int = 1) -> bytes:
        """The next message; TimeoutError if none was whole within the seconds, Ended at the end of the stream. Nobody
        looks at it before `least` bytes have come or the seconds are over."""
        if not self._bodies:
            deadline = Deadline(self._surroundings, seconds)
            self._take(await self._receive_piece(seconds, 1 if self._splitter.is_within_frame else least))
            while not self._bodies:
                self._take(await self._receive_piece(deadline.left()))
        return self._bodies.popleft()

    def is_idle(self) -> bool:
        """Nothing has come that was not asked for, no end and no reset: as far as is known here, the node listens."""
        return not self._bodies and not self._splitter.is_within_frame and self._socket.is_quiet()

    def close(self) -> None:
        """May be called twice."""
        self._socket.close()

    def abandon(self) -> None:
        """Let go of it without a word to the node."""
        self._socket.abandon()

    async def _shake_hands(self, secret: bytes, deadline: Deadline) -> None:
        mine = Hello(FORMAT, CLIENT, 0, b"", b"", os.urandom(NONCE_BYTES))
        handshake = Handshake(secret, mine, is_dialler=True)
        answers = handshake.begin()
        while not handshake.is_done:
            for answer in answers:
                await self.send(answer, deadline.left())
            try:
                answers = handshake.receive(await self.receive(deadline.left()))
            except FrameError as error:
                raise self._lost(f"it is no node of this protocol: {error}") from error
            except AuthenticationFailed as error:
                raise AuthenticationFailed(f"{self._name}: {error}") from error
        self._splitter.limit = MAX_NODE_BYTES
        self.number = handshake.peer.node if handshake.peer else 0

    async def _receive_piece(self, seconds: float, least: int = 1) -> bytes:
        try:
            if seconds <= 0:
                raise TimeoutError
            piece = await self._socket.receive(seconds, least)
        except TimeoutError as error:
            raise TimeoutError(f"{self._name} gave no answer in time") from error
        except OSError as error:
            raise self._lost(str(error)) from error
        if not piece:
            raise self._ended()
        self.bytes_received += len(piece)
        return piece

    def _take(self, piece: bytes) -> None:
        try:
            self._bodies.extend(self._splitter.feed(piece))
        except FrameError as error:
            raise self._lost(str(error)) from error

    def _ended(self) -> ConnectionError:
        if self._splitter.is_within_frame:
            return self._lost("closed by the other end within a message")
        self.close()
        return Ended(f"the connection to {self._name} is lost: closed by the other end")

    def _lost(self, why: str) -> ConnectionError:
        self.close()
        return ConnectionError(f"the connection to {self._name} is lost: {why}")
