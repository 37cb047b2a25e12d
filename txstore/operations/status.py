"""Show nodes, groups, leaders, how far replicas are behind, and what is in doubt."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from txstore import store


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds to wait for an answer (10)")


def run(console: Console, timeout: float, **_: Any) -> None:
    status = store.cluster().status(wide=True, timeout=timeout)
    console.print(f"Cluster {status['cluster_id'] or 'not founded yet'}, as n{status['node']} knows it")
    console.print(_nodes(status), _groups(status))
    doubt = status["in_doubt"]
    oldest = f", the oldest for {doubt['oldest_ms']} ms" if doubt["count"] else ""
    console.print(f"In doubt: {doubt['count']}{oldest}")


def _nodes(status: dict[str, Any]) -> Table:
    table = Table("node", "address", "state", "leads", "replicas", title="Nodes", title_justify="left")
    for node in status["nodes"]:
        leads = [group["group"] for group in status["groups"] if group["leader"] == node["node"]]
        held = [group["group"] for group in status["groups"] if node["node"] in group["members"]]
        state = "[green]up" if node["up"] else f"[red]down: {escape(node['error'])}"
        table.add_row(node["name"], node["address"], state, " ".join(leads) or "-", str(len(held)))
    return table


def _groups(status: dict[str, Any]) -> Table:
    table = Table("group", "kind", "leader", "epoch", "lag of each replica", title="Groups", title_justify="left")
    for group in status["groups"]:
        leader = f"n{group['leader']}" if group["leader"] else "[red]none"
        lags = "  ".join(_lag(replica) for replica in group["replicas"]) or "[red]no replica answers"
        table.add_row(group["group"], group["kind"], leader, str(group["epoch"]), lags)
    return table


def _lag(replica: dict[str, Any]) -> str:
    """`n2 0`: the entries that a replica is behind, or why it has stopped."""
    if replica["stopped"]:
        return f"[red]n{replica['node']} stopped: {escape(replica['stopped'])}[/]"
    return f"n{replica['node']} {replica['lag']}"
