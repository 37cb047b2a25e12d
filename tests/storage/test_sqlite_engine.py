"""Evaluation on the SQLite engine: what statements give, which images they leave, how they fail."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import apsw
import pytest

from nodes.sql.schema import CheckDef, ColumnDef, CreateTable, Fragment, Image, TableDef
from nodes.storage import sqlite, sqlite_connection
from nodes.storage.sqlite import SqliteEngine
from tests.storage.bank import commits, creates, history, opened, reads, rows_at, rows_now, writes

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def engine() -> Iterator[SqliteEngine]:
    engine = opened(SqliteEngine(None), (1, 100), (2, 200), (3, 300))
    yield engine
    engine.close()


def images_of(engine: SqliteEngine, *fragments: Fragment) -> list[Image]:
    before = rows_now(engine)
    evaluation = engine.evaluate(fragments, 0)
    assert evaluation.error is None
    assert rows_now(engine) == before
    return evaluation.images


def error_of(engine: SqliteEngine, *fragments: Fragment) -> tuple[str, str, str]:
    """(code, sqlstate, message), after a check that nothing was left behind."""
    before = rows_now(engine)
    evaluation = engine.evaluate(fragments, 0)
    assert evaluation.error is not None
    assert (evaluation.rows, evaluation.images) == ([], [])
    assert rows_now(engine) == before
    return evaluation.error.code, evaluation.error.sqlstate, evaluation.error.message


# -- results


def test_a_select_gives_its_rows_and_no_images(engine: SqliteEngine) -> None:
    evaluation = engine.evaluate([reads("SELECT id, balance FROM t2_1 WHERE id = ?1", 2)], 0)
    assert (evaluation.rows[0].rows, evaluation.rows[0].row_count, evaluation.images) == ([[2, 200]], 1, [])


def test_returning_gives_rows_and_the_count_is_of_rows_changed(engine: SqliteEngine) -> None:
    evaluation = engine.evaluate(
        [
            writes("UPDATE t2_1 SET balance = balance + 1 WHERE id > 1 RETURNING id, balance"),
            writes("DELETE FROM t2_1 WHERE id = 9"),
            writes("UPDATE t2_1 SET note = 'x'"),
        ],
        0,
    )
    assert sorted(evaluation.rows[0].rows) == [[2, 201], [3, 301]]
    assert [rows.row_count for rows in evaluation.rows] == [2, 0, 3]


def test_later_fragments_see_what_earlier_ones_wrote(engine: SqliteEngine) -> None:
    evaluation = engine.evaluate(
        [writes("UPDATE t2_1 SET balance = 5 WHERE id = 1"), reads("SELECT balance FROM t2_1 WHERE id = 1")], 0
    )
    assert evaluation.rows[1].rows == [[5]]


def test_a_column_left_out_of_an_insert_takes_its_default(engine: SqliteEngine) -> None:
    assert images_of(engine, writes("INSERT INTO t2_1 (id) VALUES (4)")) == [Image(2, None, 0, [4, 7, None])]


# -- images


@pytest.mark.parametrize(
    ("statements", "images"),
    [
        (["INSERT INTO t2_1 (id, balance) VALUES (4, 1), (5, 2)"], [(None, 0, [4, 1, None]), (None, 0, [5, 2, None])]),
        (["UPDATE t2_1 SET balance = 0 WHERE id = 1"], [([1], 10, [1, 0, None])]),
        (["UPDATE t2_1 SET balance = balance WHERE id = 1"], [([1], 10, [1, 100, None])]),
        (["DELETE FROM t2_1 WHERE id = 1"], [([1], 10, None)]),
        (["DELETE FROM t2_1"], [([1], 10, None), ([2], 10, None), ([3], 10, None)]),
        (["UPDATE t2_1 SET id = 9 WHERE id = 1"], [([1], 10, [9, 100, None])]),
        (["INSERT OR REPLACE INTO t2_1 (id, balance) VALUES (1, 5)"], [([1], 10, [1, 5, None])]),
        (["UPDATE OR REPLACE t2_1 SET id = 2 WHERE id = 1"], [([2], 10, None), ([1], 10, [2, 100, None])]),
        (["INSERT INTO t2_1 (id) VALUES (4)", "DELETE FROM t2_1 WHERE id = 4"], []),
        (["INSERT INTO t2_1 (id) VALUES (4)", "UPDATE t2_1 SET balance = 1 WHERE id = 4"], [(None, 0, [4, 1, None])]),
        (["DELETE FROM t2_1 WHERE id = 1", "INSERT INTO t2_1 (id) VALUES (1)"], [([1], 10, [1, 7, None])]),
        (["UPDATE t2_1 SET id = 9 WHERE id = 1", "UPDATE t2_1 SET id = 1 WHERE id = 9"], [([1], 10, [1, 100, None])]),
        (["UPDATE t2_1 SET id = 9 WHERE id = 1", "DELETE FROM t2_1 WHERE id = 9"], [([1], 10, None)]),
        (
            ["UPDATE t2_1 SET id = 9 WHERE id = 1", "INSERT INTO t2_1 (id) VALUES (1)"],
            [([1], 10, [9, 100, None]), (None, 0, [1, 7, None])],
        ),
        (
            [f"UPDATE t2_1 SET id = {new} WHERE id = {old}" for old, new in ((1, 9), (2, 1), (9, 2))],
            [([1], 10, [2, 100, None]), ([2], 10, [1, 200, None])],
        ),
        (["INSERT INTO t2_1 (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET balance = 8"], [([1], 10, [1, 8, None])]),
        (["INSERT INTO t2_1 (id) VALUES (1) ON CONFLICT DO NOTHING"], []),
    ],
)
def test_images_name_the_version_they_replace_and_the_final_row(
    engine: SqliteEngine, statements: list[str], images: list[tuple[Any, int, Any]]
) -> None:
    assert images_of(engine, *map(writes, statements)) == [Image(2, *image) for image in images]


def test_rows_copied_whole_from_another_table_do_not_escape_the_hook(engine: SqliteEngine) -> None:
    twin = TableDef(3, "twin", 2, 1, (ColumnDef("id", "BIGINT"), ColumnDef("v", "BIGINT"), ColumnDef("n", "TEXT")),
                    (0,), (0,))  # fmt: skip
    engine.begin()
    engine.define(CreateTable(twin), 0)
    engine.commit()
    images = images_of(engine, writes("INSERT INTO t3_1 SELECT * FROM t2_1", table=3))
    assert [image.row for image in images] == [[1, 100, None], [2, 200, None], [3, 300, None]]


# -- errors


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            "INSERT INTO t2_1 (id) VALUES (1)",
            ("constraint", "23505", 'duplicate key value violates unique constraint "accounts_pkey"'),
        ),
        (
            "INSERT INTO t2_1 (id) VALUES (4), (5), (4)",
            ("constraint", "23505", 'duplicate key value violates unique constraint "accounts_pkey"'),
        ),
        (
            "UPDATE t2_1 SET balance = NULL",
            (
                "constraint",
                "23502",
                'null value in column "balance" of relation "accounts" violates not-null constraint',
            ),
        ),
        (
            "UPDATE t2_1 SET balance = balance - 150",
            (
                "constraint",
                "23514",
                'new row for relation "accounts" violates check constraint "accounts_balance_check"',
            ),
        ),
        ("UPDATE t2_1 SET balance = 3000000000", ("bad_request", "22003", "integer out of range")),
        ("UPDATE t2_1 SET balance = -3000000000", ("bad_request", "22003", "integer out of range")),
        ("UPDATE t2_1 SET id = 9223372036854775807 + id", ("bad_request", "22003", "bigint out of range")),
        (
            "UPDATE t2_1 SET balance = 'x'",
            ("bad_request", "42804", 'column "balance" is of type integer but expression is of type text'),
        ),
    ],
)
def test_violations_are_told_as_postgresql_tells_them(
    engine: SqliteEngine, sql: str, expected: tuple[str, str, str]
) -> None:
    assert error_of(engine, writes(sql)) == expected


def test_a_check_that_is_neither_true_nor_false_holds(engine: SqliteEngine) -> None:
    checked = TableDef(4, "notes", 1, 1, (ColumnDef("id", "TEXT"), ColumnDef("flag", "BOOLEAN")), (0,), (0,))
    engine.begin()
    engine.define(CreateTable(checked), 0)
    engine.commit()
    assert error_of(engine, writes("INSERT INTO t4_1 (id, flag) VALUES ('a', 2)", table=4))[1] == "42804"
    assert images_of(engine, writes("INSERT INTO t4_1 (id, flag) VALUES ('a', NULL)", table=4)) != []


def test_of_several_checks_the_first_by_name_is_told(engine: SqliteEngine) -> None:
    checks = tuple(CheckDef(name, "id > 0") for name in ("b", "a", "c"))
    engine.begin()
    engine.define(CreateTable(TableDef(4, "notes", 1, 1, (ColumnDef("id", "BIGINT"),), (0,), (0,), checks)), 0)
    engine.commit()
    message = 'new row for relation "notes" violates check constraint "a"'
    assert error_of(engine, writes("INSERT INTO t4_1 (id) VALUES (0)", table=4))[2] == message


def test_a_wrong_row_count_is_an_expectation_that_failed(engine: SqliteEngine) -> None:
    update = "UPDATE t2_1 SET balance = 1 WHERE id = ?1"
    assert error_of(engine, writes(update, 9, expect_rows=1))[:2] == ("expectation_failed", "02000")
    assert error_of(engine, reads("SELECT 1 FROM t2_1", expect_rows=0))[:2] == ("expectation_failed", "02000")
    assert len(images_of(engine, writes(update, 1, expect_rows=1))) == 1


def test_the_error_names_the_statement_that_failed(engine: SqliteEngine) -> None:
    fragments = [
        writes("UPDATE t2_1 SET balance = 1", statement=4),
        writes("INSERT INTO t2_1 (id) VALUES (1)", statement=6),
    ]
    error = engine.evaluate(fragments, 0).error
    assert error is not None
    assert (error.statement, error.outcome) == (6, "did_not_happen")
    assert error.detail == {"table": "accounts", "constraint": "accounts_pkey"}


def test_after_a_failed_statement_the_next_evaluation_starts_clean(engine: SqliteEngine) -> None:
    error_of(engine, writes("DELETE FROM t2_1 WHERE id = 1"), writes("INSERT INTO t2_1 (id) VALUES (2)"))
    assert images_of(engine, writes("UPDATE t2_1 SET note = 'x' WHERE id = 1")) == [Image(2, [1], 10, [1, 100, "x"])]


@pytest.mark.parametrize(
    ("params", "sqlstate"),
    [([1 << 70], "22003"), ([{}], "22P02"), (["\ud800"], "22021"), ([], "42P02"), ([1, 2], "42P02")],
)
def test_parameters_that_do_not_bind_are_the_requests_fault(
    engine: SqliteEngine, params: list[Any], sqlstate: str
) -> None:
    assert error_of(engine, reads("SELECT id FROM t2_1 WHERE id = ?1", *params))[:2] == ("bad_request", sqlstate)


@pytest.mark.parametrize(
    "sql",
    [
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT a",
        "ATTACH ':memory:' AS other",
        "PRAGMA user_version = 1",
        "CREATE TABLE t9_1 (id INTEGER)",
        "CREATE TEMP TABLE t9_1 (id INTEGER)",
        "DROP TABLE t2_1",
        "ALTER TABLE t2_1 RENAME TO t9_1",
        "CREATE TRIGGER boom AFTER INSERT ON t2_1 BEGIN SELECT 1; END",
        "DELETE FROM t2_1__history",
        "UPDATE t2_1 SET _ts = 99",
        "DELETE FROM engine_state",
        "SELECT applied FROM engine_state",
        "SELECT count(*) FROM engine_state",
        "SELECT name FROM sqlite_master",
        "SELECT name FROM pragma_table_info('t2_1')",
    ],
)
def test_what_is_no_business_of_a_statement_is_refused_again_and_again(engine: SqliteEngine, sql: str) -> None:
    for _ in range(2):
        assert error_of(engine, writes(sql))[:2] == ("bad_request", "42501")
    assert engine.applied == 2


@pytest.mark.parametrize("sql", ["VACUUM", "DELETE FROM sqlite_master", "SELECT 1; COMMIT", "no SQL at all"])
def test_what_sqlite_itself_refuses_is_an_error_and_does_no_harm(engine: SqliteEngine, sql: str) -> None:
    assert error_of(engine, writes(sql))[0] in ("internal", "bad_request")


def test_a_statement_writes_no_table_that_its_fragment_does_not_name(engine: SqliteEngine) -> None:
    assert error_of(engine, writes("DELETE FROM t2_1", table=3))[1] == "42501"
    assert error_of(engine, reads("DELETE FROM t2_1 RETURNING id"))[1] == "42501"


def test_an_unknown_column_in_double_quotes_is_no_string(engine: SqliteEngine) -> None:
    assert error_of(engine, reads('SELECT id FROM t2_1 WHERE note = "nothing"'))[0] == "internal"


# -- bounds


def test_an_evaluation_past_its_budget_is_refused() -> None:
    seconds = itertools.count()
    engine = opened(SqliteEngine(None, clock=lambda: float(next(seconds))), (1, 100))
    error = engine.evaluate([writes("UPDATE t2_1 SET balance = 1"), reads(ENDLESS)], 1_500).error
    assert error is not None
    assert (error.code, error.sqlstate) == ("too_large", "57014")
    assert rows_now(engine) == [[1, 100, None, 10]]
    assert engine.evaluate([reads(f"{ENDLESS.replace('FROM n)', 'FROM n LIMIT 50000)')}")], 0).error is None
    engine.close()


def test_the_budget_is_for_all_fragments_together() -> None:
    seconds = itertools.count()
    engine = opened(SqliteEngine(None, clock=lambda: float(next(seconds))), (1, 100))
    short = reads("SELECT id FROM t2_1")
    assert engine.evaluate([short], 1_500).error is None
    error = engine.evaluate([short] * 5, 1_500).error
    assert error is not None
    assert error.sqlstate == "57014"
    engine.close()


@pytest.mark.parametrize(
    ("module", "bound", "value", "fragment"),
    [
        (sqlite_connection, "RESULT_ROWS", 2, writes("UPDATE t2_1 SET note = '' RETURNING id")),
        (
            sqlite_connection,
            "RESULT_BYTES",
            40,
            reads("SELECT 'more than twenty letters \u20ac\u20ac\u20ac\u20ac\u20ac\u20ac'"),
        ),
        (sqlite, "IMAGES", 2, writes("UPDATE t2_1 SET note = ''")),
    ],
)
def test_results_and_changes_over_the_bounds_are_refused(
    engine: SqliteEngine,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    bound: str,
    value: int,
    fragment: Fragment,
) -> None:
    monkeypatch.setattr(module, bound, value)
    error = engine.evaluate([fragment], 0).error
    assert error is not None
    assert (error.code, error.sqlstate) == ("too_large", "54000")
    monkeypatch.undo()
    assert rows_now(engine) == [[1, 100, None, 10], [2, 200, None, 10], [3, 300, None, 10]]


def test_a_result_cut_short_does_not_meet_the_next_statement(
    engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_connection, "RESULT_ROWS", 0)
    error = engine.evaluate([reads("SELECT id FROM t2_1; SELECT balance FROM t2_1")], 0).error
    assert error is not None
    assert error.code == "too_large"
    monkeypatch.undo()
    assert len(rows_now(engine)) == 3


def test_repeated_texts_are_prepared_once_whatever_is_bound(engine: SqliteEngine) -> None:
    prepared = []

    def count(*asked: object) -> int:
        prepared.append(asked)
        return apsw.SQLITE_OK

    def one_round(account: int) -> None:
        commits(engine, account, writes("INSERT INTO t2_1 (id, balance) VALUES (?1, ?2)", account, account))
        commits(engine, account + 1, writes("UPDATE t2_1 SET balance = 0 WHERE id = ?1", account))
        rows_at(engine, account)

    engine._main.db.authorizer = count
    one_round(20)
    before = len(prepared)
    for account in range(30, 60, 2):
        one_round(account)
    assert len(prepared) == before


def test_what_an_apply_changes_is_not_collected(engine: SqliteEngine) -> None:
    commits(engine, 20, writes("UPDATE t2_1 SET balance = 0"))
    assert engine._changes == []


# -- DDL and keys


def test_evaluating_a_create_table_leaves_nothing_and_finds_its_errors(engine: SqliteEngine) -> None:
    table = TableDef(3, "notes", 2, 1, (ColumnDef("id", "BIGINT"),), (0,), (0,))
    for _ in range(2):
        evaluation = engine.evaluate([creates(table)], 0)
        assert (evaluation.error, evaluation.images, evaluation.rows[0].row_count) == (None, [], 0)
    assert engine.table(3) is None
    engine.begin()
    engine.define(CreateTable(table), 0)
    engine.commit()
    assert error_of(engine, creates(table))[1] == "42P07"


def test_keys_of_several_columns_and_odd_names_work(engine: SqliteEngine) -> None:
    columns = (ColumnDef('a "b"', "TEXT"), ColumnDef("x.y/z column w", "INT", not_null=True), ColumnDef("order", "INT"))
    odd = TableDef(5, "odd", 2, 1, columns, (2, 0), (2,))
    engine.begin()
    engine.define(CreateTable(odd), 0)
    engine.advance(3, 1)
    engine.commit()
    insert = 'INSERT INTO t5_1 ("a ""b""", "x.y/z column w", "order") VALUES (?1, ?2, ?3)'
    commits(engine, 20, writes(insert, "k", 1, 7, table=5))
    images = commits(engine, 30, writes('UPDATE t5_1 SET "order" = 8', table=5))
    assert images == [Image(5, [7, "k"], 20, ["k", 1, 8])]
    assert error_of(engine, writes(insert, "k", 1, 8, table=5))[1] == "23505"
    assert '"x.y/z column w"' in error_of(engine, writes(insert, "k", None, 9, table=5))[2]
    assert '"x.y/z column w"' in error_of(engine, writes(insert, "k", "no", 9, table=5))[2]
    assert history(engine) == []
