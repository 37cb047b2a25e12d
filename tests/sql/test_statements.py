"""Statements as a client meets them: definitions, writes, queries over all shards, refusals."""

from __future__ import annotations

import pytest

from nodes.errors import BadRequest, ConstraintViolation, NotSupported, StoreError
from nodes.requests import Column
from nodes.sql.schema import CheckDef
from tests.sql.store import Store


def refusal(store, sql, params=()) -> tuple[str, str]:
    with pytest.raises(StoreError) as caught:
        store.execute(sql, params)
    return caught.value.info.sqlstate, caught.value.info.message


def test_money_moves(bank):
    taken = bank.execute("UPDATE accounts SET balance = balance - $1 WHERE id = $2 AND balance >= $1", [10, 1])
    given = bank.execute("UPDATE accounts SET balance = balance + $1 WHERE id = $2 RETURNING balance", [10, 2])
    assert (taken.row_count, taken.columns, taken.rows) == (1, [], [])
    assert (given.row_count, given.columns, given.rows) == (1, [Column("balance", "BIGINT")], [[110]])
    assert bank.execute("SELECT sum(balance) FROM accounts").rows == [["900"]]


def test_constraints_are_told_as_postgresql_tells_them(bank):
    assert refusal(bank, "UPDATE accounts SET balance = -1 WHERE id = 1")[0] == "23514"
    assert refusal(bank, "INSERT INTO accounts (id) VALUES (1)")[0] == "23505"
    assert refusal(bank, "INSERT INTO accounts VALUES (50, NULL)")[0] == "23502"
    with pytest.raises(ConstraintViolation) as caught:
        bank.execute("INSERT INTO accounts (id) VALUES ($1)", [None])
    assert caught.value.info.sqlstate == "23502"


@pytest.mark.parametrize("pushdown", [True, False])
@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT id FROM accounts ORDER BY id DESC LIMIT 3 OFFSET 2", [[7], [6], [5]]),
        ("SELECT id AS balance FROM accounts ORDER BY balance LIMIT 1", [[1]]),
        ("SELECT owner FROM accounts WHERE id > 7 ORDER BY id + 0", [["owner 8"], ["owner 9"]]),
        ("SELECT count(*), min(id), max(owner), sum(id), count(DISTINCT balance) FROM accounts",
         [[9, 1, "owner 9", "45", 1]]),
        ("SELECT count(*), sum(id) FROM accounts WHERE false", [[0, None]]),
        ("SELECT DISTINCT open FROM accounts", [[True]]),
        ("SELECT count(*) + $1 FROM accounts WHERE id > $2", [[7]]),
        ("SELECT sum(9223372036854775807 - id + id) FROM accounts", [["83010348331692982263"]]),
    ],
)  # fmt: skip
def test_queries_over_all_shards(bank, sql, rows, pushdown):
    params = [2, 4] if "$2" in sql else []
    assert bank.execute(sql, params, pushdown=pushdown).rows == rows


