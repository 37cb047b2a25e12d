"""Who leads: an operator's choice, and the preferred leaders after a restart."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from nodes.client import Cluster
from nodes.errors import NotFound, Unavailable
from tests.e2e import bank
from tests.e2e.cluster import LocalCluster

WAIT_S = 30.0


@pytest.fixture(scope="module", autouse=True)
def counters(local_cluster: LocalCluster) -> None:
    with local_cluster.client() as client:
        bank.create(client, local_cluster.shards)


def leaders(cluster: LocalCluster) -> dict[str, int | None]:
    return {group["group"]: group["leader"] for group in cluster.status()["groups"]}


def preferred(cluster: LocalCluster) -> dict[str, int]:
    return {group["group"]: group["members"][0] for group in cluster.status()["groups"]}


def wait_until(holds: Callable[[], bool], words: Callable[[], str]) -> float:
    """How long it took, in seconds."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < WAIT_S, words()
        time.sleep(0.1)
    return time.monotonic() - began


def count_up(client: Cluster, shards: int) -> None:
    """A write on every shard."""
    rows = sorted(bank.counter_ids(shards).values())
    assert client.execute_many([(bank.COUNT_UP, [row]) for row in rows], expect_rows=1).state == "committed"


@pytest.mark.parametrize("group", ["s1", "c2", "s0", "c1"])
def test_a_group_goes_to_the_node_that_is_asked_for_and_back(
    local_cluster: LocalCluster, client: Cluster, group: str
) -> None:
    before = local_cluster.leader_of(group)
    other = before % 3 + 1
    taken = client.transfer_leader(group, other, timeout=WAIT_S)
    assert (taken.group, taken.leader) == (group, other)
    assert local_cluster.leader_of(group) == other
    count_up(client, local_cluster.shards)
    assert client.transfer_leader(group, other) == taken  # asked again: nothing changes
    back = client.transfer_leader(group, before, timeout=WAIT_S)
    assert back.leader == before
    assert back.epoch > taken.epoch
    count_up(client, local_cluster.shards)


def test_a_group_or_a_node_that_is_none_is_told(client: Cluster) -> None:
    with pytest.raises(NotFound, match="no group s99"):
        client.transfer_leader("s99", 1)
    with pytest.raises(NotFound, match="n7 has no replica of s1: it is on n2, n3, n1"):
        client.transfer_leader("s1", 7)


def test_a_node_that_is_down_does_not_get_a_group(local_cluster: LocalCluster, client: Cluster) -> None:
    group, leader = "s1", local_cluster.leader_of("s1")
    down = leader % 3 + 1
    local_cluster.pause(down)
    try:
        time.sleep(2)  # until its peers have heard nothing of it for longer than an election time-out
        with pytest.raises(Unavailable, match="led as before"):
            client.transfer_leader(group, down, timeout=1.0)
        count_up(client, local_cluster.shards)
        assert local_cluster.leader_of(group) == leader
    finally:
        local_cluster.resume(down)
    local_cluster.wait_ready()


def test_leaders_are_spread_again_after_a_node_was_killed(local_cluster: LocalCluster, client: Cluster) -> None:
    wanted = preferred(local_cluster)
    wait_until(lambda: leaders(local_cluster) == wanted, lambda: f"{leaders(local_cluster)}, not {wanted}")
    chosen = next(group for group, node in wanted.items() if node == 2)
    client.transfer_leader(chosen, 3, timeout=WAIT_S)
    old = local_cluster.processes[1].pid
    local_cluster.kill(1)
    wait_until(
        lambda: 1 not in leaders(local_cluster).values() and None not in leaders(local_cluster).values(),
        lambda: f"still {leaders(local_cluster)}",
    )
    count_up(client, local_cluster.shards)
    wait_until(lambda: local_cluster.processes[1].pid != old, lambda: "n1 was not started again")
    expected = wanted | {chosen: 3}  # n2 was never away: what was taken from it stays away
    seconds = wait_until(lambda: leaders(local_cluster) == expected, lambda: f"{leaders(local_cluster)}")
    print(f"spread again {seconds:.1f} s after n1 was started")
    count_up(client, local_cluster.shards)
