"""What a transaction costs in log entries and syncs, counted on real processes; and how nodes share a processor."""

from __future__ import annotations

import os
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
    """(entries by shard of users, syncs of all nodes) while it was done MANY times by one client. What others write
    meanwhile, the oracle its reservation and leaders their marks, is in the syncs."""
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
    return {group: slot for group, slot in all_slots(cluster).items() if group[0] == "s" and group != "s0"}


def all_slots(cluster: LocalCluster) -> dict[str, int]:
    groups = cluster.status()["groups"]
    return {each["group"]: max(replica["chosen_slot"] for replica in each["replicas"]) for each in groups}


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
@pytest.mark.parametrize("locking", ["", " FOR SHARE", " FOR UPDATE"])
def test_an_interactive_transaction_that_only_reads_writes_no_entry(local_cluster: LocalCluster, locking: str) -> None:
    """Over several shards; nor does its home decide anything."""

    def read(client: Cluster) -> None:
        with client.transaction() as txn:
            for id in (1, 2):
                txn.query(f"SELECT value FROM cost WHERE id = $1{locking}", [id])
        assert txn.reply is not None
        assert (txn.reply.commit_ts, len(txn.reply.shards)) == (0, 2)

    before = all_slots(local_cluster)["c1"]
    entries, syncs = counted(local_cluster, read)
    assert all(count <= MARKS for count in entries.values()), entries
    assert all_slots(local_cluster)["c1"] - before < MANY / 2
    assert syncs < MANY


@pytest.mark.usefixtures("costly")
def test_an_interactive_transaction_that_may_have_written_is_prepared(local_cluster: LocalCluster) -> None:
    """At each shard that took part, though what it wrote is undone."""

    def undo(client: Cluster) -> None:
        with client.transaction() as txn:
            txn.savepoint("before")
            txn.execute("UPDATE cost SET value = value + 1 WHERE id = 1")
            txn.rollback_to("before")
            txn.query("SELECT value FROM cost WHERE id = 2")

    entries, _ = counted(local_cluster, undo)
    many = sorted(count for count in entries.values() if count > MARKS)
    assert many == [pytest.approx(2 * MANY, abs=MARKS)] * 2, entries


@pytest.mark.usefixtures("costly")
def test_a_write_on_one_shard_is_one_entry(local_cluster: LocalCluster) -> None:
    entries, _ = counted(local_cluster, lambda client: client.execute("UPDATE cost SET value = value + 1 WHERE id = 1"))
    assert [count for count in entries.values() if count > MARKS] in ([MANY], [MANY + MARKS]), entries


def test_a_node_interrupts_nobody(local_cluster: LocalCluster) -> None:
    """All its threads: what comes while another process runs is carried out in one turn."""
    for process in local_cluster.processes.values():
        threads = os.listdir(f"/proc/{process.pid}/task")
        assert {os.sched_getscheduler(int(thread)) for thread in threads} == {os.SCHED_BATCH}
