"""What a transaction costs in log entries and syncs, counted on real processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nodes.client import Cluster
from tests.e2e.cluster import LocalCluster

MANY = 100
MARKS = 1  # an entry that a leader may write every ten seconds, whoever asks for what


@pytest.fixture(scope="module")
def costly(local_cluster: LocalCluster) -> None:
    with local_cluster.client() as client:
        client.execute("CREATE TABLE cost (id BIGINT PRIMARY KEY, value BIGINT NOT NULL)")
        client.execute("INSERT INTO cost VALUES (1, 0), (2, 0)")


def counted(cluster: LocalCluster, what: Callable[[Cluster], Any]) -> tuple[dict[str, int], int]:
    """(entries by shard, syncs of all nodes) while it was done MANY times by one client. What others write meanwhile,
    the oracle its reservation and leaders their marks, is in the syncs."""
    before, syncs = slots(cluster), syncs_of(cluster)
    with cluster.client() as client:
        for _ in range(MANY):
            what(client)
    after = slots(cluster)
    return {shard: after[shard] - before[shard] for shard in after if after[shard] > before[shard]}, (
        syncs_of(cluster) - syncs
    )


def slots(cluster: LocalCluster) -> dict[str, int]:
    """The newest slot that is chosen, of each shard of users."""
    groups = cluster.status()["groups"]
    return {
        each["group"]: max(replica["chosen_slot"] for replica in each["replicas"])
        for each in groups
        if each["group"][0] == "s" and each["group"] != "s0"
    }


def syncs_of(cluster: LocalCluster) -> int:
    return sum(int(cluster.statistics(node)["journal"]["fdatasync"]) for node in cluster.numbers)


@pytest.mark.usefixtures("costly")
def test_a_point_read_writes_no_entry_and_syncs_nothing(local_cluster: LocalCluster) -> None:
    """On a snapshot and under locks."""
    for read_only in (True, False):
        statement = "SELECT value FROM cost WHERE id = 1" + ("" if read_only else " FOR SHARE")
        entries, syncs = counted(local_cluster, lambda client, sql=statement: client.execute(sql))
        assert all(count <= MARKS for count in entries.values()), entries
        assert syncs < MANY / 2


@pytest.mark.usefixtures("costly")
def test_a_write_on_one_shard_is_one_entry(local_cluster: LocalCluster) -> None:
    entries, _ = counted(local_cluster, lambda client: client.execute("UPDATE cost SET value = value + 1 WHERE id = 1"))
    assert [count for count in entries.values() if count > MARKS] in ([MANY], [MANY + MARKS]), entries
