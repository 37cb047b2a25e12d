"""What all of `up` costs when nothing happens, with the accounts loaded, and how soon `make up` is ready on that home.

Memory is Pss, after the idle time; CPU is what the node processes use together, while worker and beat run every health
check but the canary, which is a transaction.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.store import NODES, SHARDS, fill
from nodes.client import Cluster
from tests.e2e.cluster import ROOT, free_ports
from txstore.home import Home
from txstore.up import is_free, is_ready

BALANCE = 1_000
PATIENCE_S = 60.0
CANARY_S = 10.0  # until beat has seen that it is off, and the last one has ended


class Up:
    """One `up` on `directory`."""

    def __init__(self, directory: Path) -> None:
        self.home = Home(directory)
        first, self.web_port = _free_row(NODES), free_ports(1)[0]
        self.environment = {
            **os.environ, "TXSTORE_HOME": str(directory), "TXSTORE_WEB_PORT": str(self.web_port),
            "TXSTORE_NODE_PORT": str(first), "TXSTORE_NODES": str(NODES), "TXSTORE_SHARDS": str(SHARDS),
            "TXSTORE_REPLICAS": "3",
        }  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: list[str]) -> float:
        """Seconds until `/readyz` answers 200."""
        begun = time.monotonic()
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=subprocess.DEVNULL, start_new_session=True
        )
        while not is_ready(self.web_port, timeout_s=2.0):
            if self._process.poll() is not None or time.monotonic() - begun > PATIENCE_S:
                raise RuntimeError(f"{' '.join(command)} is not ready; see {self.home.path}")
            time.sleep(0.02)
        return time.monotonic() - begun

    def processes(self) -> dict[str, list[int]]:
        """The processes of each program: the supervisor, n1 …, web, worker, beat."""
        supervisor = int(self.home.pid_file.read_text())
        found = {"supervisor": [supervisor]}
        for child in processes.children(supervisor):
            name = re.search(r"nodes/(n\d+)/config|txstore\.(web)|\b(worker|beat)\b", processes.command(child))
            if name is None:
                raise RuntimeError(f"up runs what is not known here: {processes.command(child)}")
            found[str(name[name.lastindex or 0])] = processes.family(child)
        return found

    def without_canary(self) -> None:
        """Nobody moves the canary's rows any more; every other check goes on."""
        off = "from django_celery_beat.models import PeriodicTask as T; t = T.objects.get(name='Check: canary');"
        command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", f"{off} t.enabled = False; t.save()"]
        subprocess.run(command, cwd=ROOT, env=self.environment, check=True)
        time.sleep(CANARY_S)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(int(self.home.pid_file.read_text()), signal.SIGTERM)
            self._process.wait(PATIENCE_S)


def measure(directory: Path, options: argparse.Namespace) -> dict[str, Any]:
    """`nodes_mb`, `all_mb` and `mb` of each program (10^6 bytes of Pss), `cpu_percent` of the nodes, `ready_s`."""
    up = Up(directory)
    try:
        up.start([sys.executable, "manage.py", "up"])
        with Cluster.connect(",".join(up.home.node_addresses()), secret=up.home.cluster_secret()) as cluster:
            fill(cluster, options.rows, BALANCE)
        time.sleep(options.idle_seconds)
        found = up.processes()
        used: dict[str, float] = {name: sum(map(processes.pss_mb, pids)) for name, pids in found.items()}
        nodes = {name for name in used if re.fullmatch(r"n\d+", name)}
        up.without_canary()
        cpu = processes.cpu_percent((pid for name in nodes for pid in found[name]), options.cpu_seconds)
        up.stop()
        ready_s = up.start(["make", "--silent", "up"])
    finally:
        up.stop()
    return {
        "rows": options.rows,
        "nodes_mb": round(sum(used[name] for name in nodes), 1),
        "all_mb": round(sum(used.values()), 1),
        "mb": {name: round(mb, 1) for name, mb in used.items()},
        "cpu_percent": round(cpu, 2),
        "ready_s": round(ready_s, 2),
    }


def _free_row(count: int) -> int:
    """The first of `count` ports in a row that were free just now."""
    while True:
        first = free_ports(1)[0]
        if all(is_free(port) for port in range(first, first + count)):
            return first
