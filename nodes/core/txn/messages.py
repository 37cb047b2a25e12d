"""What gateways, shards and homes say to each other about transactions.

    gateway            shard leaders             home (coordinator group)
      │ Execute(PREPARE) ─> locks, evaluate
      │                     PrepareTxn in its log
      │ <──────── Voted
      │ Decide ─────────────────────────────────> DecideTxn in its log (first one wins)
      │ <──────────────────────────────────────── Decided
      │ Outcome ─────────> EndTxn in its log
      │                    Acknowledge ─────────> DoneTxns in its log
      │
      │ Execute(COMMIT) ─> locks, evaluate, oracle, CommitTxn in its log   (one shard, its own home)
      │ <──────── Finished
      │
      │ Execute(CONFIRM) > a read index, locks held, then they go          (interactive, and wrote nowhere)
      │ <──────── Finished

`Refused` answers an Execute that came to nothing here. In doubt: `InDoubt` to the gateway, then to the home, which
answers `Outcome`. All messages may be lost, repeated, reordered and late; ids make them idempotent.
Tags: 1-39 messages, 40-59 log entries (nodes/core/txn/entries.py), 60-69 founding (nodes/core/founding.py),
100 and up the replicated logs.
"""

from __future__ import annotations

from typing import Any

import msgspec

from nodes import ids
from nodes.core.oracle import TimestampReply, TimestampRequest
from nodes.errors import ErrorInfo
from nodes.sql.schema import Fragment, ShardRows

# How an Execute ends at the shard. HOLD: it does not yet, locks and images stay in the leader's memory. CONFIRM: what
# is held there wrote nothing, here or elsewhere, and ends without an entry.
COMMIT, PREPARE, HOLD, CONFIRM = 1, 2, 3, 4

# Why a Refused was sent. Only NOT_LEADER leaves open whether another copy of the Execute runs elsewhere.
NOT_LEADER, WOUNDED, TIMED_OUT, STALE, FAILED, ENDED, BUSY, TOO_LATE, BEHIND = range(1, 10)


class Execute(msgspec.Struct, array_like=True, tag=1):
    """Run `fragments` in order and end as `finish` says. `timeout_ms`: what is left of the deadline.

    Of an interactive transaction it is step `number` at this shard, from 1, on what stood after the step `keep` (0: on
    nothing). `term` is what the first `Held` named (0: none came yet). `saved`: steps that may be gone back to."""

    txn: bytes
    age: bytes
    gateway: int
    finish: int
    fragments: list[Fragment]
    timeout_ms: int
    number: int = 0
    keep: int = 0
    term: int = 0
    saved: tuple[int, ...] = ()


class Voted(msgspec.Struct, array_like=True, tag=2):
    """The vote yes: PrepareTxn is applied. `rows` per fragment. `images`: did it write here?"""

    txn: bytes
    shard: str
    rows: list[ShardRows]
    wrote: bool


class Held(msgspec.Struct, array_like=True, tag=24):
    """Step `number` of an interactive transaction is done: its rows, or `error`, or `version` >= 0 for a table of
    another version than it was planned with: it then left nothing. `term` names this opening, by this leader."""

    txn: bytes
    shard: str
    number: int
    term: int
    rows: list[ShardRows]
    error: ErrorInfo | None = None
    version: int = -1


class Finished(msgspec.Struct, array_like=True, tag=3):
    """A one-shard transaction is committed at `commit_ts` (0: it wrote nothing; `seen_ts` is then its token). Or an
    interactive one, that wrote nothing, held its locks here when this shard was asked to confirm that."""

    txn: bytes
    shard: str
    commit_ts: int
    rows: list[ShardRows]
    seen_ts: int


class Refused(msgspec.Struct, array_like=True, tag=4):
    """The Execute came to nothing at this shard; for all causes but NOT_LEADER it never will at its own home.

    `leader` is a hint (0: none). `version` is the shard's catalog version for STALE, of `table`. `winner` is the id it
    lost to, at `table` and `key`, a node of the lock tree (nodes/sql/keys.py); `waited_ms`: how long it had waited for
    locks itself. `seen_ts`, for TOO_LATE, is a value of the oracle: a new id is to be dated by that, or later.
    """

    txn: bytes
    shard: str
    cause: int
    leader: int = 0
    error: ErrorInfo | None = None
    version: int = 0
    winner: bytes = b""
    table: int = 0
    waited_ms: int = 0
    seen_ts: int = 0
    key: bytes = b""

    @property
    def reason(self) -> str:
        """In words, for its fate."""
        if self.error is not None:
            return self.error.message
        if not self.winner:
            return "its time was up" if self.cause == TIMED_OUT else "refused"
        return f"{'timed out behind' if self.cause == TIMED_OUT else 'wounded by'} {ids.to_text(self.winner)}"


class KeyBinding(msgspec.Struct, array_like=True, frozen=True):
    """What a request with a client key asks its home to bind, if it commits: the key, a digest of the request, and what
    a repeat is answered (b"": too large to be kept)."""

    key: bytes
    digest: bytes
    result: bytes


class KeyRecord(msgspec.Struct, array_like=True, frozen=True):
    """What a home knows of a client key: the id that was committed under it, at `commit_ts`; `txn` b"": it is fenced,
    and nothing will be. It is kept until the home's mark passes `date`."""

    txn: bytes
    commit_ts: int
    date: int
    digest: bytes = b""
    result: bytes = b""


