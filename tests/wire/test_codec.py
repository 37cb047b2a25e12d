"""The codec: what it encodes it decodes, and everything else is a FrameError."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.wire.codec import Codec
from nodes.wire.frames import FrameError


class Ask(msgspec.Struct, array_like=True, tag=1):
    number: int


class Tell(msgspec.Struct, array_like=True, tag=2):
    words: bytes


codec: Codec[list[Ask | Tell]] = Codec(list[Ask | Tell])


def test_messages_come_back_as_they_went() -> None:
    messages = [Ask(1), Tell(b"two")]
    assert codec.decode(codec.encode(messages)) == messages


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        codec.encode([Ask(1)])[:-1],
        codec.encode([Ask(1)]) + b"\0",
        msgspec.msgpack.encode([[3, 1]]),
        msgspec.msgpack.encode([[1, "one"]]),
        msgspec.msgpack.encode({}),
        b"\x91" * 100_000,
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(FrameError):
        codec.decode(data)


@given(st.binary(max_size=100))
def test_random_bytes_decode_or_are_refused(data: bytes) -> None:
    with contextlib.suppress(FrameError):
        assert isinstance(codec.decode(data), list)
