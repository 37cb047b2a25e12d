"""What is planned for a run: numbered events, each with a chance of its own, any of which may be left out.

An event that is planned from within another one is a part of it: 7.2 is the second part of 7. All who plan and do share
the one `rng`, which is seeded anew for the while of each event by the run's seed and the event's number.

*Invariants*: what an event draws depends on nothing but the seed, its number and what it finds: not on the events
before it, nor on whether they are left out. Numbers are given in the order of planning, and nothing is planned by what
a run has come to, but for parts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.sim.timeline import SECOND, Timeline

Number = tuple[int, ...]

MOST = 10_000  # events of a run, parts of an event


@dataclass(eq=False)
class Event:
    """`what` in words; `came`: what was seen while it was done."""

    number: Number
    due: int
    what: str
    parts: int = 0
    steps: int = 0
    came: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        came = f": {', '.join(self.came)}" if self.came else ""
        return f"{self.due / SECOND:9.4f} s  {number_text(self.number):>6}  {self.what}{came}"


class Schedule:
    """`at` plans an event, `later` a step of the one under way, which is not left out alone."""

    def __init__(self, timeline: Timeline, rng: random.Random, seed: str, without: Iterable[Number] = ()) -> None:
        self.rng = rng
        self.events: list[Event] = []
        self.current: Event | None = None
        self.on_done: Callable[[], None] = lambda: None
        self._timeline = timeline
        self._seed = seed
        self._without = frozenset(without)
        self._planned = 0

    def begin(self, part: str) -> None:
        """The run comes to a part of it that draws outside events: a chance of its own for that, too."""
        self.rng.seed(f"{self._seed} {part}")

    def at(self, delay: int, what: str, then: Callable[[], None]) -> None:
        event = Event(self._next_number(), self._timeline.now + max(0, delay), what)
        if event.number not in self._without:
            self.events.append(event)
            self._timeline.at(delay, lambda: self._do(event, number_text(event.number), then))

    def later(self, delay: int, then: Callable[[], None]) -> None:
        event = self.current
        assert event is not None, "a step is planned by an event"
        event.steps += 1
        chance = f"{number_text(event.number)} step {event.steps}"
        self._timeline.at(delay, lambda: self._do(event, chance, then))

    def own_number(self) -> int:
        """Of the event under way: the same whatever is left out, and no other event's."""
        assert self.current is not None, "only events have numbers"
        number = 0
        for part in self.current.number:
            number = number * MOST + part
        return number

    def _next_number(self) -> Number:
        if self.current is None:
            self._planned += 1
            assert self._planned < MOST, "own numbers of so many events are not apart"
            return (self._planned,)
        self.current.parts += 1
        assert self.current.parts < MOST, "own numbers of so many parts are not apart"
        return (*self.current.number, self.current.parts)

    def _do(self, event: Event, chance: str, then: Callable[[], None]) -> None:
        outer, state = self.current, self.rng.getstate()
        self.current = event
        self.rng.seed(f"{self._seed} {chance}")
        then()
        self.on_done()
        self.current = outer
        self.rng.setstate(state)


# -- numbers in words: "3,7.1-7.4,12-80"


def number_text(number: Number) -> str:
    return ".".join(map(str, number))


def numbers_text(numbers: Iterable[Number]) -> str:
    """Neighbours as a range."""
    ranges: list[tuple[Number, Number]] = []
    for number in sorted(numbers):
        if ranges and (*ranges[-1][1][:-1], ranges[-1][1][-1] + 1) == number:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ",".join(number_text(a) if a == b else f"{number_text(a)}-{number_text(b)}" for a, b in ranges)


def numbers_of(text: str) -> frozenset[Number]:
    """ValueError for what is none."""
    numbers: set[Number] = set()
    for each in filter(None, text.split(",")):
        first, _, last = each.partition("-")
        begin, end = _number_of(first), _number_of(last or first)
        if begin[:-1] != end[:-1] or begin > end:
            raise ValueError(f"{each} is no range of numbers")
        numbers.update((*begin[:-1], number) for number in range(begin[-1], end[-1] + 1))
    return frozenset(numbers)


def _number_of(text: str) -> Number:
    return tuple(int(part) for part in text.split("."))
