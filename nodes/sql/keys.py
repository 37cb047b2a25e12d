"""Keys as bytes: one function serves locks, the shard hash and comparison (DESIGN.md §5).

*Invariants*: for one list of types `encode` is injective, and bytes compare as the rows' keys do (integers by value,
text and bytes bytewise, false before true; -0.0 is 0.0, and NaN comes last). INT and BIGINT encode alike, so a key does
not change with its column's width. No value's bytes are the beginning of another's of its type, and none are empty. So
the bytes of a key's first columns are the beginning of those of exactly the keys that have these values there, and
differ from those of every key of more columns or fewer: one name space for all nodes of the lock tree, b"" the table.
*Left out*: NULL, which no key holds.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Sequence
from functools import lru_cache

import xxhash

from nodes.requests import Value
from nodes.sql.doubles import NAN
from nodes.sql.schema import BIGINT, BOOLEAN, BYTEA, DOUBLE, INT, SHARD_SLOTS, TEXT, TIMESTAMPTZ, UUID

_SIGN = 1 << 63

Encoder = Callable[[Sequence[Value]], bytes]
PathEncoder = Callable[[Sequence[Value]], list[bytes]]


def _integer(value: Value) -> bytes:
    return int(value + _SIGN).to_bytes(8, "big")


def _text(value: Value) -> bytes:
    """Text holds no NUL, so one closes it and sorts before every longer text."""
    return str(value).encode() + b"\0"


def _boolean(value: Value) -> bytes:
    return b"\1" if value else b"\0"


def _double(value: Value) -> bytes:
    """Its bits, with the sign turned round and negative ones upside down."""
    if value == NAN:
        return b"\xff" * 8
    (bits,) = struct.unpack(">Q", struct.pack(">d", value + 0.0))  # which makes 0.0 of -0.0
    return int(bits ^ (_SIGN if bits < _SIGN else 2 * _SIGN - 1)).to_bytes(8, "big")


def _bytes(value: Value) -> bytes:
    """A zero is written as 0 255, and 0 0 closes it: nothing else begins with less."""
    return bytes(value).replace(b"\0", b"\0\xff") + b"\0\0"


def _uuid(value: Value) -> bytes:
    return bytes.fromhex(value.replace("-", ""))


_PARTS: dict[str, Callable[[Value], bytes]] = {
    INT: _integer,
    BIGINT: _integer,
    TEXT: _text,
    BOOLEAN: _boolean,
    DOUBLE: _double,
    BYTEA: _bytes,
    UUID: _uuid,
    TIMESTAMPTZ: _integer,
}


Reader = Callable[[bytes], tuple[Value, bytes]]


def _fixed(width: int, value_of: Callable[[bytes], Value]) -> Reader:
    return lambda key: (value_of(key[:width]), key[width:])


def _read_integer(part: bytes) -> Value:
    return int.from_bytes(part, "big") - _SIGN


def _read_double(part: bytes) -> Value:
    bits = int.from_bytes(part, "big")
    if part == b"\xff" * 8:
        return NAN
    return struct.unpack(">d", struct.pack(">Q", bits ^ (_SIGN if bits >= _SIGN else 2 * _SIGN - 1)))[0]


def _read_text(key: bytes) -> tuple[Value, bytes]:
    text, _, rest = key.partition(b"\0")
    return text.decode(), rest


def _read_bytes(key: bytes) -> tuple[Value, bytes]:
    end = key.index(b"\0\0")  # a zero of the value is followed by 255
    return key[:end].replace(b"\0\xff", b"\0"), key[end + 2 :]


_READERS: dict[str, Reader] = {
    INT: _fixed(8, _read_integer),
    BIGINT: _fixed(8, _read_integer),
    TEXT: _read_text,
    BOOLEAN: _fixed(1, lambda part: part == b"\1"),
    DOUBLE: _fixed(8, _read_double),
    BYTEA: _read_bytes,
    UUID: _fixed(16, lambda part: str(uuid.UUID(bytes=part))),
    TIMESTAMPTZ: _fixed(8, _read_integer),
}


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


@lru_cache(maxsize=4096)
def path_encoder(types: tuple[str, ...]) -> PathEncoder:
    """The nodes on the way to a key of these types: its first column, its first two and so on, all of them last. Values
    behind those are not looked at."""
    parts = [_PARTS[name] for name in types]
    if len(parts) == 1:
        part = parts[0]
        return lambda values: [part(values[0])]

    def path(values: Sequence[Value]) -> list[bytes]:
        key = b""
        found: list[bytes] = []
        for encode_part, value in zip(parts, values, strict=False):
            key += encode_part(value)
            found.append(key)
        return found

    return path


def decode(types: Sequence[str], key: bytes) -> list[Value]:
    """The values of a key's first columns, as many as `key` has bytes for; `types` are those of a full key."""
    values = []
    for name in types:
        if not key:
            break
        value, key = _READERS[name](key)
        values.append(value)
    return values


def slot_of(key: bytes) -> int:
    """The slot of an encoded shard key, 0 to SHARD_SLOTS - 1."""
    return int(xxhash.xxh3_64_intdigest(key) % SHARD_SLOTS)


def shard_slot(types: Sequence[str], values: Sequence[Value]) -> int:
    """The slot of a shard key."""
    return slot_of(encode(types, values))


def shard_of_slot(slot: int, shards: int) -> int:
    """The number of the user shard (1 to `shards`) that owns the slot."""
    return 1 + slot * shards // SHARD_SLOTS


def slots_of_shard(shard: int, shards: int) -> tuple[int, int]:
    """The first and the last slot that the user shard owns."""
    return -(-(shard - 1) * SHARD_SLOTS // shards), -(-shard * SHARD_SLOTS // shards) - 1
