"""A cluster of real node processes on this machine, to be killed and stopped: what the tests of this folder stand on.

Each node is `python -m nodes serve --config FILE`, a child of this process (it dies with it), logging to
`DIRECTORY/nodes/nK/log`. A watching thread starts a node that died again after `restart_s`, as `up` does, and keeps
what ended by itself in `unexpected`: a test must find that empty. A node that was removed ends by itself with
MUST_NOT_RUN, and stays down; whom that may happen to, `part` says.

*Invariants*: signals go only to processes that were started here, by their own id.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nodes.client import Cluster
from nodes.errors import StoreError
from nodes.runtime.node import MUST_NOT_RUN
from txstore.home import Home, Shape

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"


class NotReady(AssertionError):
    """The cluster did not become what was waited for."""


def free_ports(count: int) -> list[int]:
    """Ports that were free just now, all different, below the range that outgoing connections are given."""
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports: list[int] = []
    while len(ports) < count:
        port = secrets.choice(range(15_000, max(first_outgoing, 15_100)))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            if port not in ports:
                ports.append(port)
    return ports


class LocalCluster:
    """`nodes` processes with `shards` user shards and `replicas` replicas a group, below `directory`.

    `constants`: other than the defaults of nodes/constants.py; `code`: the folder that `nodes/` is imported from;
    `wrapper`: a command that each node is started under (it must leave the node with the process id it was given);
    `restart_s` None: what is dead stays dead. The directory is a home as `up` makes it, so that a web server can be
    started on it.
    """

    def __init__(
        self,
        directory: Path,
        nodes: int = 3,
        shards: int = 6,
        replicas: int = 3,
        *,
        restart_s: float | None = 1.0,
        code: Path = ROOT,
        wrapper: Sequence[str] = (),
        constants: Mapping[str, int] | None = None,
    ) -> None:
        self.directory, self.shards, self.replicas = directory, shards, replicas
        self.restart_s, self.code, self.wrapper = restart_s, code, tuple(wrapper)
        self.numbers = list(range(1, nodes + 1))
        self.addresses = dict(zip(self.numbers, (f"{HOST}:{port}" for port in free_ports(nodes)), strict=True))
        home = Home(directory)
        if constants:
            directory.mkdir(parents=True, exist_ok=True)
            home.shape_file.write_text(Shape(nodes, shards, replicas).as_toml())
            home.constants_file.write_text("".join(f"{name} = {value}\n" for name, value in constants.items()))
        home.create(Shape(nodes, shards, replicas), self.addresses)
        self.secret = home.cluster_secret().encode()
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self.unexpected: list[str] = []
        self._expected: set[int] = set()
        self._parting: set[int] = set()
        self._lock = threading.RLock()
        self._ending, self._ended = threading.Event(), threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="restarts", daemon=True)

    def home(self, node: int) -> Path:
        return self.directory / "nodes" / f"n{node}"

    # -- processes
    def wrapper_of(self, node: int) -> Sequence[str]:
        """What this node is started under."""
        return self.wrapper

    def start(self, node: int) -> None:
        """Start one node; does not wait for it."""
        with self._lock:
            command = [*tied_to_us(), *self.wrapper_of(node), sys.executable, "-m", "nodes"]
            command += ["serve", "--config", str(self.home(node) / "config.toml")]
            with (self.home(node) / "log").open("ab") as log:
                environment = {**os.environ, "PYTHONPATH": str(self.code)}
                self.processes[node] = subprocess.Popen(
                    command, cwd=self.code, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            (self.home(node) / "pid").write_text(f"{self.processes[node].pid}\n")

    def start_all(self) -> None:
        for node in self.numbers:
            self.start(node)
        self._watcher.start()

    def join(self, node: int) -> None:
        """Start a node that is no founder: it asks to be let in."""
        address = f"{HOST}:{free_ports(1)[0]}"
        Home(self.directory).create_joining(node, address)
        self.addresses[node] = address
        self.numbers.append(node)
        self.start(node)

    def part(self, node: int) -> None:
        """The node is about to be removed, or is: it need not run, and may end by itself."""
        self._parting.add(node)
        self.numbers.remove(node)
        self.addresses.pop(node)

    def wait_ended(self, node: int, timeout: float = 30) -> int:
        """The exit status of a node that ends by itself; NotReady while it runs on."""
        try:
            return self.processes[node].wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise NotReady(f"n{node} runs on after {timeout} s; see {self.home(node)}/log") from error

    def kill(self, node: int) -> None:
        """kill -9, by the process's own id."""
        with self._lock:
            process = self.processes[node]
            self._expected.add(process.pid)
            process.kill()

    def pause(self, node: int) -> None:
        """SIGSTOP: returns when the kernel has stopped every thread."""
        process = self.processes[node]
        process.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 2
        while _state_of(process.pid) not in "TtZX" and time.monotonic() < deadline:
            time.sleep(0.0005)

    def resume(self, node: int) -> None:
        """SIGCONT."""
        self.processes[node].send_signal(signal.SIGCONT)

    def stop_continue(self, node: int, seconds: float) -> None:
        """Stopped for `seconds`; blocks until it goes on."""
        self.pause(node)
        time.sleep(seconds)
        self.resume(node)

    def alive(self, node: int) -> bool:
        return self.processes[node].poll() is None

    def terminate(self) -> None:
        """End all: SIGTERM, and after 10 s SIGKILL. Whoever runs must end with 0 (or by the signal, just started)."""
        with self._lock:
            self._ending.set()
        running = {node for node in self.processes if self.alive(node)}
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        deadline = time.monotonic() + 10
        for node, process in self.processes.items():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.unexpected.append(f"n{node} did not end within 10 s of SIGTERM")
                process.kill()
                process.wait()
            if node in running and process.returncode not in self._allowed(node):
                self.unexpected.append(
                    f"n{node} ended with {process.returncode} after SIGTERM; see {self.home(node)}/log"
                )
        self._ended.set()

    def _allowed(self, node: int) -> tuple[int, ...]:
        """What a node may end with that was told to."""
        orderly = (0, -signal.SIGTERM, -signal.SIGKILL)
        return (*orderly, MUST_NOT_RUN) if node in self._parting else orderly

    def _watch(self) -> None:
        """Start again what died; keep what died by itself. Ends last: a node is tied to the thread that started it."""
        died: dict[int, float] = {}  # process id -> when it was found dead
        while not self._ending.wait(0.02):
            for node, process in list(self.processes.items()):
                if process.poll() is None:
                    continue
                if process.pid not in died:
                    died[process.pid] = time.monotonic()
                    self._judge_end(node, process)
                elif node in self._parting or self.restart_s is None:
                    continue
                elif time.monotonic() - died[process.pid] >= self.restart_s:
                    del died[process.pid]
                    self._start_again(node)
        self._ended.wait()

    def _start_again(self, node: int) -> None:
        with self._lock:
            if not self._ending.is_set():
                self.start(node)

    def _judge_end(self, node: int, process: subprocess.Popen[bytes]) -> None:
        may_end = node in self._parting and process.returncode == MUST_NOT_RUN
        if process.pid not in self._expected and not may_end:
            self.unexpected.append(f"n{node} ended by itself with {process.returncode}; see {self.home(node)}/log")

    # -- questions
    def endpoints(self) -> str:
        return ",".join(self.addresses.values())

    def client(self, *nodes: int) -> Cluster:
        """A client of all nodes, or of those named alone."""
        chosen = [self.addresses[node] for node in nodes] if nodes else list(self.addresses.values())
        return Cluster.connect(",".join(chosen), secret=self.secret)

    def statistics(self, node: int) -> dict[str, Any]:
        """What one node knows of itself."""
        with self.client(node) as client:
            return client.status(wide=False)

    def status(self) -> dict[str, Any]:
        with self.client() as client:
            return client.status(wide=True)

    def leader_of(self, group: str) -> int:
        """The node that leads `group`; NotReady when none does."""
        leader = next((entry["leader"] for entry in self.status()["groups"] if entry["group"] == group), None)
        if not leader:
            raise NotReady(f"{group} has no leader")
        return number_of(leader)

    def wait_ready(self, timeout: float = 30, *, caught_up: bool = False) -> None:
        """Until every group has a leader, and with `caught_up` every replica has applied what was chosen when this was
        asked (writes go on meanwhile, so a lag of nothing is no measure); NotReady after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        targets: dict[str, int] = {}
        while why := self._unready(caught_up, targets):
            if time.monotonic() > deadline:
                raise NotReady(f"not ready after {timeout} s: {why}; logs are below {self.directory}/nodes")
            time.sleep(0.05)

    def _unready(self, caught_up: bool, targets: dict[str, int]) -> str:
        """Why the cluster is not ready, or ""."""
        dead = [f"n{node}" for node in self.numbers if node not in self.processes or not self.alive(node)]
        if dead:
            return f"{', '.join(dead)} not running"
        try:
            status = self.status()
        except (StoreError, OSError) as error:
            return str(error)
        return unready(status, self.shards, self.replicas if caught_up else 0, targets)


@contextlib.contextmanager
def served(directory: Path, **options: Any) -> Iterator[LocalCluster]:
    """A cluster that is ready; no node may have ended by itself when it is done with. `options` as of LocalCluster."""
    cluster = LocalCluster(directory, **options)
    try:
        cluster.start_all()
        cluster.wait_ready()
        yield cluster
    finally:
        cluster.terminate()
    assert not cluster.unexpected, cluster.unexpected
    shutil.rmtree(directory, ignore_errors=True)


def unready(status: dict[str, Any], shards: int, replicas: int, targets: dict[str, int]) -> str:
    """What is missing in a wide status: a leader, or (`replicas` > 0) replicas that have applied what `targets` asks
    for, which is filled with what is chosen now for groups that it does not name; "" if nothing."""
    groups = {entry["group"]: entry for entry in status["groups"]}
    missing = [f"s{number}" for number in range(shards + 1) if f"s{number}" not in groups]
    leaderless = [name for name, entry in groups.items() if not entry["leader"]]
    if missing or leaderless or "c1" not in groups:
        return f"no leader of {', '.join(missing + leaderless) or 'c1'}"
    for name, entry in groups.items():
        target = targets.setdefault(name, max(replica["chosen_slot"] for replica in entry["replicas"]))
        present = [replica for replica in entry["replicas"] if replica["applied_slot"] >= target]
        if replicas and len(present) < replicas:
            return f"{name} has {len(present)} of {replicas} replicas that keep up"
    return ""


def number_of(node: int | str) -> int:
    """`n2` or 2 -> 2."""
    return int(str(node).removeprefix("n"))


def _state_of(pid: int) -> str:
    """The letter of the process's state, X when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def tied_to_us() -> list[str]:
    """The kernel kills the node when we die, however that comes; util-linux's setpriv sets it and execs."""
    return ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
