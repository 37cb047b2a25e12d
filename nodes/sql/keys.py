"""Keys as bytes: one function serves locks, the shard hash and comparison (DESIGN.md §5).

*Invariants*: for one list of types `encode` is injective, and bytes compare as the rows' keys do (integers by value,
text bytewise, false before true). INT and BIGINT encode alike, so a key does not change with its column's width.
*Left out*: NULL, which no key holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import xxhash

from nodes.requests import Value
from nodes.sql.schema import BIGINT, BOOLEAN, INT, SHARD_SLOTS, TEXT

_SIGN = 1 << 63

Encoder = Callable[[Sequence[Value]], bytes]


def _integer(value: Value) -> bytes:
    return int(value + _SIGN).to_bytes(8, "big")


def _text(value: Value) -> bytes:
    """Text holds no NUL, so one closes it and sorts before every longer text."""
    return str(value).encode() + b"\0"


def _boolean(value: Value) -> bytes:
    return b"\1" if value else b"\0"


_PARTS: dict[str, Callable[[Value], bytes]] = {INT: _integer, BIGINT: _integer, TEXT: _text, BOOLEAN: _boolean}


@lru_cache(maxsize=4096)
def encoder(types: tuple[str, ...]) -> Encoder:
    """`encode` for these types, worked out once."""
    parts = [_PARTS[name] for name in types]
    if len(parts) == 1:
        part = parts[0]
        return lambda values: part(values[0])
    return lambda values: b"".join([part(value) for part, value in zip(parts, values, strict=True)])


def encode(types: Sequence[str], values: Sequence[Value]) -> bytes:
    """The key as bytes; `values` fit `types` and hold no None."""
    return encoder(tuple(types))(values)


def slot_of(key: bytes) -> int:
    """The slot of an encoded shard key, 0 to SHARD_SLOTS - 1."""
    return int(xxhash.xxh3_64_intdigest(key) % SHARD_SLOTS)


def shard_slot(types: Sequence[str], values: Sequence[Value]) -> int:
    """The slot of a shard key."""
    return slot_of(encode(types, values))


def shard_of_slot(slot: int, shards: int) -> int:
    """The number of the user shard (1 to `shards`) that owns the slot."""
    return 1 + slot * shards // SHARD_SLOTS
