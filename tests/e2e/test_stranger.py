"""Nodes that lost their data must not take part under their old names (DESIGN.md §1, membership; case P24)."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodes.client import Cluster
from nodes.errors import DID_NOT_HAPPEN, Unavailable
from tests.e2e.cluster import LocalCluster

WAIT_S = 30.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    """With one row."""
    cluster = LocalCluster(tmp_path, restart_s=None)
    try:
        cluster.start_all()
        cluster.wait_ready()
        with cluster.client() as client:
            client.execute("CREATE TABLE notes (id INT PRIMARY KEY, body TEXT NOT NULL)")
            client.execute("INSERT INTO notes VALUES (1, 'kept')")
        yield cluster
    finally:
        cluster.terminate()


def test_an_emptied_node_is_refused_by_name_and_the_real_one_is_welcome_again(cluster: LocalCluster) -> None:
    _start_emptied(cluster, 2)
    with cluster.client(1, 3) as client:
        client.execute("INSERT INTO notes VALUES (2, 'without n2')")
    _bring_back(cluster, 2)
    cluster.wait_ready(caught_up=True)
    with cluster.client(2) as client:
        assert _rows(client) == [1, 2]


def test_a_majority_that_lost_its_data_serves_nothing_until_one_of_it_is_back(cluster: LocalCluster) -> None:
    """Who is left has all the data and must not go on alone; it says that nobody leads, and that nothing happened."""
    for node in (2, 3):
        _start_emptied(cluster, node)
    with cluster.client(1) as client:
        _until(lambda: not any(group["leader"] for group in client.status()["groups"]), "n1 goes on leading")
        for sql in ("INSERT INTO notes VALUES (2, 'alone')", "SELECT id FROM notes"):
            with pytest.raises(Unavailable, match=r"no leader that n1 knows of; .* does not reach n2, n3") as refused:
                client.execute(sql)
            assert refused.value.info.outcome == DID_NOT_HAPPEN
    _bring_back(cluster, 3)
    with cluster.client(1, 3) as client:
        _until(lambda: _rows(client) == [1], "n1 and n3 do not serve together")
        client.execute("INSERT INTO notes VALUES (3, 'without n2')")
    _bring_back(cluster, 2)
    cluster.wait_ready(caught_up=True)
    with cluster.client(2) as client:
        assert _rows(client) == [1, 3]


def _start_emptied(cluster: LocalCluster, node: int) -> None:
    """It ends by itself, and says why."""
    data = cluster.home(node) / "data"
    cluster.kill(node)
    data.rename(data.with_name("away"))
    cluster.start(node)
    _until(lambda: not cluster.alive(node), f"n{node} goes on with an empty data directory")
    assert f"was n{node}; replace it" in (cluster.home(node) / "log").read_text()


def _bring_back(cluster: LocalCluster, node: int) -> None:
    data = cluster.home(node) / "data"
    shutil.rmtree(data)
    data.with_name("away").rename(data)
    cluster.start(node)


def _rows(client: Cluster) -> list[int]:
    """Empty while nobody serves."""
    try:
        return [id for (id,) in client.query("SELECT id FROM notes ORDER BY id")]
    except Unavailable:
        return []


def _until(holds: Callable[[], bool], words: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, words
        time.sleep(0.1)
