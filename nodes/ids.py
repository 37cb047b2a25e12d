"""Names of things: nodes, groups and transactions.

A node is a small positive number (`1` is shown as `n1`). A group is named `c1`..`c9` (coordinator) or `s0`..`s999`
(shard). A transaction id is 25 bytes, minted by a gateway for every *attempt* (DESIGN.md §5):

    time 8 | node 2 | boot 4 | counter 6 | home 2 | cluster 3        all big-endian

`time` is oracle time, `home` the one group that can commit the attempt and keeps its outcome. The *age* of a
transaction is the first 20 bytes of its first attempt's id: bytes compare as ages do, and no two are equal.

*Invariants*: an id is never minted twice (boot is durable before first use); the home is read from the id.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

ID_BYTES = 25
AGE_BYTES = 20
TEXT_CHARS = 41
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


MAX_NODE = 255  # a node's number is one byte


def node_name(node: int) -> str:
    """`1` -> `n1`."""
    return f"n{node}"


@functools.cache
def group_code(group: str) -> int:
    """`c2` -> 0x8002, `s3` -> 3: the two bytes that name a home inside an id."""
    return int(group[1:]) | (0x8000 if group[0] == "c" else 0)


def group_name(code: int) -> str:
    """The inverse of `group_code`."""
    return f"c{code & 0x7FFF}" if code & 0x8000 else f"s{code}"


def mint(time: int, node: int, boot: int, counter: int, home: str, cluster: bytes) -> bytes:
    """One new id; `cluster` is the cluster id (its first 3 bytes are kept)."""
    return (
        time.to_bytes(8, "big")
        + node.to_bytes(2, "big")
        + boot.to_bytes(4, "big")
        + counter.to_bytes(6, "big")
        + group_code(home).to_bytes(2, "big")
        + cluster[:3]
    )


def time_of(txn: bytes) -> int:
    return int.from_bytes(txn[:8], "big")


def node_of(txn: bytes) -> int:
    """The node whose gateway minted it."""
    return int.from_bytes(txn[8:10], "big")


def last_of(time: int) -> bytes:
    """No id of that time, or of one before, is greater."""
    return time.to_bytes(8, "big") + b"\xff" * (ID_BYTES - 8)


def home_of(txn: bytes) -> str:
    return _home(txn[20:22])


@functools.cache
def _home(code: bytes) -> str:
    """Asked for nine times in a transfer."""
    return group_name(int.from_bytes(code, "big"))


def key_home(key: bytes, coordinators: int) -> str:
    """The coordinator group that keeps a client key: one of 1,024 partitions, which take turns over the groups."""
    partition = int.from_bytes(hashlib.blake2b(key, digest_size=2).digest(), "big") % 1024
    return f"c{partition % coordinators + 1}"


def age_of(txn: bytes) -> bytes:
    return txn[:AGE_BYTES]


def is_key(text: str) -> bool:
    """Is it written like a client key rather than like an id?"""
    return len(text) == 36 and text.count("-") == 4


def key_of(text: str) -> bytes:
    """The 16 bytes of a client key; ValueError for what is no UUID in its usual form."""
    try:
        key = UUID(text)
    except ValueError:
        key = None
    if key is None or str(key) != text.lower():
        raise ValueError("a key is a UUID with dashes, such as 0f1e2d3c-4b5a-4978-8697-a6b5c4d3e2f1")
    return key.bytes


def timestamp_at(time: datetime) -> int:
    """The first oracle timestamp of the millisecond of an aware time; 0 before 1970."""
    return max(0, (time - _EPOCH) // timedelta(milliseconds=1)) << 16


def time_at(ts: int) -> datetime:
    """The end of the millisecond that an oracle timestamp names: what is drawn later than that is greater."""
    return _EPOCH + timedelta(milliseconds=(ts >> 16) + 1) if ts else _EPOCH


def belongs_to(txn: bytes, cluster: bytes) -> bool:
    """Is it a well-formed id of this cluster?"""
    return len(txn) == ID_BYTES and txn[22:25] == cluster[:3]


def to_text(txn: bytes) -> str:
    """`t` + 40 characters of lower-case base32."""
    return "t" + base64.b32encode(txn).decode().lower()


def from_text(text: str) -> bytes:
    """The inverse of `to_text`; ValueError for anything else."""
    if len(text) != TEXT_CHARS or text[0] != "t" or text != text.lower():
        raise ValueError("a transaction id is 't' and 40 characters of lower-case base32")
    try:
        return base64.b32decode(text[1:].upper())
    except binascii.Error as error:
        raise ValueError("a transaction id is 't' and 40 characters of lower-case base32") from error
