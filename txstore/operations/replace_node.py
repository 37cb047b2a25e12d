"""Have a node leave for good, dead or alive, and another one take its place, such as `replace-node n2 n4`. Waits until
it is gone."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from typing import Any

from rich.console import Console

from txstore import audit, progress
from txstore.operations import node_number
from txstore.operations.remove_node import tell_parting


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("node", type=node_number, help="the node that leaves, such as n2")
    parser.add_argument("successor", type=node_number, help="a member that takes its place, such as n4")
    progress.add_arguments(parser)


def run(console: Console, node: int, successor: int, no_wait: bool, timeout: float, **_: Any) -> None:
    nodes = audit.replace_node(node, successor, getpass.getuser(), "command", min(timeout, progress.ORDER_S))
    tell_parting(console, nodes, node, no_wait, timeout)
