"""Show which nodes are members, leaving, ask to be let in or are gone, and who votes and learns in each group."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nodes.ids import node_name
from txstore import members, store
from txstore.members import GONE, Status


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds to wait for an answer (10)")


def run(console: Console, timeout: float, **_: Any) -> None:
    status = store.cluster().status(wide=True, timeout=timeout)
    console.print(_nodes(status), _groups(status))


def _nodes(status: Status) -> Table:
    table = Table("node", "is", "address", "answers", "groups", title="Nodes", title_justify="left")
    for each in members.members(status):
        answers = "-" if each.state == GONE else "[green]yes" if each.up else "[red]no"
        table.add_row(each.name, each.words, escape(each.address) or "-", answers, str(len(each.groups) or "-"))
    return table


def _groups(status: Status) -> Table:
    table = Table("group", "leader", "voters", "learners", title="Groups", title_justify="left")
    for group in status["groups"]:
        leader = node_name(group["leader"]) if group["leader"] else "[red]none"
        table.add_row(group["group"], leader, _names(group["members"]), _names(group["learners"]))
    return table


def _names(nodes: list[int]) -> str:
    return " ".join(map(node_name, nodes)) or "-"
