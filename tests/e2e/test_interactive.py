"""Interactive transactions on a real cluster: what they see of each other, how they end, and what is left of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from nodes import ids
from nodes.client import Cluster, Transaction
from nodes.errors import (
    BadRequest,
    Conflict,
    ConstraintViolation,
    ExpectationFailed,
    NotSupported,
    StoreError,
    TransactionAborted,
)
from tests.e2e.cluster import LocalCluster, served
from tests.e2e.test_supervisor import eventually

ACCOUNTS = 12
BALANCE = 100
IDLE_MS = 3_000
ADD = "UPDATE held SET balance = balance + $1 WHERE id = $2"
READ = "SELECT balance FROM held WHERE id = $1"


@pytest.fixture(scope="module")
def local_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """As everywhere, but a client that asks nothing is left sooner."""
    with served(tmp_path_factory.mktemp("cluster"), constants={"interactive_idle_ms": IDLE_MS}) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def bank(local_cluster: LocalCluster) -> Iterator[Cluster]:
    """A client of all nodes, and twelve accounts over all shards."""
    with local_cluster.client() as client:
        create_accounts(client)
        yield client


def create_accounts(client: Cluster) -> None:
    client.execute("CREATE TABLE held (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL CHECK (balance >= 0))")
    rows = ", ".join(f"({id}, {BALANCE})" for id in range(1, ACCOUNTS + 1))
    client.execute(f"INSERT INTO held (id, balance) VALUES {rows}", expect_rows=ACCOUNTS)


def balance(client: Cluster, id: int) -> int:
    found: int = client.query(READ, [id])[0][0]
    return found


def total(client: Cluster) -> int:
    return int(client.query("SELECT sum(balance) FROM held")[0][0])


# -- what is seen


def test_a_transaction_sees_its_own_writes_and_nobody_else_does(bank: Cluster) -> None:
    before = balance(bank, 1)
    with bank.transaction() as txn:
        txn.execute(ADD, [5, 1], expect_rows=1)
        assert txn.query(READ, [1])[0] == [before + 5]
        txn.execute("INSERT INTO held (id, balance) VALUES (100, 1), (101, 2)")
        assert txn.query("SELECT count(*) FROM held WHERE id >= 100")[0] == [2]
        assert txn.execute("DELETE FROM held WHERE id = 101 RETURNING balance").rows == [[2]]
        assert balance(bank, 1) == before  # a snapshot waits for nobody
        assert bank.query("SELECT count(*) FROM held WHERE id >= 100")[0] == [0]
    assert txn.reply is not None
    assert txn.reply.commit_ts > 0
    assert balance(bank, 1) == before + 5
    assert bank.execute("DELETE FROM held WHERE id >= 100").row_count == 1
    bank.execute(ADD, [-5, 1])


def test_one_commits_over_all_shards_at_one_timestamp(bank: Cluster, local_cluster: LocalCluster) -> None:
    with bank.transaction() as txn:
        for id in range(1, ACCOUNTS + 1):
            txn.execute(ADD, [1 if id % 2 else -1, id], expect_rows=1)
    reply = txn.reply
    assert reply is not None
    assert (reply.state, reply.id, reply.attempts) == ("committed", txn.id, 1)
    assert len(reply.shards) >= 3
    for node in local_cluster.numbers:
        with local_cluster.client(node) as client:
            fate = client.fate(txn.id)
            assert (fate.state, fate.commit_ts) == ("committed", reply.commit_ts)
            then = client.query("SELECT id, balance FROM held ORDER BY id", as_of=reply.commit_ts)
            before = client.query("SELECT id, balance FROM held ORDER BY id", as_of=reply.commit_ts - 1)
            assert [now[1] - was[1] for now, was in zip(then, before, strict=True)] == [1, -1] * (ACCOUNTS // 2)
    assert total(bank) == ACCOUNTS * BALANCE


def test_any_node_takes_what_is_asked_in_it(bank: Cluster, local_cluster: LocalCluster) -> None:
    clients = {node: local_cluster.client(node) for node in local_cluster.numbers}
    for holder in local_cluster.numbers:
        begun = clients[holder].transaction().begin()
        assert ids.node_of(ids.from_text(begun.id)) == holder
        for client in clients.values():
            txn = client.opened(begun.id)
            txn.execute(ADD, [1, 2], expect_rows=1)
            txn.savepoint("here")
            txn.execute(ADD, [100, 2], expect_rows=1)
            txn.rollback_to("here")
        before = balance(bank, 2)
        other = clients[holder % len(clients) + 1]
        assert other.opened(begun.id).commit().state == "committed"
        assert balance(bank, 2) == before + len(clients)
        bank.execute(ADD, [-len(clients), 2])
    for client in clients.values():
        client.close()


# -- how one ends


def test_an_exception_and_a_rollback_leave_nothing(bank: Cluster) -> None:
    before = balance(bank, 3)
    txn = bank.transaction()

    def fail_within() -> None:
        with txn:
            txn.execute(ADD, [7, 3])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_within()
    assert bank.fence(txn.id).state == "aborted"
    with bank.transaction() as other:
        other.execute(ADD, [7, 3])
        other.rollback()
        with pytest.raises(BadRequest):
            other.execute(READ, [3])
    assert balance(bank, 3) == before
    assert bank.execute(ADD, [0, 3], timeout=2.0).row_count == 1  # no lock is left


WRONG: dict[str, tuple[str, list[Any], type[StoreError], str]] = {
    "a constraint": ("INSERT INTO held (id, balance) VALUES (4, 1)", [], ConstraintViolation, "23505"),
    "a check": (ADD, [-1_000, 4], ConstraintViolation, "23514"),
    "bad SQL": ("SELEC 1", [], BadRequest, "42601"),
    "no such table": ("DELETE FROM nowhere", [], BadRequest, "42P01"),
    "a definition": ("CREATE TABLE late (id INT PRIMARY KEY)", [], NotSupported, "25001"),
}


@pytest.mark.parametrize(("sql", "params", "error", "sqlstate"), WRONG.values(), ids=WRONG.keys())
def test_a_statement_that_fails_fails_the_transaction_until_it_goes_back(
    bank: Cluster, sql: str, params: list[Any], error: type[StoreError], sqlstate: str
) -> None:
    before = balance(bank, 4)
    with bank.transaction() as txn:
        txn.execute(ADD, [1, 4])
        txn.savepoint("good")
        txn.execute(ADD, [10, 4])
        with pytest.raises(error) as caught:
            txn.execute_many([(ADD, [100, 4]), (sql, params)])
        assert caught.value.info.sqlstate == sqlstate
        assert caught.value.info.statement == 1
        with pytest.raises(TransactionAborted) as refused:
            txn.execute(READ, [4])
        assert refused.value.info.sqlstate == "25P02"
        txn.rollback_to("good")
        assert txn.query(READ, [4])[0] == [before + 1]
    assert balance(bank, 4) == before + 1
    bank.execute(ADD, [-1, 4])


def test_a_table_is_not_defined_in_one(bank: Cluster) -> None:
    with bank.transaction() as txn:
        with pytest.raises(NotSupported) as refused:
            txn.execute("CREATE TABLE late (id INT PRIMARY KEY)")
        assert refused.value.info.sqlstate == "0A000"
        txn.rollback()


def test_a_failed_transaction_is_not_committed(bank: Cluster) -> None:
    before = balance(bank, 4)
    txn = bank.transaction()
    txn.begin()
    txn.execute(ADD, [1, 4])
    with pytest.raises(ExpectationFailed):
        txn.execute(ADD, [1, 999], expect_rows=1)
    with pytest.raises(TransactionAborted):
        txn.commit()
    assert balance(bank, 4) == before
    assert bank.fate(txn.id).state != "committed"


def test_savepoints_nest_and_an_unknown_one_is_refused(bank: Cluster) -> None:
    before = balance(bank, 5)
    with bank.transaction() as txn:
        for name, amount in (("a", 1), ("b", 10), ("c", 100)):
            txn.savepoint(name)
            txn.execute(ADD, [amount, 5])
        txn.rollback_to("c")
        txn.rollback_to("b")
        with pytest.raises(BadRequest) as unknown:
            txn.rollback_to("c")
        assert unknown.value.info.sqlstate == "3B001"
    assert balance(bank, 5) == before + 1
    bank.execute(ADD, [-1, 5])


# -- two of them


def test_a_younger_one_waits_for_an_older_one(bank: Cluster, local_cluster: LocalCluster) -> None:
    before = balance(bank, 6)
    with local_cluster.client(1) as client, ThreadPoolExecutor(1) as threads:
        older, younger = client.transaction(), client.transaction()
        older.begin()
        younger.begin()
        older.execute(ADD, [1, 6])
        waiting = threads.submit(younger.execute, ADD + " RETURNING balance", [10, 6])
        time.sleep(0.5)
        assert not waiting.done()
        older.commit()
        assert waiting.result().rows == [[before + 11]]
        younger.commit()
    assert balance(bank, 6) == before + 11
    bank.execute(ADD, [-11, 6])


def test_an_older_one_wounds_a_younger_one_which_may_keep_its_place(bank: Cluster, local_cluster: LocalCluster) -> None:
    before = balance(bank, 7)
    with local_cluster.client(2) as client:
        older, younger = client.transaction(), client.transaction()
        older.begin()
        younger.begin()
        younger.execute(ADD, [10, 7])
        older.execute(ADD, [1, 7], expect_rows=1)
        with pytest.raises(Conflict) as lost:
            younger.execute(READ, [1])
        told = lost.value.info.conflict
        assert told is not None
        assert (told.transaction, told.table, told.key, told.cause) == (older.id, "held", [7], "wounded")
        age = lost.value.info.detail["age"]
        assert age == ids.age_of(ids.from_text(younger.id)).hex()
        older.commit()
        third = client.transaction()
        third.begin()
        third.execute(ADD, [100, 7])
        with client.transaction(age=age) as again:  # younger than none but `older`
            again.execute(ADD, [10, 7], expect_rows=1)
        with pytest.raises(Conflict):
            third.commit()
    assert balance(bank, 7) == before + 11
    bank.execute(ADD, [-11, 7])


def test_who_waits_too_long_is_told_for_whom_where_and_for_how_long(bank: Cluster, local_cluster: LocalCluster) -> None:
    """Its shard gives up a second before its client does, so that its word arrives on a busy machine, too."""
    counted = bank.status(wide=True)["aborts"].get("timed_out", 0)
    with local_cluster.client(3) as client, client.transaction() as older, ThreadPoolExecutor(1) as threads:
        older.execute(ADD, [0, 8], expect_rows=1)
        younger = threads.submit(client.execute, ADD, [0, 8], timeout=8)
        while not younger.done():  # meanwhile it is not idle
            older.execute(ADD, [0, 8], expect_rows=1)
            time.sleep(0.5)
        older.execute(ADD, [0, 8], expect_rows=1)  # its lock was held all the while
        with pytest.raises(Conflict) as late:
            younger.result()
        told = late.value.info.conflict
        assert told is not None
        assert (told.transaction, told.table, told.key, told.cause) == (older.id, "held", [8], "timed_out")
        assert 0 < told.waited_ms <= 8_000
        assert told.help in str(late.value)
    assert bank.status(wide=True)["aborts"]["timed_out"] > counted


def test_who_writes_beside_what_others_have_looked_at_does_not_wait(bank: Cluster, local_cluster: LocalCluster) -> None:
    bank.execute("CREATE TABLE lines (a BIGINT, b INT, n INT, PRIMARY KEY (a, b))")
    bank.execute("INSERT INTO lines VALUES (1, 1, 5), (2, 1, 5)")
    others = list(range(2, 40))  # on all shards, so that some lie where the one does
    with local_cluster.client(3) as client, client.transaction() as txn, ThreadPoolExecutor(1) as threads:
        assert txn.query("SELECT count(*) FROM lines WHERE a = 1")[0] == [1]
        rows = ", ".join(f"({a}, 2, 0)" for a in others)
        client.execute(f"INSERT INTO lines VALUES {rows}", expect_rows=len(others))
        listed = ", ".join(map(str, others))
        client.execute(f"UPDATE lines SET n = 6 WHERE a IN ({listed})", expect_rows=len(others) + 1)
        waiting = threads.submit(client.execute, "INSERT INTO lines VALUES (1, 2, 0)")
        time.sleep(0.5)
        assert not waiting.done()
        assert txn.query("SELECT count(*) FROM lines WHERE a = 1")[0] == [1]
        txn.commit()
        assert waiting.result().row_count == 1
    bank.execute("DROP TABLE lines")


def move(txn: Transaction, source: int, target: int, amount: int) -> bool:
    """Reads and writes in requests of their own: without isolation the sum would not be kept."""
    ((has,),), ((other,),) = txn.query(READ, [source]), txn.query(READ, [target])
    if has < amount or source == target:
        return False
    txn.execute("UPDATE held SET balance = $1 WHERE id = $2", [has - amount, source], expect_rows=1)
    txn.execute("UPDATE held SET balance = $1 WHERE id = $2", [other + amount, target], expect_rows=1)
    return True


def test_functions_under_contention_keep_the_sum(bank: Cluster) -> None:
    moves = [(1 + n % 4, 1 + (n * 3 + 1) % 4) for n in range(48)]
    with ThreadPoolExecutor(6) as threads:
        moved = list(threads.map(lambda each: bank.run(move, *each, amount=1, timeout=30.0), moves))
    assert moved == [source != target for source, target in moves]
    assert total(bank) == ACCOUNTS * BALANCE


def add_one(txn: Transaction, id: int) -> None:
    ((has,),) = txn.query(READ, [id])
    txn.execute("UPDATE held SET balance = $1 WHERE id = $2", [has + 1, id], expect_rows=1)


def test_no_increment_is_lost(bank: Cluster) -> None:
    before = balance(bank, 8)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: bank.run(add_one, 8, timeout=30.0), range(24)))
    assert balance(bank, 8) == before + 24
    bank.execute(ADD, [-24, 8])


# -- clients and nodes that go


def test_what_an_idle_client_holds_is_free_after_a_while(bank: Cluster) -> None:
    before = balance(bank, 9)
    txn = bank.transaction()
    begun = txn.begin()
    assert begun.idle_ms == IDLE_MS
    txn.execute(ADD, [1, 9])
    assert bank.execute(ADD, [10, 9], timeout=IDLE_MS / 1_000 + 10).row_count == 1
    with pytest.raises((TransactionAborted, Conflict)):
        txn.commit()
    assert balance(bank, 9) == before + 10
    bank.execute(ADD, [-10, 9])


def test_a_function_goes_on_when_the_node_that_holds_its_transaction_is_killed(
    bank: Cluster, local_cluster: LocalCluster
) -> None:
    before = balance(bank, 10)
    killed = threading.Event()
    holders: list[int] = []

    def add(txn: Transaction) -> None:
        txn.execute(ADD, [1, 10], expect_rows=1)
        holders.append(ids.node_of(ids.from_text(txn.id)))
        if not killed.is_set():
            killed.set()
            local_cluster.kill(holders[0])
        txn.execute(ADD, [1, 10], expect_rows=1)

    bank.run(add, timeout=50.0)
    assert len(holders) >= 2
    assert balance(bank, 10) == before + 2
    local_cluster.wait_ready()
    bank.execute(ADD, [-2, 10])


def test_nothing_is_left_behind(bank: Cluster) -> None:
    assert total(bank) == ACCOUNTS * BALANCE
    eventually(lambda: bank.status()["in_doubt"]["count"] == 0)
