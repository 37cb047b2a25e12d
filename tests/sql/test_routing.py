"""Where statements go and what they lock."""

from __future__ import annotations

import apsw
import pytest

from nodes.errors import ExpectationFailed
from nodes.sql import keys
from nodes.sql.binding import MAX_KEYS
from nodes.sql.plan import PlanCache, plan
from nodes.sql.schema import SKIP_LOCKED, CreateTable, RowLocks
from tests.sql.store import Store

LEDGER = "CREATE TABLE ledger (account INT, number BIGINT, note TEXT, PRIMARY KEY (number, account)) SHARD BY (account)"


@pytest.fixture
def ledger() -> Store:
    store = Store()
    store.execute(LEDGER)
    return store


def bound(store, sql, params=(), shards=3):
    return plan(sql, store).bind(0, list(params), shards)


def locks(store, sql, params=()):
    """For each shard its locks as (mode, key or "")."""
    parts = bound(store, sql, params).fragments
    return {shard: [(lock.mode, lock.key) for lock in part.locks] for shard, part in parts.items()}


def key(*values):
    return keys.encode(["BIGINT", "INT"][: len(values)], values)


def shard(account):
    return keys.shard_of_slot(keys.shard_slot(["INT"], [account]), 3)


def test_a_full_key_locks_the_key_on_its_shard(ledger):
    where = "WHERE note = 'x' AND account = $1 AND (number = 7 AND true)"
    written = {shard(5): [("IX", b""), ("IX", key(7)), ("X", key(7, 5))]}
    assert locks(ledger, f"UPDATE ledger SET note = 'y' {where}", [5]) == written
    assert locks(ledger, f"DELETE FROM ledger {where}", [5]) == written
    assert locks(ledger, f"SELECT * FROM ledger {where}", [5]) == {
        shard(5): [("IS", b""), ("IS", key(7)), ("S", key(7, 5))]
    }


def test_a_key_of_one_column_has_nothing_between_it_and_the_table():
    store = Store()
    store.execute("CREATE TABLE accounts (id BIGINT PRIMARY KEY, balance BIGINT)")
    assert locks(store, "SELECT * FROM accounts WHERE id = 5") == {shard(5): [("IS", b""), ("S", key(5))]}
    assert locks(store, "INSERT INTO accounts VALUES (5, 1)") == {shard(5): [("IX", b""), ("X", key(5))]}


def test_what_is_read_for_update_is_locked_as_if_it_were_written_and_for_share_as_it_is_read(ledger):
    where = "WHERE account = 5 AND number = 7"
    written = {shard(5): [("IX", b""), ("IX", key(7)), ("X", key(7, 5))]}
    assert locks(ledger, f"SELECT * FROM ledger {where} FOR UPDATE") == written
    read = {shard(5): [("IS", b""), ("IS", key(7)), ("S", key(7, 5))]}
    assert locks(ledger, f"SELECT * FROM ledger {where} FOR SHARE") == read
    assert locks(ledger, "SELECT note FROM ledger WHERE account = 5 FOR UPDATE") == {shard(5): [("SIX", b"")]}
    assert locks(ledger, "SELECT note FROM ledger FOR SHARE NOWAIT") == {n: [("S", b"")] for n in (1, 2, 3)}
    assert not plan(f"SELECT * FROM ledger {where} FOR SHARE", ledger).reads_only


def test_skip_locked_locks_only_what_it_finds(ledger):
    where = "WHERE account = 5 AND number = 7"
    assert locks(ledger, f"SELECT * FROM ledger {where} FOR UPDATE SKIP LOCKED") == {shard(5): [("IX", b"")]}
    assert locks(ledger, "SELECT note FROM ledger FOR SHARE SKIP LOCKED") == {n: [("IS", b"")] for n in (1, 2, 3)}
    made = bound(ledger, "SELECT note FROM ledger ORDER BY note LIMIT $1 FOR UPDATE SKIP LOCKED", [4])
    assert {part.rows for part in made.fragments.values()} == {RowLocks("X", SKIP_LOCKED, 2, 4)}
    assert [part.params for part in made.fragments.values()] == [[4, 4, 0]] * 3


def test_lists_of_full_keys_lock_every_key(ledger):
    found = locks(ledger, "SELECT * FROM ledger WHERE number IN (1, 2) AND account IN ($1, 6)", [5])
    expected = {}
    for number in (1, 2):
        for account in (5, 6):
            here = expected.setdefault(shard(account), [("IS", b"")])
            here += [lock for lock in (("IS", key(number)), ("S", key(number, account))) if lock not in here]
    assert found == expected


