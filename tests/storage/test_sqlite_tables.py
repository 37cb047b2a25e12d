"""Definitions in the engine: columns that are added, tables that end, snapshots from before, what is on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nodes.core.engine import Marks
from nodes.errors import ReplicaStopped, SnapshotTooOld
from nodes.sql.schema import AddColumns, CheckDef, ColumnDef, CreateTable, Ddl, DropTable, Fragment, TableDef
from nodes.storage.sqlite import SqliteEngine
from tests.storage.bank import ACCOUNTS, commits, opened, rows_at, rows_now, writes

LIMIT = ColumnDef("credit", "INT", not_null=True, has_default=True, default=5)
SCORE = ColumnDef("score", "DOUBLE PRECISION", has_default=True, default="NaN")


def widened(*columns: ColumnDef, version: int = 3, checks: tuple[CheckDef, ...] = ()) -> AddColumns:
    every = (*ACCOUNTS.columns, *columns)
    table = msgspec.structs.replace(ACCOUNTS, version=version, columns=every, checks=(*ACCOUNTS.checks, *checks))
    return AddColumns(table, len(columns))


def define(engine: SqliteEngine, ddl: Ddl, at: int) -> None:
    engine.begin()
    engine.define(ddl, at)
    engine.advance(engine.applied + 1, 1)
    engine.commit()


def attempt(engine: SqliteEngine, ddl: Ddl) -> tuple[str, str]:
    """(sqlstate, message) of the evaluation, after a check that it left nothing."""
    before = rows_now(engine)
    evaluation = engine.evaluate([Fragment(0, "", [], [], [], True, ddl=ddl)], 0)
    assert rows_now(engine) == before
    assert evaluation.images == []
    return ("", "") if evaluation.error is None else (evaluation.error.sqlstate, evaluation.error.message)


def all_rows(engine: SqliteEngine, table: str = "t2_1") -> list[list[Any]]:
    fragment = Fragment(0, f"SELECT * FROM {table} ORDER BY id", [], [(2, 3)], [], False)
    return engine.evaluate([fragment], 0).rows[0].rows


def is_sound(engine: SqliteEngine) -> bool:
    return list(engine._main.execute("PRAGMA integrity_check")) == [("ok",)]


@pytest.fixture
def engine() -> Iterator[SqliteEngine]:
    engine = opened(SqliteEngine(None), (1, 100), (2, 200))
    yield engine
    engine.close()


def test_rows_from_before_have_the_default_of_a_column_that_is_added(engine: SqliteEngine) -> None:
    define(engine, widened(LIMIT, SCORE), 20)
    assert all_rows(engine) == [[10, 1, 100, None, 5, "NaN"], [10, 2, 200, None, 5, "NaN"]]
    images = commits(engine, 30, Fragment(0, "UPDATE t2_1 SET credit = 6 WHERE id = 1", [], [(2, 3)], [], True))
    assert images[0].row == [1, 100, None, 6, "NaN"]
    assert all_rows(engine)[0] == [30, 1, 100, None, 6, "NaN"]
    assert all_rows(engine, "t2_1__history") == [[10, 30, 1, 100, None, 5, "NaN"]]
    assert is_sound(engine)


def test_a_row_from_before_can_be_deleted_and_change_its_key(engine: SqliteEngine) -> None:
    define(engine, widened(LIMIT), 20)
    commits(engine, 30, writes("DELETE FROM t2_1 WHERE id = 1"), writes("UPDATE t2_1 SET id = 7 WHERE id = 2"))
    assert all_rows(engine) == [[30, 7, 200, None, 5]]
    assert is_sound(engine)


def test_an_older_snapshot_keeps_its_rows_whatever_columns_came(engine: SqliteEngine) -> None:
    commits(engine, 15, writes("UPDATE t2_1 SET balance = 0 WHERE id = 1"))
    define(engine, widened(LIMIT), 20)
    commits(engine, 30, writes("DELETE FROM t2_1"))
    assert rows_at(engine, 12) == [[1, 100, None], [2, 200, None]]
    assert rows_at(engine, 16) == [[1, 0, None], [2, 200, None]]
    assert rows_at(engine, 31) == []


def test_a_version_holds_from_its_ddl_to_the_next(engine: SqliteEngine) -> None:
    define(engine, widened(LIMIT), 20)
    assert engine.check_version(2, ACCOUNTS.version, 19)
    assert not engine.check_version(2, ACCOUNTS.version, 20)
    assert engine.check_version(2, 3, 20)
    with pytest.raises(SnapshotTooOld, match="accounts"):
        engine.check_version(2, 3, 19)
    define(engine, DropTable(2, 4), 40)
    assert engine.check_version(2, 3, 39)
    assert not engine.check_version(2, 3, 40)
    assert not engine.check_version(9, 1, 40)


@pytest.mark.parametrize(
    ("ddl", "told"),
    [
        (widened(LIMIT, SCORE), ("", "")),
        (widened(ColumnDef("b", "INT")), ("", "")),
        (
            widened(ColumnDef("b", "INT", not_null=True)),
            ("23502", 'column "b" of relation "accounts" contains null values'),
        ),
        (widened(LIMIT, checks=(CheckDef("low", '"credit" < 6'),)), ("", "")),
        (
            widened(LIMIT, checks=(CheckDef("low", '"credit" < 5'),)),
            ("23514", 'check constraint "low" of relation "accounts" is violated by some row'),
        ),
        (widened(ColumnDef("b", "INT"), checks=(CheckDef("low", '"b" < 5'),)), ("", "")),
        (
            widened(LIMIT, checks=(CheckDef("rich", '"balance" > 100'),)),
            ("23514", 'check constraint "rich" of relation "accounts" is violated by some row'),
        ),
        (DropTable(2, 3), ("", "")),
    ],
)
def test_an_evaluation_finds_the_rows_that_do_not_fit(engine: SqliteEngine, ddl: Ddl, told: tuple[str, str]) -> None:
    assert attempt(engine, ddl) == told
    assert engine.catalog_version == ACCOUNTS.version


def test_a_column_without_default_may_be_demanded_of_an_empty_table(engine: SqliteEngine) -> None:
    commits(engine, 15, writes("DELETE FROM t2_1"))
    demanded = widened(ColumnDef("b", "INT", not_null=True))
    assert attempt(engine, demanded) == ("", "")
    define(engine, demanded, 20)
    assert rows_at(engine, 12) == [[1, 100, None], [2, 200, None]]
    fragment = writes("INSERT INTO t2_1 (id) VALUES (1)")
    assert engine.evaluate([fragment], 0).error.sqlstate == "23502"  # type: ignore[union-attr]
    assert is_sound(engine)


def test_a_constraint_that_came_with_a_column_holds_for_what_is_written(engine: SqliteEngine) -> None:
    define(engine, widened(LIMIT, checks=(CheckDef("low", '"credit" < 6'),)), 20)
    error = engine.evaluate([writes("UPDATE t2_1 SET credit = 6 WHERE id = 1")], 0).error
    assert error is not None
    assert (error.sqlstate, error.detail["constraint"]) == ("23514", "low")
    error = engine.evaluate([writes("UPDATE t2_1 SET credit = 3000000000 WHERE id = 1")], 0).error
    assert error is not None
    assert error.sqlstate in ("22003", "23514")


def test_a_rolled_back_definition_leaves_nothing(engine: SqliteEngine) -> None:
    for ddl in (widened(LIMIT), DropTable(2, 3), CreateTable(TableDef(9, "x", 9, 1, ACCOUNTS.columns, (0,), (0,)))):
        engine.begin()
        engine.define(ddl, 20)
        engine.rollback()
        assert (engine.catalog_version, engine.tables()) == (ACCOUNTS.version, [ACCOUNTS])
        assert rows_now(engine) == [[1, 100, None, 10], [2, 200, None, 10]]


@pytest.mark.parametrize(
    "ddl", [CreateTable(ACCOUNTS), DropTable(9, 3), AddColumns(msgspec.structs.replace(ACCOUNTS, id=9), 1)]
)
def test_a_definition_that_does_not_fit_stops_the_replica(engine: SqliteEngine, ddl: Ddl) -> None:
    engine.begin()
    with pytest.raises(ReplicaStopped, match="there"):
        engine.define(ddl, 20)
    with pytest.raises(ReplicaStopped):
        engine.commit()
    engine.rollback()


def test_a_dropped_table_ends_but_its_rows_stay_until_the_horizon_has_passed(engine: SqliteEngine) -> None:
    commits(engine, 15, writes("UPDATE t2_1 SET balance = 0 WHERE id = 1"))
    define(engine, DropTable(2, 3), 20)
    assert (engine.table(2), engine.tables(), engine.catalog_version) == (None, [], 3)
    assert rows_at(engine, 19) == [[1, 0, None], [2, 200, None]]
    forget(engine, 19)
    assert rows_at(engine, 19) == [[1, 0, None], [2, 200, None]]
    forget(engine, 20)
    assert list(engine._main.execute("SELECT name FROM sqlite_master WHERE name LIKE 't2%'")) == []
    assert engine.catalog_version == 3
    engine.begin()
    with pytest.raises(ReplicaStopped, match="not there"):
        engine.define(DropTable(2, 4), 30)
    engine.rollback()


def forget(engine: SqliteEngine, horizon: int, most: int = 1) -> None:
    engine.begin()
    engine.set_marks(Marks(horizon=horizon))
    engine.commit()
    while engine.forget(most):
        pass


def test_definitions_outlive_the_process(tmp_path: Path) -> None:
    engine = opened(SqliteEngine(tmp_path / "s1.db"), (1, 100))
    define(engine, widened(LIMIT), 20)
    define(engine, CreateTable(TableDef(4, "notes", 4, 1, (ColumnDef("id", "INT"),), (0,), (0,))), 30)
    define(engine, DropTable(4, 5), 40)
    engine.close()
    again = SqliteEngine(tmp_path / "s1.db")
    assert (again.catalog_version, [table.version for table in again.tables()]) == (5, [3])
    assert all_rows(again) == [[10, 1, 100, None, 5]]
    assert again.check_version(2, 1, 19)
    assert again.check_version(4, 4, 39)
    assert not again.check_version(4, 4, 40)
    again.close()


def test_a_reader_of_its_own_connection_sees_a_column_that_came_meanwhile(tmp_path: Path) -> None:
    engine = opened(SqliteEngine(tmp_path / "s1.db"), (1, 100))
    assert rows_at(engine, 12) == [[1, 100, None]]
    define(engine, widened(LIMIT), 20)
    assert rows_at(engine, 12) == [[1, 100, None]]
    fragment = Fragment(0, "", [], [(2, 3)], [], False, "SELECT id, credit FROM t2_1 WHERE _ts <= ?1")
    assert engine.read(fragment, 21).rows == [[1, 5]]
    engine.close()


def test_a_read_that_has_begun_keeps_its_rows_whatever_is_changed_dropped_and_pruned_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long one. Who begins later is told that what it wants is too old."""
    engine = opened(SqliteEngine(tmp_path / "s1.db"), (1, 100), (2, 200))
    commits(engine, 20, writes("UPDATE t2_1 SET balance = 90 WHERE id = 1"))
    begins = engine._refuse_below_horizon

    def begun(*question: Any) -> None:
        begins(*question)
        define(engine, widened(LIMIT), 30)
        define(engine, DropTable(2, 4), 40)
        forget(engine, 50)
        assert list(engine._main.execute("SELECT name FROM sqlite_master WHERE name LIKE 't2%'")) == []

    monkeypatch.setattr(engine, "_refuse_below_horizon", begun)
    assert rows_at(engine, 15) == [[1, 100, None], [2, 200, None]]
    monkeypatch.undo()
    with pytest.raises(SnapshotTooOld):
        rows_at(engine, 15)
    engine.close()
