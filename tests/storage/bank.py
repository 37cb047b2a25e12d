"""The cast of the engine's tests: the bank's accounts, and short ways to speak to an engine about them."""

from __future__ import annotations

from typing import Any

from nodes.sql.schema import CheckDef, ColumnDef, CreateTable, Fragment, Image, TableDef
from nodes.storage.sqlite import SqliteEngine

ACCOUNTS = TableDef(
    id=2,
    name="accounts",
    version=1,
    shape=1,
    columns=(
        ColumnDef("id", "BIGINT", not_null=True),
        ColumnDef("balance", "INT", not_null=True, has_default=True, default=7),
        ColumnDef("note", "TEXT"),
    ),
    primary_key=(0,),
    shard_by=(0,),
    checks=(CheckDef("accounts_balance_check", "balance >= 0"),),
)

ROWS_NOW = "SELECT id, balance, note, _ts FROM t2_1 ORDER BY id"
ROWS_AT = """
SELECT id, balance, note FROM t2_1 WHERE _ts <= ?1 UNION ALL
SELECT id, balance, note FROM t2_1__history WHERE _ts <= ?1 AND ?1 < _end ORDER BY 1"""
HISTORY = "SELECT id, balance, note, _ts, _end FROM t2_1__history ORDER BY id, _ts"


def reads(sql: str, *params: Any, snapshot_sql: str = "", statement: int = 0, expect_rows: int = -1) -> Fragment:
    return Fragment(statement, sql, list(params), [(2, 1)], [], False, snapshot_sql, expect_rows=expect_rows)


def writes(sql: str, *params: Any, statement: int = 0, expect_rows: int = -1, table: int = 2) -> Fragment:
    return Fragment(statement, sql, list(params), [(table, 1)], [], True, expect_rows=expect_rows)


def creates(table: TableDef) -> Fragment:
    return Fragment(0, "", [], [], [], True, ddl=CreateTable(table))


def apply(engine: SqliteEngine, images: list[Image], commit_ts: int) -> None:
    """One entry, one local transaction."""
    engine.begin()
    engine.install(images, commit_ts)
    engine.advance(engine.applied + 1, 1)
    engine.commit()


def commits(engine: SqliteEngine, commit_ts: int, *fragments: Fragment) -> list[Image]:
    """Evaluate and apply; the images."""
    evaluation = engine.evaluate(fragments, 0)
    assert evaluation.error is None, evaluation.error
    apply(engine, evaluation.images, commit_ts)
    return evaluation.images


def opened(engine: SqliteEngine, *accounts: tuple[int, int], at: int = 10) -> SqliteEngine:
    """Slot 1 creates the accounts, slot 2 fills them."""
    engine.begin()
    engine.define(CreateTable(ACCOUNTS), 0)
    engine.advance(1, 1)
    engine.install([Image(2, None, 0, [account, balance, None]) for account, balance in accounts], at)
    engine.advance(2, 1)
    engine.commit()
    return engine


def rows_now(engine: SqliteEngine) -> list[list[Any]]:
    return engine.evaluate([reads(ROWS_NOW)], 0).rows[0].rows


def history(engine: SqliteEngine) -> list[list[Any]]:
    return engine.evaluate([reads(HISTORY)], 0).rows[0].rows


def rows_at(engine: SqliteEngine, ts: int) -> list[list[Any]]:
    return engine.read(reads("", snapshot_sql=ROWS_AT), ts).rows
