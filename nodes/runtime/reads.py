"""The reads of a gateway: at the leaders of the shards, or at replicas, if what is read may be old.

Each is named by a number, which its answers carry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nodes.core.txn.messages import NOT_LEADER, ClosedIs, SnapshotRefused, SnapshotRows
from nodes.errors import StoreError
from nodes.runtime.as_of import AsOf
from nodes.runtime.follower_reads import Closed, ClosedTimestamps, FollowerRead, Wanted
from nodes.runtime.snapshot import SnapshotRun
from nodes.runtime.surroundings import Surroundings
from nodes.sql.schema import Fragment, ShardRows

Parts = dict[str, list[Fragment]]
Rows = dict[str, list[ShardRows]]
Then = Callable[[int, Rows, StoreError | None, int], None]


class Reads:
    """`draw_number` gives each read its own; `heard` is the newest oracle value here, `hear` is told of others."""

    def __init__(
        self,
        surroundings: Surroundings,
        draw_number: Callable[[], int],
        heard: Callable[[], int],
        hear: Callable[[int], None],
    ) -> None:
        self.running: dict[int, SnapshotRun | FollowerRead] = {}
        self._surroundings = surroundings
        self._draw_number = draw_number
        self._heard = heard
        self._hear = hear
        self._closed = ClosedTimestamps(surroundings, hear)
        self.handlers: dict[type, Callable[[int, Any], None]] = {
            SnapshotRows: self._on_rows,
            SnapshotRefused: self._on_refused,
            ClosedIs: lambda sender, message: self._closed.on_closed(message),
        }

    def begin(
        self,
        parts: Parts,
        deadline: int,
        as_of: AsOf | None,
        then: Then,
        wanted: Wanted | None = None,
    ) -> None:
        """`then` as of SnapshotRun. What is `wanted` may be had here; else the leaders are asked."""
        closed = None if wanted is None else self._closed.find(parts, wanted)
        if not closed:
            self._ask_leaders(parts, deadline, as_of, then)
            return
        ts = min(closed.values()).ts

        def ended(rows: Rows | None) -> None:
            if rows is None:
                self._ask_leaders(parts, deadline, as_of, then)
            else:
                then(ts, rows, None, -1)

        self._ask_replicas(parts, closed, deadline, ended)

    def tick(self) -> None:
        for read in list(self.running.values()):
            read.tick()
        self._closed.tick()

    def _ask_replicas(
        self, parts: Parts, closed: dict[str, Closed], deadline: int, then: Callable[[Rows | None], None]
    ) -> None:
        number = self._draw_number()

        def ended(rows: Rows | None) -> None:
            if self.running.pop(number, None) is not None:
                then(rows)

        self.running[number] = FollowerRead(self._surroundings, number, parts, closed, deadline, ended)

    def _ask_leaders(self, parts: Parts, deadline: int, as_of: AsOf | None, then: Then) -> None:
        """A past that is closed at all of them is read at replicas first."""
        number = self._draw_number()

        def near(ts: int, ended: Callable[[Rows | None], None]) -> bool:
            closed = self._closed.find_past(parts, ts)
            if closed is not None:
                self._ask_replicas(parts, closed, deadline, ended)
            return closed is not None

        def ended(ts: int, rows: Rows, error: StoreError | None, stale: int) -> None:
            self.running.pop(number, None)
            self._hear(ts)
            then(ts, rows, error, stale)

        run = SnapshotRun(self._surroundings, number, parts, deadline, as_of, ended, near)
        self.running[number] = run
        run.begin(self._heard())

    def _on_rows(self, sender: int, message: SnapshotRows) -> None:
        read = self.running.get(message.number)
        if read is not None:
            read.on_rows(message)

    def _on_refused(self, sender: int, message: SnapshotRefused) -> None:
        if message.cause == NOT_LEADER:
            self._surroundings.on_hint(message.shard, sender, message.leader)
        read = self.running.get(message.number)
        if read is not None:
            read.on_refused(message)