@pytest.mark.parametrize("rest", ["", "AND account > 3", "AND note IS NULL", "AND (account = 5 OR account = 6)"])
def test_the_first_columns_of_a_key_lock_what_begins_with_them_on_every_shard_they_may_be_on(ledger, rest):
    read, written = [("IS", b""), ("S", key(7))], [("IX", b""), ("SIX", key(7))]
    assert locks(ledger, f"SELECT * FROM ledger WHERE number = 7 {rest}") == dict.fromkeys((1, 2, 3), read)
    assert locks(ledger, f"DELETE FROM ledger WHERE number = 7 {rest}") == dict.fromkeys((1, 2, 3), written)


def test_the_first_columns_with_the_shard_key_among_them_go_to_its_shard():
    store = Store()
    store.execute("CREATE TABLE lines (a BIGINT, b INT, c TEXT, d INT, PRIMARY KEY (a, b, c)) SHARD BY (b)")
    assert locks(store, "SELECT * FROM lines WHERE a = 7 AND b = 5 AND c > 'x'") == {
        shard(5): [("IS", b""), ("IS", key(7)), ("S", key(7, 5))]
    }
    assert locks(store, "UPDATE lines SET d = 1 WHERE b IN (5, $1) AND a = 7", [6]).keys() == {shard(5), shard(6)}
    assert locks(store, "SELECT * FROM lines WHERE a = 7 AND b = $1", [None]) == {1: [("IS", b"")]}


def test_a_key_behind_a_column_that_is_not_named_locks_no_more_than_the_columns_before_it():
    store = Store()
    store.execute("CREATE TABLE lines (a BIGINT, b INT, c INT, PRIMARY KEY (a, b, c)) SHARD BY (c)")
    assert locks(store, "SELECT * FROM lines WHERE a = 7 AND c = 5") == {shard(5): [("IS", b""), ("S", key(7))]}


def test_the_shard_key_alone_locks_the_table_on_one_shard(ledger):
    assert locks(ledger, "SELECT * FROM ledger WHERE account = 5 AND number > 3") == {shard(5): [("S", b"")]}
    assert locks(ledger, "DELETE FROM ledger WHERE account = 5") == {shard(5): [("SIX", b"")]}


@pytest.mark.parametrize("where", ["", "WHERE number > 1", "WHERE account = 5 OR number = 1", "WHERE NOT account = 5"])
def test_anything_else_locks_the_table_on_every_shard(ledger, where):
    assert locks(ledger, f"SELECT * FROM ledger {where}") == {n: [("S", b"")] for n in (1, 2, 3)}
    assert locks(ledger, f"UPDATE ledger SET note = '' {where}") == {n: [("SIX", b"")] for n in (1, 2, 3)}


def test_an_update_of_key_columns_locks_what_is_above_the_old_place_and_the_new():
    store = Store()
    store.execute("CREATE TABLE lines (a BIGINT, b INT, c TEXT, d INT, PRIMARY KEY (a, b, c))")
    where = "WHERE a = 7 AND b = 5 AND c = 'x'"
    (found,) = locks(store, f"UPDATE lines SET c = 'y', d = 2 {where}").values()
    assert found == [("IX", b""), ("IX", key(7)), ("SIX", key(7, 5))]
    (found,) = locks(store, f"UPDATE lines SET c = 'y', b = b + 1 {where}").values()
    assert found == [("IX", b""), ("SIX", key(7))]
    (found,) = locks(store, f"UPDATE lines SET d = 2 {where}").values()
    assert [mode for mode, _ in found] == ["IX", "IX", "IX", "X"]


def test_a_statement_that_names_too_many_keys_locks_what_is_above_them(ledger):
    many, few = ", ".join(map(str, range(MAX_KEYS + 1))), ", ".join(map(str, range(MAX_KEYS)))
    assert locks(ledger, f"SELECT * FROM ledger WHERE number = 7 AND account IN ({many})") == {
        n: [("IS", b""), ("S", key(7))] for n in (1, 2, 3)
    }
    found = locks(ledger, f"DELETE FROM ledger WHERE number IN ({few}) AND account = 5")
    assert found.keys() == {shard(5)}
    assert len(found[shard(5)]) == 1 + 2 * MAX_KEYS
    assert locks(ledger, f"DELETE FROM ledger WHERE number IN ({many}) AND account = 5") == {shard(5): [("SIX", b"")]}
    assert locks(ledger, f"SELECT * FROM ledger WHERE account IN ({many})") == {n: [("S", b"")] for n in (1, 2, 3)}


