"""The catalog over nodes: a table made at one is usable at all at once, whole on every shard, and made by one only."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from nodes.client import Cluster
from nodes.errors import BadRequest
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
