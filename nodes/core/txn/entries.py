"""What shards and homes write in their logs about transactions, and what their stores keep of them.

Who proposes which entry, and when, is told by nodes/core/txn/messages.py. Tags: 40-59.
"""

from __future__ import annotations

from typing import Any

import msgspec

from nodes.core.txn.messages import KeyBinding
from nodes.errors import ErrorInfo
from nodes.sql.schema import Ddl, Image, ShardRows

FENCED = "fenced"  # why it was aborted: somebody asked that it never happen

# -- entries of shard logs


class PrepareTxn(msgspec.Struct, array_like=True, tag=40):
    """A participant's promise: whoever leads the shard can commit it. `locks` are (table, key, mode number)."""

    txn: bytes
    age: bytes
    gateway: int
    images: list[Image]
    locks: list[tuple[int, bytes, int]]
    rows: list[ShardRows]
    floor: int
    ddl: Ddl | None = None


class CommitTxn(msgspec.Struct, array_like=True, tag=41):
    """A one-shard transaction whose home this shard is: this entry is its commit. `commit_ts` 0: it changed nothing,
    and is recorded so that a late copy of its Execute, which would change something, is answered from the record."""

    txn: bytes
    images: list[Image]
    locks: list[tuple[int, bytes, int]]
    rows: list[ShardRows]
    commit_ts: int


class EndTxn(msgspec.Struct, array_like=True, tag=42):
    """The outcome of a prepared transaction."""

    txn: bytes
    commit: bool
    commit_ts: int


class AbortTxn(msgspec.Struct, array_like=True, tag=43):
    """This id will never commit here: a fence, or an abort that the gateway must be able to rely on; its `error`."""

    txn: bytes
    reason: str
    error: ErrorInfo | None = None


class MoveMarks(msgspec.Struct, array_like=True, tag=47):
    """What lies at or below these oracle timestamps is forgotten from here on (nodes/core/engine.py, Marks)."""

    late: int
    home: int
    horizon: int


# -- entries of coordinator logs


class DecideTxn(msgspec.Struct, array_like=True, tag=44):
    """The first for an id counts."""

    txn: bytes
    commit: bool
    commit_ts: int
    participants: list[str]
    reason: str
    binding: KeyBinding | None = None


class DoneTxns(msgspec.Struct, array_like=True, tag=45):
    """All participants of these commits have acknowledged."""

    txns: list[bytes]


class Reserve(msgspec.Struct, array_like=True, tag=46):
    """The oracle hands out values up to `until`."""

    until: int


ShardEntry = PrepareTxn | CommitTxn | EndTxn | AbortTxn | MoveMarks


class ForgetDecisions(msgspec.Struct, array_like=True, tag=48):
    """Decisions on ids dated at or below `until` are forgotten from here on; all of them are done."""

    until: int


class FenceKey(msgspec.Struct, array_like=True, tag=49):
    """Nothing will be committed under this key, unless it is already. `date`: an oracle value drawn for it. It has no
    effect if `since` is given and lies at or below the mark."""

    key: bytes
    date: int
    since: int = 0


CoordinatorEntry = DecideTxn | DoneTxns | Reserve | ForgetDecisions | FenceKey


# -- what a store keeps beside them


class OutcomeRecord(msgspec.Struct, array_like=True):
    """What a shard remembers of an id that ended, for a repeated question: `rows` of a one-shard commit, `error` of
    what its statements did wrong; `seen_ts`, of one that changed nothing: the largest commit_ts here at that time."""

    commit: bool
    commit_ts: int
    reason: str = ""
    rows: list[ShardRows] = []
    seen_ts: int = 0
    error: ErrorInfo | None = None


encode = msgspec.msgpack.Encoder().encode
decode_shard_entry: Any = msgspec.msgpack.Decoder(ShardEntry).decode
decode_coordinator_entry: Any = msgspec.msgpack.Decoder(CoordinatorEntry).decode
decode_decision: Any = msgspec.msgpack.Decoder(DecideTxn).decode
decode_outcome: Any = msgspec.msgpack.Decoder(OutcomeRecord).decode
decode_prepared: Any = msgspec.msgpack.Decoder(PrepareTxn).decode
