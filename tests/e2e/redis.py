"""A real Redis for the tests that need one: on a free port, in a directory of its own, ended by its own process id."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.e2e.cluster import HOST, free_ports, tied_to_us


@contextmanager
def redis_server() -> Iterator[str]:
    """The URL of a running server that keeps nothing on disk."""
    folder, (port,) = tempfile.mkdtemp(prefix="txstore-redis-"), free_ports(1)
    options = ["--port", str(port), "--bind", HOST, "--dir", folder, "--save", "", "--appendonly", "no"]
    process = subprocess.Popen([*tied_to_us(), "redis-server", *options], stdout=subprocess.DEVNULL)
    try:
        _wait(process, port)
        yield f"redis://{HOST}:{port}/0"
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder)


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection((HOST, port), 1) as connection:
            connection.sendall(b"PING\r\n")
            if connection.recv(16) == b"+PONG\r\n":
                return
        time.sleep(0.05)
    raise RuntimeError("redis-server does not answer")
