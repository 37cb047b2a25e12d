"""What the nodes' status tells of leaders: who leads since when, how often an epoch rose, whether leaders are spread.

An epoch that rises is an election, or the attempt at one. Terms of shards rise by one; a ballot of a coordinator group
is its number with the node's.
"""

from __future__ import annotations

import time
from typing import Any

from nodes.core.paxos.ballots import node_of
from nodes.runtime.activity import LEADS
from tests.e2e.cluster import LocalCluster, NotReady, number_of

Status = dict[str, Any]


def leaders(status: Status) -> dict[str, int]:
    """Group -> the node that leads it, 0 if none does."""
    return {group["group"]: number_of(group["leader"] or 0) for group in status["groups"]}


def preferred(status: Status) -> dict[str, int]:
    """Group -> the node that should lead it."""
    return {group["group"]: group["members"][0] for group in status["groups"]}


def epochs(status: Status) -> dict[str, int]:
    """Group -> a number that rises by one with each election."""
    return {
        group["group"]: number_of_ballot(group["epoch"]) if group["group"][0] == "c" else group["epoch"]
        for group in status["groups"]
    }


def number_of_ballot(ballot: int) -> int:
    return (ballot - node_of(ballot)) >> 8


def risen(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """Group -> elections between the two, of groups that had any."""
    return {group: after[group] - epoch for group, epoch in before.items() if after.get(group, epoch) > epoch}


def leads_at(status: Status, group: str, since: float) -> float | None:
    """When (seconds of the wall clock) somebody first began to serve as the group's leader after `since`."""
    began = [
        change["at_ms"] / 1000
        for change in status["changes"]
        if change["kind"] == LEADS and change["group"] == group and change["at_ms"] / 1000 >= since
    ]
    return min(began, default=None)


def misplaced(status: Status) -> dict[str, int]:
    """Group -> its preferred leader, of groups that another one leads, or nobody."""
    led = leaders(status)
    return {group: node for group, node in preferred(status).items() if led[group] != node}


def spread(cluster: LocalCluster, seconds: float, most_s: float) -> int:
    """Wait until each group is led by its preferred leader. What is not given back by itself within `seconds` (after a
    few losses the stand-ins wait long) is asked for; how many groups were. NotReady after `most_s`."""
    begun, asked = time.monotonic(), 0
    while wrong := misplaced(cluster.status()):
        if time.monotonic() - begun > most_s:
            raise NotReady(f"leaders are not spread again after {most_s} s: {wrong}")
        if time.monotonic() - begun > seconds:
            with cluster.client() as client:
                for group, node in wrong.items():
                    client.transfer_leader(group, node, timeout=10)
                    asked += 1
        time.sleep(0.1)
    return asked
