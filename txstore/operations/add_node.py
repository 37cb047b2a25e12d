"""Let a new node in that asks for it, such as `add-node n4`, and wait until it serves."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from typing import Any

from rich.console import Console

from nodes.ids import node_name
from txstore import audit, members, progress
from txstore.operations import node_number


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("node", type=node_number, help="the node, such as n4")
    progress.add_arguments(parser)


def run(console: Console, node: int, no_wait: bool, timeout: float, **_: Any) -> None:
    audit.add_node(node, getpass.getuser(), "command", min(timeout, progress.ORDER_S))
    name = node_name(node)
    if no_wait:
        console.print(f"{name} is let in.")
        return
    progress.wait(console, lambda status: members.missing_of_joining(status, node), timeout)
    console.print(f"{name} is a member and serves. It takes over replicas when another node leaves.")
