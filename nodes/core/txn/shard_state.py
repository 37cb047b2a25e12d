"""What the entries of a shard's log do, the same on every replica (DESIGN.md §3, §5).

What is prepared since the last local transaction is in memory and in the log; it goes into the store with the next
one, or with `flush`. Most of it has ended by then, and is never written.

*Invariants*: the first of CommitTxn, PrepareTxn and AbortTxn for an id counts, later ones are answered from it; a
prepared id ends once; every entry moves the engine's applied slot by one, in the local transaction that holds its
rows. A state built from its store, and given the entries behind the store's applied slot, is the state that never was
restarted. An entry that cannot be applied stops the replica (`ReplicaStopped`). What the marks have passed and is
unknown takes no effect.
"""

from __future__ import annotations

import msgspec

from nodes import ids
from nodes.core.engine import Engine, Marks
from nodes.core.membership import MARK, decode_members
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
from nodes.errors import ReplicaStopped


class ShardState:
    """The replicated state: in the engine, with the prepared transactions in memory too."""

    def __init__(self, group: str, engine: Engine) -> None:
        self.group = group
        self.engine = engine
        self.prepared: dict[bytes, PrepareTxn] = {txn: decode_prepared(record) for txn, record in engine.prepared()}
        self.applied = engine.applied
        self.has_to_forget = True
        self._epoch = engine.epoch
        self._newest_ts = 0
        self._unkept: dict[bytes, bytes] = {}  # prepared, and not in the store
        self._ended = RememberedIds(engine.newest_outcome())

    @property
    def largest_ts(self) -> int:
        """The largest commit_ts applied."""
        return self.engine.marks.largest_ts

    def apply(self, entries: list[Entry]) -> list[tuple[Entry, ShardEntry]]:
        """Returns those that say something, in order, with what it is."""
        said = [(entry, _decode(entry.data)) for entry in entries]
        prepares = [(entry, each) for entry, each in said if isinstance(each, PrepareTxn)]
        if len(prepares) < len(said):
            self._apply_all(said)
        else:
            for entry, prepare in prepares:
                self._on_prepare(prepare, entry.data)
                self._move_to(entry)
        return [(entry, each) for entry, each in said if each is not None]

    def flush(self) -> None:
        """Everything that was applied, into the store."""
        if self.applied > self.engine.applied:
            self._apply_all([])

    def _apply_all(self, said: list[tuple[Entry, ShardEntry | None]]) -> None:
        """All in one local transaction, and what waits for one."""
        engine = self.engine
        before = self.prepared, self._unkept, self.applied, self._epoch
        self.prepared, self._unkept = dict(self.prepared), dict(self._unkept)
        engine.begin()
        try:
            for slot in range(engine.applied + 1, self.applied + 1):
                engine.advance(slot, self._epoch)
            for entry, each in said:
                if each is not None:
                    self._apply_one(each, entry.data)
                elif entry.data:
                    engine.set_members(entry.slot, decode_members(entry.data))
                engine.advance(entry.slot, entry.epoch)
                self._move_to(entry)
            for txn, record in self._unkept.items():
                engine.put_prepared(txn, record)
            self._note_newest()
            engine.commit()
        except BaseException:
            engine.rollback()
            self.prepared, self._unkept, self.applied, self._epoch = before
            raise
        self._unkept.clear()

    def _move_to(self, entry: Entry) -> None:
        if entry.slot != self.applied + 1:
            raise ReplicaStopped(f"{self.group}: slot {entry.slot} cannot follow the applied slot {self.applied}")
        self.applied, self._epoch = entry.slot, max(self._epoch, entry.epoch)

    def is_home_of(self, txn: bytes) -> bool:
        return ids.home_of(txn) == self.group

    def is_late(self, txn: bytes) -> bool:
        """Is an id that is unknown here to be refused?"""
        return ids.time_of(txn) <= self.engine.marks.late

    def is_expired(self, txn: bytes) -> bool:
        """May a record of this id have been here, and be gone?"""
        marks = self.engine.marks
        return ids.time_of(txn) <= (marks.home if self.is_home_of(txn) else marks.late)

    def forget(self, rows: int) -> None:
        """Remove some of what the marks have passed."""
        if self.has_to_forget:
            self.has_to_forget = self.engine.forget(rows)

    def outcome(self, txn: bytes) -> OutcomeRecord | None:
        if txn not in self._ended:
            return None
        record = self.engine.outcome(txn, self.is_home_of(txn))
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
        self._unkept[entry.txn] = data

    def _on_end(self, entry: EndTxn) -> None:
        prepared = self.prepared.pop(entry.txn, None)
        if prepared is None:
            self._end_unprepared(entry)
            return
        if self._unkept.pop(entry.txn, None) is None:
            self.engine.drop_prepared(entry.txn)
        self._remember(entry.txn, OutcomeRecord(entry.commit, entry.commit_ts))
        if entry.commit:
            self._install(prepared, entry.commit_ts)

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
        seen_ts = 0 if entry.commit_ts else max(self._newest_ts, self.largest_ts)
        self._remember(entry.txn, OutcomeRecord(True, entry.commit_ts, "", entry.rows, seen_ts))
        if entry.images:
            self.engine.install(entry.images, entry.commit_ts)
        self._newest_ts = max(self._newest_ts, entry.commit_ts)

    def _on_abort(self, entry: AbortTxn) -> None:
        if not self._is_ended(entry.txn) and entry.txn not in self.prepared and not self.is_expired(entry.txn):
            self._remember(entry.txn, OutcomeRecord(False, 0, entry.reason, error=entry.error))

    def _on_move(self, entry: MoveMarks) -> None:
        marks = self.engine.marks
        late, home, horizon = (
            max(marks.late, entry.late),
            max(marks.home, entry.home),
            max(marks.horizon, entry.horizon),
        )
        self.engine.set_marks(Marks(late, home, horizon, marks.largest_ts))
        self.has_to_forget = True

    def _is_ended(self, txn: bytes) -> bool:
        return txn in self._ended and self.engine.outcome(txn, self.is_home_of(txn)) is not None

    def _note_newest(self) -> None:
        """Once for all entries of a turn."""
        marks = self.engine.marks
        if self._newest_ts > marks.largest_ts:
            self.engine.set_marks(msgspec.structs.replace(marks, largest_ts=self._newest_ts))

    def _install(self, prepared: PrepareTxn, commit_ts: int) -> None:
        if prepared.ddl is not None:
            self.engine.define(prepared.ddl, commit_ts)
        if prepared.images:
            self.engine.install(prepared.images, commit_ts)
        self._newest_ts = max(self._newest_ts, commit_ts)

    def _remember(self, txn: bytes, outcome: OutcomeRecord) -> None:
        self._ended.add(txn)
        self.engine.put_outcome(txn, encode(outcome), self.is_home_of(txn))


def _decode(data: bytes) -> ShardEntry | None:
    """None for nothing, and for other members."""
    return decode_shard_entry(data) if data and not data.startswith(MARK) else None
