"""A request that only reads: one timestamp, no locks, every shard read at it (DESIGN.md §5, snapshot reads).

The timestamp is drawn, or one of the past, which none is that lies after all that were drawn: what this gateway has
heard of tells, or a fresh one. A past that is closed is read nearby, if it can be. Else the leaders are asked, and a
shard that changes its leader again at the same timestamp.
"""

from __future__ import annotations

from collections.abc import Callable

from nodes.core.replicated_log import TICK_MS
from nodes.core.txn.messages import FAILED, NOT_LEADER, STALE, SnapshotRead, SnapshotRefused, SnapshotRows
from nodes.errors import BadRequest, StoreError, Unavailable
from nodes.runtime.as_of import AsOf
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


Rows = dict[str, list[ShardRows]]


def nowhere_near(ts: int, then: Callable[[Rows | None], None]) -> bool:
    """For a run that asks the leaders alone."""
    return False


class SnapshotRun:
    """`then(ts, rows by shard, error)` once; an error whose sqlstate is "" and code "stale" asks for fresh plans.

    `near(ts, then)` is asked for the rows of a past; True: it will tell them, or None if the leaders are to be asked.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        number: int,
        parts: dict[str, list[Fragment]],
        deadline: int,
        as_of: AsOf | None,
        then: Callable[[int, Rows, StoreError | None, int], None],
        near: Callable[[int, Callable[[Rows | None], None]], bool] = nowhere_near,
    ) -> None:
        self.is_over = False
        self._surroundings = surroundings
        self._number = number
        self._parts = {shard: _Part(fragments) for shard, fragments in parts.items()}
        self._deadline = deadline
        self._then = then
        self._as_of = as_of
        self._ts = self._newest = 0  # to read at; that was drawn
        self._is_early = False  # the oracle has not come to the time that is asked for
        self._near = near
        self._is_near = False

    def begin(self, heard: int) -> None:
        """`heard`: the newest oracle value that is known here."""
        if self._as_of is not None and 0 < self._as_of.ts <= heard:
            self._on_timestamp(heard)
        else:
            self._surroundings.timestamp(self._on_timestamp)

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
            self._end(Unavailable(f"{self._what_is_missing()}; it was a read, nothing was changed"))
        elif self._is_early:
            self._is_early = False
            self._surroundings.timestamp(self._on_timestamp)
        elif self._ts and not self._is_near:
            for shard, part in self._parts.items():
                leader = self._surroundings.leader_of(shard)
                is_due = leader != part.sent_to or now - part.sent_at >= ASK_AGAIN_TICKS
                if part.rows is None and leader and is_due:
                    self._send(shard)

    def _what_is_missing(self) -> str:
        if self._newest and not self._ts:
            return f"the oracle had come to {self._newest} by the deadline, and not to what as_of names"
        silent = [shard for shard, part in self._parts.items() if part.rows is None] if self._ts else ["c1"]
        why = "; ".join(map(self._surroundings.silence_of, silent))
        return f"no {'rows' if self._ts else 'timestamp'} by the deadline: {why}"

    def _on_timestamp(self, newest: int) -> None:
        if self.is_over:
            return
        self._newest = newest
        self._is_early = self._as_of is not None and self._as_of.comes_soon(newest)
        if self._is_early:
            return
        try:
            self._ts = self._as_of.at(newest) if self._as_of is not None else newest
        except BadRequest as error:
            self._end(error)
            return
        self._is_near = self._as_of is not None and self._near(self._ts, self._on_near)
        if not self._is_near:
            self._ask_leaders()

    def _on_near(self, rows: Rows | None) -> None:
        self._is_near = False
        if self.is_over:
            return
        if rows is None:
            self._ask_leaders()
            return
        for shard, part in self._parts.items():
            part.rows = rows[shard]
        self._end(None)

    def _ask_leaders(self) -> None:
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
