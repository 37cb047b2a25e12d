"""The node that is killed: only one that this home's `up` started and will start again, and that the rest can spare.

*Invariant*: the signal goes to a process that at that moment is a child of the running `up` and runs this node's
configuration; a pid file alone is never believed.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from txstore import up
from txstore.home import Home, HomeError

MAJORITY_OF = 3  # replicas that a group needs, so that the rest goes on without one of them


class NoVictim(Exception):
    """No node may be killed; the words say why."""


@dataclass(frozen=True)
class Victim:
    """A node that may be killed, and how many groups it leads."""

    node: int
    pid: int
    led: int

    def kill(self) -> None:
        """kill -9. NoVictim if the process has ended meanwhile."""
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError as error:
            raise NoVictim(f"n{self.node} has ended by itself") from error


def find(home: Home, status: dict[str, Any]) -> Victim:
    """The node that leads most groups. NoVictim when none may be killed."""
    supervisor = _supervisor(home)
    replicas = home.shape().replicas
    if replicas < MAJORITY_OF:
        raise NoVictim(f"a group has {replicas} of the {MAJORITY_OF} replicas that it needs to go on without one")
    down = [node["name"] for node in status["nodes"] if not node["up"]]
    leaderless = [group["group"] for group in status["groups"] if not group["leader"]]
    if down or leaderless:
        raise NoVictim(f"not all is well as it is: {', '.join([*down, *leaderless])} without a node or leader")
    leaders = [group["leader"] for group in status["groups"]]
    nodes = sorted((node["node"] for node in status["nodes"]), key=leaders.count, reverse=True)
    for node in nodes:
        pid = pid_of(home, node)
        if pid and _is_ours(pid, supervisor, home, node):
            return Victim(node, pid, leaders.count(node))
    raise NoVictim(f"no node is a child of the `up` that runs as process {supervisor}")


def pid_of(home: Home, node: int) -> int:
    """The process that the node's pid file names; 0 while there is none."""
    try:
        return int((home.node_folder(node) / "pid").read_text())
    except (OSError, ValueError):
        return 0


def _supervisor(home: Home) -> int:
    """The pid of the `up` that runs on this home and starts nodes again."""
    try:
        up.refuse_running(home)
    except HomeError:
        pid = int(home.pid_file.read_text())
        if _environment(pid).get("TXSTORE_RESTART_S") == "never":
            raise NoVictim("`up` was told never to start a node again (TXSTORE_RESTART_S)") from None
        return pid
    raise NoVictim("no `make up` runs on this home, so nobody would start the node again")


def _environment(pid: int) -> dict[str, str]:
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return {}
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def _is_ours(pid: int, supervisor: int, home: Home, node: int) -> bool:
    try:
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (OSError, ValueError, IndexError):
        return False
    return parent == supervisor and str(home.node_config(node)) in command
