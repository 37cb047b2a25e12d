"""Follower reads: what may be a little old, or is of a past that all shards concerned have closed, is read from the
replicas of this node (DESIGN.md §5, follower reads).

While somebody wants that, the node draws a value of the oracle every now and then and asks the leaders of those shards
what is closed at or below it. Nobody else pays for it.

    draw ts ──> AskClosed(ts) to each leader ──> ClosedIs(ts or less, slot)      all that commits there up to ts
                                                                                 is in the log up to slot
    read ──> the largest ts that every shard has closed as of a slot that is applied here ──> SnapshotRead(ts, slot)
    read of the past ──> its ts, where every shard has closed that or a later one         ──> SnapshotRead(ts, slot)

*Invariants*: how old a timestamp is, is counted by this node's own steady clock from before the draw of a value at or
below it: no wall clock decides. Whatever a replica refuses, and what is not closed late enough, the leaders are asked,
at a fresh timestamp: nobody hears of it.
*Left out*: which node is near; one without a replica asks some other one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from nodes.core.replicated_log import TICK_MS
from nodes.core.txn.messages import AskClosed, ClosedIs, SnapshotRead, SnapshotRefused, SnapshotRows
from nodes.runtime.surroundings import Surroundings
from nodes.sql.schema import Fragment, ShardRows

WANTED_TICKS = 200  # so long after the last read of a shard its leader is asked
LEAST_TICKS, MOST_TICKS = 4, 40  # between two questions; a quarter of the age that reads may have
GIVEN_UP_TICKS = 20
CLOSED_KEPT, DRAWS_KEPT = 8, 32


class Wanted(NamedTuple):
    """A snapshot at most `staleness_ms` old, not below `session_token`."""

    staleness_ms: int
    session_token: int


class Closed(NamedTuple):
    """`ts` is closed as of `slot`, and was now at `drawn_ms` of this node's steady clock, or later."""

    ts: int
    slot: int
    drawn_ms: int


class ClosedTimestamps:
    """What this node knows to be closed, by shard."""

    def __init__(self, surroundings: Surroundings, hear: Callable[[int], None]) -> None:
        self._surroundings = surroundings
        self._hear = hear
        self._closed: dict[str, deque[Closed]] = {}  # timestamps rise
        self._draws: deque[tuple[int, int]] = deque(maxlen=DRAWS_KEPT)  # (drawn_ms, ts), both rise
        self._wanted_until: dict[str, int] = {}
        self._period = MOST_TICKS
        self._drawn_at = -MOST_TICKS
        self._is_drawing = False

    def find(self, shards: Iterable[str], wanted: Wanted) -> dict[str, Closed] | None:
        """Of each shard what to read at: the same timestamp, with a slot that its replica here has applied. None if
        there is none that is wanted; the leaders are asked from now on."""
        around = self._surroundings
        self._want(shards)
        self._period = min(self._period, max(LEAST_TICKS, wanted.staleness_ms // (4 * TICK_MS)))
        found: dict[str, Closed] = {}
        for shard in shards:
            known = self._applied(shard)
            if known:
                found[shard] = known[-1]
        least = min(found.values(), default=None)
        if least is None or len(found) < len(list(shards)):
            return None
        is_fresh = around.world.steady_ms() - least.drawn_ms <= wanted.staleness_ms
        if not is_fresh or least.ts < wanted.session_token:
            return None
        return {shard: each._replace(ts=least.ts) for shard, each in found.items()}

    def find_past(self, shards: Iterable[str], ts: int) -> dict[str, Closed] | None:
        """Of each shard what to read at: `ts`, with a slot as of which that is closed. None if it is not so far known
        to be at all of them; the leaders are asked from now on."""
        self._want(shards)
        found: dict[str, Closed] = {}
        for shard in shards:
            known = next((each for each in self._applied(shard) if each.ts >= ts), None)
            if known is None:
                return None
            found[shard] = known._replace(ts=ts)
        return found

    def _want(self, shards: Iterable[str]) -> None:
        for shard in shards:
            self._wanted_until[shard] = self._surroundings.now + WANTED_TICKS

    def _applied(self, shard: str) -> list[Closed]:
        """What is closed there as of a slot that its replica here has applied; all of it where there is none here."""
        applied = self._surroundings.applied_slot(shard)
        return [each for each in self._closed.get(shard, ()) if each.slot <= applied or applied < 0]

    def on_closed(self, message: ClosedIs) -> None:
        known = self._closed.setdefault(message.shard, deque(maxlen=CLOSED_KEPT))
        drawn_ms = max((drawn_ms for drawn_ms, ts in self._draws if ts <= message.ts), default=-1)
        if drawn_ms >= 0 and (not known or message.ts > known[-1].ts):
            known.append(Closed(message.ts, message.slot, drawn_ms))

    def tick(self) -> None:
        if not self._wanted_until:
            return
        now = self._surroundings.now
        self._wanted_until = {shard: until for shard, until in self._wanted_until.items() if now < until}
        if not self._wanted_until:
            self._period = MOST_TICKS
        elif not self._is_drawing and now - self._drawn_at >= self._period:
            self._draw()

    def _draw(self) -> None:
        around = self._surroundings
        self._is_drawing, self._drawn_at = True, around.now
        drawn_ms = around.world.steady_ms()

        def drawn(ts: int) -> None:
            self._is_drawing = False
            self._hear(ts)
            self._draws.append((drawn_ms, ts))
            for shard in self._wanted_until:
                around.to_leader(shard, AskClosed(around.node, ts))

        around.timestamp(drawn)


class FollowerRead:
    """One read; `then(rows by shard)`, or `then(None)` if the leaders are to be asked."""

    def __init__(
        self,
        surroundings: Surroundings,
        number: int,
        parts: Mapping[str, list[Fragment]],
        closed: Mapping[str, Closed],
        deadline: int,
        then: Callable[[dict[str, list[ShardRows]] | None], None],
    ) -> None:
        self._surroundings = surroundings
        self._then = then
        self._missing = dict.fromkeys(parts)
        self._rows: dict[str, list[ShardRows]] = {}
        left = max(1, deadline - surroundings.now)
        replicas = {shard: self._replica(shard, number) for shard in parts}
        is_here = set(replicas.values()) == {surroundings.node}  # then it may be slow, but is not lost
        patience = left if is_here else GIVEN_UP_TICKS
        self._given_up_at = surroundings.now + min(patience, max(1, left // 2))
        for shard, fragments in parts.items():
            ts, slot, _ = closed[shard]
            message = SnapshotRead(number, surroundings.node, ts, fragments, left * TICK_MS, slot)
            surroundings.send(replicas[shard], shard, message)

    def _replica(self, shard: str, number: int) -> int:
        around = self._surroundings
        if around.applied_slot(shard) >= 0:
            return around.node
        others = [each for each in around.members_of(shard) if each != around.node and around.is_connected(each)]
        return others[number % len(others)] if others else around.node

    def on_rows(self, message: SnapshotRows) -> None:
        if message.shard in self._missing:
            del self._missing[message.shard]
            self._rows[message.shard] = message.rows
            if not self._missing:
                self._then(self._rows)

    def on_refused(self, message: SnapshotRefused) -> None:
        self._then(None)

    def tick(self) -> None:
        if self._surroundings.now >= self._given_up_at:
            self._then(None)
