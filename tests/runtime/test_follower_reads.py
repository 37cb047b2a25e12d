"""Which closed timestamp a gateway takes for a read that may be old, whom it asks, and when nobody is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nodes.core.oracle import at_ms
from nodes.core.txn.messages import BEHIND, STALE, AskClosed, ClosedIs, SnapshotRead, SnapshotRefused, SnapshotRows
from nodes.errors import BadRequest
from nodes.runtime.as_of import AsOf
from nodes.runtime.follower_reads import (
    GIVEN_UP_TICKS,
    LEAST_TICKS,
    MOST_TICKS,
    WANTED_TICKS,
    Closed,
    ClosedTimestamps,
    FollowerRead,
    Wanted,
)
from nodes.runtime.reads import Reads
from nodes.sql.schema import Fragment, ShardRows

TICK_MS = 50
SECOND = Wanted(1_000, 0)
BOTH = ("s1", "s2")


class Around:
    """What a gateway needs of its node, by hand."""

    node, now = 1, 0

    def __init__(self) -> None:
        self.world = self
        self.askers: list[Callable[[int], None]] = []
        self.sent: list[tuple[int, str, Any]] = []
        self.to_leaders: list[tuple[str, Any]] = []
        self.applied = {"s1": 10, "s2": 10}
        self.connected = {1, 2, 3}
        self.stood_still_ms = 0

    def steady_ms(self) -> int:
        return self.now * TICK_MS + self.stood_still_ms

    def timestamp(self, then: Callable[[int], None]) -> None:
        self.askers.append(then)

    def applied_slot(self, group: str) -> int:
        return self.applied.get(group, -1)

    def leader_of(self, group: str) -> int:
        return 2

    def members_of(self, group: str) -> tuple[int, ...]:
        return (1, 2, 3)

    def is_connected(self, node: int) -> bool:
        return node in self.connected

    def send(self, node: int, target: str, message: Any) -> None:
        self.sent.append((node, target, message))

    def to_leader(self, group: str, message: Any) -> int:
        self.to_leaders.append((group, message))
        return 2


@pytest.fixture
def around() -> Around:
    return Around()


@pytest.fixture
def known(around: Around) -> ClosedTimestamps:
    return ClosedTimestamps(around, lambda ts: None)  # type: ignore[arg-type]


def pass_ticks(around: Around, known: ClosedTimestamps, count: int) -> None:
    for _ in range(count):
        around.now += 1
        known.tick()


def close(around: Around, known: ClosedTimestamps, ts: int, slot: int, shards: tuple[str, ...] = BOTH) -> None:
    """The value `ts` is drawn, and all of those have closed it as of `slot`."""
    while not around.askers:
        pass_ticks(around, known, 1)
    around.askers.pop()(ts)
    for shard in shards:
        known.on_closed(ClosedIs(shard, ts, slot))


def ts_of(found: dict[str, Closed] | None) -> int:
    if found is None:
        return 0
    assert len({closed.ts for closed in found.values()}) == 1
    return next(iter(found.values())).ts


def test_nobody_is_asked_before_somebody_wants_it_and_for_long_after(around: Around, known: ClosedTimestamps) -> None:
    pass_ticks(around, known, 100)
    assert around.askers == []
    assert known.find(BOTH, SECOND) is None
    pass_ticks(around, known, 1)
    around.askers.pop()(100)
    assert around.to_leaders == [(shard, AskClosed(1, 100)) for shard in BOTH]
    pass_ticks(around, known, WANTED_TICKS)
    around.askers.clear()
    known._is_drawing = False
    pass_ticks(around, known, 100)
    assert around.askers == []


def test_all_shards_are_read_at_the_largest_timestamp_that_all_have_closed(
    around: Around, known: ClosedTimestamps
) -> None:
    known.find(BOTH, SECOND)
    close(around, known, 100, slot=5)
    assert known.find(BOTH, SECOND) == {"s1": Closed(100, 5, 50), "s2": Closed(100, 5, 50)}
    close(around, known, 200, slot=6, shards=("s1",))
    assert ts_of(known.find(BOTH, SECOND)) == 100
    assert ts_of(known.find(("s1",), SECOND)) == 200
    known.on_closed(ClosedIs("s2", 150, 7))
    assert ts_of(known.find(BOTH, SECOND)) == 150


def test_what_no_replica_here_has_applied_is_not_read(around: Around, known: ClosedTimestamps) -> None:
    known.find(BOTH, SECOND)
    close(around, known, 100, slot=5)
    close(around, known, 200, slot=11)
    assert ts_of(known.find(BOTH, SECOND)) == 100
    around.applied["s1"] = 11
    assert ts_of(known.find(BOTH, SECOND)) == 100
    around.applied["s2"] = 11
    assert ts_of(known.find(BOTH, SECOND)) == 200


def test_how_old_it_is_is_counted_from_before_the_draw(around: Around, known: ClosedTimestamps) -> None:
    known.find(BOTH, SECOND)
    pass_ticks(around, known, 1)
    pass_ticks(around, known, 10)  # the oracle takes its time
    close(around, known, 100, slot=5)
    pass_ticks(around, known, 10)
    assert ts_of(known.find(BOTH, SECOND)) == 100
    around.stood_still_ms = 1
    assert known.find(BOTH, SECOND) is None
    assert ts_of(known.find(BOTH, Wanted(1_001, 0))) == 100


def test_a_process_that_was_stopped_does_not_take_what_it_knows_for_young(
    around: Around, known: ClosedTimestamps
) -> None:
    known.find(BOTH, SECOND)
    close(around, known, 100, slot=5)
    around.stood_still_ms = 60_000
    assert known.find(BOTH, SECOND) is None


def test_what_lies_below_the_value_that_was_drawn_is_as_old_as_the_draw_before(
    around: Around, known: ClosedTimestamps
) -> None:
    """Something is in flight there."""
    known.find(("s1",), SECOND)
    close(around, known, 100, slot=5, shards=("s1",))
    around.askers.clear()
    pass_ticks(around, known, LEAST_TICKS)
    close(around, known, 200, slot=5, shards=())
    known.on_closed(ClosedIs("s1", 150, 6))
    (found,) = (known.find(("s1",), SECOND) or {}).values()
    assert (found.ts, found.slot, found.drawn_ms) == (150, 6, 50)
    known.on_closed(ClosedIs("s1", 90, 7))
    assert ts_of(known.find(("s1",), SECOND)) == 150


def test_nothing_below_the_token_is_read(around: Around, known: ClosedTimestamps) -> None:
    known.find(BOTH, SECOND)
    close(around, known, 100, slot=5)
    assert ts_of(known.find(BOTH, Wanted(1_000, 100))) == 100
    assert known.find(BOTH, Wanted(1_000, 101)) is None


# -- of the past


def test_a_past_is_read_where_all_shards_have_closed_it_or_what_comes_after(
    around: Around, known: ClosedTimestamps
) -> None:
    assert known.find_past(BOTH, 100) is None
    close(around, known, 100, slot=5)
    close(around, known, 200, slot=6, shards=("s1",))
    assert known.find_past(BOTH, 100) == {"s1": Closed(100, 5, 50), "s2": Closed(100, 5, 50)}
    assert known.find_past(BOTH, 70) == {"s1": Closed(70, 5, 50), "s2": Closed(70, 5, 50)}
    assert known.find_past(BOTH, 101) is None
    found = known.find_past(("s1",), 101)
    assert found is not None
    assert found["s1"][:2] == (101, 6)
    around.applied["s1"] = 5
    assert known.find_past(("s1",), 101) is None


def test_a_past_however_old_is_read_at_what_is_known_and_the_leaders_are_asked_on(
    around: Around, known: ClosedTimestamps
) -> None:
    known.find_past(BOTH, 1)
    close(around, known, 100, slot=5)
    around.stood_still_ms = 3_600_000
    assert known.find_past(BOTH, 1) is not None
    asked = len(around.to_leaders)
    pass_ticks(around, known, MOST_TICKS)
    around.askers.pop()(200)
    assert around.to_leaders[asked:] == [(shard, AskClosed(1, 200)) for shard in BOTH]


class Asked:
    """Reads of a gateway, and what became of each."""

    def __init__(self, around: Around) -> None:
        self.told: list[Any] = []
        numbers = iter(range(1, 100))
        self.reads = Reads(around, lambda: next(numbers), lambda: 500, lambda ts: None)  # type: ignore[arg-type]
        self.reads._closed.find_past(BOTH, 1)
        close(around, self.reads._closed, 100, slot=5)
        around.to_leaders.clear()

    def ask(self, as_of: AsOf | None) -> None:
        parts: dict[str, list[Fragment]] = {shard: [] for shard in BOTH}
        self.reads.begin(parts, 1_000, as_of, lambda *answer: self.told.append(answer))

    def answer(self, number: int) -> None:
        for shard in BOTH:
            self.reads.handlers[SnapshotRows](2, SnapshotRows(number, shard, []))


def slots(sent: list[Any]) -> list[tuple[int, int]]:
    return [(message.ts, message.slot) for *_, message in sent]


def test_what_is_closed_is_read_here_and_no_leader_is_asked(around: Around) -> None:
    asked = Asked(around)
    asked.ask(AsOf(ts=90))
    around.now += 1
    asked.reads.tick()
    assert (slots(around.sent), around.to_leaders) == ([(90, 5), (90, 5)], [])
    asked.answer(around.sent[0][2].number)
    assert asked.told == [(90, {"s1": [], "s2": []}, None, -1)]
    assert asked.reads.running == {}


def test_how_long_ago_is_counted_from_a_value_that_is_drawn(around: Around) -> None:
    asked = Asked(around)
    asked.ask(AsOf(ago_ms=1))
    around.askers.pop()(95 + at_ms(1))
    assert (slots(around.sent), around.to_leaders) == ([(95, 5), (95, 5)], [])


@pytest.mark.parametrize("as_of", [AsOf(ts=101), None])
def test_what_is_not_closed_and_what_is_now_is_read_at_the_leaders(around: Around, as_of: AsOf | None) -> None:
    asked = Asked(around)
    asked.ask(as_of)
    if as_of is None:
        around.askers.pop()(101)
    assert around.sent == []
    assert [(shard, message.ts, message.slot) for shard, message in around.to_leaders] == [
        ("s1", 101, 0),
        ("s2", 101, 0),
    ]


def test_what_a_replica_refuses_the_leaders_read_at_the_same_timestamp(around: Around) -> None:
    asked = Asked(around)
    asked.ask(AsOf(ts=90))
    near = around.sent[0][2].number
    asked.reads.handlers[SnapshotRefused](1, SnapshotRefused(near, "s1", STALE, version=7))
    assert [(shard, message.ts, message.slot) for shard, message in around.to_leaders] == [
        ("s1", 90, 0),
        ("s2", 90, 0),
    ]
    asked.answer(near)  # too late
    assert asked.told == []
    asked.answer(around.to_leaders[0][1].number)
    assert asked.told == [(90, {"s1": [], "s2": []}, None, -1)]


def test_a_past_below_the_token_is_refused_and_nothing_of_it_is_left(around: Around) -> None:
    asked = Asked(around)
    asked.ask(AsOf(ts=90, session_token=91))
    ((ts, _, error, _),) = asked.told
    assert (ts, type(error)) == (0, BadRequest)
    assert (around.sent, around.to_leaders, asked.reads.running) == ([], [], {})


# -- the read itself


def read(around: Around) -> tuple[FollowerRead, list[Any]]:
    ends: list[Any] = []
    closed = {shard: Closed(100, slot, 50) for slot, shard in enumerate(BOTH, start=5)}
    parts: dict[str, list[Fragment]] = {shard: [] for shard in BOTH}
    return FollowerRead(around, 9, parts, closed, 1_000, ends.append), ends  # type: ignore[arg-type]


def test_the_replicas_here_are_asked_and_where_there_is_none_another_node(around: Around) -> None:
    del around.applied["s2"]
    read(around)
    (here, one, message), (elsewhere, other, _) = around.sent
    assert (here, one, other) == (1, "s1", "s2")
    assert elsewhere in (2, 3)
    assert message == SnapshotRead(9, 1, 100, [], 1_000 * TICK_MS, 5)
    around.connected = {1, elsewhere ^ 1}
    read(around)
    assert around.sent[-1][0] == elsewhere ^ 1


def test_it_ends_with_the_rows_of_all_shards(around: Around) -> None:
    run, ends = read(around)
    rows = [ShardRows([[1]], 1)]
    run.on_rows(SnapshotRows(9, "s1", rows))
    run.on_rows(SnapshotRows(9, "s1", rows))
    run.on_rows(SnapshotRows(9, "s7", rows))
    assert ends == []
    run.on_rows(SnapshotRows(9, "s2", rows))
    assert ends == [{"s1": rows, "s2": rows}]


def test_whatever_is_refused_or_not_answered_is_left_to_the_leaders(around: Around) -> None:
    run, ends = read(around)
    run.on_refused(SnapshotRefused(9, "s1", BEHIND))
    assert ends == [None]
    del around.applied["s2"]
    run, ends = read(around)
    around.now += GIVEN_UP_TICKS - 1
    run.tick()
    assert ends == []
    around.now += 1
    run.tick()
    assert ends == [None]


def test_replicas_here_may_take_half_of_the_time(around: Around) -> None:
    run, ends = read(around)
    around.now += 499
    run.tick()
    assert ends == []
    around.now += 1
    run.tick()
    assert ends == [None]
