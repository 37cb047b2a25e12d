"""What a node knows of itself, and of the cluster when it asks the others: plain dictionaries.

    {"node": 1, "cluster_id": "9f…", "boot": 3, "ready": true, "clock_ms": 17…,
     "nodes": [{"node": 1, "name": "n1", "address": "127.0.0.1:7101", "up": true, "error": "", "since_ms": 17…,
                "boot": 3, "free_bytes": 123, "clock_ahead_ms": 0}],
     "groups": [{"group": "s1", "kind": "shard", "leader": 2, "epoch": 7, "members": [2, 3, 1],
                 "replicas": [{"node": 2, "role": "leader", "applied_slot": 10, "last_slot": 10, "lag": 0,
                               "first_slot": 1, "stores_taken_over": 0, "stopped": ""}]}],
     "in_doubt": {"count": 0, "oldest_ms": 0},
     "journal": {"fdatasync": 31, "durable": 31, "free_bytes": 123, "segment": 5, "released": 3},
     "requests": {"live": 0, "committed": 7, "aborted": 0, "read": 3},
     "per_second": [[17…, 5, 0, 2]],
     "changes": [{"at_ms": 17…, "kind": "leads", "node": 2, "group": "s1", "words": "", "seen_by": [2]}]}

`first_slot` is the first entry that the log still holds; `stores_taken_over` counts copies that other replicas sent
because the log could not help any more; journal segments up to `released` are gone, or go with the next one.
`leader` is one that serves (its own first entry is applied), else None; `lag` counts entries behind the leader's
chosen ones; `oldest_ms` is the age of the oldest transaction in doubt at any leader that serves. `since_ms`: since
when the asked node has heard the other or not (its clock). `boot` counts lives of the node; `clock_ms` is its wall
clock, and `clock_ahead_ms` how far that is ahead of the clock of the node that was asked, true to half of the
question's way there and back. The last three facts of a node that is not up are null. `requests` counts what gateways
did in this life, of all nodes that answered. `per_second` (second, committed, aborted, read) and `changes`
(nodes/runtime/activity.py) come with a wide status only, as do `nodes` and the other nodes' groups.
"""

from __future__ import annotations

from typing import Any

from nodes.core.membership import Members
from nodes.core.replicated_log import TICK_MS
from nodes.core.txn.shard import Shard
from nodes.ids import node_name
from nodes.runtime.activity import merged_changes, merged_series
from nodes.runtime.driver import Driver
from nodes.runtime.group import Group

REQUESTS = ("live", "committed", "aborted", "read")

Status = dict[str, Any]


def of_nothing() -> Status:
    """Of a node that takes part in no cluster yet."""
    nothing = dict.fromkeys(REQUESTS, 0)
    return {
        "groups": [],
        "in_doubt": {"count": 0, "oldest_ms": 0},
        "requests": nothing,
        "per_second": [],
        "changes": [],
    }


def of_node(driver: Driver, wide: bool) -> Status:
    """What this node's own replicas know."""
    live = len(driver.gateway.attempts) + len(driver.gateway.reads)
    own = {
        "groups": [_of_group(group) for group in driver.groups.values()],
        "in_doubt": _doubts(driver),
        "requests": dict(zip(REQUESTS, (live, *driver.counts.totals), strict=True)),
    }
    return own | {"per_second": driver.counts.series(), "changes": driver.changes.listed()} if wide else own


def _of_group(group: Group) -> Status:
    log = group.log
    role = "leader" if group.served_epoch else "candidate" if log.leads else "follower"
    replica = {
        "node": group.node,
        "role": "stopped" if group.stopped else role,
        "applied_slot": group.applied_slot,
        "chosen_slot": log.chosen_slot,
        "last_slot": log.last_slot,
        "lag": max(0, log.chosen_slot - group.applied_slot),
        "first_slot": log.first_slot,
        "stores_taken_over": group.transfer.installed,
        "stopped": group.stopped,
    }
    return {
        "group": group.group,
        "kind": "coordinator" if group.group[0] == "c" else "shard",
        "leader": group.node if group.served_epoch else None,
        "epoch": log.epoch,
        "members": list(group.configuration.members.voters),
        "learners": list(group.configuration.members.learners),
        "replicas": [replica],
    }


def _doubts(driver: Driver) -> dict[str, int]:
    leaderships = [
        group.machine.leading.doubts
        for group in driver.groups.values()
        if isinstance(group.machine, Shard) and group.machine.leading is not None
    ]
    oldest = max((doubts.oldest_ticks() for doubts in leaderships), default=0)
    return {"count": sum(len(doubts) for doubts in leaderships), "oldest_ms": oldest * TICK_MS}


def merged(
    statuses: dict[int, Status],
    addresses: dict[int, tuple[str, int]],
    since_ms: dict[int, int],
    members: dict[str, Members],
) -> Status:
    """One picture of what the answering nodes said; the others are shown as not reached."""
    nodes = [
        {
            "node": number,
            "name": node_name(number),
            "address": f"{host}:{port}",
            "up": number in statuses,
            "error": "" if number in statuses else "did not answer",
            "since_ms": since_ms[number],
            **_facts(statuses.get(number)),
        }
        for number, (host, port) in sorted(addresses.items())
    ]
    groups = [_merged_group(name, statuses, members[name]) for name in members]
    doubts = [status["in_doubt"] for status in statuses.values()]
    in_doubt = {
        "count": sum(doubt["count"] for doubt in doubts),
        "oldest_ms": max((doubt["oldest_ms"] for doubt in doubts), default=0),
    }
    requests = [status["requests"] for status in statuses.values()]
    return {
        "nodes": nodes,
        "groups": groups,
        "in_doubt": in_doubt,
        "requests": {name: sum(counts.get(name, 0) for counts in requests) for name in REQUESTS},
        "per_second": merged_series(status["per_second"] for status in statuses.values()),
        "changes": merged_changes({node: status["changes"] for node, status in statuses.items()}),
    }


def clock_ahead_ms(sent_ms: int, theirs_ms: int, received_ms: int) -> int:
    """Their clock minus ours: they read theirs between our sending and receiving, at the middle as far as we know."""
    return theirs_ms - (sent_ms + received_ms) // 2


def _facts(answer: Status | None) -> Status:
    """What a node alone can tell."""
    if answer is None:
        return {"boot": None, "free_bytes": None, "clock_ahead_ms": None}
    free_bytes = answer["journal"]["free_bytes"]
    return {"boot": answer["boot"], "free_bytes": free_bytes, "clock_ahead_ms": answer.get("clock_ahead_ms", 0)}


def _merged_group(name: str, statuses: dict[int, Status], members: Members) -> Status:
    found = [g for status in statuses.values() for g in status["groups"] if g["group"] == name]
    replicas = [replica for group in found for replica in group["replicas"]]
    leading = max((group for group in found if group["leader"]), key=lambda g: int(g["epoch"]), default=None)
    chosen = max((replica["chosen_slot"] for replica in replicas), default=0)
    for replica in replicas:
        replica["lag"] = max(0, chosen - replica["applied_slot"])
    return {
        "group": name,
        "kind": "coordinator" if name[0] == "c" else "shard",
        "leader": leading["leader"] if leading else None,
        "epoch": max((group["epoch"] for group in found), default=0),
        "members": list(members.voters),
        "learners": list(members.learners),
        "replicas": sorted(replicas, key=lambda replica: int(replica["node"])),
    }