def test_a_null_key_finds_nothing_and_locks_no_key(ledger):
    assert locks(ledger, "SELECT * FROM ledger WHERE account = $1 AND number = 1", [None]) == {1: [("IS", b"")]}
    assert ledger.execute("DELETE FROM ledger WHERE account = $1 AND number = 1", [None]).row_count == 0


def test_an_insert_goes_with_each_row_to_its_shard_and_returns_rows_in_order(ledger):
    sql = "INSERT INTO ledger VALUES " + ", ".join(f"({n}, {n + 1}, 'n{n}')" for n in range(8)) + " RETURNING account"
    assert ledger.execute(sql).rows == [[n] for n in range(8)]
    parts = bound(ledger, sql.replace("ledger VALUES", "ledger (account, number, note) VALUES")).fragments
    for number, part in parts.items():
        accounts = part.params[0::3]
        assert [shard(account) for account in accounts] == [number] * len(accounts)
        wanted = [("IX", b"")]
        for account in accounts:
            wanted += [("IX", key(account + 1)), ("X", key(account + 1, account))]
        assert [(lock.mode, lock.key) for lock in part.locks] == wanted
        assert part.point


def test_a_statement_on_one_shard_checks_its_row_count_there(ledger):
    one = plan("DELETE FROM ledger WHERE account = 1 AND number = 1", ledger).bind(0, [], 3, 1)
    assert (one.expect_rows, [part.expect_rows for part in one.fragments.values()]) == (1, [1])
    many = plan("DELETE FROM ledger", ledger).bind(0, [], 3, 1)
    assert (many.expect_rows, [part.expect_rows for part in many.fragments.values()]) == (1, [-1, -1, -1])
    with pytest.raises(ExpectationFailed):
        ledger.execute("DELETE FROM ledger", expect_rows=1)


def test_creating_a_table_reaches_the_catalog_and_every_shard(ledger):
    made = bound(ledger, "CREATE TABLE more (a INT PRIMARY KEY)")
    assert sorted(made.fragments) == [0, 1, 2, 3]
    catalog = made.fragments[0]
    assert [(lock.table, lock.key, lock.mode) for lock in catalog.locks] == [(1, b"", "X")]
    assert catalog.tables == [(1, 1)]
    for number in (1, 2, 3):
        part = made.fragments[number]
        assert isinstance(part.ddl, CreateTable)
        assert (part.ddl.table.id, part.ddl.version, part.sql) == (3, ledger.version + 1, "")
        assert [(lock.table, lock.mode) for lock in part.locks] == [(3, "X")]


def test_a_select_without_table_asks_one_shard_and_locks_nothing(ledger):
    assert locks(ledger, "SELECT 1 + 1") == {1: []}


def test_the_catalog_is_read_on_the_system_shard(ledger):
    assert locks(ledger, "SELECT name FROM txstore_tables") == {0: [("S", b"")]}
    assert ledger.execute("SELECT name, id FROM txstore_tables").rows == [["ledger", 2]]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM ledger WHERE number = $1 AND account = $2",
        "SELECT max(note) FROM ledger WHERE number = $1 AND account = $2",
        "SELECT DISTINCT note FROM ledger WHERE number = $1 AND account = $2 ORDER BY note LIMIT 1",
    ],
)
def test_snapshot_look_ups_by_key_search_both_tables_by_their_keys(ledger, sql):
    (part,) = bound(ledger, sql, [1, 2]).fragments.values()
    database: apsw.Connection = ledger.databases[1].db
    steps = [row[3] for row in database.execute("EXPLAIN QUERY PLAN " + part.snapshot_sql, (*part.params, 9))]
    tables = [step for step in steps if "t2_1" in step]
    assert len(tables) == 2
    assert all(step.startswith("SEARCH") and "number=? AND account=?" in step for step in tables)


def test_the_cache_plans_once_per_text_and_catalog_version(ledger):
    cache = PlanCache(size=2)
    first = cache.get("SELECT 1", ledger)
    assert cache.get("SELECT 1", ledger) is first
    ledger.execute("CREATE TABLE more (a INT PRIMARY KEY)")
    assert cache.get("SELECT 1", ledger) is not first
    cache.get("SELECT 2", ledger)
    cache.get("SELECT 3", ledger)
    assert cache.get("SELECT 2", ledger) is cache.get("SELECT 2", ledger)
