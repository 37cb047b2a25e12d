"""The replicated state of a coordinator group: decisions, the oracle's reservation, and how far all that is forgotten.

The first decision for an id counts; a commit with a client key that belongs to something else already counts as an
abort of its id, on every replica. What was applied since the last `flush` is in memory and in the log; `flush` puts
it into the store, in one local transaction for many entries. Lookups look at memory first.

*Invariants*: a key is bound by a commit alone, or by a fence, and to one thing until the mark has passed its date; each
fence renews the date. A state built from its store, and given the entries behind the store's applied slot, is the state
that never was restarted. A decision at or below the mark that is unknown takes no effect. A commit that is not done is
in memory, and no mark passes it.
"""

from __future__ import annotations

from nodes import ids
from nodes.core.engine import Decisions, HomeMarks
from nodes.core.membership import MARK, Configuration, decode_members
from nodes.core.replicated_log import Entry
from nodes.core.txn.entries import (
    CoordinatorEntry,
    DecideTxn,
    DoneTxns,
    FenceKey,
    Reserve,
    decode_coordinator_entry,
    decode_decision,
    encode,
)
from nodes.core.txn.messages import KeyBinding, KeyRecord, decode_key_record
from nodes.core.txn.remembered import RememberedIds

KEY_TAKEN = "its key belongs to another transaction, or is fenced"
FLUSH_ENTRIES = 1_000
FLUSH_TICKS = 20
FORGET_A_TICK = 500


class CoordinatorState:
    """`undone`: commits that not all participants have acknowledged. `marks` as in nodes/core/engine.py."""

    def __init__(self, store: Decisions) -> None:
        self.store = store
        self.marks = store.marks()
        self.undone: dict[bytes, DecideTxn] = {txn: decode_decision(record) for txn, record in store.undone()}
        self.applied = store.applied
        self._epoch = store.epoch
        self._decided = RememberedIds(ids.last_of(store.newest()))
        self._recent: dict[bytes, DecideTxn] = {}  # decided since the last flush
        self._done: dict[bytes, None] = {}  # done since then, but decided before
        self._keys: dict[bytes, KeyRecord] = {}  # bound or fenced since then
        self._members: Configuration | None = None  # if they changed since then
        self._has_to_forget = True
        self._flushed_at = 0

    @property
    def reserved(self) -> int:
        """Up to here the oracle may have given."""
        return self.marks.reserved

    def decision(self, txn: bytes) -> DecideTxn | None:
        """The decision that counts, if there is one and it is still kept."""
        known = self._recent.get(txn) or self.undone.get(txn)
        if known is None and txn in self._decided and (record := self.store.decision(txn)) is not None:
            known = decode_decision(record)
        return known

    def key(self, key: bytes) -> KeyRecord | None:
        """What a client key belongs to, as long as that is kept."""
        known = self._keys.get(key)
        if known is None and (record := self.store.key(key)) is not None:
            known = decode_key_record(record)
        return known if known is not None and known.date > self.marks.forgotten else None

    def is_expired(self, txn: bytes) -> bool:
        """May a decision have been here, and be gone?"""
        return ids.time_of(txn) <= self.marks.forgotten

    def is_before_mark(self, since: int) -> bool:
        """Does who names this time (0: none) speak of one of which records may be gone?"""
        return 0 < since <= self.marks.forgotten

    def newest(self) -> int:
        """The greatest date of a decision or a key that is remembered; 0 if none is."""
        recent = max(map(ids.time_of, self._recent), default=0)
        return max(self.store.newest(), recent, max((record.date for record in self._keys.values()), default=0))

    def apply(self, entry: Entry) -> CoordinatorEntry | None:
        """The decoded entry; None for nothing."""
        assert entry.slot == self.applied + 1, "entries come without gaps"
        self.applied = entry.slot
        self._epoch = max(self._epoch, entry.epoch)
        if entry.data.startswith(MARK):
            self._members = Configuration(entry.slot, decode_members(entry.data))
            return None
        if not entry.data:
            return None
        decoded = decode_coordinator_entry(entry.data)
        if isinstance(decoded, DecideTxn):
            self._on_decide(decoded)
        elif isinstance(decoded, DoneTxns):
            self._on_done(decoded)
        elif isinstance(decoded, Reserve):
            self.marks = HomeMarks(max(self.marks.reserved, decoded.until), self.marks.forgotten)
        elif isinstance(decoded, FenceKey):
            self._on_fence(decoded)
        else:
            self.marks = HomeMarks(self.marks.reserved, max(self.marks.forgotten, decoded.until))
            self._has_to_forget = True
        return decoded  # type: ignore[no-any-return]

    def _on_decide(self, decision: DecideTxn) -> None:
        if self.decision(decision.txn) is not None or self.is_expired(decision.txn):
            return
        if decision.commit and decision.binding is not None:
            decision = self._bind(decision, decision.binding)
        self._recent[decision.txn] = decision
        self._decided.add(decision.txn)
        if decision.commit:
            self.undone[decision.txn] = decision

    def _bind(self, decision: DecideTxn, binding: KeyBinding) -> DecideTxn:
        """The decision that counts: the commit, if its key is free, else an abort."""
        txn, ts = decision.txn, decision.commit_ts
        if self.key(binding.key) is not None:
            return DecideTxn(txn, False, 0, [], KEY_TAKEN)
        self._keys[binding.key] = KeyRecord(txn, ts, ts, binding.digest, binding.result)
        return DecideTxn(txn, True, ts, decision.participants, "")

    def _on_fence(self, fence: FenceKey) -> None:
        known = self.key(fence.key)
        if self.is_before_mark(fence.since) or (known is not None and known.txn):
            return
        self._keys[fence.key] = KeyRecord(b"", 0, max(fence.date, known.date if known is not None else 0))

    def _on_done(self, entry: DoneTxns) -> None:
        for txn in entry.txns:
            if self.undone.pop(txn, None) is not None and txn not in self._recent:
                self._done[txn] = None

    def tick(self, now: int) -> None:
        """Flush what is due, and remove some of what is forgotten."""
        is_due = self.applied - self.store.applied >= FLUSH_ENTRIES or now - self._flushed_at >= FLUSH_TICKS
        if is_due:
            self._flushed_at = now
            self.flush()
        if self._has_to_forget and self.store.applied == self.applied:
            self._has_to_forget = self.store.forget(FORGET_A_TICK)

    def flush(self) -> None:
        """Everything that was applied, into the store."""
        store = self.store
        if self.applied == store.applied:
            return
        store.begin()
        try:
            begun = [txn for txn in self._recent if txn in self.undone]
            store.put(
                ((txn, encode(decision)) for txn, decision in self._recent.items()), begun, self._done, self.marks
            )
            store.put_keys((key, record.date, encode(record)) for key, record in self._keys.items())
            if self._members is not None:
                store.set_members(*self._members)
            for slot in range(store.applied + 1, self.applied + 1):
                store.advance(slot, self._epoch)
            store.commit()
        except BaseException:
            store.rollback()
            raise
        self._recent.clear()
        self._done.clear()
        self._keys.clear()
        self._members = None
