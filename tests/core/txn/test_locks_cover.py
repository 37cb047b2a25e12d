"""What a statement's answer depends on is locked: its rows, its images and its error, whatever way the engine goes.

Tables and statements are those that the simulator draws (tests/sim/schemas.py). Beside each statement the rows that
could be there are made, taken away and changed, one after the other; whenever that changes the answer, the locks of the
statement and those of who wrote the row must conflict, whichever of the two comes first.
"""

from __future__ import annotations

import random
from itertools import product
from typing import NamedTuple

import pytest

from nodes.core.locks import CONFLICT, JOIN, MODES, Node
from nodes.core.txn import evaluated
from nodes.core.txn.evaluated import bounded, image_locks
from nodes.core.txn.messages import SnapshotRead, SnapshotRefused, SnapshotRows
from nodes.errors import NotSupported, StoreError
from nodes.sql import binding
from nodes.sql.schema import Fragment, Image
from tests.core.txn.scene import GATEWAY_NODE, new_id
from tests.core.txn.sql_shard import SqlShard
from tests.sim.schemas import Author, Table, draw_table
from tests.storage.bank import apply

TABLES = 100
FIRST, SECOND = new_id(5), new_id(9)
Held = dict[Node, int]

# Statements that divide by what a row holds, and name by their keys other rows than (1, 1), which holds a 0.
BY_B = "CREATE TABLE pairs (a INT, b INT, d INT, PRIMARY KEY (a, b)) SHARD BY (b)"
PAIRS = "INSERT INTO pairs VALUES (1, 1, 0), (2, 1, 5), (3, 1, 5)"
DIVIDES = "SELECT * FROM pairs WHERE 2 / d > 0 AND "
ELSEWHERE = {
    "a NULL of the shard key": DIVIDES + "b IN (NULL, NULL)",
    "a NULL behind a prefix": DIVIDES + "a = 1 AND b IN (NULL, NULL)",
    "two lists": DIVIDES + "a IN (1, 2) AND a IN (2, 3)",
    "two lists, the longer one last": DIVIDES + "a IN (2, 3) AND a IN (1, 2, 3)",
    "two values": DIVIDES + "a = 1 AND a = 2",
    "three values, one not distinct": DIVIDES + "1 = a AND a IS NOT DISTINCT FROM 1 AND a = 2",
    "two keys": DIVIDES + "a = 1 AND b = 1 AND b = 2",
    "one that fails in an OR": DIVIDES + "a = 2 AND b IN (1, 2) AND (a = 1 OR 2 / d > 0)",
    "a sum of two lists": DIVIDES.replace("*", "sum(d)") + "a IN (1, 2) AND a IN (2, 3)",
    "a sum and a NULL": DIVIDES.replace("*", "sum(d)") + "a = 1 AND b IN (NULL, NULL)",
    "an update": "UPDATE pairs SET d = 3 WHERE a = 1 AND d % d = 0 AND a = 2",
    "a delete": "DELETE FROM pairs WHERE d::text LIKE '%' AND 2 / d >= 0 AND a = 2 AND a IN (1, 2, 3)",
}


class Answer(NamedTuple):
    """Of a statement in one state of the table: the error or rows and changes, the same of a snapshot, and its locks;
    `planned` are those it has before it is evaluated, which are all that a snapshot waits by."""

    told: str
    snapshot: str
    held: Held
    planned: Held


