"""What the pages show: one plain dict for each, made of what the client tells.

`cluster`, `transactions` and `transaction` ask; the functions below them only put together. When the cluster does not
answer, the last picture is shown again and it is said since when nothing was heard.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from monitoring import charts, collect
from monitoring.transactions import listed, told
from nodes.errors import BadRequest, NotFound, StoreError
from nodes.ids import node_name
from nodes.requests import FILTERS, NEWEST

STATUS_S = 3.0
PAGE = 25
LAG_WORTH_TELLING = 100
CHANGES_SHOWN = 14

WORDS = {
    "started": "{node} took part ({words})",
    "leads": "{node} leads {group}",
    "leads no more": "{node} no longer leads {group}",
    "replica stopped": "the replica of {group} on {node} stopped: {words}",
    "reached": "{node} is connected",
    "lost": "the connection to {node} is lost",
    "disk low": "{node} runs low on disk space",
    "disk ok": "{node} has disk space again",
}
BAD = frozenset({"replica stopped", "lost", "disk low"})


class Memory:
    """The last status that came, and since when none comes; of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._status: dict[str, Any] | None = None
        self._heard_ms = 0
        self._silent_ms = 0

    def heard(self, status: dict[str, Any], now_ms: int) -> None:
        with self._lock:
            self._status, self._heard_ms, self._silent_ms = status, now_ms, 0

    def silent(self, now_ms: int) -> tuple[dict[str, Any] | None, int]:
        """The last status, and when it was heard; without one, when the first silence was met."""
        with self._lock:
            self._silent_ms = self._silent_ms or self._heard_ms or now_ms
            return self._status, self._silent_ms


memory = Memory()


def cluster() -> dict[str, Any]:
    """The cluster page."""
    now_ms = time.time_ns() // 1_000_000
    try:
        status = collect.cluster().status(wide=True, timeout=STATUS_S)
    except StoreError as error:
        last, since_ms = memory.silent(now_ms)
        return picture(last, since_ms) | {"silence": _silence(error, since_ms, now_ms, last is not None)}
    memory.heard(status, now_ms)
    return picture(status, status.get("clock_ms", now_ms))


