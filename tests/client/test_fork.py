"""A process that forks, as web servers and Celery do once a program is loaded: parent and child share no connection."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.client.fake_node import SECRET, FakeNode, answered, silent

ROOT = Path(__file__).resolve().parents[2]

# Counts the sockets of this process that are connected to the node.
SOCKETS = """
import asyncio, os, socket, sys, threading
from nodes.client import Cluster, aio

host, _, port = sys.argv[1].rpartition(":")

def sockets():
    found = 0
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(descriptor))) as each:
                found += each.getpeername() == (host, int(port))
        except OSError:
            continue
    return found

options = {"secret": os.environ["SECRET"], "timeout": 60}
"""

# Forks while one call is under way and one connection is idle. Each process tells how many sockets it has to the node
# and that it can go on; the child both before and after its own call.
BLOCKING = """
cluster = Cluster.connect(sys.argv[1], **options)
cluster.execute("SELECT 1")
threading.Thread(target=cluster.execute, args=("UPDATE",), daemon=True).start()
input()
cluster.execute("SELECT 1")
if (child := os.fork()) == 0:
    before = sockets()
    print("child", before, cluster.execute("SELECT $1", [7]).rows[0][1], sockets(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print("parent", sockets(), cluster.execute("SELECT $1", [8]).rows[0][1], flush=True)
os._exit(0)
"""

AWAITED = """
async def child(cluster):
    before = sockets()
    print("child", before, (await cluster.execute("SELECT $1", [7])).rows[0][1], sockets(), flush=True)

async def parent():
    cluster = aio.Cluster.connect(sys.argv[1], **options)
    await cluster.execute("SELECT 1")
    task = asyncio.create_task(cluster.execute("UPDATE"))
    await asyncio.to_thread(input)
    await cluster.execute("SELECT 1")
    if (process := os.fork()) == 0:
        try:
            asyncio.run(child(cluster))
        finally:
            os._exit(0)
    os.waitpid(process, 0)
    print("parent", sockets(), (await cluster.execute("SELECT $1", [8])).rows[0][1], flush=True)
    os._exit(0)

asyncio.run(parent())
"""


@pytest.mark.parametrize("program", [BLOCKING, AWAITED], ids=["blocking", "awaited"])
def test_a_forked_child_shares_no_connection_and_both_go_on(node: Callable[..., FakeNode], program: str) -> None:
    n1 = node(1, answered, silent, answered)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SECRET": SECRET.decode()}
    address = "{}:{}".format(*n1.address)
    command = [sys.executable, "-c", SOCKETS + program, address]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        n1.until(lambda _: len(n1.calls) == 2)
        said, complaints = process.communicate("\n", timeout=60)
    assert said.split("\n")[:2] == ["child 0 7 1", "parent 2 8"], complaints
    assert n1.connections == 3
