"""The messages and journal records of Multi-Paxos: the title page of this folder.

                candidate / leader                                acceptor (every member)
    question    Ask(attempt)               ───>   AskReply(attempt, granted, promised)
    phase 1     Prepare(ballot, from)      ───>   Promise(ballot, from, one page, next)   durable first
    phase 2     Accept(ballot, entries)    ───>   Accepted(ballot, first, last)           durable first
    every beat  Heartbeat(ballot, round)   ───>   HeartbeatReply(ballot, round, clock)
    too late    any of the last three      ───>   Refused(ballot, promised)
    learning    Chosen(entries, chosen)    <───   Learn(from)
    hand over   TakeOver(ballot)           ───>   starts phase 1 at once

Every ballot is an integer (`ballots.py`). Slots count from 1. Paxos Made Simple 2.2 and 3.
"""

from __future__ import annotations

import msgspec

from nodes.core.membership import Joined
from nodes.core.replicated_log import Entry


class Proposal(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What an acceptor holds at a slot: the entry and the ballot under which it was accepted last."""

    ballot: int
    entry: Entry


class Ask(msgspec.Struct, array_like=True, frozen=True, tag=150):
    """Would you follow me, who knows `chosen` slots to be chosen? It promises and changes nothing (pre-vote)."""

    attempt: int
    chosen: int


class AskReply(msgspec.Struct, array_like=True, frozen=True, tag=151):
    """`granted`: no live leader was heard of within the least election time-out, and what the asker would ask for in
    phase 1 has not been let go of here."""

    attempt: int
    granted: bool
    promised: int


class Prepare(msgspec.Struct, array_like=True, frozen=True, tag=152):
    """Promise me `ballot`, and tell what you accepted from `from_slot` on, one page an answer."""

    ballot: int
    from_slot: int


class Promise(msgspec.Struct, array_like=True, frozen=True, tag=153):
    """One page of what is held from `from_slot` on; `next_slot` 0: the answer is complete. Up to `trimmed` all slots
    are chosen and their entries gone from here: that nothing is told of them does not mean that they are free."""

    ballot: int
    from_slot: int
    proposals: list[Proposal]
    next_slot: int
    trimmed: int = 0


class Accept(msgspec.Struct, array_like=True, frozen=True, tag=154):
    """Entries of consecutive slots under `ballot`; the sender knows all slots up to `chosen` to be chosen."""

    ballot: int
    chosen: int
    entries: list[Entry]


class Accepted(msgspec.Struct, array_like=True, frozen=True, tag=155):
    """The slots `first`..`last` are durably accepted here under `ballot`."""

    ballot: int
    first: int
    last: int


class Heartbeat(msgspec.Struct, array_like=True, frozen=True, tag=156):
    """I lead under `ballot`. `round` is 1 when that is announced, and rises with each round that reads wait for."""

    ballot: int
    chosen: int
    round: int


class HeartbeatReply(msgspec.Struct, array_like=True, frozen=True, tag=157):
    """When round `round` came I had promised nothing above `ballot`; `clock_ms` is this node's wall clock."""

    ballot: int
    round: int
    clock_ms: int
    chosen: int


class Refused(msgspec.Struct, array_like=True, frozen=True, tag=158):
    """A message under `ballot` came too late: `promised` is above it."""

    ballot: int
    promised: int


class Learn(msgspec.Struct, array_like=True, frozen=True, tag=159):
    """Send me the chosen entries from `from_slot` on."""

    from_slot: int


class Chosen(msgspec.Struct, array_like=True, frozen=True, tag=160):
    """Consecutive chosen entries, as many as fit; the sender knows `chosen` slots to be chosen."""

    entries: list[Entry]
    chosen: int


class TakeOver(msgspec.Struct, array_like=True, frozen=True, tag=161):
    """The leader of `ballot` asks you to take its place now."""

    ballot: int


class PromiseRecord(msgspec.Struct, array_like=True, frozen=True, tag=180):
    """Nothing below `ballot` is promised or accepted from here on."""

    ballot: int


class AcceptRecord(msgspec.Struct, array_like=True, frozen=True, tag=181):
    """`entries` are accepted under `ballot`, which is promised by it."""

    ballot: int
    entries: list[Entry]


class ChosenRecord(msgspec.Struct, array_like=True, frozen=True, tag=182):
    """What is held at each slot up to `up_to` is chosen. Written lazily: a hint that shortens phase 1."""

    up_to: int


class LearntRecord(msgspec.Struct, array_like=True, frozen=True, tag=183):
    """Chosen entries of consecutive slots; what is held at each slot before the first is chosen too."""

    entries: list[Entry]


class Trimmed(msgspec.Struct, array_like=True, frozen=True, tag=184):
    """Record: the slots up to `slot` are chosen and in the store; `epoch` is the newest of their entries."""

    slot: int
    epoch: int


Message = (
    Ask
    | AskReply
    | Prepare
    | Promise
    | Accept
    | Accepted
    | Heartbeat
    | HeartbeatReply
    | Refused
    | Learn
    | Chosen
    | TakeOver
)
Record = PromiseRecord | AcceptRecord | ChosenRecord | LearntRecord | Trimmed | Joined