def transactions(query: Mapping[str, str]) -> dict[str, Any]:
    """A page of the list; an unknown filter shows the newest, a cursor that is none says so."""
    which = query.get("filter", NEWEST)
    which = which if which in FILTERS else NEWEST
    after = query.get("after", "")
    frame = {"filter": which, "is_first": not after, "query": urlencode({"filter": which})}
    try:
        page = collect.cluster().transactions(which, PAGE, after)
    except StoreError as error:
        return frame | {"error": str(error), "rows": []}
    return frame | listed(page, which, time.time_ns() // 1_000)


def transaction(id: str) -> dict[str, Any]:
    """The page of one transaction; `found` False for what is no id of this cluster."""
    try:
        trace = collect.cluster().trace(id)
    except (NotFound, BadRequest) as error:
        return {"found": False, "id": id[:80], "error": str(error)}
    except StoreError as error:
        return {"found": True, "id": id, "error": str(error)}
    return {"found": True, "id": id, **told(trace)}


def _silence(error: StoreError, since_ms: int, now_ms: int, has_picture: bool) -> dict[str, Any]:
    return {"why": str(error), "since": moment(since_ms), "age": charts.age_text(now_ms - since_ms), "has": has_picture}


def picture(status: dict[str, Any] | None, now_ms: int) -> dict[str, Any]:
    """The cluster page of a wide status (docs/operations.md has its shape); of none: an empty one."""
    if status is None:
        nothing: dict[str, Any] = {name: [] for name in ("nodes", "groups", "tiles", "changes", "silent", "waiting")}
        return nothing | {"series": charts.columns([])}
    nodes = [_node(node, status, now_ms) for node in status["nodes"]]
    return {
        "nodes": nodes,
        "silent": [node for node in nodes if not node["up"]],
        "waiting": [f"{node_name(node)} ({address})" for node, address, _ in status["waiting"]],
        "leaderless": [group["group"] for group in status["groups"] if not group["leader"]],
        "groups": [_group(group, status["nodes"]) for group in status["groups"]],
        "tiles": _tiles(status),
        "changes": [_change(change, now_ms) for change in status["changes"][:CHANGES_SHOWN]],
        "series": charts.columns(status["per_second"]),
        "at": moment(now_ms),
        "told_by": node_name(status["node"]),
    }


def _tiles(status: dict[str, Any]) -> list[dict[str, str]]:
    committed, read, aborted = charts.rates(status["per_second"])
    doubt = status["in_doubt"]
    oldest = "nothing waits for an outcome"
    if doubt["count"]:
        oldest_ms = doubt["oldest_ms"]
        oldest = f"prepared, the oldest for {charts.age_text(oldest_ms) if oldest_ms >= 1_000 else f'{oldest_ms} ms'}"
    over = f"over {charts.RATE_SECONDS} s"
    return [
        _tile("Transactions a second", f"{committed:.1f}", f"committed, {over}", "committed"),
        _tile("Reads a second", f"{read:.1f}", f"snapshots, {over}", "read"),
        _tile("Aborts a second", f"{aborted:.1f}", f"attempts, {over}{_causes(status)}", "aborted"),
        _tile("In doubt", str(doubt["count"]), oldest, "doubt"),
    ]


def _causes(status: dict[str, Any]) -> str:
    """Of all aborts since the nodes began, most frequent first."""
    counts = sorted(status.get("aborts", {}).items(), key=lambda item: (-item[1], item[0]))
    listed = ", ".join(f"{count} {cause.replace('_', ' ')}" for cause, count in counts)
    return f"; since the nodes began: {listed}" if listed else ""


def _tile(name: str, value: str, words: str, kind: str) -> dict[str, str]:
    return {"name": name, "value": value, "words": words, "kind": kind}


def _node(node: dict[str, Any], status: dict[str, Any], now_ms: int) -> dict[str, Any]:
    leads = [group["group"] for group in status["groups"] if group["leader"] == node["node"]]
    free_bytes = node.get("free_bytes")
    return {
        **node,
        "leads": leads,
        "is_leaving": node["node"] in (leaving for leaving, _ in status["leaving"]),
        "since": moment(node["since_ms"]),
        "age": charts.age_text(now_ms - node["since_ms"]),
        "free": charts.bytes_text(free_bytes) if free_bytes is not None else "",
        "clock": _clock(node.get("clock_ahead_ms"), node["node"] == status["node"]),
    }


def _clock(ahead_ms: int | None, is_asked: bool) -> str:
    """How a node's clock differs from that of the node that was asked; "" when it is not known."""
    if ahead_ms is None:
        return ""
    if is_asked:
        return "reference for the others"
    return f"{abs(ahead_ms)} ms {'ahead' if ahead_ms >= 0 else 'behind'}"


def _group(group: dict[str, Any], nodes: list[dict[str, Any]]) -> dict[str, Any]:
    replicas = {replica["node"]: replica for replica in group["replicas"]}
    cells = [_replica(node, group, replicas.get(node["node"])) for node in nodes]
    epoch = group["epoch"]
    is_paxos = group["kind"] == "coordinator"
    return {
        "name": group["group"],
        "kind": group["kind"],
        "leader": node_name(group["leader"]) if group["leader"] else "",
        "epoch": f"ballot {epoch >> 8}.{node_name(epoch & 255)}" if is_paxos else f"term {epoch}",
        "cells": cells,
        "is_bad": not group["leader"] or any(cell["kind"] == "bad" for cell in cells),
    }


def _replica(node: dict[str, Any], group: dict[str, Any], replica: dict[str, Any] | None) -> dict[str, Any]:
    cell = {"node": node["name"], "title": "", "kind": "ok", "words": "in step"}
    is_learner = node["node"] in group["learners"]
    if not is_learner and node["node"] not in group["members"]:
        return cell | {"kind": "none", "words": "no replica"}
    if replica is None:
        return cell | {"kind": "bad", "words": "not reached"}
    cell["title"] = f"slot {replica['applied_slot']} of {replica['applied_slot'] + replica['lag']} applied"
    if replica["stopped"]:
        return cell | {"kind": "bad", "words": "stopped", "title": replica["stopped"]}
    if group["leader"] == node["node"]:
        return cell | {"kind": "leader", "words": "leader"}
    if is_learner:
        return cell | {"words": "learns"}
    if replica["lag"]:
        kind = "behind" if replica["lag"] >= LAG_WORTH_TELLING else "ok"
        return cell | {"kind": kind, "words": f"{replica['lag']} behind"}
    return cell


def _change(change: dict[str, Any], now_ms: int) -> dict[str, Any]:
    words = WORDS.get(change["kind"], "{node}: " + str(change["kind"]))
    seen_by = [node_name(node) for node in change["seen_by"] if node != change["node"]]
    return {
        "at": moment(change["at_ms"]),
        "age": charts.age_text(now_ms - change["at_ms"]),
        "words": words.format(node=node_name(change["node"]), group=change["group"], words=change["words"]),
        "seen_by": ", ".join(seen_by),
        "is_bad": change["kind"] in BAD,
    }


def moment(at_ms: int) -> str:
    """`12:03:05` of today (UTC), `2026-11-24 12:03:05` of another day."""
    at = datetime.fromtimestamp(at_ms / 1_000, UTC)
    is_today = at.date() == datetime.now(UTC).date()
    return at.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M:%S")
