"""One attempt of a transaction, driven by its gateway (DESIGN.md §5).

    EXECUTING ── all votes ──> DECIDING ── Decided ──> over
        └── refused, wounded, out of time ───────────> over (several shards: commit is never proposed for the id)

One shard without a coordinator: the shard is the home, Finished ends it. An interactive transaction that wrote nowhere
(`only_read`) is committed without its home: Finished from every shard ends it. Messages are sent again, under the same
id, to whoever leads now: an id counts once at a shard and at its home, so that is always safe.

*Invariants*: commit is proposed with all votes in, and never after an abort was told. "Did not happen" is said of a
one-shard attempt only on the word of its home, or when no message left; of several shards when commit was never
proposed, nor ever will be: of what only read, at any time. After `over` nothing is sent for the id but outcomes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from nodes import ids
from nodes.core.replicated_log import TICK_MS
from nodes.core.txn import steps
from nodes.core.txn.messages import (
    COMMIT,
    CONFIRM,
    ENDED,
    NOT_LEADER,
    PREPARE,
    WOUNDED,
    Decide,
    Decided,
    Deciding,
    Execute,
    Finished,
    InDoubt,
    KeyBinding,
    KeyRecord,
    NotHome,
    Outcome,
    Refused,
    Voted,
    Wound,
)
from nodes.errors import ErrorInfo
from nodes.sql.schema import Fragment, ShardRows

EXECUTING, DECIDING, OVER = range(3)
SEND_AGAIN_TICKS = 20
SHARD_MARGIN = 0.85  # of the time left: a shard gives up before its gateway does, so that its word arrives in time


class Sender(Protocol):
    """What an attempt needs of its gateway."""

    node: int
    now: int

    def to_leader(self, group: str, message: Any) -> int:
        """The node it was sent to; 0 when no leader is known and nothing left."""

    def leader_of(self, group: str) -> int: ...

    def send(self, node: int, target: str, message: Any) -> None: ...

    def note(self, step: str, txn: bytes, group: str, detail: Any = None) -> None:
        """For the trace of `txn` (nodes/core/txn/steps.py)."""


class Committed:
    """How an attempt ended well: rows per shard, in order of its fragments."""

    __slots__ = ("commit_ts", "rows", "seen_ts")

    def __init__(self, commit_ts: int, rows: dict[str, list[ShardRows]], seen_ts: int) -> None:
        self.commit_ts = commit_ts
        self.rows = rows
        self.seen_ts = seen_ts


class Aborted:
    """It did not happen and never will; `refusal` says why (cause and words)."""

    __slots__ = ("refusal",)

    def __init__(self, refusal: Refused) -> None:
        self.refusal = refusal


class Taken:
    """It did not happen and never will: its client key belongs to `bound` already."""

    __slots__ = ("bound",)

    def __init__(self, bound: KeyRecord) -> None:
        self.bound = bound


class Unknown:
    """Nobody said; `why` in words."""

    __slots__ = ("why",)

    def __init__(self, why: str) -> None:
        self.why = why


class Unsent:
    """The deadline came before all shards had answered, `silent` did not, and none may commit: it did not happen."""

    def __init__(self, silent: list[str]) -> None:
        self.silent = silent


class Last(NamedTuple):
    """The last step of an interactive transaction at a shard, with which it ends there: see Execute."""

    number: int = 0
    keep: int = 0
    term: int = 0


class _Part:
    __slots__ = ("fragments", "last", "rows", "sent_at", "sent_to", "was_sent")

    def __init__(self, fragments: list[Fragment], last: Last) -> None:
        self.fragments = fragments
        self.last = last
        self.rows: list[ShardRows] | None = None
        self.sent_to = 0
        self.sent_at = 0
        self.was_sent = last.number > 0


class Attempt:
    """`then(end)` is called once, with Committed, Aborted, Taken, Unknown or Unsent.

    `accept(rows)` looks at all rows before commit is proposed and may return a Refused (expect_rows over shards), or
    what is to be bound with the commit: then the home is a coordinator group, also of one shard. `last`: of each shard,
    when the transaction is interactive and has nothing left to run; `only_read`: and may have written nowhere.
    """

    def __init__(
        self,
        txn: bytes,
        age: bytes,
        parts: dict[str, list[Fragment]],
        deadline: int,
        sender: Sender,
        accept: Callable[[dict[str, list[ShardRows]]], Refused | KeyBinding | None],
        then: Callable[[Any], None],
        last: Mapping[str, Last] = {},
        only_read: bool = False,
    ) -> None:
        self.txn = txn
        self.age = age
        self.home = ids.home_of(txn)
        self.deadline = deadline
        self.state = EXECUTING
        self._sender = sender
        self._accept = accept
        self._then = then
        self._parts = {shard: _Part(fragments, last.get(shard, Last())) for shard, fragments in parts.items()}
        self._finish = COMMIT if self.home in parts else CONFIRM if only_read else PREPARE
        self._seen_ts = 0
        self._decide_sent_to = 0
        self._decide_sent_at = 0
        self._binding: KeyBinding | None = None
        assert self._finish != COMMIT or len(parts) == 1, "a shard is the home of one-shard attempts only"
        assert len(last) == len(parts) or not only_read, "what a shard confirms it holds already"

    def start(self) -> None:
        for shard in self._parts:
            self._send_execute(shard)

    # -- answers of shards

    def on_voted(self, message: Voted) -> None:
        part = self._parts.get(message.shard)
        if self.state != EXECUTING or part is None or self._finish != PREPARE:
            return
        part.rows = message.rows
        self._sender.note(steps.VOTED, self.txn, message.shard)
        if all(p.rows is not None for p in self._parts.values()):
            self._decide()

    def on_finished(self, message: Finished) -> None:
        part = self._parts.get(message.shard)
        if self.state != EXECUTING or part is None or part.rows is not None or self._finish == PREPARE:
            return
        part.rows = message.rows
        self._seen_ts = max(self._seen_ts, message.seen_ts)
        if self._finish == CONFIRM:
            self._sender.note(steps.CONFIRMED, self.txn, message.shard)
        else:
            self._sender.note(steps.FINISHED, self.txn, message.shard, message.commit_ts)
        if all(p.rows is not None for p in self._parts.values()):
            self._end(Committed(message.commit_ts, self._rows(), self._seen_ts))

    def on_refused(self, message: Refused) -> None:
        part = self._parts.get(message.shard)
        if self.state != EXECUTING or part is None or part.rows is not None:
            return
        self._sender.note(steps.REFUSED, self.txn, message.shard, (message.cause, message.winner))
        if message.cause != NOT_LEADER:
            self._abort(message)
            return
        sent_to, part.sent_to = part.sent_to, 0
        if message.leader not in (0, sent_to) and message.leader == self._sender.leader_of(message.shard):
            self._send_execute(message.shard)  # who leads but does not serve yet is asked again at the next tick

    def on_wound(self, message: Wound) -> None:
        """An older one waits for a prepared part; who has all votes already waits for nothing and goes on."""
        if self.state == EXECUTING and self._finish == PREPARE:
            self._sender.note(steps.WOUNDED, self.txn, message.shard, message.winner)
            refusal = Refused(
                self.txn, message.shard, WOUNDED, winner=message.winner, table=message.table, key=message.key
            )
            self._abort(refusal)

    def on_in_doubt(self, message: InDoubt) -> None:
        known = self.state != OVER and self._sender.now < self.deadline
        self._sender.send(message.node, message.shard, Deciding(self.txn, message.shard, known))

    @property
    def may_be_withdrawn(self) -> bool:
        """It never proposes commit, and has not told yet that all shards have confirmed it."""
        return self._finish == CONFIRM and self.state != OVER

    def withdraw(self) -> None:
        """It never happens. `then` is not called: who withdraws it knows."""
        assert self.may_be_withdrawn, "a commit that may be proposed is for the home to stop"
        self.state = OVER
        self._tell(False, 0)

    # -- the decision

    def _decide(self) -> None:
        accepted = self._accept(self._rows())
        if isinstance(accepted, Refused):
            self._abort(accepted)
            return
        self._binding = accepted
        self.state = DECIDING
        self._send_decide()

    def on_not_home(self, message: NotHome) -> None:
        if self.state == DECIDING:
            self._decide_sent_to = 0

    def on_decided(self, message: Decided) -> None:
        if self.state != DECIDING:
            return
        if message.expired:
            self._end(Unknown("its home has forgotten what became of it"))
            return
        self._sender.note(steps.DECIDED, self.txn, self.home, (message.commit, message.commit_ts, message.reason))
        self._tell(message.commit, message.commit_ts)
        if message.commit:
            self._end(Committed(message.commit_ts, self._rows(), message.commit_ts))
        elif message.bound is not None:
            self._end(Taken(message.bound))
        else:
            self._end(Aborted(Refused(self.txn, self.home, ENDED, error=ErrorInfo("aborted", message.reason, "40000"))))

    def _rows(self) -> dict[str, list[ShardRows]]:
        return {shard: part.rows or [] for shard, part in self._parts.items()}

    # -- time

    def tick(self) -> None:
        if self._sender.now >= self.deadline:
            self._out_of_time()
        elif self.state == EXECUTING:
            for shard, part in self._parts.items():
                if part.rows is None and self._is_due(shard, part.sent_to, part.sent_at):
                    self._send_execute(shard)
        elif self.state == DECIDING and self._is_due(self.home, self._decide_sent_to, self._decide_sent_at):
            self._send_decide()

    def _is_due(self, group: str, sent_to: int, sent_at: int) -> bool:
        """Again: to another leader at once, to the same one when it has been silent for long."""
        leader = self._sender.leader_of(group)
        return leader != 0 and (leader != sent_to or self._sender.now - sent_at >= SEND_AGAIN_TICKS)

    def _out_of_time(self) -> None:
        if self.state == DECIDING or (self._finish == COMMIT and any(p.was_sent for p in self._parts.values())):
            self._end(Unknown("no answer by the deadline"))
            return
        if self._finish != COMMIT:
            self._tell(False, 0)
        self._end(Unsent([shard for shard, part in self._parts.items() if part.rows is None]))

    # -- sending and ending

    def _send_execute(self, shard: str) -> None:
        part = self._parts[shard]
        left_ms = int((self.deadline - self._sender.now) * TICK_MS * SHARD_MARGIN)
        message = Execute(self.txn, self.age, self._sender.node, self._finish, part.fragments, left_ms, *part.last)
        part.sent_to = self._sender.to_leader(shard, message)
        part.sent_at = self._sender.now
        part.was_sent = part.was_sent or part.sent_to != 0
        self._sender.note(steps.SENT, self.txn, shard, part.sent_to)

    def _send_decide(self) -> None:
        message = Decide(self.txn, self._sender.node, list(self._parts), self._binding)
        self._decide_sent_to = self._sender.to_leader(self.home, message)
        self._decide_sent_at = self._sender.now
        self._sender.note(steps.ASKED, self.txn, self.home, self._decide_sent_to)

    def _abort(self, refusal: Refused) -> None:
        """Of several shards: commit was never proposed and never will be, so it is certain."""
        if self._finish != COMMIT:
            self._tell(False, 0)
        self._end(Aborted(refusal))

    def _tell(self, commit: bool, commit_ts: int) -> None:
        for shard, part in self._parts.items():
            if part.was_sent:
                self._sender.to_leader(shard, Outcome(self.txn, commit, commit_ts, self.home))

    def _end(self, end: Any) -> None:
        assert self.state != OVER, "an attempt ends once"
        self.state = OVER
        self._then(end)
