"""A request with a client key (`Idempotency-Key`): what is bound with its commit, and what a repeat is answered.

The digest is over everything that makes a request another one: its statements with their parameters and stated row
counts, and whether it only reads; not over its time-out. DESIGN.md §5, client keys.
"""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import UUID

import msgspec

from nodes import ids
from nodes.core.txn.entries import FENCED
from nodes.core.txn.messages import KeyBinding, KeyKnown, KeyRecord
from nodes.errors import (
    DID_NOT_HAPPEN,
    HAPPENED,
    UNKNOWN,
    BadRequest,
    KeyReused,
    NotFound,
    StoreError,
    TransactionAborted,
)
from nodes.requests import ABORTED, COMMITTED, EXPIRED, Fate, Reply, Request, Result

KEPT_BYTES = 32 << 10  # a larger result is not kept: a repeat then hears that it is committed, without rows

_encoder = msgspec.msgpack.Encoder(order="sorted")
_kept: Any = msgspec.msgpack.Decoder(tuple[list[str], list[Result]])


class Keyed:
    """The key of one request."""

    def __init__(self, key: bytes, digest: bytes) -> None:
        self.key = key
        self._digest = digest

    @property
    def text(self) -> str:
        return str(UUID(bytes=self.key))

    def binding(self, shards: list[str], results: list[Result]) -> KeyBinding:
        kept = _encoder.encode((shards, results))
        return KeyBinding(self.key, self._digest, kept if len(kept) <= KEPT_BYTES else b"")

    def answer(self, record: KeyRecord) -> Reply | StoreError:
        """What a request with this key is told, now that it belongs to that."""
        if not record.txn:
            return TransactionAborted("nothing will ever be committed under this key: it is fenced")
        if record.digest != self._digest:
            words = "this key belongs to another request, which was committed; nothing happened now: use a new key"
            return KeyReused(words, transaction=self.text)
        shards, results = _kept.decode(record.result) if record.result else ([], [])
        id, ts = ids.to_text(record.txn), record.commit_ts
        return Reply(id, COMMITTED, ts, 1, shards, results, ts, results_lost=not record.result, repeated=True)


def keyed(request: Request) -> Keyed | None:
    """None for a request without a key; BadRequest for a malformed one."""
    if not request.key:
        return None
    try:
        key = ids.key_of(request.key)
    except ValueError as error:
        raise BadRequest(f"{error}; nothing happened") from error
    content = _encoder.encode((request.statements, request.read_only))
    return Keyed(key, hashlib.blake2b(content, digest_size=16).digest())


def fate_of_key(text: str, known: KeyKnown, since: int) -> Fate | StoreError:
    """NotFound for a key of which nothing is known. Expired, if it was first sent `since` a time of which not all is
    known: a commit under it may be forgotten, even if it was fenced later."""
    record = known.record
    if (record is None or not record.txn) and 0 < since <= known.known_since:
        return Fate(text, EXPIRED, UNKNOWN, 0, "", known_since=known.known_since)
    if record is None:
        when = ids.time_at(known.known_since).isoformat()
        words = f"nothing is known of this key; that holds for one that was first sent after {when}"
        return NotFound(words, transaction=text, detail={"known_since": known.known_since})
    if not record.txn:
        return Fate(text, ABORTED, DID_NOT_HAPPEN, 0, FENCED)
    return Fate(text, COMMITTED, HAPPENED, record.commit_ts, "", ids.to_text(record.txn))
