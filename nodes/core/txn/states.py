"""The life of a transaction at a shard leader, as a table.

    LOCKING     waits for locks, or is being evaluated
    ASKING      all locks held, the oracle is asked for commit_ts (one-shard commit)
    APPENDED    its PrepareTxn or CommitTxn is proposed: nothing but its application ends it
    CONFIRMING  an answer that no entry confirms waits for a read index
    ENDING      its AbortTxn is proposed; the refusal leaves when it is applied

Prepared transactions are no longer here but in the shard's replicated state. *In flight* (DESIGN.md §5) are ASKING,
APPENDED and the prepared.
"""

from __future__ import annotations

from nodes.core.locks import Node
from nodes.core.txn.messages import Execute, Refused
from nodes.sql.schema import Ddl, Image, ShardRows

LOCKING, ASKING, APPENDED, CONFIRMING, ENDING, GONE = range(6)
STATE_NAMES = ("locking", "asking", "appended", "confirming", "ending", "gone")

NEXT: dict[int, tuple[int, ...]] = {
    LOCKING: (ASKING, APPENDED, CONFIRMING, ENDING, GONE),
    ASKING: (APPENDED, ENDING, GONE),
    APPENDED: (GONE,),
    CONFIRMING: (GONE,),
    ENDING: (GONE,),
    GONE: (),
}


class Active:
    """One transaction that this shard leader executes. `age` ends with the id, so that no two are equal whatever a
    client named; `floor` is the largest oracle value seen when it went in flight."""

    __slots__ = (
        "age", "ddl", "deadline", "finish", "floor", "fragments", "gateway", "images", "refusal", "rows", "since",
        "state", "told", "txn",
    )  # fmt: skip

    def __init__(self, message: Execute, now: int, deadline: int) -> None:
        self.txn = message.txn
        self.age = message.age + message.txn
        self.gateway = message.gateway
        self.finish = message.finish
        self.fragments = message.fragments
        self.since = now
        self.deadline = deadline
        self.state = LOCKING
        self.rows: list[ShardRows] = []
        self.images: list[Image] = []
        self.ddl: Ddl | None = None
        self.floor = 0
        self.told: bool | None = None
        self.refusal: Refused | None = None

    def move(self, state: int) -> None:
        assert state in NEXT[self.state], f"from {STATE_NAMES[self.state]} to {STATE_NAMES[state]}"
        self.state = state


LockNeed = list[tuple[Node, int]]
