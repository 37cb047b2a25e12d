"""`manage.py node n4`: run one more node on the home of `up`, in the foreground; it asks to be let in."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from nodes.errors import StoreError
from txstore import members, store
from txstore.home import PROJECT, Home, HomeError, for_the_owner_alone
from txstore.members import GONE, WAITING
from txstore.operations import node_number
from txstore.up import FIRST_NODE_PORT, FOR_LONE_PROGRAMS, PORT_MAX, is_free

STATUS_S = 3.0
PORTS_TRIED = 100


class Command(BaseCommand):
    help = (
        "Run a node that joins the cluster of `up`, in the foreground, until Ctrl-C. It asks to be let in, which"
        " `manage.py cluster add-node` does. A later `up` on this home starts it with the others."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("node", type=node_number, help="its name, such as n4: a number that no node ever had")
        parser.add_argument("--port", type=_port, help="to listen on; else the one it had, or the next that is free")

    def handle(self, *, node: int, port: int | None, **_: Any) -> None:
        with for_the_owner_alone():
            self._serve(node, port)

    def _serve(self, node: int, port: int | None) -> None:
        home = Home.from_env()
        try:
            _refuse_lone(home)
            home.refuse_joining(node)
            address = _address(home, node, port)
            words = _next(node, address)
            home.create_joining(node, address)
        except HomeError as error:
            raise CommandError(str(error), returncode=2) from error
        self.stdout.write(f"n{node} listens on {address} and {words}\nCtrl-C ends it.")
        self.stdout.flush()
        os.environ["PYTHONPATH"] = os.pathsep.join([str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [sys.executable, "-m", "nodes", "serve", "--config", str(home.node_config(node))]
        os.execv(command[0], command)


def _address(home: Home, node: int, port: int | None) -> str:
    """Where it listens; HomeError for a port that is taken, which that of a node that runs already is."""
    kept = home.joined_addresses().get(node, "")
    if not port and not kept:
        port = _next_free(int(os.environ.get("TXSTORE_NODE_PORT") or FIRST_NODE_PORT) + node - 1)
    address = f"127.0.0.1:{port}" if port else kept
    if not is_free(int(address.rpartition(":")[2])):
        raise HomeError(f"{address} is taken: does n{node} run already? Another port is named with --port.")
    return address


def _next(node: int, address: str) -> str:
    """What is to be done next; HomeError if the cluster knows the node as gone, or at another address."""
    try:
        found = members.member(store.cluster().status(wide=True, timeout=STATUS_S), node)
    except StoreError as error:
        return f"looks for the cluster, which does not answer now: {error}"
    if found is None or found.state == WAITING:
        add = f".venv/bin/python manage.py cluster add-node n{node}"
        return f"asks to be let in. Let it in, in another terminal:\n  {add}"
    if found.state == GONE:
        raise HomeError(f"n{node} was removed from this cluster, and a number is given once: take another one.")
    if found.address != address:
        raise HomeError(f"n{node} is a member, and the others dial it at {found.address}: leave --port out.")
    return "is a member of the cluster."


def _refuse_lone(home: Home) -> None:
    for name in FOR_LONE_PROGRAMS:
        if os.environ.get(name):
            raise HomeError(f"{name} is set, but a node joins the cluster of a home: unset it.")


def _next_free(first: int) -> int:
    """The first free port from `first` on."""
    for port in range(first, min(first + PORTS_TRIED, PORT_MAX + 1)):
        if is_free(port):
            return port
    raise HomeError(f"No port from {first} on is free: name one with --port.")


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= PORT_MAX:
        raise ArgumentTypeError(f"a port is a number from 1 to {PORT_MAX}, not {text!r}")
    return int(text)