class Decide(msgspec.Struct, array_like=True, tag=5):
    """Gateway to home: all votes are in, commit."""

    txn: bytes
    gateway: int
    participants: list[str]
    binding: KeyBinding | None = None


class Decided(msgspec.Struct, array_like=True, tag=6):
    """Home to gateway: the decision that stands. `expired`: if there was one, it is forgotten, and none will come.
    `bound`: it is an abort, because the key belongs to this already."""

    txn: bytes
    commit: bool
    commit_ts: int
    reason: str
    expired: bool = False
    bound: KeyRecord | None = None


class Outcome(msgspec.Struct, array_like=True, tag=7):
    """To a participant, from the home; an abort also from the gateway, if that never proposed commit."""

    txn: bytes
    commit: bool
    commit_ts: int
    home: str


class Acknowledge(msgspec.Struct, array_like=True, tag=8):
    """Participant to home, at a tick: these commits are applied here."""

    txns: list[bytes]
    shard: str


class InDoubt(msgspec.Struct, array_like=True, tag=9):
    """A prepared participant asks what became of it: its gateway first, then the home."""

    txn: bytes
    shard: str
    node: int


class Deciding(msgspec.Struct, array_like=True, tag=10):
    """The gateway to one in doubt: wait (`known`), or: ask the home (not `known`)."""

    txn: bytes
    shard: str
    known: bool


class Wound(msgspec.Struct, array_like=True, tag=11):
    """Shard to the gateway of a prepared transaction: an older one waits for it, at this node of the lock tree."""

    txn: bytes
    shard: str
    winner: bytes
    table: int = 0
    key: bytes = b""


class AskFate(msgspec.Struct, array_like=True, tag=12):
    """Any gateway to the home of an id; `fence`: decide abort if nothing is decided."""

    number: int
    txn: bytes
    gateway: int
    fence: bool


class FateKnown(msgspec.Struct, array_like=True, tag=13):
    """`state` as in nodes.requests; `leader` with state "": the asked node does not lead the home. `known_since`: ids
    dated at or below it are forgotten there."""

    number: int
    txn: bytes
    state: str
    commit_ts: int
    reason: str
    leader: int = 0
    known_since: int = 0


class SnapshotRead(msgspec.Struct, array_like=True, tag=14):
    """Read fragments at `ts`. `number` names the question at its gateway. `slot` 0: the leader is asked. Else `ts` is
    closed as of that slot, and any replica that has applied it answers; one that has not refuses (BEHIND)."""

    number: int
    gateway: int
    ts: int
    fragments: list[Fragment]
    timeout_ms: int
    slot: int = 0


class SnapshotRows(msgspec.Struct, array_like=True, tag=15):
    number: int
    shard: str
    rows: list[ShardRows]


class SnapshotRefused(msgspec.Struct, array_like=True, tag=16):
    """`cause` as in Refused."""

    number: int
    shard: str
    cause: int
    leader: int = 0
    error: ErrorInfo | None = None
    version: int = 0


class AskCatalog(msgspec.Struct, array_like=True, tag=19):
    """Which catalog version does s0 have now? (A read index on s0.)"""

    number: int
    gateway: int


class CatalogIs(msgspec.Struct, array_like=True, tag=20):
    number: int
    version: int


class NotHome(msgspec.Struct, array_like=True, tag=21):
    """The asked node does not lead `group`. `txn` b"": said of any other message than a Decide, as a hint."""

    txn: bytes
    group: str
    leader: int = 0


class AskKey(msgspec.Struct, array_like=True, tag=22):
    """Any gateway to the home of a client key; `fence`: bind it to nothing if it is free. `since`: a timestamp from
    before its first sending; if the home cannot know of all since then, nothing is bound. 0: not told."""

    number: int
    key: bytes
    gateway: int
    fence: bool
    since: int = 0


class KeyKnown(msgspec.Struct, array_like=True, tag=23):
    """`record` None: there is none. That, and that a fenced key was never committed, holds for a key first sent after
    `known_since`. Not `leads`: the asked node does not lead the home; `leader` is a hint."""

    number: int
    record: KeyRecord | None
    known_since: int
    leads: bool = True
    leader: int = 0


class AskClosed(msgspec.Struct, array_like=True, tag=25):
    """Any gateway to the leader of a shard: what is closed at or below `ts`, a value that the oracle gave?"""

    gateway: int
    ts: int


class ClosedIs(msgspec.Struct, array_like=True, tag=26):
    """Who has applied the shard's log up to `slot` has all that ever commits there at or below `ts`. True for ever."""

    shard: str
    ts: int
    slot: int


Message = (
    Execute | Voted | Held | Finished | Refused | Decide | Decided | Outcome | Acknowledge | InDoubt | Deciding | Wound
    | AskFate | FateKnown | SnapshotRead | SnapshotRows | SnapshotRefused | TimestampRequest | TimestampReply
    | AskCatalog | CatalogIs | NotHome | AskKey | KeyKnown | AskClosed | ClosedIs
)  # fmt: skip

decode_key_record: Any = msgspec.msgpack.Decoder(KeyRecord).decode
