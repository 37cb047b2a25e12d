"""What `make up` starts: the nodes, the web server, a Celery worker and beat, on this machine, on one home.

It decides from the environment what is wanted, refuses what does not fit before anything is changed, prepares the
home and hands the programs to the supervisor.

*Invariants*: one `up` per home (a lock on `up.pid`, which the kernel gives back whatever ends the process); a home
keeps the shape it was made with; all of it listens on 127.0.0.1.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from http.client import HTTPException
from typing import TextIO
from urllib.request import urlopen

from txstore.home import PROJECT, Home, HomeError, Shape
from txstore.supervisor import Program

ENGINES = ("sqlite",)
NODES_MAX, SHARDS_MAX, PORT_MAX = 5, 999, 65_535
FIRST_NODE_PORT = 7101
# Ports of a home whose `up` was killed a moment ago are free at once, but not in the same instant.
PORT_GRACE_S = 1.0
BACK_OFF_S_MAX = 30.0
MUST_NOT_RUN = 3  # the exit status of a node that was removed from its cluster, or is a stranger in it
# They tell a program that is started alone where its cluster is; `up` makes a cluster of its own.
FOR_LONE_PROGRAMS = ("TXSTORE_NODES_AT", "TXSTORE_SECRETS")


@dataclass(frozen=True)
class Wish:
    """What the environment asks for; `restart_s` None: a node that ended stays down."""

    shape: Shape
    web_port: int
    node_port: int
    restart_s: float | None

    def addresses(self) -> dict[int, str]:
        return {node: f"127.0.0.1:{self.node_port + node - 1}" for node in range(1, self.shape.nodes + 1)}


def wish_from(environment: Mapping[str, str], home: Home) -> Wish:
    """Read and check the variables. A count that is not named is the home's own, or the default for a new home."""
    for name in FOR_LONE_PROGRAMS:
        if environment.get(name):
            raise HomeError(f"{name} is for programs that are started one by one; up starts its own nodes: unset it.")
    kept = home.shape() if home.exists() else Shape()
    nodes = _whole(environment, "TXSTORE_NODES", kept.nodes, 1, NODES_MAX)
    shape = Shape(
        nodes=nodes,
        shards=_whole(environment, "TXSTORE_SHARDS", kept.shards, 1, SHARDS_MAX),
        replicas=_whole(environment, "TXSTORE_REPLICAS", kept.replicas, 1, NODES_MAX),
        engine=environment.get("TXSTORE_ENGINE") or kept.engine,
    )
    _refuse_shape(shape, kept, home)
    return Wish(
        shape=shape,
        web_port=_whole(environment, "TXSTORE_WEB_PORT", 8000, 1, PORT_MAX),
        node_port=_whole(environment, "TXSTORE_NODE_PORT", FIRST_NODE_PORT, 1, PORT_MAX - nodes + 1),
        restart_s=_restart_s(environment.get("TXSTORE_RESTART_S") or "1"),
    )


