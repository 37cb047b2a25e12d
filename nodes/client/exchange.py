"""One question and its answer over one connection, and what is known when the connection fails.

A frame that did not leave whole is never acted on, so a failed send is `NotSent`: the question goes elsewhere. After
a whole send there are three cases. After `Named`, whatever ended the connection: the named attempt may have any fate.
Before it, at a clean end of the stream: a node writes `Named` before it begins, and all it wrote was read, so no
attempt began. Before it, in every other case, nothing is known: a reset throws away what the node wrote last, and one
that is silent until the time is up may still read the question later and begin.

A node that says nothing for SILENCE_S is asked for its status over the same connection, which it answers at once
whatever else it does: so a long answer is told from a node that stopped. Each further SILENCE_S without a byte is
reported, and who asked may give up.

Who waits for an attempt to end need not wake up for its name: for the first QUICK_S no less is looked at than an answer
has, which is longer than a name (nodes/wire/protocol.py).

*Invariant*: an answer is only taken if it carries the number of the question; a connection that failed here, or still
owes an answer, is never used again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from nodes import ids
from nodes.client.connection import Connection, Ended
from nodes.client.surroundings import Deadline
from nodes.errors import BadRequest, TooLarge
from nodes.wire.codec import Codec
from nodes.wire.frames import MAX_CLIENT_BYTES, FrameError, encode_frame
from nodes.wire.protocol import AskStatus, Call, Failed, FromClient, Named, ToClient

SILENCE_S = 1.0
QUICK_S = 0.1
ARE_YOU_THERE = 0  # the number of such a question; calls are numbered from 1

Answer = TypeVar("Answer")
GivesUp = Callable[[str], bool]
"""Told of a silent node, with the named id so far (or ""): is there something better to do than to wait on?"""

_codec: Codec[ToClient] = Codec(ToClient)

LEAST_ANSWER = len(encode_frame(_codec.encode(Named(1 << 62, "t" * ids.TEXT_CHARS)))) + 1
"""Bytes of a frame that says how a named attempt ended, at the least: one more than any name."""


class NotSent(Exception):
    """The question did not leave: nobody will act on it."""


class Lost(Exception):
    """The question left and the answer did not come. `id`: of the named attempt, or ""; `ended`: the stream ended
    cleanly, nothing that the other side wrote is missing; `silent`: it said nothing until the time was up."""

    def __init__(self, id: str, why: str, *, ended: bool = False, silent: bool = False) -> None:
        super().__init__(why)
        self.id = id
        self.ended = ended
        self.silent = silent


class Exchange:
    """One question on its way over one connection; used once. `named` is the id of the attempt, as soon as it is heard.
    `is_even`: the other side has answered all that it was asked, so that the connection may be used again."""

    __slots__ = ("_connection", "_is_doubted", "_is_quick", "_owed", "_question", "named")

    def __init__(self, connection: Connection, question: FromClient) -> None:
        self.named = ""
        self._connection = connection
        self._question = question
        self._is_doubted = False
        self._is_quick = isinstance(question, Call) and question.named and question.request.read_only is not True
        self._owed = 0

    @property
    def is_even(self) -> bool:
        return self._owed == 0

    async def run(self, answer: type[Answer], until: Deadline, gives_up: GivesUp) -> Answer | Failed:
        """Ask, and wait for an answer of that type or Failed.

        BadRequest or TooLarge: it cannot be sent, and the connection is as before. NotSent or Lost: the caller then
        closes the connection."""
        payload = _encoded(self._question)
        try:
            await self._connection.send(payload, until.left() / 2)  # time is left for another node
        except OSError as error:
            raise NotSent(str(error)) from error
        while True:
            message = await self._next(until, gives_up)
            if message.number != self._question.number:
                self._owed -= message.number == ARE_YOU_THERE
            elif isinstance(message, Named):
                self.named = message.id
            elif isinstance(message, (answer, Failed)):
                return message
            else:  # a fault of the other side: as good as no answer
                kinds = f"{type(message).__name__} does not answer {type(self._question).__name__}"
                raise Lost(self.named, kinds)

    async def _next(self, until: Deadline, gives_up: GivesUp) -> ToClient:
        while True:
            before = self._connection.bytes_received
            left = until.left()
            if left <= 0:
                raise Lost(self.named, "the node gave no answer in time", silent=True)
            try:
                message = _codec.decode(await self._receive(left))
                self._is_doubted = self._is_quick = False
                return message
            except TimeoutError:
                if self._is_quick:
                    self._is_quick = False
                elif self._connection.bytes_received == before and until.left() > 0:
                    await self._doubt(until, gives_up)
            except (OSError, FrameError) as error:
                raise Lost(self.named, str(error) or type(error).__name__, ended=isinstance(error, Ended)) from error

    async def _receive(self, left: float) -> bytes:
        if self._is_quick:
            return await self._connection.receive(min(left, QUICK_S), LEAST_ANSWER)
        return await self._connection.receive(min(left, SILENCE_S))

    async def _doubt(self, until: Deadline, gives_up: GivesUp) -> None:
        """SILENCE_S without a byte: the first time the node is asked whether it is there."""
        if self._is_doubted:
            if gives_up(self.named):
                raise Lost(self.named, "the node fell silent", silent=True)
            return
        self._is_doubted = True
        self._owed += 1
        try:
            await self._connection.send(_codec.encode(AskStatus(ARE_YOU_THERE)), min(SILENCE_S, until.left()))
        except OSError as error:
            raise Lost(self.named, str(error)) from error


def _encoded(question: FromClient) -> bytes:
    try:
        payload: bytes = _codec.encode(question)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadRequest(f"a value of the request cannot be sent: {error}", sqlstate="22P02") from error
    if len(payload) > MAX_CLIENT_BYTES:
        raise TooLarge(f"the request has {len(payload)} bytes; at most {MAX_CLIENT_BYTES} are taken")
    return payload
