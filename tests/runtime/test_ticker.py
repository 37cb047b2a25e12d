"""When a node ticks (nodes/runtime/ticker.py), by a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from nodes.core.replicated_log import TICK_MS
from nodes.runtime.ticker import Ticker

TICK_S = TICK_MS / 1000


class FakeLoop:
    def __init__(self, now: float) -> None:
        self.now = now
        self.timer: tuple[float, Callable[[], None]] | None = None

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, then: Callable[[], None]) -> None:
        assert self.timer is None, "one timer at a time"
        self.timer = when, then

    def fire(self, late: float = 0.0) -> float:
        """When the timer came."""
        assert self.timer is not None, "a node never stops ticking"
        (when, then), self.timer = self.timer, None
        self.now = max(self.now, when + late)
        then()
        return self.now


class Node:
    """`ticks` are (time in ticks, place)."""

    def __init__(self, start: float = 1000.0) -> None:
        self.loop: Any = FakeLoop(start)
        self.ticket = 0
        self.is_busy = True
        self.ticks: list[tuple[float, int]] = []
        Ticker(self.loop, self._tick, lambda: self.ticket).start()

    def _tick(self, place: int) -> None:
        self.ticks.append((round(self.loop.now / TICK_S, 3), place))
        self.ticket += self.is_busy

    def wakes(self, count: int, late: float = 0.0) -> list[int]:
        """So many times; how many ticks each had."""
        found = []
        for _ in range(count):
            before = len(self.ticks)
            self.loop.fire(late)
            found.append(len(self.ticks) - before)
        return found


@pytest.mark.parametrize("start", [1000.0, 1000.013, 1000.0499, 1000.05, 1000.099, 7.0])
def test_nodes_of_a_machine_tick_and_beat_at_once(start: float) -> None:
    node, other = Node(start), Node(2000.0)
    for each in (node, other):
        each.wakes(6)
        assert all(at == round(at) and place == at % 2 for at, place in each.ticks), each.ticks


def test_who_writes_ticks_every_time() -> None:
    assert Node().wakes(20) == [1] * 20


def test_who_rests_wakes_up_for_beats_alone_and_misses_no_tick() -> None:
    node = Node()
    node.is_busy = False
    node.wakes(2)
    assert node.wakes(10) == [2] * 10
    assert [place for _, place in node.ticks[-6:]] == [1, 0] * 3
    assert node.ticks[-1][0] % 2 == 0


def test_who_begins_to_write_again_ticks_every_time_from_the_next_beat_on() -> None:
    node = Node()
    node.is_busy = False
    node.wakes(5)
    node.is_busy = True
    assert node.wakes(4) == [2, 1, 1, 1]


@pytest.mark.parametrize("missed", [1, 2, 3, 4, 7, 100, 101])
@pytest.mark.parametrize("is_busy", [False, True])
def test_what_a_pause_missed_is_not_made_up_for_and_beats_stay_where_they_are(missed: int, is_busy: bool) -> None:
    node = Node()
    node.is_busy = is_busy
    node.wakes(5)
    (ticks,) = node.wakes(1, late=missed * TICK_S)
    assert ticks <= 2
    node.wakes(4)
    places = [place for _, place in node.ticks]
    assert all(one != other for one, other in pairwise(places)), places
    assert all(at % 2 == 0 for at, place in node.ticks[-2:] if place == 0), node.ticks


def test_a_timer_that_comes_early_is_waited_for_again_or_counts() -> None:
    node = Node()
    for early in (0.002, 0.02):
        before = len(node.ticks)
        when, then = node.loop.timer
        node.loop.timer = None
        node.loop.now = when - early
        then()
        assert len(node.ticks) - before == (early < 0.005)
        node.wakes(1)
        assert node.ticks[-1][0] == round(node.ticks[-1][0])
