"""Frames: where one message ends and the next begins in a stream of bytes.

    frame = length of the body, 4 bytes big-endian | body

A `Splitter` takes the stream as it comes, in pieces of any size, and gives whole bodies. It refuses a length over its
limit as soon as the length is read, before anything of the body is kept: a stranger cannot make it hold much.

*Invariants*: bodies come in the order of the stream, each once; no more than one frame of at most `limit` bytes, and
the piece last fed, is ever held.

*Left out*: what a body holds (`codec.py`), and who may send it (`handshake.py`, which also carries FORMAT).
"""

from __future__ import annotations

from collections.abc import Iterator

from nodes.errors import BadRequest

FORMAT = 2  # of frames, handshake and messages together; peers and clients of another format are refused

LENGTH_BYTES = 4
MAX_HANDSHAKE_BYTES = 1 << 10
MAX_CLIENT_BYTES = (4 << 20) + (64 << 10)  # a request body of 4 MiB, and its frame
MAX_NODE_BYTES = 64 << 20  # between nodes, and from a node to a client


class FrameError(BadRequest):
    """What came is no frame or no message of this protocol; its connection is closed."""


def encode_frame(body: bytes) -> bytes:
    """The body with its length before it."""
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


class Splitter:
    """Cuts one stream into bodies. `limit` is in bytes of a body and may be changed between two bodies."""

    __slots__ = ("_held", "_wanted", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held = bytearray()  # the beginning of a frame
        self._wanted = LENGTH_BYTES  # its length so far known, so that a long frame is joined once, not at each piece

    @property
    def is_within_frame(self) -> bool:
        """Has a frame begun that is not whole yet?"""
        return bool(self._held)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bodies that `data` completes; FrameError for a length over the limit. Consume it before the next call,
        or drop the stream."""
        if self._held:
            self._held += data
            if len(self._held) < self._wanted:
                return
            data = bytes(self._held)
            self._held.clear()
        start, wanted, size = 0, LENGTH_BYTES, len(data)
        while size - start >= LENGTH_BYTES:
            wanted = LENGTH_BYTES + self._checked(int.from_bytes(data[start : start + LENGTH_BYTES], "big"))
            if size - start < wanted:
                break
            yield data[start + LENGTH_BYTES : start + wanted]
            start, wanted = start + wanted, LENGTH_BYTES
        self._held += memoryview(data)[start:]
        self._wanted = wanted

    def _checked(self, length: int) -> int:
        if length > self.limit:
            raise FrameError(f"a frame of {length} bytes, where at most {self.limit} are allowed")
        return length