def _whole(environment: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isascii() or not text.isdecimal() or not low <= int(text) <= high:
        raise HomeError(f"{name} is a whole number from {low} to {high}, not {text!r}.")
    return int(text)


def _restart_s(text: str) -> float | None:
    if text == "never":
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise HomeError(f"TXSTORE_RESTART_S is a number of seconds from 0 to 3600, or never, not {text!r}.")
    return seconds


def _refuse_shape(shape: Shape, kept: Shape, home: Home) -> None:
    if shape.engine not in ENGINES:
        raise HomeError(f"TXSTORE_ENGINE is one of: {', '.join(ENGINES)}; not {shape.engine!r}.")
    if home.exists():
        for field in fields(Shape):
            asked, has = getattr(shape, field.name), getattr(kept, field.name)
            if asked != has:
                variable = f"TXSTORE_{field.name.upper()}"
                raise HomeError(f"{variable} is {asked}, but the home {home.path} was made with {has}.")
    if shape.replicas > shape.nodes:
        raise HomeError(
            f"TXSTORE_REPLICAS is {shape.replicas}, but there are only {shape.nodes} nodes (TXSTORE_NODES)"
            " and no node holds two replicas of a group."
        )


def refuse_ports(wish: Wish) -> None:
    """HomeError when a port is asked for twice or taken."""
    wanted = {wish.node_port + n: f"TXSTORE_NODE_PORT, node n{n + 1}" for n in range(wish.shape.nodes)}
    if wish.web_port in wanted:
        raise HomeError(f"Port {wish.web_port} is asked for twice: TXSTORE_WEB_PORT and {wanted[wish.web_port]}.")
    deadline = time.monotonic() + PORT_GRACE_S
    for port, whose in {wish.web_port: "TXSTORE_WEB_PORT", **wanted}.items():
        while not is_free(port):
            if time.monotonic() > deadline:
                raise HomeError(f"Port {port} of 127.0.0.1 is taken by another program ({whose}).")
            time.sleep(0.05)


def is_free(port: int) -> bool:
    """Can 127.0.0.1:`port` be listened on? HomeError when this user may not."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError as error:
            raise HomeError(f"Port {port} may not be opened by this user.") from error
        except OSError:
            return False
        return True


def lock(home: Home) -> TextIO:
    """Take the home for this process; the lock holds while the file that is returned stays open."""
    home.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = home.pid_file.open("a+")
    _refuse_running(home, file)
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def refuse_running(home: Home) -> None:
    """HomeError, naming the pid, while another `up` has the home. Changes nothing."""
    if home.pid_file.exists():
        with home.pid_file.open("r+") as file:
            _refuse_running(home, file)


def _refuse_running(home: Home, file: TextIO) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        raise HomeError(f"txstore already runs on {home.path}, as process {file.read().strip()}.") from error


def programs(home: Home, wish: Wish) -> list[Program]:
    """Every program of the cluster, the nodes first."""
    nodes = [*wish.addresses(), *home.joining_nodes()]
    return [*(_node(home, number, wish.restart_s) for number in nodes), *_front(home)]


def _node(home: Home, number: int, restart_s: float | None) -> Program:
    folder = home.node_folder(number)
    command = [sys.executable, "-m", "nodes", "serve", "--config", str(home.node_config(number))]
    return Program(f"n{number}", command, folder / "log", folder / "pid", restart_s, restart_s or 0.0, MUST_NOT_RUN)


def _front(home: Home) -> list[Program]:
    celery = [sys.executable, "-m", "celery", "--app", "txstore.celery"]
    commands = {
        "web": [sys.executable, "-m", "txstore.web"],
        # Threads: a pool of processes would outlive a worker that is killed.
        "worker": [*celery, "worker", "--pool=threads", "--concurrency=4", "--without-gossip", "--without-mingle"],
        "beat": [*celery, "beat", "--pidfile="],
    }
    return [
        Program(name, command, home.log_file(name), restart_s=1.0, restart_s_max=BACK_OFF_S_MAX)
        for name, command in commands.items()
    ]


def environment_for(home: Home, wish: Wish, inherited: Mapping[str, str]) -> dict[str, str]:
    """What the programs inherit: the caller's environment, with this home and the ports named outright."""
    paths = [str(PROJECT), *filter(None, [inherited.get("PYTHONPATH")])]
    return {
        **inherited,
        "DJANGO_SETTINGS_MODULE": "txstore.settings",
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "TXSTORE_HOME": str(home.path),
        "TXSTORE_WEB_PORT": str(wish.web_port),
    }


def is_ready(web_port: int, timeout_s: float) -> bool:
    """Does the web server say that every group has a leader? False for every other answer, and for none."""
    try:
        with urlopen(f"http://127.0.0.1:{web_port}/readyz", timeout=timeout_s) as response:
            return bool(response.status == 200)
    except (OSError, HTTPException):
        return False


class Welcome:
    """Says once that the cluster is ready, and what to do with it; says what it waits for while it is not."""

    POLL_S, PATIENCE_S = 0.2, 30.0

    def __init__(self, home: Home, wish: Wish, is_ready: Callable[[], bool], tell: Callable[[str], None]) -> None:
        self._home, self._wish, self._is_ready, self._tell = home, wish, is_ready, tell
        self._said = False
        self._impatient_at = time.monotonic() + self.PATIENCE_S

    def each_turn(self) -> float:
        """The seconds until it wants another turn."""
        if self._said:
            return 3600.0
        if self._is_ready():
            self._said = True
            self._tell(welcome(self._home, self._wish.web_port))
        elif time.monotonic() > self._impatient_at:
            self._impatient_at += self.PATIENCE_S
            self._tell(
                f"Not ready yet: http://127.0.0.1:{self._wish.web_port}/readyz and the logs in {self._home.path}"
            )
        return self.POLL_S


def welcome(home: Home, web_port: int) -> str:
    url = f"http://127.0.0.1:{web_port}"
    return (
        f"txstore is ready at {url}/ (API: {url}/api/v1/); Ctrl-C ends it.\n"
        f"The password of the user admin is in {home.admin_password_file}\n"
        f'  curl -H "Authorization: Bearer $(cat {home.api_token_file})" {url}/api/v1/cluster'
    )
