"""What a node knows of itself, and of the cluster when it asks the others: plain dictionaries.

    {"node": 1, "cluster_id": "9f…", "boot": 3, "ready": true, "clock_ms": 17…,
     "waiting": [[4, "127.0.0.1:7104", "5c…"]], "leaving": [[2, 4]], "gone": [],
     "nodes": [{"node": 1, "name": "n1", "address": "127.0.0.1:7101", "up": true, "error": "", "since_ms": 17…,
                "boot": 3, "ready": true, "free_bytes": 123, "clock_ahead_ms": 0}],
     "groups": [{"group": "s1", "kind": "shard", "leader": 2, "epoch": 7, "members": [2, 3, 1], "learners": [],
                 "replicas": [{"node": 2, "role": "leader", "applied_slot": 10, "last_slot": 10, "lag": 0,
                               "first_slot": 1, "stores_taken_over": 0, "stopped": ""}]}],
     "in_doubt": {"count": 0, "oldest_ms": 0},
     "journal": {"fdatasync": 31, "durable": 31, "free_bytes": 123, "segment": 5, "released": 3},
     "requests": {"live": 0, "committed": 7, "aborted": 3, "read": 3},
     "aborts": {"timed_out": 1, "wounded": 2},
     "per_second": [[17…, 5, 0, 2]],
     "changes": [{"at_ms": 17…, "kind": "leads", "node": 2, "group": "s1", "words": "", "seen_by": [2]}]}

`first_slot` is the first entry that the log still holds; `stores_taken_over` counts copies that other replicas sent
because the log could not help any more; journal segments up to `released` are gone, or go with the next one.
`leader` is one that serves (its own first entry is applied), else None; `lag` counts entries behind the leader's
chosen ones; `oldest_ms` is the age of the oldest transaction in doubt at any leader that serves. `since_ms`: since
when the asked node has heard the other or not (its clock). `boot` counts lives of the node; `clock_ms` is its wall
clock, and `clock_ahead_ms` how far that is ahead of the clock of the node that was asked, true to half of the
question's way there and back. The last four facts of a node that is not up are null. `members` are the voters of a
group. `waiting`: number, address and incarnation of who asks to be let in; `leaving`: node and successor (0: whoever
has room); in `nodes` are neither the waiting nor the gone. `requests` counts what gateways did in this life, of all
nodes that answered, and `aborts` the aborted attempts among that by their cause (nodes/runtime/refusals.py).
`per_second` (second, committed, aborted, read) and `changes` (nodes/runtime/activity.py) come with a wide status only,
as do `nodes` and the other nodes' groups.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from nodes.core.membership import Members, NodeFacts
from nodes.core.replicated_log import TICK_MS
from nodes.core.txn.shard import Shard
from nodes.ids import node_name
from nodes.runtime.activity import merged_changes, merged_series
from nodes.runtime.driver import Driver
from nodes.runtime.group import Group
from nodes.storage.journal import Journal

REQUESTS = ("live", "committed", "aborted", "read")

Status = dict[str, Any]


def of_nothing() -> Status:
    """Of a node that takes part in no cluster yet."""
    nothing = dict.fromkeys(REQUESTS, 0)
    return {
        "groups": [],
        "in_doubt": {"count": 0, "oldest_ms": 0},
        "requests": nothing,
        "aborts": {},
        "per_second": [],
        "changes": [],
    }


def of_node(driver: Driver, wide: bool) -> Status:
    """What this node's own replicas know."""
    live = len(driver.gateway.attempts) + len(driver.gateway.reads.running)
    own = {
        "groups": [_of_group(group) for group in driver.groups.values()],
        "in_doubt": _doubts(driver),
        "requests": dict(zip(REQUESTS, (live, *driver.counts.totals), strict=True)),
        "aborts": dict(sorted(driver.counts.causes.items())),
    }
    return own | {"per_second": driver.counts.series(), "changes": driver.changes.listed()} if wide else own


def of_journal(journal: Journal, released: int) -> Status:
    return {
        "fdatasync": journal.syncs,
        "durable": journal.durable,
        "free_bytes": journal.free_bytes(),
        "segment": journal.segment,
        "released": released,
    }


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
        **_merged_roster(statuses, set(addresses)),
        "nodes": nodes,
        "groups": groups,
        "in_doubt": in_doubt,
        "requests": {name: sum(counts.get(name, 0) for counts in requests) for name in REQUESTS},
        "aborts": _merged_counts([status.get("aborts", {}) for status in statuses.values()]),
        "per_second": merged_series(status["per_second"] for status in statuses.values()),
        "changes": merged_changes({node: status["changes"] for node, status in statuses.items()}),
    }


def _merged_counts(counts: list[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items()))


def told_of(facts: NodeFacts) -> tuple[int, str, str]:
    """A node that asks to be let in, as an entry of `waiting`."""
    return facts.number, f"{facts.host}:{facts.port}", facts.incarnation.hex()


def newcomer(statuses: Iterable[Status], node: int) -> NodeFacts | None:
    """What the node says of itself that asks any of these to be let in; None if none is asked."""
    for status in statuses:
        for number, address, incarnation in status["waiting"]:
            if number == node:
                host, _, port = address.rpartition(":")
                return NodeFacts(number, bytes.fromhex(incarnation), host, int(port))
    return None


def _merged_roster(statuses: dict[int, Status], known: set[int]) -> Status:
    """What stands in `s0` of nodes: who is gone stays so; of who is leaving the leader of `s0` knows best."""
    by_knowledge = sorted(statuses.values(), key=_leads_system)
    gone = sorted({node for status in by_knowledge for node in status["gone"]})
    leaving = {node: successor for status in by_knowledge for node, successor in status["leaving"] if node not in gone}
    waiting = {entry[0]: list(entry) for status in by_knowledge for entry in status["waiting"]}
    return {
        "waiting": [waiting[node] for node in sorted(waiting) if node not in known.union(gone)],
        "leaving": [[node, leaving[node]] for node in sorted(leaving)],
        "gone": gone,
    }


def _leads_system(status: Status) -> bool:
    return any(group["group"] == "s0" and group["leader"] is not None for group in status["groups"])


def clock_ahead_ms(sent_ms: int, theirs_ms: int, received_ms: int) -> int:
    """Their clock minus ours: they read theirs between our sending and receiving, at the middle as far as we know."""
    return theirs_ms - (sent_ms + received_ms) // 2


def _facts(answer: Status | None) -> Status:
    """What a node alone can tell."""
    if answer is None:
        return dict.fromkeys(("boot", "ready", "free_bytes", "clock_ahead_ms"))
    return {
        "boot": answer["boot"],
        "ready": answer["ready"],
        "free_bytes": answer["journal"]["free_bytes"],
        "clock_ahead_ms": answer.get("clock_ahead_ms", 0),
    }


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
