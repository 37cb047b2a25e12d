"""The catalog over nodes: a table made at one is usable at all at once, whole on every shard, and made by one only."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from uuid import UUID

import pytest

from nodes.client import Cluster
from nodes.errors import BadRequest, ConstraintViolation, ExpectationFailed
from tests.e2e.cluster import LocalCluster

ROUNDS = 5
KEYS = range(1, 41)


@pytest.mark.parametrize("maker", [1, 2, 3])
def test_a_table_is_usable_at_every_node_as_soon_as_it_is_made(local_cluster: LocalCluster, maker: int) -> None:
    for number in range(ROUNDS):
        name = f"made_{maker}_{number}"
        with local_cluster.client(maker) as client:
            client.execute(f"CREATE TABLE {name} (id BIGINT PRIMARY KEY, maker TEXT DEFAULT 'n{maker}')")
        for node in local_cluster.numbers:
            with local_cluster.client(node) as client:
                assert client.execute(f"INSERT INTO {name} (id) VALUES ($1)", [node]).row_count == 1
                rows = client.query(f"SELECT id, maker FROM {name} ORDER BY id")
                assert list(rows) == [[each, f"n{maker}"] for each in range(1, node + 1)]


def test_a_node_that_planned_without_the_table_plans_afresh(local_cluster: LocalCluster) -> None:
    """ "No such table" is told by a node whose catalog is asked of s0's leader, and is no longer told afterwards."""
    with local_cluster.client(1) as first, local_cluster.client(3) as third:
        with pytest.raises(BadRequest) as caught:
            third.query("SELECT * FROM afresh")
        assert caught.value.info.sqlstate == "42P01"
        first.execute("CREATE TABLE afresh (id INT PRIMARY KEY)")
        assert list(third.query("SELECT * FROM afresh")) == []


def create(client: Cluster, start: Barrier, name: str, column: str) -> str:
    """The SQLSTATE of the attempt to make a table whose only other column is `column`."""
    start.wait(10)
    try:
        client.execute(f"CREATE TABLE {name} (id BIGINT PRIMARY KEY, {column} BIGINT)")
    except BadRequest as error:
        return error.info.sqlstate
    return "00000"


def test_of_three_who_make_the_same_table_one_does_and_it_is_whole_on_every_shard(local_cluster: LocalCluster) -> None:
    clients = [local_cluster.client(node) for node in local_cluster.numbers]
    start = Barrier(len(clients))
    with ThreadPoolExecutor(len(clients)) as threads:
        for number in range(ROUNDS):
            name = f"contested_{number}"
            tries = [threads.submit(create, client, start, name, f"of{n}") for n, client in enumerate(clients, 1)]
            states = [each.result() for each in tries]
            assert sorted(states) == ["00000", "42P07", "42P07"]
            check_whole(clients, name, f"of{states.index('00000') + 1}")
    for client in clients:
        client.close()


def check_whole(clients: list[Cluster], name: str, column: str) -> None:
    """Rows on all six shards, and the winner's column, at every node."""
    filled = clients[0].execute_many(
        [(f"INSERT INTO {name} (id, {column}) VALUES ($1, $2)", [key, 2 * key], 1) for key in KEYS]
    )
    assert filled.shards == [f"s{shard}" for shard in range(1, 7)]
    for client in clients:
        rows = client.query(f"SELECT * FROM {name} ORDER BY id")
        assert (rows.columns, list(rows)) == (["id", column], [[key, 2 * key] for key in KEYS])


def test_tables_of_several_names_made_side_by_side_are_all_there(local_cluster: LocalCluster) -> None:
    clients = [local_cluster.client(node) for node in local_cluster.numbers]
    start = Barrier(len(clients))
    with ThreadPoolExecutor(len(clients)) as threads:
        for number in range(ROUNDS):
            names = [f"beside_{number}_{node}" for node in local_cluster.numbers]
            tries = [threads.submit(create, *each, "x") for each in zip(clients, [start] * 3, names, strict=True)]
            assert [each.result() for each in tries] == ["00000"] * 3
            assert all(list(client.query(f"SELECT x FROM {name}")) == [] for client in clients for name in names)
    for client in clients:
        client.close()


def test_a_table_grows_and_goes_at_every_node_at_once(local_cluster: LocalCluster) -> None:
    """Each step at another node than the last, and nobody waits between them."""
    with (
        local_cluster.client(1) as first,
        local_cluster.client(2) as second,
        local_cluster.client(3) as third,
    ):
        for number in range(ROUNDS):
            first.execute("CREATE TABLE growing (id BIGINT PRIMARY KEY)")
            second.execute_many([("INSERT INTO growing VALUES ($1)", [key]) for key in KEYS])
            third.execute(f"ALTER TABLE growing ADD COLUMN size INT NOT NULL DEFAULT {number}")
            first.execute("INSERT INTO growing VALUES (0, 50)")
            assert list(second.query("SELECT size, count(*) FROM growing GROUP BY size ORDER BY size")) == [
                [number, len(KEYS)],
                [50, 1],
            ]
            with pytest.raises(ConstraintViolation) as refused:
                second.execute("ALTER TABLE growing ADD COLUMN more INT NOT NULL")
            assert refused.value.info.sqlstate == "23502"
            third.execute("DROP TABLE growing")
            with pytest.raises(BadRequest) as caught:
                first.query("SELECT * FROM growing")
            assert caught.value.info.sqlstate == "42P01"
            second.execute("DROP TABLE IF EXISTS growing")