def test_the_names_of_a_table_definition():
    store = Store()
    store.execute(
        "CREATE TABLE Items (A int4 CHECK (a > 0), \"B b\" text DEFAULT 'x', c int8 NOT NULL DEFAULT -5, d bool, "
        "CONSTRAINT small CHECK (c < 10), CHECK (a < c), CHECK (1 < a), PRIMARY KEY (c, a)) SHARD BY (A)"
    )
    table = store.tables["items"]
    assert [(column.name, column.type, column.not_null, column.default) for column in table.columns] == [
        ("a", "INT", True, None),
        ("B b", "TEXT", False, "x"),
        ("c", "BIGINT", True, -5),
        ("d", "BOOLEAN", False, None),
    ]
    assert (table.primary_key, table.shard_by) == ((2, 0), (0,))
    assert table.checks == (
        CheckDef("items_a_check", '"a" > 0'),
        CheckDef("items_a_check1", '1 < "a"'),
        CheckDef("items_check", '"a" < "c"'),
        CheckDef("small", '"c" < 10'),
    )


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("CREATE TABLE accounts (a INT PRIMARY KEY)", "42P07"),
        ("CREATE TABLE u (a INT)", "0A000"),
        ("CREATE TABLE u (a INT PRIMARY KEY, b INT PRIMARY KEY)", "42P16"),
        ("CREATE TABLE u (a INT PRIMARY KEY, a TEXT)", "42701"),
        ("CREATE TABLE u (a INT, PRIMARY KEY (b))", "42703"),
        ("CREATE TABLE u (a INT, b INT, PRIMARY KEY (a)) SHARD BY (b)", "42P16"),
        ("CREATE TABLE u (a INT PRIMARY KEY) SHARD BY b", "42601"),
        ("CREATE TABLE u (a INT PRIMARY KEY, _ts INT)", "42939"),
        ("CREATE TABLE txstore_x (a INT PRIMARY KEY)", "42939"),
        ("CREATE TABLE t7_1 (a INT PRIMARY KEY)", "42939"),
        ("CREATE TABLE u (a INT PRIMARY KEY, ctid INT)", "42701"),
        ('CREATE TABLE u (a INT PRIMARY KEY, "A" INT)', "0A000"),
        ("CREATE TABLE u (a INT PRIMARY KEY DEFAULT 'x')", "22P02"),
        ("CREATE TABLE u (a INT PRIMARY KEY DEFAULT 3000000000)", "0A000"),
        ("CREATE TABLE u (a INT PRIMARY KEY DEFAULT true)", "42804"),
        ("CREATE TABLE u (a INT PRIMARY KEY, CHECK (a))", "42804"),
        ("CREATE TABLE u (a INT PRIMARY KEY, CHECK (b > 1))", "42703"),
        ("CREATE TABLE u (a INT PRIMARY KEY, CHECK (count(*) > 1))", "42803"),
        ("CREATE TABLE u (a INT PRIMARY KEY, b INT UNIQUE)", "0A000"),
        ("CREATE TABLE u (a INT PRIMARY KEY REFERENCES accounts)", "0A000"),
        ("CREATE TABLE u (a SERIAL PRIMARY KEY)", "0A000"),
        ("CREATE TABLE u (a STRING PRIMARY KEY)", "42704"),
        ("CREATE TEMP TABLE u (a INT PRIMARY KEY)", "0A000"),
        ("CREATE TABLE u AS SELECT 1", "0A000"),
        ("CREATE TABLE user (a INT PRIMARY KEY)", "0A000"),
        ("CREATE TABLE u (a INT PRIMARY KEY, select INT)", "42601"),
        ("INSERT INTO txstore_tables VALUES ('x', 1, 1, '')", "42501"),
        ("DELETE FROM txstore_tables", "42501"),
        ("INSERT INTO accounts SELECT 1", "0A000"),
        ("INSERT INTO accounts (id) VALUES (1) ON CONFLICT DO NOTHING", "0A000"),
        ("INSERT INTO accounts (id, id) VALUES (1, 2)", "42701"),
        ("INSERT INTO accounts (id) VALUES (1, 2)", "42601"),
        ("INSERT INTO accounts (nothing) VALUES (1)", "42703"),
        ("INSERT INTO accounts (id) VALUES (balance)", "42703"),
        ("INSERT accounts VALUES (1)", "42601"),
        ("UPDATE accounts SET id = 3", "0A000"),
        ("UPDATE accounts SET balance = 1, balance = 2", "42601"),
        ("UPDATE accounts SET (balance, owner) = (1, 'x')", "0A000"),
        ("UPDATE accounts SET balance = 1 FROM accounts b", "0A000"),
        ("UPDATE accounts SET owner = 1 = 1 WHERE nothing", "42703"),
        ("DELETE accounts", "42601"),
        ("DELETE FROM accounts USING accounts b", "0A000"),
        ("SELECT * FROM nothing", "42P01"),
        ("SELECT b.id FROM accounts", "42P01"),
        ("SELECT accounts.id FROM accounts AS b", "42P01"),
        ("SELECT * FROM accounts a, accounts b", "0A000"),
        ("SELECT * FROM accounts a JOIN accounts b ON true", "0A000"),
        ("SELECT * FROM (SELECT 1) x", "0A000"),
        ("SELECT (SELECT 1)", "0A000"),
        ("SELECT id FROM accounts GROUP BY ROLLUP (id)", "0A000"),
        ("SELECT id FROM accounts FOR NO KEY UPDATE", "0A000"),
        ("SELECT id FROM accounts FOR KEY SHARE", "0A000"),
        ("SELECT id FROM accounts FOR READ ONLY", "0A000"),
        ("SELECT id FROM accounts FOR UPDATE FOR SHARE", "0A000"),
        ("SELECT id FROM accounts LIMIT 1 OFFSET 1 FOR UPDATE SKIP LOCKED", "0A000"),
        ("SELECT count(*) FROM accounts FOR UPDATE", "0A000"),
        ("SELECT id FROM accounts FOR UPDATE OF b", "42P01"),
        ("SELECT id FROM accounts FOR UPDATE WAIT 1", "42601"),
        ("SELECT name FROM txstore_tables FOR UPDATE", "42501"),
        ("SELECT 1 UNION SELECT 2", "0A000"),
        ("WITH x AS (SELECT 1) SELECT * FROM x", "0A000"),
        ("SELECT now(), random()", "0A000"),
        ("SELECT current_date", "0A000"),
        ("SELECT ctid FROM accounts", "0A000"),
        ("SELECT accounts FROM accounts", "0A000"),
        ("SELECT .5", "0A000"),
        ("SELECT 0x10", "0A000"),
        ("SELECT $$x$$", "0A000"),
        ("SELECT E'x'", "0A000"),
        ("SELECT stddev(id) FROM accounts", "0A000"),
        ("SELECT sum(id) OVER () FROM accounts", "0A000"),
        ("SELECT id FROM accounts WHERE count(*) > 1", "42803"),
        ("SELECT id, count(*) FROM accounts", "42803"),
        ("SELECT 1; SELECT 2", "0A000"),
        ("BEGIN", "0A000"),
        ("ROLLBACK", "0A000"),
        ("PRAGMA user_version", "42601"),
        ("ATTACH 'x' AS y", "42601"),
        ("SELEC 1", "42601"),
        ("", "42601"),
        ("SELECT", "0A000"),
        ("SELECT id, FROM accounts", "42601"),
        ("SELECT id FROM accounts LIMIT 1 WHERE true", "42601"),
        ("SELECT 1 = 1 = 1", "42601"),
        ("SELECT 1 == 1", "0A000"),
        ("SELECT 1abc", "42601"),
        ("SELECT ifnull(1, 2)", "0A000"),
        ("SELECT `id` FROM accounts", "0A000"),
        ("SELECT [1]", "0A000"),
        ("SELECT pg_int4(1)", "0A000"),
        ("SELECT 'a' 'b'", "42601"),
        ("SELECT 1 %-1", "42883"),
    ],
)
def test_what_is_wrong_or_not_supported_is_refused(bank, sql, expected):
    assert refusal(bank, sql)[0] == expected


def test_refusals_name_what_is_missing(bank):
    assert "JOIN" in refusal(bank, "SELECT * FROM accounts a JOIN accounts b ON true")[1]
    assert "ROLLUP" in refusal(bank, "SELECT id FROM accounts GROUP BY ROLLUP (id)")[1]


def test_names_are_folded_and_cut_as_postgresql_does():
    store = Store()
    store.execute(f'CREATE TABLE "Big" ({"x" * 70} INT PRIMARY KEY)')
    assert [column.name for column in store.execute('SELECT * FROM "Big"').columns] == ["x" * 63]
    assert refusal(store, "SELECT * FROM Big")[0] == "42P01"


def test_a_deep_statement_is_refused_not_crashed_on(bank):
    with pytest.raises(BadRequest):
        bank.execute("SELECT " + "(" * 3000 + "1" + ")" * 3000)
    with pytest.raises((BadRequest, NotSupported)):
        bank.execute("SELECT " + " + ".join(["1"] * 5000))
