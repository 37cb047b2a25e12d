"""Have a node leave for good, such as `remove-node n2`: others take over its replicas. Waits until it is gone."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from typing import Any

from rich.console import Console

from nodes.ids import node_name
from nodes.requests import Nodes
from txstore import audit, members, progress
from txstore.operations import node_number


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("node", type=node_number, help="the node, such as n2")
    parser.add_argument(
        "--fewer-replicas", action="store_true", help="also when not enough nodes are left for all replicas"
    )
    progress.add_arguments(parser)


def run(console: Console, node: int, fewer_replicas: bool, no_wait: bool, timeout: float, **_: Any) -> None:
    nodes = audit.remove_node(node, fewer_replicas, getpass.getuser(), "command", min(timeout, progress.ORDER_S))
    tell_parting(console, nodes, node, no_wait, timeout)


def tell_parting(console: Console, nodes: Nodes, node: int, no_wait: bool, timeout: float) -> None:
    """Of a node that was told to leave, also by `replace-node`."""
    console.print(f"{node_name(node)} {audit.parting(nodes, node)}.")
    if not no_wait and node not in nodes.gone:
        progress.wait(console, lambda status: members.missing_of_parting(status, node), timeout)
        console.print(f"{node_name(node)} is gone. Its process, if it runs, ends by itself; its data can be deleted.")
