"""Have a node lead a group, such as `transfer-leader s1 n2`. A preferred leader that was away gets its group back."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from typing import Any

from rich.console import Console

from txstore import audit
from txstore.operations import node_number


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("group", help="the group, such as s1 or c2")
    parser.add_argument("node", type=node_number, help="the node, such as n2")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds to wait for it to lead (10)")


def run(console: Console, group: str, node: int, timeout: float, **_: Any) -> None:
    now = audit.transfer_leader(group, node, getpass.getuser(), "command", timeout)
    console.print(f"n{now.leader} leads {now.group} in epoch {now.epoch}")
