"""One question and its answer over one connection, and what is known when the connection fails.

A frame that did not leave whole is never acted on, so a failed send is `NotSent`: the question goes elsewhere. After
a whole send there are three cases. After `Named`, whatever ended the connection: the named attempt may have any fate.
Before it, at a clean end of the stream: a node writes `Named` before it begins, and all it wrote was read, so no
attempt began. Before it, in every other case, nothing is known: a reset throws away what the node wrote last, and one
that is silent until the time is up may still read the question later and begin.

*Invariant*: an answer is only taken if it carries the number of the question; a connection that failed here is never
used again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from nodes.client.connection import Ended
from nodes.errors import BadRequest, TooLarge
from nodes.wire.codec import Codec
from nodes.wire.frames import MAX_CLIENT_BYTES, FrameError
from nodes.wire.protocol import AskFate, AskStatus, Call, Done, Failed, FateIs, FromClient, Named, StatusIs, ToClient

Answer = Done | Failed | FateIs | StatusIs

Waits = Callable[[str], float | None]
"""Given the named id so far (or ""): the seconds of the next wait, None for no more."""

_EXPECTED: dict[type, type] = {Call: Done, AskFate: FateIs, AskStatus: StatusIs}
_codec: Codec[ToClient] = Codec(ToClient)


class Channel(Protocol):
    """What is needed of a connection. `receive` raises TimeoutError when nothing came in time (and may be called
    again), Ended when all that the other side wrote was received and it closed, any other OSError when the connection
    is gone. `is_idle`: nothing came that was not asked for, not even an end."""

    def send(self, payload: bytes) -> None: ...

    def receive(self, timeout: float) -> bytes: ...

    def is_idle(self) -> bool: ...

    def close(self) -> None: ...


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


def exchange(channel: Channel, question: FromClient, waits: Waits) -> tuple[Answer, str]:
    """Ask and wait: (the answer, the named id or ""). `waits` is asked again after each message and
    after each wait that brought none.

    BadRequest or TooLarge: it cannot be sent, and the channel is as before. NotSent or Lost: the caller then closes
    the channel."""
    payload = _encoded(question)
    try:
        channel.send(payload)
    except OSError as error:
        raise NotSent(str(error)) from error
    named = ""
    while True:
        try:
            message = _next(channel, waits, named)
        except TimeoutError as error:
            raise Lost(named, "the node gave no answer in time", silent=True) from error
        except (OSError, FrameError) as error:
            raise Lost(named, str(error) or type(error).__name__, ended=isinstance(error, Ended)) from error
        if message.number != question.number:
            continue
        if not isinstance(message, Named):
            return _checked(message, question, named), named
        named = message.id


def _encoded(question: FromClient) -> bytes:
    try:
        payload: bytes = _codec.encode(question)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadRequest(f"a value of the request cannot be sent: {error}", sqlstate="22P02") from error
    if len(payload) > MAX_CLIENT_BYTES:
        raise TooLarge(f"the request has {len(payload)} bytes; at most {MAX_CLIENT_BYTES} are taken")
    return payload


def _next(channel: Channel, waits: Waits, named: str) -> ToClient:
    """The next message of the other side; TimeoutError when `waits` allows no more."""
    while True:
        seconds = waits(named)
        if seconds is None:
            raise TimeoutError
        try:
            return _codec.decode(channel.receive(seconds))
        except TimeoutError:
            continue


def _checked(message: Done | Failed | FateIs | StatusIs, question: FromClient, named: str) -> Answer:
    """An answer of another kind than the question's is a fault of the other side: as good as none."""
    if not isinstance(message, Failed | _EXPECTED[type(question)]):
        raise Lost(named, f"{type(message).__name__} does not answer {type(question).__name__}")
    return message


def once(seconds: float) -> Waits:
    """One wait and no second."""
    waits = iter([seconds])
    return lambda _: next(waits, None)
