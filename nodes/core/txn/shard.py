"""The state machine of a shard group: its replicated state, and what its leader does.

*Invariants*: no leader serves before an entry of its own epoch is applied (`lead`); what a leader answers about the end
of a transaction, it answers after the entry that contains it is applied.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nodes import ids
from nodes.core.engine import Engine
from nodes.core.host import GATEWAY, Host
from nodes.core.replicated_log import Entry
from nodes.core.txn import steps
from nodes.core.txn.entries import FENCED, AbortTxn, CommitTxn, EndTxn, PrepareTxn, ShardEntry, encode
from nodes.core.txn.forgetting import Forgetting
from nodes.core.txn.messages import (
    NOT_LEADER,
    Acknowledge,
    AskCatalog,
    AskClosed,
    AskFate,
    Deciding,
    Execute,
    FateKnown,
    NotHome,
    Outcome,
    Refused,
    SnapshotRead,
)
from nodes.core.txn.participant import Participant
from nodes.core.txn.reader import Reader
from nodes.core.txn.recovery import Doubts
from nodes.core.txn.shard_state import ShardState
from nodes.core.txn.snapshots import Snapshots
from nodes.requests import ABORTED, ACTIVE, COMMITTED, EXPIRED, UNDECIDED


class Leadership:
    """Everything a shard leader has in memory; gone with its epoch."""

    def __init__(self, state: ShardState, reader: Reader, host: Host) -> None:
        self.participant = Participant(state, host)
        self.snapshots = Snapshots(self.participant, reader, host)
        self.doubts = Doubts(state, host)
        self.forgetting = Forgetting(state, self.participant, host)
        self.acknowledged: dict[str, dict[bytes, None]] = {}  # by home, since the last tick
        self.fences: dict[bytes, list[AskFate]] = {}


class Shard:
    """One replica's state machine (`Machine` of nodes/core/host.py)."""

    def __init__(self, engine: Engine, host: Host) -> None:
        self.host = host
        self.state = ShardState(host.group, engine)
        self.reader = Reader(self.state, host)
        self.leading: Leadership | None = None
        self._handlers: dict[type, Callable[[Leadership, Any], None]] = {
            Execute: lambda leading, message: leading.participant.on_execute(message),
            SnapshotRead: lambda leading, message: leading.snapshots.on_read(message),
            Outcome: self._on_outcome,
            Deciding: self._on_deciding,
            AskFate: self._on_ask_fate,
            AskCatalog: lambda leading, message: leading.snapshots.on_ask_catalog(message),
            AskClosed: lambda leading, message: leading.snapshots.on_ask_closed(message),
        }

    # -- the replica

    def apply(self, entries: list[Entry]) -> None:
        fresh = self.state.apply(entries)
        leading = self.leading
        if leading is not None:
            for entry, decoded in fresh:
                self._note(entry, decoded)
                self._on_applied(leading, decoded)
            leading.participant.after_apply()

    def lead(self) -> None:
        self.leading = Leadership(self.state, self.reader, self.host)

    def conclude(self) -> None:
        if self.leading is not None:
            self.leading.participant.ends.propose()

    def unlead(self) -> None:
        leading, self.leading = self.leading, None
        assert leading is not None, "only a leader stops leading"
        leading.participant.unlead()
        leading.snapshots.unlead()
        leading.forgetting.end()

    @property
    def holds_open(self) -> bool:
        return self.leading is not None and self.leading.participant.interactive.is_any_open

    def receive(self, sender: int, message: Any) -> None:
        if type(message) is SnapshotRead and message.slot:
            self.reader.read_closed(message)
        elif self.leading is None:
            self._refuse(sender, message)
        else:
            handler = self._handlers.get(type(message))
            if handler is not None:
                handler(self.leading, message)

    def tick(self) -> None:
        if self.leading is not None:
            self.leading.participant.tick()
            self.leading.snapshots.tick()
            self.leading.doubts.tick()
            self.leading.forgetting.tick()
            self.leading.participant.ends.propose()
            self._flush_acknowledged(self.leading)
        self.state.tick(self.host.now)

    def flush(self) -> None:
        self.state.flush()

    def _refuse(self, sender: int, message: Any) -> None:
        """Not the leader: whoever asked hears it, and whom to try."""
        group, leader = self.host.group, self.host.leader
        if isinstance(message, Execute):
            self.host.send(message.gateway, GATEWAY, Refused(message.txn, group, NOT_LEADER, leader))
        elif isinstance(message, SnapshotRead):
            self.reader.refuse(message, NOT_LEADER)
        elif isinstance(message, AskFate):
            self.host.send(message.gateway, GATEWAY, FateKnown(message.number, message.txn, "", 0, "", leader))
        elif isinstance(message, Outcome | AskCatalog | AskClosed):
            self.host.send(sender, GATEWAY, NotHome(b"", group, leader))

    # -- what was applied, at the leader

    def _note(self, entry: Entry, said: ShardEntry) -> None:
        at = (entry.epoch, entry.slot)
        if isinstance(said, PrepareTxn):
            self.host.note(steps.PREPARED, said.txn, at)
        elif isinstance(said, EndTxn):
            self.host.note(steps.ENDED, said.txn, (*at, said.commit, said.commit_ts))
        elif isinstance(said, CommitTxn):
            self.host.note(steps.COMMITTED, said.txn, (*at, said.commit_ts))
        elif isinstance(said, AbortTxn):
            self.host.note(steps.ABORTED, said.txn, (*at, said.reason))

    def _on_applied(self, leading: Leadership, entry: ShardEntry) -> None:
        if isinstance(entry, PrepareTxn):
            if entry.txn in self.state.prepared:
                leading.doubts.on_prepared(entry.txn)
            told = leading.participant.on_prepared(entry)
            if told is not None:
                self._end(leading, entry.txn, told, 0)
        elif isinstance(entry, EndTxn):
            self._on_end_applied(leading, entry)
        elif isinstance(entry, CommitTxn):
            leading.participant.on_committed(entry)
            self._answer_fences(leading, entry.txn)
        elif isinstance(entry, AbortTxn):
            leading.participant.on_aborted(entry)
            self._answer_fences(leading, entry.txn)
        if isinstance(entry, EndTxn | CommitTxn | AbortTxn):
            leading.snapshots.on_ended(entry.txn)

    def _on_end_applied(self, leading: Leadership, entry: EndTxn) -> None:
        leading.participant.ends.on_applied(entry.txn)
        leading.doubts.on_ended(entry.txn)
        if entry.txn not in leading.participant.active:
            leading.participant.release(entry.txn)
        if entry.commit:
            leading.participant.seen = max(leading.participant.seen, entry.commit_ts)
            self._acknowledge(leading, entry.txn)

    # -- outcomes

    def _on_deciding(self, leading: Leadership, message: Deciding) -> None:
        leading.doubts.on_deciding(message)
        leading.participant.interactive.on_deciding(message)

    def _on_outcome(self, leading: Leadership, message: Outcome) -> None:
        txn = message.txn
        if txn in self.state.prepared:
            self._end(leading, txn, message.commit, message.commit_ts)
            return
        outcome = self.state.outcome(txn)
        if outcome is not None:
            if message.commit and outcome.commit:
                self._acknowledge(leading, txn)
        elif message.commit:
            if self.state.is_expired(txn):  # it was resolved here, or the mark had not passed it
                self._acknowledge(leading, txn)
        else:
            leading.participant.on_abort_told(txn)
            leading.participant.after_apply()

    def _end(self, leading: Leadership, txn: bytes, commit: bool, commit_ts: int) -> None:
        is_awaited = leading.participant.is_awaited or leading.snapshots.is_any_waiting
        leading.participant.ends.add(txn, commit, commit_ts, is_awaited)

    def _acknowledge(self, leading: Leadership, txn: bytes) -> None:
        """At the next tick: nobody waits for it, and one message for each home does."""
        leading.acknowledged.setdefault(ids.home_of(txn), {})[txn] = None

    def _flush_acknowledged(self, leading: Leadership) -> None:
        for home, txns in leading.acknowledged.items():
            self.host.to_leader(home, Acknowledge(list(txns), self.host.group))
        leading.acknowledged = {}

    # -- fate and fence, when this shard is the home

    def _on_ask_fate(self, leading: Leadership, message: AskFate) -> None:
        def then(confirmed: bool) -> None:
            if not confirmed or self.leading is not leading:
                self._refuse(message.gateway, message)
            elif message.fence and self.state.outcome(message.txn) is None and not self.state.is_expired(message.txn):
                leading.fences.setdefault(message.txn, []).append(message)
                self.host.propose(encode(AbortTxn(message.txn, FENCED)))
            else:
                self._tell_fate(leading, message)

        self.host.confirm(then)

    def _answer_fences(self, leading: Leadership, txn: bytes) -> None:
        for message in leading.fences.pop(txn, ()):
            self._tell_fate(leading, message)

    def _tell_fate(self, leading: Leadership, message: AskFate) -> None:
        outcome = self.state.outcome(message.txn)
        if outcome is None:
            is_active = message.txn in leading.participant.active
            state = ACTIVE if is_active else EXPIRED if self.state.is_expired(message.txn) else UNDECIDED
            answer = FateKnown(message.number, message.txn, state, 0, "", known_since=self.state.marks.home)
        else:
            state = COMMITTED if outcome.commit else ABORTED
            answer = FateKnown(message.number, message.txn, state, outcome.commit_ts, outcome.reason)
        self.host.send(message.gateway, GATEWAY, answer)
