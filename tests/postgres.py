"""A real PostgreSQL 15 for tests that compare with it: started once per session in a directory of its own.

It listens on a free port of 127.0.0.1 and ends by its own process id. As root it runs as the user postgres.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BINARIES = Path("/usr/lib/postgresql/15/bin")
STOP_SECONDS = 30


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _as_user() -> list[str]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]


@contextmanager
def server(*settings: str) -> Iterator[str]:
    """A running server's connection string; `settings` are `name=value`. Ended and deleted afterwards."""
    home = Path(tempfile.mkdtemp(prefix="txstore-postgres-"))
    if os.geteuid() == 0:
        shutil.chown(home, "postgres", "postgres")
    data, port = home / "data", _free_port()
    initdb = [BINARIES / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--locale=C", "-E", "UTF8", "-N"]
    options = [f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={home}", "log_min_messages=log",
               "log_checkpoints=off", *settings]  # fmt: skip
    command = [BINARIES / "postgres", "-D", data, *(part for option in options for part in ("-c", option))]
    process: subprocess.Popen[str] | None = None
    try:
        subprocess.run([*_as_user(), *map(str, initdb)], check=True, stdout=subprocess.DEVNULL, cwd=home)
        process = subprocess.Popen(
            [*_as_user(), *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=home
        )
        _wait(process)
        yield f"host=127.0.0.1 port={port} user=postgres dbname=postgres"
    finally:
        if process is not None:
            process.send_signal(signal.SIGINT)  # a fast shutdown, whoever is still connected
            process.communicate(timeout=STOP_SECONDS)
        shutil.rmtree(home, ignore_errors=True)


def _wait(process: subprocess.Popen[str]) -> None:
    """Until the server says that it is ready; it says little else, so that nobody has to read on."""
    assert process.stdout is not None, "its output is a pipe"
    said = []
    for line in process.stdout:
        said.append(line)
        if "ready to accept connections" in line:
            return
    raise RuntimeError("PostgreSQL did not start: " + "".join(said)[-2000:])


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The connection string of a PostgreSQL that is made for speed, not for keeping anything."""
    with server("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=16MB") as address:
        yield address
