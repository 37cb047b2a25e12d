"""Messages to bytes and back: MessagePack of `msgspec.Struct`s, of one union of types for each kind of connection.

The types are the whole grammar: what does not decode to one of them is refused, so nothing behind a codec meets a
value of another shape. No pickle, no names of classes on the wire.

*Left out*: lengths and limits (`frames.py`).
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from nodes.wire.frames import FrameError

Message = TypeVar("Message")


class Codec(Generic[Message]):
    """Of `types`: a Struct, a union of tagged Structs, or a list of such. One codec may be used by several threads."""

    __slots__ = ("_decoder", "encode")

    def __init__(self, types: Any) -> None:
        self._decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(types)
        self.encode = msgspec.msgpack.Encoder().encode  # an object -> bytes

    def decode(self, data: bytes) -> Message:
        """FrameError when `data` is not exactly one of the types."""
        try:
            return self._decoder.decode(data)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise FrameError(f"not a message of this protocol: {error}") from error
