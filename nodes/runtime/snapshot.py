"""A request that only reads: one timestamp, no locks, every shard read at it (DESIGN.md §5, snapshot reads).

A shard that changes its leader is asked again at the same timestamp.
"""

from __future__ import annotations

from collections.abc import Callable

from nodes.core.replicated_log import TICK_MS
from nodes.core.txn.messages import FAILED, NOT_LEADER, STALE, SnapshotRead, SnapshotRefused, SnapshotRows
from nodes.errors import StoreError, Unavailable
from nodes.runtime.surroundings import Surroundings
from nodes.sql.schema import Fragment, ShardRows

ASK_AGAIN_TICKS = 20


class _Part:
    __slots__ = ("fragments", "rows", "sent_at", "sent_to")

    def __init__(self, fragments: list[Fragment]) -> None:
        self.fragments = fragments
        self.rows: list[ShardRows] | None = None
        self.sent_to = 0
        self.sent_at = 0


class SnapshotRun:
    """`then(ts, rows by shard, error)` once; an error whose sqlstate is "" and code "stale" asks for fresh plans."""

    def __init__(
        self,
        surroundings: Surroundings,
        number: int,
        parts: dict[str, list[Fragment]],
        deadline: int,
        then: Callable[[int, dict[str, list[ShardRows]], StoreError | None, int], None],
    ) -> None:
        self.is_over = False
        self._surroundings = surroundings
        self._number = number
        self._parts = {shard: _Part(fragments) for shard, fragments in parts.items()}
        self._deadline = deadline
        self._then = then
        self._ts = 0
        surroundings.timestamp(self._on_timestamp)

    def on_rows(self, message: SnapshotRows) -> None:
        part = self._parts.get(message.shard)
        if self.is_over or part is None:
            return
        part.rows = message.rows
        if all(p.rows is not None for p in self._parts.values()):
            self._end(None)

    def on_refused(self, message: SnapshotRefused) -> None:
        part = self._parts.get(message.shard)
        if self.is_over or part is None or part.rows is not None:
            return
        if message.cause == NOT_LEADER:
            part.sent_to = 0
        elif message.cause == STALE:
            self._end(None, message.version)
        elif message.cause == FAILED and message.error is not None:
            self._end(StoreError.of(message.error))
        else:
            self._end(Unavailable(f"{message.shard} could not serve the snapshot by the deadline; nothing was changed"))

    def tick(self) -> None:
        now = self._surroundings.now
        if now >= self._deadline:
            silent = [shard for shard, part in self._parts.items() if part.rows is None] if self._ts else ["c1"]
            what = f"no {'rows' if self._ts else 'timestamp'} by the deadline"
            why = "; ".join(map(self._surroundings.silence_of, silent))
            self._end(Unavailable(f"{what}: {why}; it was a read, nothing was changed"))
        elif self._ts:
            for shard, part in self._parts.items():
                leader = self._surroundings.leader_of(shard)
                is_due = leader != part.sent_to or now - part.sent_at >= ASK_AGAIN_TICKS
                if part.rows is None and leader and is_due:
                    self._send(shard)

    def _on_timestamp(self, ts: int) -> None:
        if not self.is_over:
            self._ts = ts
            for shard in self._parts:
                self._send(shard)

    def _send(self, shard: str) -> None:
        part = self._parts[shard]
        left_ms = max(1, self._deadline - self._surroundings.now) * TICK_MS
        message = SnapshotRead(self._number, self._surroundings.node, self._ts, part.fragments, left_ms)
        part.sent_to = self._surroundings.to_leader(shard, message)
        part.sent_at = self._surroundings.now

    def _end(self, error: StoreError | None, stale: int = -1) -> None:
        if not self.is_over:
            self.is_over = True
            rows = {shard: part.rows or [] for shard, part in self._parts.items()}
            self._then(self._ts, rows, error, stale)
