"""The messages and journal records of Raft: the title page of this folder.

    candidate                   voter          leader                          follower
        │ RequestPreVote(T+1)     │               │ Append(prev, entries)          │
        │────────────────────────>│               │───────────────────────────────>│
        │<──────────────── PreVote│               │<────── Appended | AppendRefused│
        │ RequestVote(T+1)        │               │ Heartbeat(commit, round)       │
        │────────────────────────>│               │───────────────────────────────>│
        │<─────────────────── Vote│               │<───────── HeartbeatReply(round)│
                                                  │ TimeoutNow                     │ or Declined
     whoever gets an older term answers HigherTerm│───────────────────────────────>│

`term` is always the sender's own current term, but for `RequestPreVote`, which names the term that would be begun.
An entry's `epoch` is the term it was first proposed in. "The paper" in this folder is Ongaro and Ousterhout, In Search
of an Understandable Consensus Algorithm; "the dissertation" is Ongaro's, Consensus: Bridging Theory and Practice.

*Invariants*: tags of messages lie in 100..129, tags of records in 130..149, and are never given a second meaning.
Who is behind a compacted log gets a copy of the store (nodes/core/transfer.py).
"""

from __future__ import annotations

import msgspec

from nodes.core.membership import Joined
from nodes.core.replicated_log import Entry

NOBODY = 0  # No node has this number: the vote of who has not voted.


class RequestPreVote(msgspec.Struct, array_like=True, tag=100, frozen=True):
    """Would you vote for me in `term`, whose log ends at (`last_slot`, `last_epoch`)? Changes nothing anywhere."""

    term: int
    last_slot: int
    last_epoch: int


class PreVote(msgspec.Struct, array_like=True, tag=101, frozen=True):
    """The answer to a RequestPreVote for term `proposed`; `term` is the voter's own."""

    term: int
    proposed: int
    granted: bool


class RequestVote(msgspec.Struct, array_like=True, tag=102, frozen=True):
    """Vote for me in `term`. `transfer`: the leader asked for this election, so its followers need not protect it."""

    term: int
    last_slot: int
    last_epoch: int
    transfer: bool


class Vote(msgspec.Struct, array_like=True, tag=103, frozen=True):
    """The answer to a RequestVote; a granted one is durable before it is sent."""

    term: int
    granted: bool


class Append(msgspec.Struct, array_like=True, tag=104, frozen=True):
    """The leader's `entries`, which follow directly on the entry (`prev_slot`, `prev_epoch`); `commit` is its own."""

    term: int
    prev_slot: int
    prev_epoch: int
    entries: list[Entry]
    commit: int


class Appended(msgspec.Struct, array_like=True, tag=105, frozen=True):
    """This log equals the leader's up to `slot`, durably."""

    term: int
    slot: int


class AppendRefused(msgspec.Struct, array_like=True, tag=106, frozen=True):
    """There is no entry like the one before `prev_slot + 1`; the logs can only agree at or below the hint."""

    term: int
    prev_slot: int
    hint_slot: int
    hint_epoch: int


class Heartbeat(msgspec.Struct, array_like=True, tag=107, frozen=True):
    """I lead in `term`. `commit` never exceeds what this follower acknowledged; `round` numbers the read rounds."""

    term: int
    commit: int
    round: int


class HeartbeatReply(msgspec.Struct, array_like=True, tag=108, frozen=True):
    """You led when your heartbeat with `round` came; the wall clock here says `clock_ms`."""

    term: int
    round: int
    clock_ms: int


class TimeoutNow(msgspec.Struct, array_like=True, tag=109, frozen=True):
    """Stand for election at once: the leader hands over to a follower that has its whole log."""

    term: int


class Declined(msgspec.Struct, array_like=True, tag=111, frozen=True):
    """To the leader who asked to be replaced: not by me."""

    term: int


class HigherTerm(msgspec.Struct, array_like=True, tag=110, frozen=True):
    """To a leader of an older term: there is a newer one."""

    term: int


class HardState(msgspec.Struct, array_like=True, tag=130, frozen=True):
    """Record: the current term and the vote given in it (NOBODY: none)."""

    term: int
    vote: int


class LogSuffix(msgspec.Struct, array_like=True, tag=131, frozen=True):
    """Record: from the slot of the first entry on, the log is `entries` (never empty); what stood there is gone."""

    entries: list[Entry]


class Compacted(msgspec.Struct, array_like=True, tag=132, frozen=True):
    """Record: the log begins behind `slot`, whose entry was of `epoch`; everything up to it is in the store. `emptied`:
    and nothing that was recorded before stands behind it, for it was not the log that this store belongs to."""

    slot: int
    epoch: int
    emptied: bool = False


Message = (
    RequestPreVote | PreVote | RequestVote | Vote | Append | Appended | AppendRefused
    | Heartbeat | HeartbeatReply | TimeoutNow | Declined | HigherTerm
)  # fmt: skip
Record = HardState | LogSuffix | Compacted | Joined
