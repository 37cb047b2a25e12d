"""Frames out of a stream: whole bodies in order, whatever the pieces; too long a frame is refused early."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.wire.frames import FrameError, Splitter, encode_frame


def test_a_frame_is_its_length_and_its_body() -> None:
    assert encode_frame(b"abc") == b"\0\0\0\3abc"


def test_several_frames_in_one_piece_come_in_order() -> None:
    stream = b"".join(encode_frame(body) for body in (b"a", b"", b"ccc"))
    assert list(Splitter(10).feed(stream)) == [b"a", b"", b"ccc"]


@given(st.lists(st.binary(max_size=40), max_size=10), st.lists(st.integers(1, 30), min_size=1, max_size=40))
def test_the_pieces_of_the_stream_do_not_matter(bodies: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(encode_frame(body) for body in bodies)
    splitter, found, step = Splitter(40), [], 0
    while stream:
        size = sizes[step % len(sizes)]
        found += list(splitter.feed(stream[:size]))
        stream, step = stream[size:], step + 1
    assert found == bodies


def test_a_length_over_the_limit_is_refused_before_its_body_comes() -> None:
    splitter = Splitter(10)
    assert list(splitter.feed(encode_frame(b"x" * 10))) == [b"x" * 10]
    with pytest.raises(FrameError, match="11 bytes, where at most 10"):
        list(splitter.feed(b"\0\0\0\x0b"))


def test_the_limit_may_change_between_two_frames_of_one_piece() -> None:
    splitter = Splitter(1)
    bodies = splitter.feed(encode_frame(b"a") + encode_frame(b"b" * 50))
    assert next(bodies) == b"a"
    splitter.limit = 50
    assert next(bodies) == b"b" * 50


def test_a_long_frame_in_small_pieces_is_joined_once() -> None:
    splitter, body = Splitter(64 << 20), bytes(8 << 20)
    stream = encode_frame(body)
    found = [one for at in range(0, len(stream), 1 << 12) for one in splitter.feed(stream[at : at + (1 << 12)])]
    assert found == [body]
