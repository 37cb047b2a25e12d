"""What the entries of a shard's log do, the same on every replica (DESIGN.md §3, §5).

What was applied since the last `flush` is in memory and in the log; `flush` puts it into the store, once a second, in
one local transaction for many entries: a page is written once for all of them, and what was prepared has ended by then.
Lookups look at memory first. Who looks into the store flushes first, but for statements that touch nothing of it.

*Invariants*: the first of CommitTxn, PrepareTxn and AbortTxn for an id counts, later ones are answered from it; a
prepared id ends once; every entry moves the applied slot by one, that of the engine in the local transaction that holds
its rows. A state built from its store, and given the entries behind the store's applied slot, is the state that never
was restarted. An entry that cannot be applied or written stops the replica (`ReplicaStopped`), and this object is of no
more use. What the marks have passed and is unknown takes no effect.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nodes import ids
from nodes.core.engine import Engine, Evaluation, Marks
from nodes.core.membership import MARK, Configuration, decode_members
from nodes.core.replicated_log import Entry
from nodes.core.txn.entries import (
    AbortTxn,
    CommitTxn,
    EndTxn,
    MoveMarks,
    OutcomeRecord,
    PrepareTxn,
    ShardEntry,
    decode_outcome,
    decode_prepared,
    decode_shard_entry,
    encode,
)
from nodes.core.txn.remembered import RememberedIds
from nodes.core.txn.unwritten import Unwritten
from nodes.errors import ReplicaStopped
from nodes.sql.schema import Fragment, Image

FLUSH_TICKS = 20
FLUSH_ENTRIES = 1_000
FLUSH_BYTES = 1 << 20
FORGET_A_TICK = 500


class ShardState:
    """The replicated state: in the engine, with the prepared transactions in memory too. `marks`, `applied`, `epoch`:
    as of the last entry, written or not."""

    def __init__(self, group: str, engine: Engine) -> None:
        self.group = group
        self.engine = engine
        self.prepared: dict[bytes, PrepareTxn] = {txn: decode_prepared(record) for txn, record in engine.prepared()}
        self.applied, self.epoch, self.marks = engine.applied, engine.epoch, engine.marks
        self._has_to_forget = True
        self._unwritten = Unwritten()
        self._bytes = 0  # of entries since the last flush
        self._flush_at = ids.group_code(group) % FLUSH_TICKS  # the shards of a node not all at once
        self._ended = RememberedIds(engine.newest_outcome())

    @property
    def largest_ts(self) -> int:
        """The largest commit_ts applied."""
        return self.marks.largest_ts

    def apply(self, entries: list[Entry]) -> list[tuple[Entry, ShardEntry]]:
        """Returns those that say something, in order, with what it is."""
        said: list[tuple[Entry, ShardEntry]] = []
        for entry in entries:
            if entry.slot != self.applied + 1:
                raise ReplicaStopped(f"{self.group}: slot {entry.slot} cannot follow the applied slot {self.applied}")
            data = entry.data
            if data.startswith(MARK):
                self._unwritten.members = Configuration(entry.slot, decode_members(data))
            elif data:
                said.append((entry, each := decode_shard_entry(data)))
                self._apply_one(each, data)
            self.applied, self.epoch = entry.slot, max(self.epoch, entry.epoch)
            self._bytes += len(data)
        is_much = self.applied - self.engine.applied >= FLUSH_ENTRIES or self._bytes >= FLUSH_BYTES
        if is_much or self._unwritten.is_urgent:
            self.flush()
        return said

    def flush(self) -> None:
        """Everything that was applied, into the store, in one local transaction."""
        engine = self.engine
        if self.applied == engine.applied:
            return
        engine.begin()
        try:
            self._unwritten.write(engine)
            engine.set_marks(self.marks)
            for slot in range(engine.applied + 1, self.applied + 1):
                engine.advance(slot, self.epoch)
            engine.commit()
        except BaseException:
            engine.rollback()
            raise
        self._has_to_forget |= self._unwritten.moves_marks
        self._unwritten, self._bytes = Unwritten(), 0

    def evaluate(self, fragments: Sequence[Fragment], budget_ms: float, earlier: Sequence[Image] = ()) -> Evaluation:
        """As the engine does, after everything that was applied."""
        if self._unwritten.concerns(fragments):
            self.flush()
        return self.engine.evaluate(fragments, budget_ms, earlier)

    def is_home_of(self, txn: bytes) -> bool:
        return ids.home_of(txn) == self.group

    def is_late(self, txn: bytes) -> bool:
        """Is an id that is unknown here to be refused?"""
        return ids.time_of(txn) <= self.marks.late

    def is_expired(self, txn: bytes) -> bool:
        """May a record of this id have been here, and be gone?"""
        marks = self.marks
        return ids.time_of(txn) <= (marks.home if self.is_home_of(txn) else marks.late)

    def tick(self, now: int) -> None:
        """Flush when that is due, and remove some of what the written marks have passed."""
        if now % FLUSH_TICKS == self._flush_at:
            self.flush()
        if self._has_to_forget:
            self._has_to_forget = self.engine.forget(FORGET_A_TICK)

    def outcome(self, txn: bytes) -> OutcomeRecord | None:
        if txn not in self._ended:
            return None
        recent = self._unwritten.outcomes.get(txn)
        record = recent[0] if recent is not None else self.engine.outcome(txn, self.is_home_of(txn))
        return None if record is None else decode_outcome(record)

    def _apply_one(self, entry: ShardEntry, data: bytes) -> None:
        if isinstance(entry, PrepareTxn):
            self._on_prepare(entry, data)
        elif isinstance(entry, EndTxn):
            self._on_end(entry)
        elif isinstance(entry, CommitTxn):
            self._on_commit(entry)
        elif isinstance(entry, AbortTxn):
            self._on_abort(entry)
        else:
            self._on_move(entry)

    def _on_prepare(self, entry: PrepareTxn, data: bytes) -> None:
        if entry.txn in self.prepared or self._is_ended(entry.txn) or self.is_late(entry.txn):
            return
        self.prepared[entry.txn] = entry
        self._unwritten.prepared[entry.txn] = data

    def _on_end(self, entry: EndTxn) -> None:
        prepared = self.prepared.pop(entry.txn, None)
        if prepared is None:
            self._end_unprepared(entry)
            return
        if self._unwritten.prepared.pop(entry.txn, None) is None:
            self._unwritten.ended.append(entry.txn)
        self._remember(entry.txn, OutcomeRecord(entry.commit, entry.commit_ts))
        if entry.commit:
            self._unwritten.change(prepared.ddl, prepared.images, prepared.locks, entry.commit_ts)
            self._note_ts(entry.commit_ts)

    def _end_unprepared(self, entry: EndTxn) -> None:
        known = self.outcome(entry.txn)
        if known is None and self.is_expired(entry.txn):
            return
        if known is None and entry.commit:
            raise ReplicaStopped(f"{self.group}: commit of {entry.txn.hex()}, which was never prepared here")
        if known is None:
            self._remember(entry.txn, OutcomeRecord(False, 0, "aborted"))
        elif known.commit != entry.commit:
            raise ReplicaStopped(f"{self.group}: {entry.txn.hex()} ended twice, differently")

    def _on_commit(self, entry: CommitTxn) -> None:
        if self._is_ended(entry.txn) or self.is_late(entry.txn):
            return
        if entry.txn in self.prepared:
            raise ReplicaStopped(f"{self.group}: one-shard commit of {entry.txn.hex()}, which is prepared")
        seen_ts = 0 if entry.commit_ts else self.largest_ts
        self._remember(entry.txn, OutcomeRecord(True, entry.commit_ts, "", entry.rows, seen_ts))
        if entry.images:
            self._unwritten.change(None, entry.images, entry.locks, entry.commit_ts)
        self._note_ts(entry.commit_ts)

    def _on_abort(self, entry: AbortTxn) -> None:
        if not self._is_ended(entry.txn) and entry.txn not in self.prepared and not self.is_expired(entry.txn):
            self._remember(entry.txn, OutcomeRecord(False, 0, entry.reason, error=entry.error))

    def _on_move(self, entry: MoveMarks) -> None:
        marks = self.marks
        late, home, horizon = (
            max(marks.late, entry.late),
            max(marks.home, entry.home),
            max(marks.horizon, entry.horizon),
        )
        self.marks = Marks(late, home, horizon, marks.largest_ts)
        self._unwritten.moves_marks = True

    def _is_ended(self, txn: bytes) -> bool:
        return self.outcome(txn) is not None

    def _note_ts(self, commit_ts: int) -> None:
        if commit_ts > self.marks.largest_ts:
            self.marks = msgspec.structs.replace(self.marks, largest_ts=commit_ts)

    def _remember(self, txn: bytes, outcome: OutcomeRecord) -> None:
        self._ended.add(txn)
        self._unwritten.outcomes[txn] = (encode(outcome), self.is_home_of(txn))
