"""Snapshot reads at a shard leader (DESIGN.md §5): no locks, one timestamp, repeatable for ever.

A question is answered after a quorum round begun after it came proved the leadership, and after those in flight on
arrival that overlap what is read, and may commit at or below `ts`, have ended here.

*Invariants*: every transaction with commit_ts <= ts was in flight on all its shards before ts was drawn; so it is met
in flight, or finished. `floor` of one in flight lies below its commit_ts: with floor >= ts it need not be waited for.
*Left out*: follower reads, and horizons (nothing is pruned yet).
"""

from __future__ import annotations

from typing import Any

from nodes.core.host import GATEWAY, Host
from nodes.core.locks import MODES
from nodes.core.replicated_log import TICK_MS
from nodes.core.txn.messages import FAILED, NOT_LEADER, STALE, TIMED_OUT, SnapshotRead, SnapshotRefused, SnapshotRows
from nodes.core.txn.participant import Participant
from nodes.core.txn.states import APPENDED, ASKING
from nodes.errors import ErrorInfo, StoreError
from nodes.sql.schema import ShardRows


class Question:
    """A read that waits: for its confirmation and for the transactions in `waits`."""

    __slots__ = ("confirmed", "deadline", "message", "waits")

    def __init__(self, message: SnapshotRead, deadline: int, waits: dict[bytes, None]) -> None:
        self.message = message
        self.deadline = deadline
        self.waits = waits
        self.confirmed = False


class Snapshots:
    """All questions of one time of leadership."""

    def __init__(self, participant: Participant, host: Host) -> None:
        self.participant = participant
        self.host = host
        self.questions: dict[tuple[int, int], Question] = {}

    def on_read(self, message: SnapshotRead) -> None:
        key = (message.gateway, message.number)
        if key in self.questions:
            return
        deadline = self.host.now + max(1, message.timeout_ms // TICK_MS)
        question = self.questions[key] = Question(message, deadline, self._in_flight_below(message))

        def then(confirmed: bool) -> None:
            question.confirmed = confirmed
            if confirmed:
                self._try(question)

        self.host.confirm(then)

    def on_ended(self, txn: bytes) -> None:
        """A transaction's end is committed locally."""
        for question in list(self.questions.values()):
            if txn in question.waits:
                del question.waits[txn]
                self._try(question)

    def tick(self) -> None:
        for question in [q for q in self.questions.values() if q.deadline <= self.host.now]:
            self._refuse(question, TIMED_OUT)

    def unlead(self) -> None:
        for question in list(self.questions.values()):
            self._refuse(question, NOT_LEADER)

    def _in_flight_below(self, message: SnapshotRead) -> dict[bytes, None]:
        need = [((lock.table, lock.key), MODES[lock.mode]) for f in message.fragments for lock in f.locks]
        waits = self.participant.locks.conflicting(need)
        return {txn: None for txn in waits if self._may_commit_below(txn, message.ts)}

    def _may_commit_below(self, txn: bytes, ts: int) -> bool:
        prepared = self.participant.state.prepared.get(txn)
        if prepared is not None:
            return prepared.floor < ts
        active = self.participant.active.get(txn)
        return active is not None and active.state in (ASKING, APPENDED) and active.floor < ts

    def _try(self, question: Question) -> None:
        if not question.confirmed or question.waits:
            return
        engine = self.participant.state.engine
        message = question.message
        for fragment in message.fragments:
            for table, version in fragment.tables:
                known = engine.table(table)
                if known is None or known.version != version:
                    self._refuse(question, STALE, version=0 if known is None else known.version)
                    return
        self.questions.pop((message.gateway, message.number), None)

        def job() -> list[ShardRows]:
            return [engine.read(fragment, message.ts) for fragment in message.fragments]

        self.host.read(job, lambda rows, error: self._answer(message, rows, error))

    def _answer(self, message: SnapshotRead, rows: Any, error: BaseException | None) -> None:
        answer: SnapshotRows | SnapshotRefused
        if error is None:
            answer = SnapshotRows(message.number, self.host.group, rows)
        else:
            info = error.info if isinstance(error, StoreError) else ErrorInfo("internal", str(error), "XX000")
            answer = SnapshotRefused(message.number, self.host.group, FAILED, error=info)
        self.host.send(message.gateway, GATEWAY, answer)

    def _refuse(self, question: Question, cause: int, version: int = 0) -> None:
        message = question.message
        self.questions.pop((message.gateway, message.number), None)
        refusal = SnapshotRefused(message.number, self.host.group, cause, leader=self.host.leader, version=version)
        self.host.send(message.gateway, GATEWAY, refusal)
