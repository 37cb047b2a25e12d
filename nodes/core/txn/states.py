"""The life of a transaction at a shard leader, as a table.

    LOCKING     waits for locks, or is being evaluated
    ASKING      all locks held, the oracle is asked for commit_ts (one-shard commit)
    APPENDED    its PrepareTxn or CommitTxn is proposed: nothing but its application ends it
    HOLDING     a step of an interactive transaction is done, the next one is waited for
    CONFIRMING  an answer that no entry confirms waits for a read index, the end of one that only read too
    ENDING      its AbortTxn is proposed; the refusal leaves when it is applied

Prepared transactions are no longer here but in the shard's replicated state. *In flight* (DESIGN.md §5) are ASKING,
APPENDED and the prepared.
"""

from __future__ import annotations

from collections.abc import Sequence

from nodes.core.locks import Node
from nodes.core.replicated_log import TICK_MS
from nodes.core.txn.messages import Execute, Held, Refused
from nodes.sql.schema import Ddl, Image, ShardRows

LOCKING, ASKING, APPENDED, CONFIRMING, ENDING, GONE, HOLDING = range(7)
STATE_NAMES = ("locking", "asking", "appended", "confirming", "ending", "gone", "holding")

NEXT: dict[int, tuple[int, ...]] = {
    LOCKING: (ASKING, APPENDED, CONFIRMING, ENDING, GONE, HOLDING),
    ASKING: (APPENDED, ENDING, GONE),
    APPENDED: (GONE,),
    CONFIRMING: (GONE, HOLDING),
    ENDING: (GONE,),
    GONE: (),
    HOLDING: (LOCKING, APPENDED, CONFIRMING, GONE),
}


NOTHING: dict[int, list[Image]] = {}  # is kept of a transaction that is no interactive one


class Active:
    """One transaction that this shard leader executes. `age` ends with the id, so that no two are equal whatever a
    client named; `floor` is the largest oracle value seen when it went in flight. Of an interactive transaction,
    `number` is the step that came last and `held` its answer; `kept` are the images as of each step that may be gone
    back to, and `earlier` those that the step under way began with; `since` and `asked` are the ticks in which its
    gateway was last heard of, and last asked; `term` names this opening; `seen_ts` is the largest commit_ts that was
    applied here when its last step was done. It waits for locks since `waits_since` (-1: it does not) and had waited
    for `waited` ticks before. `locks_rows`: a SELECT of it does."""

    __slots__ = (
        "age", "asked", "ddl", "deadline", "earlier", "finish", "floor", "fragments", "gateway", "held", "images",
        "kept", "locks_rows", "number", "refusal", "rows", "seen_ts", "since", "state", "term", "told", "txn",
        "waited", "waits_since",
    )  # fmt: skip

    def __init__(self, message: Execute, now: int, term: int = 0) -> None:
        self.txn = message.txn
        self.age = message.age + message.txn
        self.gateway = message.gateway
        self.state = LOCKING
        self.number = 0
        self.term = term
        self.held: Held | None = None
        self.kept: dict[int, list[Image]] = NOTHING
        self.earlier: Sequence[Image] = ()
        self.begin(message, now)
        self.rows: list[ShardRows] = []
        self.images: list[Image] = []
        self.ddl: Ddl | None = None
        self.floor = self.seen_ts = 0
        self.told: bool | None = None
        self.refusal: Refused | None = None

    def begin(self, message: Execute, now: int) -> None:
        """The whole of it, or its next step."""
        self.finish = message.finish
        self.fragments = message.fragments
        self.locks_rows = any(fragment.rows is not None for fragment in message.fragments)
        self.since = self.asked = now
        self.waits_since, self.waited = -1, 0
        self.deadline = now + max(1, message.timeout_ms // TICK_MS)
        if message.number:
            self.number, self.held = message.number, None
            self.kept = {n: images for n, images in self.kept.items() if n in message.saved or n == message.keep}
            self.earlier = self.kept[message.keep] if message.keep else ()

    def waits(self, now: int) -> None:
        self.waits_since = now

    def waits_no_more(self, now: int) -> None:
        if self.waits_since >= 0:
            self.waited += now - self.waits_since
            self.waits_since = -1

    def move(self, state: int) -> None:
        assert state in NEXT[self.state], f"from {STATE_NAMES[self.state]} to {STATE_NAMES[state]}"
        self.state = state


LockNeed = list[tuple[Node, int]]