class Drawn:
    """A table of one shard with some rows, and who asks it."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.table: Table = draw_table(rng, "drawn", 1)
        self.author = Author(rng, [self.table])
        (rows,) = self.author.rows()
        self.rows = rows.sql
        self.shard = SqlShard(self.table.sql, self.rows)
        self.engine = self.shard.engine
        self.ts = 10

    def statement(self, part: str) -> str:
        """One that has this part."""
        while True:
            found = [each.sql for several in self.author.transactions(2) for each in several if part in each.sql]
            if found:
                return self.rng.choice(found)

    def answer(self, sql: str) -> Answer:
        fragment = self.shard.fragment(sql)
        found = self.engine.evaluate([fragment], 10_000)
        told = repr(found.error or (found.rows, [(image.old_key, image.row) for image in found.images]))
        planned = dict(bounded({}, joined(fragment)))
        return Answer(told, self._snapshot(fragment), self.locked(planned, found.images), planned)

    def _snapshot(self, fragment: Fragment) -> str:
        if fragment.writes:
            return ""
        try:
            return repr(self.engine.read(fragment, self.ts))
        except StoreError as error:
            return repr(error.info)

    def locked(self, planned: Held, images: list[Image]) -> Held:
        held = dict(planned)
        for node, mode in image_locks(self.engine, held, images):
            held[node] = JOIN[held.get(node, mode)][mode]
        return held

    def write(self, sql: str) -> Held:
        """Carries it out; its locks, none if it changes nothing."""
        fragment = self.shard.fragment(sql)
        found = self.engine.evaluate([fragment], 10_000)
        if found.error is not None or not found.images:
            return {}
        self.ts += 1
        apply(self.engine, found.images, self.ts)
        return self.locked(dict(bounded({}, joined(fragment))), found.images)

    def writes(self) -> list[str]:
        """Of every row that could be there, in any order."""
        name, numbers = self.table.name, self.table.numbers
        found = []
        for key in product(*self.table.keys.values()):
            where = " AND ".join(f"{column} = {value}" for column, value in zip(self.table.keys, key, strict=True))
            row = [*key, *(self.rng.choice("0012") for _ in numbers)]
            found += [
                f"DELETE FROM {name} WHERE {where}",
                f"INSERT INTO {name} ({', '.join([*self.table.keys, *numbers])}) VALUES ({', '.join(row)})",
                f"UPDATE {name} SET {self.rng.choice(numbers)} = {self.rng.choice('001')} WHERE {where}",
            ]
        self.rng.shuffle(found)
        return found


def joined(fragment: Fragment) -> Held:
    need: Held = {}
    for lock in fragment.locks:
        node, mode = (lock.table, lock.key), MODES[lock.mode]
        need[node] = JOIN[need.get(node, mode)][mode]
    return need


def conflict(one: Held, other: Held) -> bool:
    return any(node in one and CONFLICT[one[node]][mode] for node, mode in other.items())


@pytest.mark.parametrize("nodes", [3, 1_000])
def test_whatever_changes_an_answer_waits_for_it(monkeypatch: pytest.MonkeyPatch, nodes: int) -> None:
    monkeypatch.setattr(binding, "MAX_KEYS", nodes)
    monkeypatch.setattr(evaluated, "MAX_LOCKS", nodes)
    rng = random.Random()
    changed = free = 0
    for number in range(TABLES):
        drawn = Drawn(rng)
        sql = drawn.statement("2 / " if number % 2 else "")
        before = drawn.answer(sql)
        for write in drawn.writes():
            written = drawn.write(write)
            after = drawn.answer(sql)
            words = f"{drawn.table.sql}: {sql}: {before.told} and {after.told} beside {write}"
            if before.told != after.told:
                assert conflict(before.held, written), words
                assert conflict(after.held, written), words
                changed += 1
            elif written and not conflict(before.held, written):
                free += 1
            if before.snapshot != after.snapshot:
                assert conflict(before.planned, written), words
            before = after
    assert changed > TABLES, "hardly any answer depends on a row"
    assert free > TABLES, "hardly any row is free"


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_row_that_is_not_locked_gives_no_error(name: str) -> None:
    sql = ELSEWHERE[name]
    shard = SqlShard(BY_B, PAIRS)
    shard.ask(SECOND, "UPDATE pairs SET d = 1 WHERE a = 1 AND b = 1")
    assert [entry.txn for entry in shard.proposals] == [SECOND]
    shard.ask(FIRST, sql)
    assert not shard.locks.is_waiting(FIRST), "the row is in flight, and not what the statement names"
    assert shard.engine.evaluate([shard.fragment(sql)], 10_000).error is None
    if sql.startswith("SELECT"):
        shard.receive(SnapshotRead(1, GATEWAY_NODE, 1 << 62, [shard.fragment(sql)], 10_000))
        while shard.host.confirms:  # that of the locked read comes first
            shard.host.answer_confirm()
        shard.host.run_jobs()
        assert shard.host.said(SnapshotRefused) == []
        assert len(shard.host.said(SnapshotRows)) == 1


@pytest.mark.parametrize("sql", [DIVIDES + "a = 1", DIVIDES + "a IN (2, 1) AND a IN (1, 3)", DIVIDES + "d = 0"])
def test_a_row_that_is_named_and_fails_is_told(sql: str) -> None:
    shard = SqlShard(BY_B, PAIRS)
    error = shard.engine.evaluate([shard.fragment(sql)], 10_000).error
    assert error is not None
    assert error.sqlstate == "22012"


def test_a_statement_whose_guards_would_be_too_long_is_refused_and_a_list_that_locks_nothing_needs_none() -> None:
    shard = SqlShard(BY_B, PAIRS)
    listed, divided = ", ".join(map(str, range(10_000, 11_000))), " AND ".join(["2 / d > 0"] * 200)
    with pytest.raises(NotSupported, match="a condition of this size"):
        shard.fragment(f"SELECT * FROM pairs WHERE a IN ({listed}) AND {divided}")
    assert "CASE" in shard.fragment(f"SELECT * FROM pairs WHERE a IN ({listed}) AND 2 / d > 0").sql
    longer = shard.fragment(f"SELECT * FROM pairs WHERE a IN ({listed}, 11000) AND {divided}")
    assert "CASE" not in longer.sql
    assert [(lock.key, lock.mode) for lock in longer.locks] == [(b"", "S")]
