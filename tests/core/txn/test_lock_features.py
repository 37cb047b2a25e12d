"""Every kind of statement and of condition with the locks that it takes, who waits for it and who does not.

`FEATURES` is the list. A statement that the planner learns stands in it, or a test here names what is missing: the
statements of PostgreSQL that have no entry are in `REFUSED`, and must be refused; each way to name rows must stand here
for each kind of statement; and the simulator must draw it (tests/sim/schemas.py, operations.py).
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import get_args

import pytest

from nodes.core.txn.messages import SnapshotRead, SnapshotRows
from nodes.errors import BadRequest
from nodes.requests import Params
from nodes.sql import keys
from nodes.sql.binding import ByKey, OneShard, Route
from nodes.sql.ddl import DdlPlan
from nodes.sql.inserts import InsertPlan
from nodes.sql.plan import Plan, plan
from nodes.sql.schema import SKIP_LOCKED, CreateTable, TableDef
from nodes.sql.select import SelectPlan
from nodes.sql.writes import ChangePlan
from tests.core.txn.scene import GATEWAY_NODE, new_id
from tests.core.txn.sql_shard import SqlShard
from tests.sim.operations import EXTRAS, SCHEMA, Mix, statement
from tests.sim.schemas import Author, draw_table

FIRST, SECOND = new_id(5), new_id(9)


@dataclass(frozen=True)
class Feature:
    """A statement on the rows of SqlShard, what it holds when it has been evaluated, and statements of a younger
    transaction that wait for it, and that do not."""

    sql: str
    held: str
    blocks: tuple[str, ...]
    passes: tuple[str, ...]


ROW = "a = {} AND b = {} AND c = '{}'"
IN_1_1_X, IN_1_1_Z, IN_1_2_X, IN_2_1_X = (
    ROW.format(*key) for key in ((1, 1, "x"), (1, 1, "z"), (1, 2, "x"), (2, 1, "x"))
)
READ, SET, CUT = "SELECT d FROM lines WHERE ", "UPDATE lines SET d = 1 WHERE ", "DELETE FROM lines WHERE "
PUT_1_1_Z, PUT_1_2_Z, PUT_1_4_Z, PUT_2_1_Z, PUT_3_1_Z = (
    f"INSERT INTO lines VALUES ({a}, {b}, 'z', 0)" for a, b in ((1, 1), (1, 2), (1, 4), (2, 1), (3, 1))
)
# The second would find its new place taken, unless who deletes the row there comes first.
MOVE_TO_1_1_W, MOVE_TO_1_1_X = (f"UPDATE lines SET b = 1, c = '{c}' WHERE {IN_1_2_X}" for c in "wx")
EVERYTHING = ("SELECT count(*) FROM lines", "UPDATE lines SET d = 2", "DELETE FROM lines WHERE d = 7")

FEATURES = {
    # A full key: others of the same prefix are free, who looks at the prefix is not.
    "select key": Feature(
        READ + IN_1_1_X, "IS, IS 1, IS 1 1, S 1 1 x", (SET + IN_1_1_X, CUT + IN_1_1_X), (READ + IN_1_1_X, PUT_1_1_Z)
    ),
    "select key, not there": Feature(
        READ + IN_1_1_Z, "IS, IS 1, IS 1 1, S 1 1 z", (PUT_1_1_Z,), (SET + IN_1_1_X, PUT_1_2_Z)
    ),
    "update key": Feature(
        SET + IN_1_1_X,
        "IX, IX 1, IX 1 1, X 1 1 x",
        (READ + IN_1_1_X, READ + "a = 1", READ + "a = 1 AND b = 1 AND d > 0", *EVERYTHING),
        (READ + IN_1_2_X, READ + "a = 1 AND b = 2", SET + "a = 2", PUT_1_1_Z),
    ),
    "delete key": Feature(
        CUT + IN_1_1_X,
        "IX, IX 1, IX 1 1, X 1 1 x",
        (READ + IN_1_1_X, "INSERT INTO lines VALUES (1, 1, 'x', 5)", READ + "a = 1", MOVE_TO_1_1_X, *EVERYTHING),
        (READ + "a = 2", PUT_1_1_Z),
    ),
    "select key list": Feature(
        READ + "a = 1 AND b IN (1, 2) AND c = 'x'",
        "IS, IS 1, IS 1 1, S 1 1 x, IS 1 2, S 1 2 x",
        (SET + IN_1_1_X, SET + IN_1_2_X),
        (PUT_1_1_Z, SET + "a = 2"),
    ),
    "update key list": Feature(
        SET + "a IN (1, 2) AND b = 1 AND c = 'x'",
        "IX, IX 1, IX 1 1, X 1 1 x, IX 2, IX 2 1, X 2 1 x",
        (READ + IN_1_1_X, READ + IN_2_1_X, READ + "a = 2"),
        (READ + "a = 1 AND b = 2", PUT_1_1_Z),
    ),
    "delete key list": Feature(
        CUT + "a = 1 AND b = 1 AND c IN ('x', 'z')",
        "IX, IX 1, IX 1 1, X 1 1 x, X 1 1 z",
        (PUT_1_1_Z, READ + IN_1_1_X, READ + "a = 1 AND b = 1"),
        (READ + "a = 1 AND b = 2", PUT_1_2_Z),
    ),
    # The first columns of the key: what begins with them, there or not, and nothing else.
    "select prefix": Feature(
        READ + "a = 1 AND b = 1",
        "IS, IS 1, S 1 1",
        (PUT_1_1_Z, SET + IN_1_1_X, CUT + "a = 1", MOVE_TO_1_1_W, EVERYTHING[1]),
        (PUT_1_2_Z, PUT_2_1_Z, SET + IN_1_2_X, CUT + "a = 2", READ + "a = 1", EVERYTHING[0], EVERYTHING[2]),
    ),
    "select prefix, range behind it": Feature(
        READ + "a = 1 AND b > 1", "IS, S 1", (PUT_1_2_Z, PUT_1_1_Z, SET + IN_1_2_X), (PUT_2_1_Z, SET + "a = 2")
    ),
    "update prefix": Feature(
        SET + "a = 1 AND b = 1",
        "IX, IX 1, SIX 1 1, X 1 1 x, X 1 1 y",
        (PUT_1_1_Z, READ + IN_1_1_X, READ + "a = 1", SET + "a = 1 AND b = 1", *EVERYTHING),
        (PUT_1_2_Z, READ + "a = 1 AND b = 2", SET + IN_1_2_X, READ + IN_1_1_Z),
    ),
    "delete prefix": Feature(
        CUT + "a = 1 AND d = 9",
        "IX, SIX 1, IX 1 3, X 1 3 x",
        (PUT_1_2_Z, READ + "a = 1 AND b = 3", SET + IN_1_1_X, READ + "a = 1"),
        (PUT_2_1_Z, READ + IN_1_1_X, READ + "a = 2"),
    ),
    "select prefix list": Feature(
        READ + "a = 1 AND b IN (1, 2)", "IS, IS 1, S 1 1, S 1 2", (PUT_1_1_Z, PUT_1_2_Z), (PUT_1_4_Z, PUT_2_1_Z)
    ),
    "update prefix list": Feature(
        SET + "a IN (2, 3)",
        "IX, SIX 2, IX 2 1, X 2 1 x, IX 2 2, X 2 2 y, SIX 3",
        (PUT_2_1_Z, PUT_3_1_Z, READ + "a = 2", READ + "a = 3"),
        (PUT_1_1_Z, READ + "a = 1", READ + "a = 3 AND b = 1"),
    ),
    "delete prefix list": Feature(
        CUT + "a IN (2, 3) AND b = 2",
        "IX, IX 2, SIX 2 2, X 2 2 y, IX 3, SIX 3 2",
        ("INSERT INTO lines VALUES (3, 2, 'x', 0)", READ + "a = 2 AND b = 2"),
        (PUT_3_1_Z, PUT_2_1_Z, READ + "a = 2 AND b = 1"),
    ),
    # What names no first columns: all of the table on the shard.
    "select table": Feature(READ + "b = 1", "S", (PUT_3_1_Z, SET + IN_1_1_X), (READ + "a = 1", EVERYTHING[0])),
    "update table": Feature(
        SET + "d = 9", "SIX, IX 1, IX 1 3, X 1 3 x", (PUT_3_1_Z, READ + "a = 1", EVERYTHING[0]), (READ + "a = 2",)
    ),
    "delete table": Feature(CUT + "b > 7", "SIX", (PUT_3_1_Z, SET + IN_1_1_X, EVERYTHING[0]), (READ + "a = 1",)),
    # A key column that changes: the old place and the new, there or not.
    "update of a key column": Feature(
        "UPDATE lines SET c = 'z' WHERE " + IN_1_1_X,
        "IX, IX 1, SIX 1 1, X 1 1 x, X 1 1 z",
        (PUT_1_1_Z, READ + IN_1_1_Z, READ + IN_1_1_X, "INSERT INTO lines VALUES (1, 1, 'w', 0)"),
        (PUT_1_2_Z, READ + "a = 1 AND b = 2", READ + "a = 1 AND b = 1 AND c = 'y'"),
    ),
    "insert one row": Feature(
        PUT_1_4_Z,
        "IX, IX 1, IX 1 4, X 1 4 z",
        (READ + "a = 1", READ + "a = 1 AND b = 4", PUT_1_4_Z, EVERYTHING[0]),
        (PUT_1_1_Z, READ + "a = 1 AND b = 5", SET + "a = 1 AND b = 1", READ + "a = 2"),
    ),
    "insert many rows": Feature(
        PUT_1_4_Z + ", (3, 1, 'z', 0)",
        "IX, IX 1, IX 1 4, X 1 4 z, IX 3, IX 3 1, X 3 1 z",
        (PUT_3_1_Z, READ + "a = 3", READ + "a = 1"),
        (READ + "a = 2", SET + IN_1_1_X),
    ),
    # Definitions: everything.
    "ddl AddColumns": Feature("ALTER TABLE lines ADD COLUMN e INT", "X", (READ + "a = 1", PUT_3_1_Z), ()),
    "ddl DropTable": Feature("DROP TABLE lines", "X", (READ + IN_1_1_X, SET + "a = 1"), ()),
    "ddl CreateTable": Feature("CREATE TABLE other (a INT PRIMARY KEY)", "X", (), (PUT_3_1_Z, EVERYTHING[0])),
    "select no table": Feature("SELECT 1", "", (), EVERYTHING),
    # Rows that are read to be written: as an UPDATE, and as a read, but also against snapshots of nobody.
    "select key for update": Feature(
        READ + IN_1_1_X + " FOR UPDATE", "IX, IX 1, IX 1 1, X 1 1 x", (READ + IN_1_1_X, SET + "a = 1"), (PUT_1_1_Z,)
    ),
    "select key list for update": Feature(
        READ + "a = 1 AND b IN (1, 2) AND c = 'x' FOR UPDATE NOWAIT",
        "IX, IX 1, IX 1 1, X 1 1 x, IX 1 2, X 1 2 x",
        (READ + IN_1_1_X, SET + IN_1_2_X),
        (PUT_1_1_Z, READ + "a = 2"),
    ),
    "select prefix for update": Feature(
        READ + "a = 1 AND b = 1 FOR UPDATE",
        "IX, IX 1, SIX 1 1, X 1 1 x, X 1 1 y",
        (PUT_1_1_Z, READ + IN_1_1_X, READ + "a = 1", EVERYTHING[0]),
        (PUT_1_2_Z, READ + "a = 1 AND b = 2", READ + IN_1_1_Z),
    ),
    "select prefix list for update": Feature(
        READ + "a IN (2, 3) FOR UPDATE",
        "IX, SIX 2, IX 2 1, X 2 1 x, IX 2 2, X 2 2 y, SIX 3",
        (PUT_2_1_Z, PUT_3_1_Z, READ + "a = 2"),
        (PUT_1_1_Z, READ + "a = 1"),
    ),
    "select table for update": Feature(
        READ + "d = 9 FOR UPDATE", "SIX, IX 1, IX 1 3, X 1 3 x", (PUT_3_1_Z, READ + "a = 1"), (READ + "a = 2",)
    ),
    "select key for share": Feature(
        READ + IN_1_1_X + " FOR SHARE", "IS, IS 1, IS 1 1, S 1 1 x", (SET + IN_1_1_X,), (READ + IN_1_1_X, PUT_1_1_Z)
    ),
    "select key list for share": Feature(
        READ + "a = 1 AND b IN (1, 2) AND c = 'x' FOR SHARE",
        "IS, IS 1, IS 1 1, S 1 1 x, IS 1 2, S 1 2 x",
        (SET + IN_1_1_X, SET + IN_1_2_X),
        (PUT_1_1_Z,),
    ),
    "select prefix for share": Feature(
        READ + "a = 1 AND b = 1 FOR SHARE", "IS, IS 1, S 1 1", (PUT_1_1_Z, SET + IN_1_1_X), (PUT_1_2_Z, READ + "a = 1")
    ),
    "select prefix list for share": Feature(
        READ + "a = 1 AND b IN (1, 2) FOR SHARE", "IS, IS 1, S 1 1, S 1 2", (PUT_1_1_Z, PUT_1_2_Z), (PUT_1_4_Z,)
    ),
    "select table for share": Feature(READ + "b = 1 FOR SHARE", "S", (PUT_3_1_Z, SET + IN_1_1_X), (READ + "a = 1",)),
    # What it finds and nothing else: who comes to other rows passes, also where it looked.
    "select for update skip locked": Feature(
        READ + "a = 1 AND b = 1 FOR UPDATE SKIP LOCKED",
        "IX, IX 1, IX 1 1, X 1 1 x, X 1 1 y",
        (READ + IN_1_1_X, SET + "a = 1 AND b = 1", EVERYTHING[0]),
        (PUT_1_1_Z, READ + IN_1_2_X),
    ),
    "select for share skip locked": Feature(
        READ + IN_1_1_X + " FOR SHARE SKIP LOCKED", "IS, IS 1, IS 1 1, S 1 1 x", (SET + IN_1_1_X,), (PUT_1_1_Z,)
    ),
}

# What PostgreSQL has and the planner refuses. Who teaches it one of these takes it out here and gives it an entry above
# with its locks and who waits for it, and has the simulator draw it.
REFUSED = {
    "INSERT of a query": "INSERT INTO lines SELECT * FROM lines",
    "INSERT without VALUES": "INSERT INTO lines DEFAULT VALUES",
    "ON CONFLICT": PUT_1_1_Z + " ON CONFLICT DO NOTHING",
    "ON CONFLICT DO UPDATE": PUT_1_1_Z + " ON CONFLICT (a, b, c) DO UPDATE SET d = 1",
    "UPDATE of the shard key": "UPDATE lines SET a = 3 WHERE a = 1",
    "UPDATE FROM": "UPDATE lines SET d = o.d FROM lines o WHERE lines.a = o.a",
    "DELETE USING": "DELETE FROM lines USING lines o WHERE lines.a = o.a",
    "MERGE": "MERGE INTO lines USING lines o ON lines.a = o.a WHEN MATCHED THEN DELETE",
    "TRUNCATE": "TRUNCATE lines",
    "LOCK": "LOCK TABLE lines IN SHARE MODE",
    "JOIN": "SELECT * FROM lines JOIN lines o ON lines.a = o.a",
    "comma join": "SELECT * FROM lines, lines o",
    "subquery": "SELECT * FROM (SELECT * FROM lines) o",
    "scalar subquery": "SELECT (SELECT max(d) FROM lines)",
    "IN of a query": READ + "a IN (SELECT d FROM lines)",
    "EXISTS": READ + "EXISTS (SELECT 1 FROM lines)",
    "UNION": "SELECT a FROM lines UNION SELECT d FROM lines",
    "WITH": "WITH o AS (SELECT * FROM lines) SELECT * FROM o",
    "window": "SELECT sum(d) OVER () FROM lines",
    "FOR NO KEY UPDATE": READ + IN_1_1_X + " FOR NO KEY UPDATE",
    "FOR KEY SHARE": READ + IN_1_1_X + " FOR KEY SHARE",
    "row comparison": READ + "(a, b) = (1, 1)",
    "UNIQUE": "CREATE TABLE o (a INT PRIMARY KEY, b INT UNIQUE)",
    "UNIQUE of a table": "CREATE TABLE o (a INT PRIMARY KEY, b INT, UNIQUE (b))",
    "REFERENCES": "CREATE TABLE o (a INT PRIMARY KEY, b BIGINT REFERENCES lines)",
    "FOREIGN KEY": "CREATE TABLE o (a INT PRIMARY KEY, b BIGINT, FOREIGN KEY (b) REFERENCES lines (a))",
    "table without a key": "CREATE TABLE o (a INT)",
    "CREATE TABLE AS": "CREATE TABLE o AS SELECT * FROM lines",
    "CREATE INDEX": "CREATE INDEX i ON lines (d)",
    "CREATE VIEW": "CREATE VIEW v AS SELECT * FROM lines",
    "CREATE SEQUENCE": "CREATE SEQUENCE o",
    "DROP INDEX": "DROP INDEX i",
    "DROP of several": "DROP TABLE lines, other",
    "DROP COLUMN": "ALTER TABLE lines DROP COLUMN d",
    "RENAME": "ALTER TABLE lines RENAME TO o",
    "ADD CONSTRAINT": "ALTER TABLE lines ADD CONSTRAINT o CHECK (d > 0)",
    "SET NOT NULL": "ALTER TABLE lines ALTER COLUMN d SET NOT NULL",
    "COPY": "COPY lines FROM STDIN",
}


def shape_of(made: Plan, params: Params) -> str:
    """The kind of a statement and the way it names rows, as its locks show it."""
    if isinstance(made, DdlPlan):
        return f"ddl {type(made.ddl).__name__}" if made.ddl is not None else "ddl that has nothing to do"
    if isinstance(made, InsertPlan):
        return "insert one row" if len(made.rows) == 1 else "insert many rows"
    assert isinstance(made, SelectPlan | ChangePlan), f"{type(made).__name__} is a new kind of plan: give it features"
    if made.table is None:
        return "select no table"
    types = [made.table.columns[i].type for i in made.table.primary_key]
    if any(made.table.columns[i].name in _changed(made) for i in made.table.primary_key):
        return "update of a key column"
    locks = [lock for part in made.bind(0, params, 3).fragments.values() for lock in part.locks]
    named = {lock.key for lock in locks if lock.mode in ("S", "SIX", "X") and lock.key}
    depth = max((len(keys.decode(types, key)) for key in named), default=0)
    where = {0: "table", len(types): "key"}.get(depth, "prefix")
    locking = made.locking if isinstance(made, SelectPlan) else None
    behind = "" if locking is None else f" for {'update' if locking.mode == 'X' else 'share'}"
    if locking is not None and locking.wait == SKIP_LOCKED:
        return f"{made.kind}{behind} skip locked"
    return f"{made.kind} {where}{' list' if len(named) > 1 else ''}{behind}"


def _changed(made: SelectPlan | ChangePlan) -> list[str]:
    found = re.match(r"UPDATE \S+ SET (.*?)(?: WHERE | RETURNING |$)", getattr(made, "sql", ""))
    return re.findall(r'"?(\w+)"? = ', found[1]) if found else []


WHERE = ("key", "key list", "prefix", "prefix list", "table")
SHAPES = {f"{kind} {where}" for kind in ("select", "update", "delete") for where in WHERE} | {
    *(f"select {where} for {what}" for where in WHERE for what in ("update", "share")),
    "select for update skip locked", "select for share skip locked",
    "update of a key column", "insert one row", "insert many rows", "select no table", "ddl CreateTable",
    "ddl AddColumns", "ddl DropTable",
}  # fmt: skip


def waits(shard: SqlShard, sql: str) -> bool:
    """Does a younger transaction of this statement wait for FIRST, and is it done otherwise? It leaves nothing."""
    shard.ask(SECOND, sql)
    is_waiting: bool = shard.locks.is_waiting(SECOND)
    done = [entry.txn for entry in shard.proposals] == [SECOND] or bool(shard.host.confirms)
    assert is_waiting != done, sql
    return is_waiting


@pytest.mark.parametrize("name", FEATURES)
def test_a_statement_holds_these_locks_and_others_wait_for_them_or_not(name: str) -> None:
    feature = FEATURES[name]
    for sql, is_blocked in [(sql, True) for sql in feature.blocks] + [(sql, False) for sql in feature.passes]:
        shard = SqlShard()
        shard.ask(FIRST, feature.sql)
        assert shard.held(FIRST) == feature.held
        assert [entry.txn for entry in shard.proposals] == [FIRST]
        shard.host.proposed.clear()
        assert waits(shard, sql) == is_blocked, sql


@pytest.mark.parametrize("name", FEATURES)
def test_a_snapshot_waits_for_a_writer_in_flight_exactly_if_a_locked_read_would(name: str) -> None:
    feature = FEATURES[name]
    reads = {sql: sql in feature.blocks for sql in feature.blocks + feature.passes if sql.startswith("SELECT")}
    for sql, is_blocked in reads.items():
        shard = SqlShard()
        shard.ask(FIRST, feature.sql)
        shard.receive(SnapshotRead(1, GATEWAY_NODE, 1 << 62, [shard.fragment(sql)], 10_000))
        shard.host.answer_confirm()
        shard.host.run_jobs()
        assert (shard.host.said(SnapshotRows) == []) == is_blocked, sql


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_entry_here_is_refused(name: str) -> None:
    """If this fails, the planner has learnt it: it needs an entry in FEATURES."""
    with pytest.raises(BadRequest):
        plan(REFUSED[name], SqlShard())


def test_every_kind_of_statement_has_an_entry_for_each_way_to_name_rows() -> None:
    assert set(get_args(Route)) == {ByKey, OneShard}, "a new way to name rows: give it features"
    shard = SqlShard()
    shown = {shape_of(plan(feature.sql, shard), []) for feature in FEATURES.values()}
    assert SHAPES - shown == set(), "shapes without an entry"
    assert shown - SHAPES == set(), "a shape of an entry that is not listed"


def test_the_simulator_draws_every_shape() -> None:
    """But for a statement that reads no rows, and SKIP LOCKED by who only reads. It draws until it has, as its seeds
    do."""
    rng = random.Random()
    missing = SHAPES - {"select no table", "select for share skip locked"} - _of_extras(Mix(rng, 3)) - _of_sessions()
    for _ in range(20_000):  # the rarest comes once in some thousand
        table = draw_table(rng, "drawn", 3)
        made = plan(table.sql, Tables())
        drawn = [each for several in Author(rng, [table]).transactions(3) for each in several]
        missing -= {shape_of(made, []), *(shape_of(plan(each.sql, Tables(made)), each.params) for each in drawn)}
        if not missing:
            break
    assert missing == set(), "shapes that no workload has"


def _of_extras(mix: Mix) -> set[str]:
    """Of the tables that come, grow and go."""
    made = plan(statement("create", [EXTRAS[0]]).sql, Tables())
    steps = [step for _ in range(400) for step in mix.extra() if step[1][0] == EXTRAS[0] and step[0] != "create"]
    return {shape_of(plan(each.sql, Tables(made)), each.params) for each in (statement(*step) for step in steps)}


def _of_sessions() -> set[str]:
    """Of the accounts, in interactive transactions."""
    made = plan(SCHEMA[0], Tables())
    asked = [statement(word, [1]) for word in ("hold", "grab", "share", "pick", "claim")]
    return {shape_of(plan(each.sql, Tables(made)), each.params) for each in asked}


class Tables:
    """A catalog of what these plans create."""

    def __init__(self, *made: Plan) -> None:
        self.version = 1
        self.tables = {each.ddl.table.name: each.ddl.table for each in made
                       if isinstance(each, DdlPlan) and isinstance(each.ddl, CreateTable)}  # fmt: skip

    def table(self, name: str) -> TableDef | None:
        return self.tables.get(name)
