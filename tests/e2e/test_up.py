"""`up` as a user meets it: what it refuses, what it says, that it carries on, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import ROOT, free_ports
from tests.e2e.rest import Door
from tests.e2e.test_supervisor import eventually, is_alive
from txstore.home import Home
from txstore.up import is_free

READY_S = 60.0


class Up:
    """One run of `manage.py up` on `home`, with everything it prints in `home.path/../said`."""

    def __init__(self, home: Home, **variables: str) -> None:
        self.home = home
        self.said_file = home.path.with_name("said")
        environment = {**os.environ, "TXSTORE_HOME": str(home.path), **variables}
        with self.said_file.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), "up"], env=environment, stdout=said, stderr=said
            )

    def said(self) -> str:
        return self.said_file.read_text()

    def wait_ready(self) -> None:
        eventually(lambda: "txstore is ready" in self.said() or self.process.poll() is not None, READY_S)
        assert self.process.poll() is None, self.said()

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(15)

    def pids(self) -> list[int]:
        """What it started, whoever its parent is now; not `up` itself."""
        return [pid for pid in processes_of(self.home) if pid != self.process.pid]


def processes_of(home: Home) -> list[int]:
    """Every process that has this home in its environment."""
    mark = f"TXSTORE_HOME={home.path}".encode()
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [pid for pid in pids if mark in _environment_of(pid)]


def _environment_of(pid: int) -> list[bytes]:
    """Empty for a process that has ended, also while it is a zombie."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def ports() -> dict[str, str]:
    """Variables with ports that are free just now, the nodes' three in a row."""
    while True:
        web, first = free_ports(2)
        if web not in range(first, first + 3) and all(is_free(port) for port in range(first, first + 3)):
            return {"TXSTORE_WEB_PORT": str(web), "TXSTORE_NODE_PORT": str(first)}


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def start(home) -> Iterator[type[Up]]:
    started: list[Up] = []

    def start_up(**variables: str) -> Up:
        started.append(Up(home, **{**ports(), **variables}))
        return started[-1]

    yield start_up
    for up in started:
        up.process.kill()
        up.process.wait()


def node_pid(home: Home, node: int) -> int:
    """The pid in the node's file; 0 while there is none."""
    try:
        return int((home.node_folder(node) / "pid").read_text())
    except FileNotFoundError:
        return 0


def wait_for_line(log: Path, words: str) -> None:
    eventually(lambda: log.exists() and words in log.read_text(), READY_S)


def test_a_wrong_wish_ends_with_2_and_makes_nothing(home, start):
    up = start(TXSTORE_NODES="2")
    assert up.process.wait(20) == 2
    assert "TXSTORE_REPLICAS is 3, but there are only 2 nodes" in up.said()
    assert not home.path.exists()


def test_kill_9_leaves_nothing_and_the_home_is_free_at_once(home, start):
    variables = ports()
    first = start(**variables)
    # The worker that granian starts is one of the processes that must not stay.
    wait_for_line(home.log_file("web"), "Started worker")
    wait_for_line(home.log_file("worker"), "celery@")
    before = first.pids()
    assert len(before) >= 4
    first.process.kill()
    first.process.wait()
    eventually(lambda: not any(is_alive(pid) for pid in before) and not first.pids(), 5.0)
    second = start(**variables)
    eventually(lambda: len(second.pids()) >= 4 or second.process.poll() is not None, READY_S)
    assert second.process.poll() is None, second.said()
    third = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "up"],
        env={**os.environ, "TXSTORE_HOME": str(home.path), **variables},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert third.returncode == 2
    assert f"as process {second.process.pid}." in third.stderr
    assert second.end(signal.SIGTERM) == 0
    assert second.pids() == []


def test_up_ends_with_the_make_that_started_it(home, tmp_path):
    up = [sys.executable, str(ROOT / "manage.py"), "up", "--with-parent"]
    makefile = tmp_path / "Makefile"
    makefile.write_text(f"up:\n\t@{shlex.join(up)}\n")
    environment = {**os.environ, "TXSTORE_HOME": str(home.path), **ports()}
    make = subprocess.Popen(["make", "-f", str(makefile)], env=environment, stdout=subprocess.DEVNULL)
    try:
        wait_for_line(home.log_file("web"), "Started worker")
    finally:
        make.kill()
        make.wait()
    eventually(lambda: processes_of(home) == [])


def test_a_cluster_welcomes_restarts_its_nodes_and_carries_on(home, start):
    variables = ports()
    first = start(**variables)
    first.wait_ready()
    curl = re.search(r"^ *(curl .*)$", first.said(), re.MULTILINE)[1]
    answer = json.loads(subprocess.run(["sh", "-c", curl], capture_output=True, check=True, timeout=20).stdout)
    assert len(answer["nodes"]) == 3
    door = Door(f"127.0.0.1:{variables['TXSTORE_WEB_PORT']}", home.api_token())
    eventually(lambda: door.ask("GET", "/api/v1/health").body["state"] == "ok", READY_S)
    killed = node_pid(home, 2)
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: node_pid(home, 2) not in (0, killed))
    wait_for_line(home.log_file("worker"), "node_answers n2: ok -> warn: n2 ended and began life 2")
    wait_for_line(home.log_file("worker"), "node_answers n2: warn -> ok: n2 answers")
    assert first.end(signal.SIGINT) == 0
    assert first.pids() == []
    assert not any(node_pid(home, node) for node in (1, 2, 3))
    second = start(**variables)
    second.wait_ready()
    assert second.end(signal.SIGINT) == 0
    assert second.pids() == []