def test_writers_go_on_while_columns_come(local_cluster: LocalCluster) -> None:
    with local_cluster.client(1) as client:
        client.execute("CREATE TABLE busy (id BIGINT PRIMARY KEY, n INT NOT NULL DEFAULT 0)")
        client.execute_many([("INSERT INTO busy (id) VALUES ($1)", [key]) for key in KEYS])
    start = Barrier(4)

    def write(node: int) -> int:
        with local_cluster.client(node) as client:
            start.wait()
            return sum(client.execute("UPDATE busy SET n = n + 1 WHERE id = $1", [key]).row_count for key in KEYS)

    def grow() -> None:
        with local_cluster.client(1) as client:
            start.wait()
            for number in range(ROUNDS):
                client.execute(f"ALTER TABLE busy ADD COLUMN c{number} TEXT DEFAULT 'c{number}'")

    with ThreadPoolExecutor(4) as threads:
        growing = threads.submit(grow)
        written = [threads.submit(write, node) for node in local_cluster.numbers]
        growing.result()
        assert [each.result() for each in written] == [len(KEYS)] * 3
    with local_cluster.client(2) as client:
        (row,) = client.query("SELECT sum(n), count(*), count(DISTINCT c0), min(c4) FROM busy")
        assert row == [3 * len(KEYS), len(KEYS), 1, "c4"]


def test_values_of_every_type_come_back_from_another_node(local_cluster: LocalCluster) -> None:
    when = datetime(2026, 2, 28, 23, 59, 59, 999999, tzinfo=UTC)
    key = UUID("0197a3b4-0000-7fff-8000-00000000002a")
    with local_cluster.client(1) as first, local_cluster.client(3) as third:
        first.execute(
            "CREATE TABLE every (id uuid, at timestamptz, d float8, y bytea, made timestamptz NOT NULL DEFAULT now(), "
            "PRIMARY KEY (id, at))"
        )
        values = [key, when, math.nan, b"\0\xff"]
        first.execute("INSERT INTO every (id, at, d, y) VALUES ($1, $2, $3, $4)", values)
        ((found_key, at, d, y, made),) = third.query("SELECT * FROM every WHERE id = $1 AND at = $2", [key, when])
        assert (found_key, at, y) == (str(key), when, b"\0\xff")
        assert math.isnan(d)
        assert abs((made - datetime.now(UTC)).total_seconds()) < 300
        first.execute("UPDATE every SET d = 0.1 + d * 0, y = y || $1 WHERE d = 'NaN'", [b"x"])
        (row,) = third.query("SELECT d, y, avg(length(y)) FROM every GROUP BY id, at, d, y")
        assert math.isnan(row[0])
        assert row[1:] == [b"\0\xffx", "3.0000000000000000"]


def test_what_only_shows_when_rows_meet_is_found_before_the_commit(local_cluster: LocalCluster) -> None:
    """Each shard's sum is in range, theirs together is not."""
    with local_cluster.client(1) as client:
        client.execute("CREATE TABLE wide (id INT PRIMARY KEY, d float8)")
        client.execute_many([("INSERT INTO wide VALUES ($1, 1.7e308)", [key]) for key in KEYS])
        with pytest.raises(BadRequest) as caught:
            client.execute_many([("INSERT INTO wide VALUES (0, 0)", []), ("SELECT sum(d) FROM wide WHERE id > 20", [])])
        assert (caught.value.info.sqlstate, caught.value.info.outcome) == ("22003", "did_not_happen")
        assert caught.value.info.statement == 1
        assert list(client.query("SELECT count(*) FROM wide")) == [[len(KEYS)]]
        with pytest.raises(BadRequest):
            client.query("SELECT sum(d) FROM wide")


@pytest.mark.parametrize("writes", [False, True], ids=["reads only", "writes"])
def test_the_rows_that_a_select_must_have_are_those_of_its_result(local_cluster: LocalCluster, writes: bool) -> None:
    name = f"expected_{int(writes)}"
    change = f"UPDATE {name} SET seen = seen + 1 WHERE id = 1"
    selects = {
        f"SELECT id FROM {name} WHERE id = 1": 1,
        f"SELECT id FROM {name} WHERE id = 999": 0,
        f"SELECT id FROM {name}": len(KEYS),
        f"SELECT COUNT(*) FROM {name}": 1,
        f"SELECT id FROM {name} ORDER BY id LIMIT 5": 5,
        f"SELECT COUNT(*) FROM {name} GROUP BY id": len(KEYS),
    }
    with local_cluster.client() as client:
        client.execute(f"CREATE TABLE {name} (id BIGINT PRIMARY KEY, seen BIGINT DEFAULT 0)")
        client.execute_many([(f"INSERT INTO {name} (id) VALUES ($1)", [key]) for key in KEYS])
        for sql, has in selects.items():
            others = [(change, ())] if writes else []
            assert client.execute_many([(sql, (), has), *others]).results[0].row_count == has
            before = client.query(f"SELECT seen FROM {name} WHERE id = 1")[0]
            with pytest.raises(ExpectationFailed, match=f"expected {has + 1} rows, the statement has {has}") as caught:
                client.execute_many([(sql, (), has + 1), *others])
            assert caught.value.info.statement == 0
            assert client.query(f"SELECT seen FROM {name} WHERE id = 1")[0] == before
