"""Schedules of several sessions, and what may come of one: the judge of `test_schedules.py`.

A schedule (schedules.txt) says what sessions ask, in which order; the keys {1} to {4} are put in when it is run. What
came of it is judged by what was committed alone: there is an order of those transactions, one after the other, which
gives all their answers and the final rows, and in which none stands before one that had ended when it began (real
time). What an order gives is worked out by running it, on a database of sqlite3's own.

*Left out*: who waited, who was ended and with which error; what was told of a transaction that was not committed.
"""

from __future__ import annotations

import re
import sqlite3
from itertools import permutations
from pathlib import Path
from typing import NamedTuple

TABLE = "create table test (id int primary key, value int)"
ROWS = "insert into test (id, value) values ({1}, 10), ({2}, 20)"
FINAL = "select * from test"
_LOCKS = re.compile(r" for (update|no key update|share|key share)$")

Answer = list[list[int]] | int  # the rows of a SELECT, in any order; or how many rows were changed


class Step(NamedTuple):
    """`sql` may be begin, commit, rollback."""

    session: str
    sql: str


class Schedule(NamedTuple):
    name: str
    title: str
    steps: tuple[Step, ...]

    @property
    def sessions(self) -> list[str]:
        return sorted({step.session for step in self.steps})

    def placed(self, keys: dict[str, int]) -> Schedule:
        """With these keys: {"{1}": 7, …}."""
        return self._replace(steps=tuple(Step(step.session, placed(step.sql, keys)) for step in self.steps))


class Run(NamedTuple):
    """What came of a schedule: `answers` by the place of the step, the sessions that `committed`, of each when it
    `began` and when its end was told, and the rows in the end."""

    schedule: Schedule
    setup: list[str]
    answers: dict[int, Answer]
    committed: list[str]
    began: dict[str, float]
    ended: dict[str, float]
    final: list[list[int]]


def placed(sql: str, keys: dict[str, int]) -> str:
    for name, key in keys.items():
        sql = sql.replace(name, str(key))
    return sql


def read(text: str) -> dict[str, Schedule]:
    """The schedules of a file by name."""
    found: dict[str, Schedule] = {}
    for block in re.split(r"\n\n+", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).strip()):
        head, *lines = block.splitlines()
        name, _, title = head.partition(": ")
        steps = tuple(Step(*line.strip().split(" ", 1)) for line in lines)
        found[name] = Schedule(name, title, steps)
    return found


SCHEDULES = read(Path(__file__).with_suffix(".txt").read_text())


def answer(database: sqlite3.Connection, sql: str) -> Answer:
    """A row lock means nothing to who is alone."""
    cursor = database.execute(_LOCKS.sub("", sql))
    return cursor.rowcount if cursor.description is None else sorted(map(list, cursor.fetchall()))


def serially(run: Run, order: tuple[str, ...]) -> tuple[dict[int, Answer], list[list[int]]]:
    """What the transactions of a run answer, and leave, one after the other."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    answers: dict[int, Answer] = {}
    for sql in (TABLE, *run.setup):
        database.execute(sql)
    for session in order:
        for place, step in enumerate(run.schedule.steps):
            if step.session == session and step.sql not in ("begin", "commit", "rollback"):
                answers[place] = answer(database, step.sql)
    final = answer(database, FINAL)
    database.close()
    assert isinstance(final, list), "a SELECT gives rows"
    return answers, final


def wrong(run: Run) -> str:
    """Why what came of it is no serial execution, "" if it is one."""
    mine = [place for place, step in enumerate(run.schedule.steps) if step.session in run.committed]
    got = {place: run.answers[place] for place in mine if place in run.answers}
    tried = []
    for order in permutations(run.committed):
        if any(run.ended[later] <= run.began[sooner] for sooner, later in _pairs(order)):
            continue
        answers, final = serially(run, order)
        if (answers, final) == (got, sorted(run.final)):
            return ""
        tried.append(f"{' '.join(order) or 'nothing'}: {answers}, {final}")
    return f"told {got}, {run.final}; possible are " + "; ".join(tried)


def _pairs(order: tuple[str, ...]) -> list[tuple[str, str]]:
    """All pairs (who stands before, who stands behind)."""
    return [(first, second) for place, first in enumerate(order) for second in order[place + 1 :]]
