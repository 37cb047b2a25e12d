"""What the entries of a shard's log do, the same on every replica (DESIGN.md §3, §5).

*Invariants*: the first of CommitTxn, PrepareTxn and AbortTxn for an id counts, later ones are answered from it; a
prepared id ends once; every entry moves the engine's applied slot by one, in the local transaction that holds its
rows. An entry that cannot be applied stops the replica (`ReplicaStopped`).

*Left out*: forgetting (outcomes are kept for ever until the watermark comes: it belongs in `apply`, as an entry).
"""

from __future__ import annotations

from nodes.core.engine import Engine
from nodes.core.replicated_log import Entry
from nodes.core.txn.messages import (
    AbortTxn,
    CommitTxn,
    EndTxn,
    OutcomeRecord,
    PrepareTxn,
    ShardEntry,
    decode_outcome,
    decode_prepared,
    decode_shard_entry,
    encode,
)
from nodes.errors import ReplicaStopped


class ShardState:
    """The replicated state: in the engine, with the prepared transactions in memory too."""

    def __init__(self, group: str, engine: Engine) -> None:
        self.group = group
        self.engine = engine
        self.prepared: dict[bytes, PrepareTxn] = {txn: decode_prepared(record) for txn, record in engine.prepared()}
        self.largest_ts = 0

    def apply(self, entries: list[Entry]) -> list[ShardEntry]:
        """All entries in one local transaction; returns those that were new, decoded, in order."""
        engine = self.engine
        fresh: list[ShardEntry] = []
        prepared = dict(self.prepared)
        engine.begin()
        try:
            for entry in entries:
                if entry.slot <= engine.applied:
                    self._skim(entry)
                    continue
                if entry.data:
                    decoded = decode_shard_entry(entry.data)
                    self._apply_one(decoded)
                    fresh.append(decoded)
                engine.advance(entry.slot, entry.epoch)
        except BaseException:
            engine.rollback()
            self.prepared = prepared
            raise
        engine.commit()
        return fresh

    def outcome(self, txn: bytes) -> OutcomeRecord | None:
        record = self.engine.outcome(txn)
        return None if record is None else decode_outcome(record)

    def _apply_one(self, entry: ShardEntry) -> None:
        if isinstance(entry, PrepareTxn):
            self._on_prepare(entry)
        elif isinstance(entry, EndTxn):
            self._on_end(entry)
        elif isinstance(entry, CommitTxn):
            self._on_commit(entry)
        else:
            self._on_abort(entry)

    def _on_prepare(self, entry: PrepareTxn) -> None:
        if entry.txn in self.prepared or self.engine.outcome(entry.txn) is not None:
            return
        self.prepared[entry.txn] = entry
        self.engine.put_prepared(entry.txn, encode(entry))

    def _on_end(self, entry: EndTxn) -> None:
        prepared = self.prepared.pop(entry.txn, None)
        if prepared is None:
            self._end_unprepared(entry)
            return
        self.engine.drop_prepared(entry.txn)
        self._remember(entry.txn, OutcomeRecord(entry.commit, entry.commit_ts))
        if entry.commit:
            self._install(prepared, entry.commit_ts)

    def _end_unprepared(self, entry: EndTxn) -> None:
        known = self.outcome(entry.txn)
        if known is None and entry.commit:
            raise ReplicaStopped(f"{self.group}: commit of {entry.txn.hex()}, which was never prepared here")
        if known is None:
            self._remember(entry.txn, OutcomeRecord(False, 0, "aborted"))
        elif known.commit != entry.commit:
            raise ReplicaStopped(f"{self.group}: {entry.txn.hex()} ended twice, differently")

    def _on_commit(self, entry: CommitTxn) -> None:
        if self.engine.outcome(entry.txn) is not None:
            return
        if entry.txn in self.prepared:
            raise ReplicaStopped(f"{self.group}: one-shard commit of {entry.txn.hex()}, which is prepared")
        self._remember(entry.txn, OutcomeRecord(True, entry.commit_ts, "", entry.rows))
        if entry.images:
            self.engine.install(entry.images, entry.commit_ts)
        self.largest_ts = max(self.largest_ts, entry.commit_ts)

    def _on_abort(self, entry: AbortTxn) -> None:
        if self.engine.outcome(entry.txn) is None and entry.txn not in self.prepared:
            self._remember(entry.txn, OutcomeRecord(False, 0, entry.reason))

    def _install(self, prepared: PrepareTxn, commit_ts: int) -> None:
        if prepared.create is not None:
            self.engine.create_table(prepared.create)
        if prepared.images:
            self.engine.install(prepared.images, commit_ts)
        self.largest_ts = max(self.largest_ts, commit_ts)

    def _remember(self, txn: bytes, outcome: OutcomeRecord) -> None:
        self.engine.put_outcome(txn, encode(outcome))

    def _skim(self, entry: Entry) -> None:
        """An entry that the engine already holds, delivered again after a restart."""
        if entry.data:
            decoded = decode_shard_entry(entry.data)
            self.largest_ts = max(self.largest_ts, getattr(decoded, "commit_ts", 0))
