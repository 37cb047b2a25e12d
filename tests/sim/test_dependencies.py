"""What clients of the simulator are told, as the checker of histories takes it: anomalies made by hand are found, and
sound histories have none. The checker by itself is tested in tests/monitoring/selfcheck."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from nodes.errors import Conflict, OutcomeUnknown
from nodes.requests import Reply, Result
from tests.sim import dependencies
from tests.sim.graph import cycle_in
from tests.sim.operations import Operation
from tests.sim.truth import Violation

_numbers = count()


def operation(steps: list[Any], begun_at: int, told_at: int, *read: Any) -> Operation:
    """`read`: what its reading steps were told, one after the other."""
    made = Operation(next(_numbers), steps, 1)
    made.begun_at, made.told_at = begun_at, told_at
    told = iter(read)
    results = [Result() if word in ("append", "write", "enter") else Result([], next(told)) for word, _ in steps]
    made.told = Reply("", "committed", 1, 1, [], results)
    return made


def append(row: int, element: int) -> tuple[str, list[int]]:
    return "append", [row, element]


def write(row: int, value: int) -> tuple[str, list[int]]:
    return "write", [row, value]


def items(row: int) -> tuple[str, list[int]]:
    return "items", [row]


def value(row: int) -> tuple[str, list[int]]:
    return "value", [row]


def enter(group: int, row: int) -> tuple[str, list[int]]:
    return "enter", [group, row]


def inside(group: int) -> tuple[str, list[int]]:
    return "inside", [group]


def refused(steps: list[Any]) -> Operation:
    made = operation(steps, 0, 9)
    made.told = Conflict("it did not happen")
    return made


def unknown(steps: list[Any]) -> Operation:
    made = operation(steps, 0, 9)
    made.told = OutcomeUnknown("perhaps")
    return made


SOUND = {
    "one after the other": [
        operation([append(1, 1)], 0, 1),
        operation([append(1, 2), items(1)], 2, 3, [[" 1 2"]]),
        operation([items(1)], 4, 5, [[" 1 2"]]),
    ],
    "at the same time a read may come first": [
        operation([append(1, 1)], 0, 9),
        operation([items(1)], 1, 8, [[""]]),
    ],
    "what nobody knows of was read": [unknown([append(1, 1)]), operation([items(1)], 20, 30, [[" 1"]])],
    "what nobody knows of comes late": [
        unknown([write(1, 7)]),
        operation([value(1)], 20, 30, [[0]]),
        operation([value(1)], 40, 50, [[7]]),
    ],
    "two registers, read and written by turns": [
        operation([value(1), write(2, 1)], 0, 9, [[0]]),
        operation([value(2), write(1, 2)], 0, 9, [[1]]),
    ],
    "two groups, looked at and entered by turns": [
        operation([inside(1), enter(2, 1)], 0, 9, []),
        operation([inside(2), enter(1, 2)], 0, 9, [[1]]),
    ],
    "what did not happen was not read": [refused([append(1, 1)]), operation([items(1)], 0, 9, [[""]])],
}
BROKEN = {
    "stale read of a list": [operation([append(1, 1)], 0, 1), operation([items(1)], 2, 3, [[""]])],
    "stale read of a register": [
        operation([write(1, 1)], 0, 1),
        operation([write(1, 2)], 2, 3),
        operation([value(1)], 4, 5, [[1]]),
    ],
    "write skew of registers": [
        operation([value(1), write(2, 1)], 0, 9, [[0]]),
        operation([value(2), write(1, 2)], 0, 9, [[0]]),
    ],
    "write skew of lists": [
        operation([items(1), append(2, 1)], 0, 9, [[""]]),
        operation([items(2), append(1, 2)], 0, 9, [[""]]),
        operation([items(1), items(2)], 0, 9, [[" 2"]], [[" 1"]]),
    ],
    "write skew of groups": [
        operation([inside(1), enter(2, 1)], 0, 9, []),
        operation([inside(2), enter(1, 2)], 0, 9, []),
    ],
    "stale look at a group": [operation([enter(1, 1)], 0, 1), operation([inside(1)], 2, 3, [])],
    "stale look at all rows": [
        operation([append(1, 1), write(1, 2)], 0, 1),
        operation([("every", [])], 2, 3, [[1, " 1", 0]]),
    ],
    "two readers that saw two orders": [
        operation([append(1, 1)], 0, 9),
        operation([append(2, 2)], 0, 9),
        operation([items(1), items(2)], 0, 9, [[" 1"]], [[""]]),
        operation([items(1), items(2)], 0, 9, [[""]], [[" 2"]]),
        operation([items(1), items(2)], 0, 9, [[" 1"]], [[" 2"]]),
    ],
    "lost update": [
        operation([value(1), write(1, 1)], 0, 9, [[0]]),
        operation([value(1), write(1, 2)], 0, 9, [[0]]),
    ],
    "lists that differ": [
        operation([append(1, 1)], 0, 9),
        operation([append(1, 2)], 0, 9),
        operation([items(1)], 0, 9, [[" 1 2"]]),
        operation([items(1)], 0, 9, [[" 2"]]),
    ],
    "read of what did not happen": [refused([append(1, 1)]), operation([items(1)], 0, 9, [[" 1"]])],
    "read of half a request": [
        operation([append(1, 1), append(1, 2)], 0, 9),
        operation([items(1)], 0, 9, [[" 1"]]),
    ],
    "read of half a request of a register": [
        operation([write(1, 1), write(1, 2)], 0, 9),
        operation([value(1)], 0, 9, [[1]]),
    ],
    "something came twice": [operation([append(1, 1)], 0, 9), operation([items(1)], 0, 9, [[" 1 1"]])],
    "own write not read": [operation([append(1, 1), items(1)], 0, 9, [[""]])],
    "read of what nobody wrote": [operation([value(1)], 0, 9, [[5]])],
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_history_has_no_cycle(name: str) -> None:
    dependencies.check(SOUND[name])


@pytest.mark.parametrize("name", BROKEN)
def test_an_anomaly_is_found(name: str) -> None:
    with pytest.raises(Violation) as found:
        dependencies.check(BROKEN[name])
    assert found.value.invariant == dependencies.CYCLES


def test_a_cycle_is_told_in_its_order() -> None:
    cycle = cycle_in([("a", "b"), ("b", "c"), ("c", "a"), ("x", "a"), ("c", "y")])
    assert cycle[cycle.index("a") :] + cycle[: cycle.index("a")] == ["a", "b", "c"]
    assert cycle_in([("a", "b"), ("b", "c"), ("a", "c")]) == []
