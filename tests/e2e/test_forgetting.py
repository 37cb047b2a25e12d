"""A cluster that lets go of nearly everything nearly at once: what must not be lost is not."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nodes.client import Cluster
from nodes.errors import StoreError
from nodes.requests import COMMITTED, EXPIRED
from tests.e2e import bank
from tests.e2e.cluster import LocalCluster

WAIT_S = 30.0
CONSTANTS = {
    "compact_entries": 60,
    "kept_entries": 10,
    "chunk_bytes": 4_000,
    "segment_bytes": 100_000,
    "journal_segments": 2,
    "watermark_every_ms": 500,
    "txn_age_max_ms": 3_000,
    "outcomes_kept_ms": 12_000,  # longer than a request may take
    "history_kept_ms": 2_000,
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    directory = tmp_path_factory.mktemp("forgetful")
    cluster = LocalCluster(directory, restart_s=None, constants=CONSTANTS)
    try:
        cluster.start_all()
        cluster.wait_ready()
        with cluster.client() as client:
            bank.create(client, cluster.shards)
        yield cluster
    finally:
        cluster.terminate()
    assert not cluster.unexpected, cluster.unexpected
    shutil.rmtree(directory, ignore_errors=True)


def wait_until(holds: Callable[[], bool], words: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, words
        time.sleep(0.1)


def count_up(client: Cluster, shards: int, times: int) -> str:
    """`times` writes on every shard; the id of the last transaction, which is on all of them."""
    rows = sorted(bank.counter_ids(shards).values())
    id = ""
    for _ in range(times):
        id = client.execute_many([(bank.COUNT_UP, [row]) for row in rows], expect_rows=1).id
    return id


def replicas_of(cluster: LocalCluster, node: int) -> dict[str, dict[str, Any]]:
    """Group -> what the node says of its replica."""
    return {group["group"]: group["replicas"][0] for group in cluster.statistics(node)["groups"]}


def counted(client: Cluster) -> set[int]:
    """The values of all counters, on one snapshot."""
    return {value for _, value in client.query(bank.READ_COUNTERS)}


def test_a_node_that_was_away_for_longer_than_logs_are_kept_takes_over_stores(cluster: LocalCluster) -> None:
    ends = {group: replica["last_slot"] for group, replica in replicas_of(cluster, 3).items()}
    cluster.kill(3)
    wait_until(lambda: not cluster.alive(3), "n3 lives on")
    with cluster.client(1, 2) as client:
        before = counted(client)
        count_up(client, cluster.shards, 150)

        def compacted() -> bool:
            first = {group: replica["first_slot"] for group, replica in replicas_of(cluster, 1).items()}
            return all(first[f"s{shard}"] > ends[f"s{shard}"] + 1 for shard in range(1, 7))

        wait_until(compacted, "the logs of n1 are not compacted")
        cluster.start(3)
        cluster.wait_ready(WAIT_S, caught_up=True)
        taken_over = {group: replica["stores_taken_over"] for group, replica in replicas_of(cluster, 3).items()}
        assert all(taken_over[f"s{shard}"] == 1 for shard in range(1, 7)), taken_over
    cluster.kill(1)  # now n3 is needed for every majority
    wait_until(lambda: not cluster.alive(1), "n1 lives on")
    with cluster.client(2, 3) as client:
        last = count_up(client, cluster.shards, 3)
        assert client.fate(last).state == COMMITTED
        assert counted(client) == {value + 153 for value in before}
    cluster.start(1)
    cluster.wait_ready(WAIT_S, caught_up=True)


def test_all_nodes_killed_find_everything_although_old_segments_are_gone(cluster: LocalCluster) -> None:
    with cluster.client() as client:
        before = counted(client)
        times = 60

        def released() -> bool:
            nonlocal times
            count_up(client, cluster.shards, 20)
            times += 20
            return all(cluster.statistics(node)["journal"]["released"] > 1 for node in cluster.numbers)

        wait_until(released, "no segment of a journal was let go of")
        count_up(client, cluster.shards, 60)
    for node in cluster.numbers:
        journal = cluster.home(node) / "data"
        assert not (journal / "segment-000000000001").exists()
        cluster.kill(node)
    wait_until(lambda: not any(cluster.alive(node) for node in cluster.numbers), "a node lives on")
    for node in cluster.numbers:
        cluster.start(node)
    cluster.wait_ready(WAIT_S, caught_up=True)
    with cluster.client() as client:
        assert counted(client) == {value + times for value in before}


def test_fates_expire_and_history_goes(cluster: LocalCluster) -> None:
    with cluster.client() as client:
        row = min(bank.counter_ids(cluster.shards).values())
        id = client.execute_many([(bank.COUNT_UP, [row])]).id
        assert client.fate(id).state == COMMITTED

        def expired() -> bool:
            client.execute(bank.COUNT_UP, [row])
            return client.fate(id).state == EXPIRED

        wait_until(expired, "the fate never expires")
        assert client.fence(id).state == EXPIRED


def test_a_copy_that_breaks_off_at_any_moment_is_begun_again(cluster: LocalCluster) -> None:
    cluster.kill(2)
    wait_until(lambda: not cluster.alive(2), "n2 lives on")
    with cluster.client(1, 3) as client:
        count_up(client, cluster.shards, 150)
        before = counted(client)
        for pause_s in (0.3, 0.5, 0.7, 0.9):  # a node needs about half a second to be there
            cluster.start(2)
            time.sleep(pause_s)
            cluster.kill(2)
            wait_until(lambda: not cluster.alive(2), "n2 lives on")
        cluster.start(2)
        cluster.wait_ready(WAIT_S, caught_up=True)
        count_up(client, cluster.shards, 1)
        assert counted(client) == {value + 1 for value in before}
    cluster.kill(3)
    wait_until(lambda: not cluster.alive(3), "n3 lives on")
    with cluster.client(1, 2) as client:
        wait_until(lambda: answers(client), "nobody serves without n3")
        assert counted(client) == {value + 1 for value in before}
    cluster.start(3)
    cluster.wait_ready(WAIT_S, caught_up=True)


def answers(client: Cluster) -> bool:
    try:
        return bool(counted(client))
    except StoreError:
        return False


def test_nothing_of_a_store_is_left_that_is_not_in_use(cluster: LocalCluster) -> None:
    for node in cluster.numbers:
        folder: Path = cluster.home(node) / "data" / "engines"
        names = [path.name for path in folder.iterdir() if not path.name.endswith(("-wal", "-shm"))]
        assert len(names) == len({name.split(".")[0] for name in names}) == 10, sorted(names)
