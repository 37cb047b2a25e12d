"""Traffic on lists, registers and sets: rows that tell their own history, so that no log is needed to judge what was
told.

Each list grows at its end by elements that come only once; each register is written with values that come only once;
rows enter a group once, and who asks finds those inside by a predicate. Requests append, write, enter and read, of
several rows, mostly the same few.

*Left out*: the judgement (dependencies.py); the check against the logs (history.py) takes these for operations like
others.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tests.sim.operations import READS, REPLAYS, STATEMENTS, Bank, Steps

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

ROWS = 5
FIRST = 0  # the value of every register
SCHEMA = "CREATE TABLE lists (id BIGINT PRIMARY KEY, items TEXT NOT NULL, value BIGINT NOT NULL)"
GROUPS = "CREATE TABLE groups (grp BIGINT, id BIGINT, PRIMARY KEY (grp, id)) SHARD BY (id)"
READING = ("items", "value", "every", "inside")
WORDS = ("append", "write", "enter", *READING)
READS.update(READING)

STATEMENTS.update({
    "fill": lambda: ("INSERT INTO lists VALUES " + ", ".join(f"({row}, '', {FIRST})" for row in range(ROWS)), [], -1),
    "append": lambda row, element: ("UPDATE lists SET items = items || $1 WHERE id = $2", [f" {element}", row], 1),
    "write": lambda row, value: ("UPDATE lists SET value = $1 WHERE id = $2", [value, row], 1),
    "enter": lambda group, row: ("INSERT INTO groups (grp, id) VALUES ($1, $2)", [group, row], 1),
    "inside": lambda group: ("SELECT id FROM groups WHERE grp = $1 ORDER BY id", [group], -1),
    "items": lambda row: ("SELECT items FROM lists WHERE id = $1", [row], -1),
    "value": lambda row: ("SELECT value FROM lists WHERE id = $1", [row], -1),
    "every": lambda: ("SELECT id, items, value FROM lists ORDER BY id", [], -1),
})  # fmt: skip


def _lists(bank: Bank) -> dict[int, list[Any]]:
    return bank.tables.setdefault("lists", {})


def _replay_fill(bank: Bank) -> tuple[list[list[Any]], int]:
    _lists(bank).update({row: [row, "", FIRST] for row in range(ROWS)})
    return [], ROWS


def _replay_append(bank: Bank, row: int, element: int) -> tuple[list[list[Any]], int]:
    _lists(bank)[row][1] += f" {element}"
    return [], 1


def _replay_write(bank: Bank, row: int, value: int) -> tuple[list[list[Any]], int]:
    _lists(bank)[row][2] = value
    return [], 1


def _replay_enter(bank: Bank, group: int, row: int) -> tuple[list[list[Any]], int]:
    bank.tables.setdefault("groups", {})[row] = [group, row]
    return [], 1


def _replay_inside(bank: Bank, group: int) -> tuple[list[list[Any]], int]:
    rows = [[row] for row, (place, _) in sorted(bank.tables.get("groups", {}).items()) if place == group]
    return rows, len(rows)


REPLAYS.update({
    "enter": _replay_enter,
    "inside": _replay_inside,
    "fill": _replay_fill,
    "append": _replay_append,
    "write": _replay_write,
    "items": lambda bank, row: ([[_lists(bank)[row][1]]], 1),
    "value": lambda bank, row: ([[_lists(bank)[row][2]]], 1),
    "every": lambda bank: ([list(row) for _, row in sorted(_lists(bank).items())], ROWS),
})  # fmt: skip


class ListTraffic:
    """Draws requests; at the end `look_at_all` shows each list's whole order."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.rng = simulation.schedule.rng
        self.given = 0  # elements and values

    def set_up(self) -> None:
        for sql in (SCHEMA, GROUPS):
            self.simulation._until_committed([("schema", [sql])])
        self.simulation._until_committed([("fill", [])])

    def look_at_all(self) -> None:
        self.simulation._until_committed([("every", [])])
        self.simulation._until_committed([("inside", [group]) for group in range(ROWS)])

    def plan(self, count: int, within: int) -> None:
        """In bursts, so that they meet."""
        bursts = [self.rng.randint(0, within) for _ in range(self.rng.randint(1, 4))]
        for _ in range(count):
            when = self.rng.choice(bursts) + self.rng.randint(0, 8_000)
            for steps in self.draw():
                request = partial(self.simulation.submit_any, steps)
                self.simulation.schedule.at(when, "request of lists", request)

    def draw(self) -> list[Steps]:
        """What is asked at once: mostly one request, or two of which each reads what the other changes."""
        rng = self.rng
        rows = rng.sample(range(rng.choice((2, ROWS))), 2)
        if rng.random() < 0.15:
            return [[("every", [])]]
        if rng.random() < 0.1:
            return [[("inside", [row]) for row in rows]]
        if rng.random() < 0.4:
            ways = (("items", "append"), ("value", "write"), ("items", "write"), ("inside", "enter"))
            read, change = rng.choice(ways)
            both = [[(read, [one]), (change, [other, self._next()])] for one, other in (rows, rows[::-1])]
            return both[: rng.randint(1, 2)]
        return [[self._step(rng.choice(rows)) for _ in range(rng.randint(1, 3))]]

    def _step(self, row: int) -> tuple[str, list[Any]]:
        word = self.rng.choice(("append", "append", "write", "enter", "items", "value", "inside"))
        return (word, [row]) if word in READING else (word, [row, self._next()])

    def _next(self) -> int:
        self.given += 1
        return self.given
