"""The steps of a transaction that its trace shows: who notes each one, when, and what its detail says.

A state machine notes them through `Host.note`, an attempt through `Sender.note`. A note decides nothing, promises
nothing and may be lost: it is what a person reads afterwards (nodes/runtime/trace.py keeps it).

A detail is a plain value or a tuple of plain values in the order of DETAILS; an id is bytes until it is told.
"""

from __future__ import annotations

# At the gateway.
BEGUN = "begun"  # the attempt has its id
SENT = "sent"  # an Execute left for a shard (again, if it comes twice)
VOTED = "voted"  # a shard's yes came
REFUSED = "refused"  # a shard's no came
WOUNDED = "wounded"  # a shard tells that an older transaction waits for this one
ASKED = "decision asked"  # all votes are in: the home is asked to commit
DECIDED = "decided"  # the home's answer came
HELD = "held"  # a step of an interactive transaction is done at a shard
FINISHED = "finished"  # the word of the one shard that was the home came
CONFIRMED = "confirmed"  # a shard's word that one that only read held its locks to the end
ANSWERED = "answered"  # the client has its answer, or the gateway tries again under another id

# At a shard's leader.
ARRIVED = "arrived"  # its Execute came
WAITS = "waits for a lock"
EVALUATED = "evaluated"
PREPARED = "prepared"  # its PrepareTxn is applied: this is the vote
IN_DOUBT = "in doubt"  # prepared, and nobody told the outcome: it asks
ENDED = "ended"  # its EndTxn is applied: rows are written, locks go
COMMITTED = "committed"  # its CommitTxn is applied: the decision of a transaction of one shard
ABORTED = "aborted"  # its AbortTxn is applied
RELEASED = "released"  # it only read: a quorum round has confirmed its locks, and they go without an entry
TURNED_DOWN = "turned down"  # ended here without an entry

# At the home, on each of its replicas.
DECISION = "decision applied"  # the first DecideTxn of the id

DETAILS: dict[str, tuple[str, ...]] = {
    BEGUN: ("attempt", "home"),
    SENT: ("to_node",),
    VOTED: (),
    REFUSED: ("cause", "winner"),
    WOUNDED: ("winner",),
    ASKED: ("to_node",),
    DECIDED: ("commit", "commit_ts", "reason"),
    HELD: ("step",),
    FINISHED: ("commit_ts",),
    CONFIRMED: (),
    ANSWERED: ("answer",),
    ARRIVED: ("gateway",),
    WAITS: ("behind",),
    EVALUATED: ("changed_rows", "error"),
    PREPARED: ("epoch", "slot"),
    IN_DOUBT: ("asks",),
    ENDED: ("epoch", "slot", "commit", "commit_ts"),
    COMMITTED: ("epoch", "slot", "commit_ts"),
    ABORTED: ("epoch", "slot", "reason"),
    RELEASED: (),
    TURNED_DOWN: ("cause", "winner"),
    DECISION: ("epoch", "slot", "commit", "commit_ts", "reason"),
}
