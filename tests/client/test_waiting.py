"""How the blocking form waits: for long enough, for enough bytes, and never past its time."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from nodes import ids
from nodes.client.exchange import LEAST_ANSWER
from nodes.client.threads import BlockingSocket, run
from nodes.errors import StoreError, Unavailable
from nodes.requests import COMMITTED, Reply, Result
from nodes.wire.codec import Codec
from nodes.wire.frames import encode_frame
from nodes.wire.protocol import Done, Failed, Named, ToClient

Pair = tuple[BlockingSocket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        mine = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    with mine, other:
        yield BlockingSocket(mine), other


def test_it_wakes_up_for_enough_bytes_and_gives_all_that_came(pair: Pair) -> None:
    mine, other = pair
    other.sendall(b"x" * 10)
    other.sendall(b"y" * 10)
    assert run(mine.receive(30, least=20)) == b"x" * 10 + b"y" * 10


def test_when_the_time_is_up_it_gives_what_there_is(pair: Pair) -> None:
    mine, other = pair
    other.sendall(b"x" * 10)
    begun = time.monotonic()
    assert run(mine.receive(0.2, least=20)) == b"x" * 10
    assert time.monotonic() - begun >= 0.15
    with pytest.raises(TimeoutError):
        run(mine.receive(0.05))


def test_the_end_is_not_waited_for(pair: Pair) -> None:
    mine, other = pair
    other.sendall(b"x" * 10)
    other.shutdown(socket.SHUT_WR)
    assert run(mine.receive(30, least=20)) == b"x" * 10
    assert run(mine.receive(30, least=20)) == b""


def test_it_is_quiet_until_anything_comes(pair: Pair) -> None:
    mine, other = pair
    assert mine.is_quiet()
    run(mine.send(b"?", 30))
    other.sendall(b"x")
    assert run(mine.receive(30)) == b"x"
    other.shutdown(socket.SHUT_WR)
    deadline = time.monotonic() + 30
    while mine.is_quiet():
        assert time.monotonic() < deadline
    mine.close()
    assert not mine.is_quiet()


def test_no_answer_to_a_named_call_is_shorter_than_a_name() -> None:
    codec: Codec[ToClient] = Codec(ToClient)
    id = ids.to_text(ids.mint(1, 1, 1, 1, "c1", b"xyz"))
    kinds = [kind for kind in StoreError.__subclasses__() if kind is not Unavailable]
    shortest = [Failed(1, kind("of twenty characters").info) for kind in (*kinds, Unavailable)]
    for message in (Done(1, Reply(id, COMMITTED, 1, 1, ["s1"], [Result()])), *shortest):
        assert len(encode_frame(codec.encode(message))) >= LEAST_ANSWER, message
    assert len(encode_frame(codec.encode(Named(1, id)))) < LEAST_ANSWER
