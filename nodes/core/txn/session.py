"""One interactive transaction, driven by its gateway step by step until it is committed (DESIGN.md §5).

    OPEN ── run ──> RUNNING ── all shards hold it ──> OPEN
     │                 └── refused, lost, out of time ──> OVER: rolled back on all shards
     └── commit: an Attempt (attempt.py) goes on from `shards`, with PREPARE as the last step of each shard, or CONFIRM

A step goes to the shards that its statements concern, as one message each; `keep` says which came out well, so a step
that failed anywhere leaves nothing: each next message names, at its shard, the last step that is to stand. Messages are
sent again until they are answered.

*Invariants*: a shard's term is that of the first answer it gave; after that only the leader of this term is asked for
more. After OVER nothing is sent for the id but that it is aborted, or by its Attempt.
"""

from __future__ import annotations

from collections.abc import Callable

from nodes.core.replicated_log import TICK_MS
from nodes.core.txn import steps
from nodes.core.txn.attempt import SEND_AGAIN_TICKS, SHARD_MARGIN, Sender
from nodes.core.txn.messages import ENDED, HOLD, NOT_LEADER, Deciding, Execute, Held, InDoubt, Outcome, Refused
from nodes.errors import ErrorInfo
from nodes.sql.schema import Fragment, ShardRows

OPEN, RUNNING, OVER = range(3)

Rows = dict[str, list[ShardRows]]
Then = Callable[[Rows, Held | None], None]


class ShardSteps:
    """What a shard was asked: the `number` of the last step, that of the one to `keep`; since it has answered, the node
    that is its `holder`, and the `term` that this one named."""

    __slots__ = ("answer", "fragments", "holder", "keep", "number", "sent_at", "sent_to", "term")

    def __init__(self) -> None:
        self.number = self.keep = self.term = self.holder = 0
        self.fragments: list[Fragment] = []
        self.answer: Held | None = None
        self.sent_to = self.sent_at = 0


class Session:
    """`on_lost(refusal)` is called once if it ends by itself; then it did not happen and never will."""

    def __init__(self, txn: bytes, age: bytes, home: str, sender: Sender, on_lost: Callable[[Refused], None]) -> None:
        self.txn = txn
        self.age = age
        self.state = OPEN
        self.may_have_written = False  # on some shard; also what is undone since
        self.shards: dict[str, ShardSteps] = {}
        self.savepoints: dict[str, dict[str, int]] = {}  # name -> the step to keep at each shard
        self._home = home
        self._sender = sender
        self._on_lost = on_lost
        self._deadline = 0
        self._concerned: list[str] = []
        self._then: Then | None = None

    # -- steps

    def run(self, parts: dict[str, list[Fragment]], deadline: int, then: Then) -> None:
        """`then(rows by shard, None)` when all shards hold it, or `then({}, held)` with one that says why it is not.
        What is not kept (`keep`) afterwards is as if it had not been asked."""
        assert self.state == OPEN, "one step after the other"
        self.state, self._deadline, self._concerned, self._then = RUNNING, deadline, list(parts), then
        for shard, fragments in parts.items():
            self.may_have_written = self.may_have_written or any(fragment.writes for fragment in fragments)
            asked = self.shards.setdefault(shard, ShardSteps())
            asked.number += 1
            asked.fragments, asked.answer = fragments, None
            self._send(shard, asked)

    def keep(self) -> None:
        """The last step stands."""
        for shard in self._concerned:
            self.shards[shard].keep = self.shards[shard].number

    def save(self, name: str) -> None:
        """As the newest savepoint; an older one of that name is none any more."""
        self.savepoints.pop(name, None)
        self.savepoints[name] = {shard: asked.keep for shard, asked in self.shards.items()}

    def back_to(self, name: str) -> None:
        """What came after it is undone, and newer ones are gone."""
        while next(reversed(self.savepoints)) != name:
            self.savepoints.popitem()
        for shard, asked in self.shards.items():
            asked.keep = self.savepoints[name].get(shard, 0)

    def on_held(self, sender: int, message: Held) -> None:
        asked = self.shards.get(message.shard)
        if self.state == OVER or asked is None or message.number != asked.number or asked.answer is not None:
            return
        if asked.term not in (0, message.term):
            return
        asked.term, asked.holder, asked.answer = message.term, sender, message
        self._sender.note(steps.HELD, self.txn, message.shard, message.number)
        answers = [self.shards[shard].answer for shard in self._concerned]
        if self.state == RUNNING and all(answer is not None for answer in answers):
            self._answered([answer for answer in answers if answer is not None])

    def _answered(self, answers: list[Held]) -> None:
        self.state = OPEN
        then, self._then = self._then, None
        assert then is not None, "who runs a step waits for it"
        bad = [answer for answer in answers if answer.error is not None or answer.version >= 0]
        then({} if bad else {answer.shard: answer.rows for answer in answers}, bad[0] if bad else None)

    def on_refused(self, sender: int, message: Refused) -> None:
        asked = self.shards.get(message.shard)
        if self.state == OVER or asked is None:
            return
        self._sender.note(steps.REFUSED, self.txn, message.shard, (message.cause, message.winner))
        if message.cause != NOT_LEADER:
            self._lose(message)
        elif asked.term and sender not in (asked.holder, asked.sent_to):
            return  # who led before that one
        elif asked.term:
            words = f"what it held at {message.shard} is gone, with the leader of that time"
            self._lose(Refused(self.txn, message.shard, ENDED, error=ErrorInfo("aborted", words, "40001")))
        else:
            asked.sent_to = 0

    def on_in_doubt(self, message: InDoubt) -> None:
        known = self.state != OVER and message.shard in self.shards
        self._sender.send(message.node, message.shard, Deciding(self.txn, message.shard, known))

    # -- time

    def tick(self) -> None:
        if self.state != RUNNING:
            return
        if self._sender.now >= self._deadline:
            silent = ", ".join(shard for shard in self._concerned if self.shards[shard].answer is None)
            error = ErrorInfo("aborted", f"{silent} did not answer by the deadline of a statement", "57014")
            self._lose(Refused(self.txn, "", ENDED, error=error))
            return
        for shard in self._concerned:
            asked = self.shards[shard]
            leader = self._sender.leader_of(shard)
            is_due = leader != asked.sent_to or self._sender.now - asked.sent_at >= SEND_AGAIN_TICKS
            if asked.answer is None and leader and is_due:
                self._send(shard, asked)

    def _send(self, shard: str, asked: ShardSteps) -> None:
        left_ms = int((self._deadline - self._sender.now) * TICK_MS * SHARD_MARGIN)
        gateway, last = self._sender.node, (asked.number, asked.keep, asked.term)
        saved = tuple(sorted({each.get(shard, 0) for each in self.savepoints.values()} - {0}))
        message = Execute(self.txn, self.age, gateway, HOLD, asked.fragments, left_ms, *last, saved)
        asked.sent_to = self._sender.to_leader(shard, message)
        asked.sent_at = self._sender.now
        self._sender.note(steps.SENT, self.txn, shard, asked.sent_to)

    # -- the end

    def roll_back(self) -> None:
        """It never happens: commit was not proposed for the id and will not be."""
        if self.state != OVER:
            self.state = OVER
            for shard in self.shards:
                self._sender.to_leader(shard, Outcome(self.txn, False, 0, self._home))

    def end(self) -> dict[str, ShardSteps]:
        """Commit goes on from here, by an Attempt."""
        assert self.state == OPEN, "one step after the other"
        self.state = OVER
        return self.shards

    def _lose(self, refusal: Refused) -> None:
        self.roll_back()
        self._on_lost(refusal)
