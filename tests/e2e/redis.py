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


class Redis:
    """A server that keeps nothing on disk; it may be killed and started again at the same `url`."""

    def __init__(self, folder: str) -> None:
        (self._port,) = free_ports(1)
        self.url = f"redis://{HOST}:{self._port}/0"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ["--port", str(self._port), "--bind", HOST, "--dir", self._folder, "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen([*tied_to_us(), "redis-server", *options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError("redis-server does not answer")
            time.sleep(0.05)

    def kill(self) -> None:
        assert self._process is not None, "it was started"
        self._process.kill()
        self._process.wait(30)

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection((HOST, self._port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16) == b"+PONG\r\n"
        return False


@contextmanager
def redis_server() -> Iterator[Redis]:
    """A running server, ended and deleted afterwards."""
    folder = tempfile.mkdtemp(prefix="txstore-redis-")
    server = Redis(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder)
