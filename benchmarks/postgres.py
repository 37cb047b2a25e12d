"""The peer: two unreplicated PostgreSQL servers, started here with durable settings, and two-phase commit by psycopg.

Accounts with odd ids live on the first server, even ids on the second. A transfer works on the servers in a fixed
order, as who knows the trap would do it: two servers cannot see a deadlock between them.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

import psycopg

BINARIES = Path(os.environ.get("TXSTORE_POSTGRES_BIN", "/usr/lib/postgresql/15/bin"))
SERVERS = 2
SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_prepared_transactions": "200",
    "max_connections": "200",
    "shared_buffers": "128MB",
}
READ_BACK = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "max_prepared_transactions",
             "wal_sync_method", "shared_buffers")  # fmt: skip
DEBIT = "UPDATE accounts SET balance = balance - %s WHERE id = %s AND balance >= %s"
CREDIT = "UPDATE accounts SET balance = balance + %s WHERE id = %s"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def as_postgres(command: list[str]) -> list[str]:
    """PostgreSQL refuses to run as root: then it runs as the user that its package made."""
    if os.geteuid() != 0:
        return command
    user = pwd.getpwnam("postgres")
    identity = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return ["setpriv", *identity, "--", *command]


class Server:
    """One PostgreSQL server in `directory`, from `start` to `stop`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def dsn(self) -> str:
        return f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres"

    def start(self) -> None:
        self._initialise()
        log = (self.directory / "log").open("ab")
        command = as_postgres([str(BINARIES / "postgres"), "-D", str(self.directory / "data")])
        self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.directory)
        log.close()
        self._wait_ready(30)

    def _initialise(self) -> None:
        self.directory.mkdir(parents=True)
        if os.geteuid() == 0:
            shutil.chown(self.directory, "postgres", "postgres")
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"]
        command = [str(BINARIES / "initdb"), "-D", str(self.directory / "data"), *options]
        ended = subprocess.run(as_postgres(command), capture_output=True, text=True, cwd=self.directory)
        if ended.returncode != 0:
            raise RuntimeError(f"initdb ended with {ended.returncode}: {ended.stderr[-2000:]}")
        lines = "".join(f"{name} = {value}\n" for name, value in {**SETTINGS, "port": str(self.port)}.items())
        with (self.directory / "data" / "postgresql.conf").open("a") as file:
            file.write(lines)

    def _wait_ready(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            assert self.process is not None, "the server was started"
            if self.process.poll() is not None:
                raise RuntimeError(f"PostgreSQL ended: {(self.directory / 'log').read_text()[-2000:]}")
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.dsn, connect_timeout=2).close()
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"PostgreSQL on port {self.port} did not answer within {timeout} s")
            time.sleep(0.1)

    def settings(self) -> dict[str, str]:
        """What the running server says of itself."""
        with psycopg.connect(self.dsn) as connection:
            return {name: _one(connection, f"SHOW {name}") for name in READ_BACK}

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Servers:
    """Both servers with their accounts: one subject of the benchmark."""

    name, replicas, is_durable = "postgres-2pc", 1, True

    def __init__(self, directory: Path) -> None:
        self.servers = [Server(directory / f"p{number}") for number in range(1, SERVERS + 1)]

    def start(self) -> None:
        for server in self.servers:
            server.start()

    def load(self, rows: int, balance: int) -> None:
        for index, server in enumerate(self.servers):
            fill(server, range(1 + index, rows + 1, SERVERS), balance)

    def total(self) -> int:
        return count_money(self.servers)

    def facts(self) -> dict[str, Any]:
        return settings_of(self.servers)

    def counters(self) -> dict[str, int]:
        return syncs_of(self.servers)

    def arguments(self) -> dict[str, Any]:
        """What a client process needs to connect."""
        return {"module": "postgres", "dsns": [server.dsn for server in self.servers]}

    def stop(self) -> None:
        for server in self.servers:
            server.stop()


def fill(server: Server, accounts: Iterable[int], balance: int) -> None:
    """Make the table and these accounts."""
    with psycopg.connect(server.dsn) as connection:
        connection.execute("CREATE TABLE accounts (id INT PRIMARY KEY, balance BIGINT NOT NULL)")
        with connection.cursor().copy("COPY accounts FROM STDIN") as copy:
            for account in accounts:
                copy.write_row((account, balance))
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE accounts")


def count_money(servers: Iterable[Server]) -> int:
    """On all of them."""
    return sum(_ask(server, "SELECT sum(balance) FROM accounts") for server in servers)


def settings_of(servers: Iterable[Server]) -> dict[str, Any]:
    return {"servers": [server.settings() for server in servers], "replicas": 1}


def syncs_of(servers: Iterable[Server]) -> dict[str, int]:
    """WAL syncs since the start, over all servers."""
    return {"fsyncs": sum(_ask(server, "SELECT wal_sync FROM pg_stat_wal") for server in servers)}


def _ask(server: Server, query: str) -> int:
    with psycopg.connect(server.dsn) as connection:
        return int(_one(connection, query))


def _one(connection: psycopg.Connection[Any], query: Any) -> Any:
    row = connection.execute(query).fetchone()
    assert row is not None, "one row is asked for"
    return row[0]


def draw_accounts(rows: int, rng: Random) -> tuple[int, int]:
    """(source, target): one account of each server, either way."""
    odd = rng.randrange(0, rows, SERVERS) + 1
    even = rng.randrange(0, rows, SERVERS) + 2
    return (odd, even) if rng.random() < 0.5 else (even, odd)


class TwoPhase:
    """A connection to each server, and transfers over both; `name` is nobody else's."""

    def __init__(self, dsns: list[str], name: str) -> None:
        self.connections = [psycopg.connect(dsn) for dsn in dsns]
        self.name, self.number = name, 0

    def move(self, source: int, target: int) -> None:
        """One unit; the accounts lie on different servers."""
        self.number += 1
        for account in sorted((source, target), key=_server):
            self._prepare(_server(account), account, account == source)
        for connection in self.connections:
            connection.tpc_commit()

    def _prepare(self, index: int, account: int, debits: bool) -> None:
        connection = self.connections[index]
        connection.tpc_begin(connection.xid(1, f"{self.name}-{self.number}", str(index)))
        if debits:
            cursor = connection.execute(DEBIT, (1, account, 1))
        else:
            cursor = connection.execute(CREDIT, (1, account))
        if cursor.rowcount != 1:
            raise RuntimeError(f"account {account} was not there or empty")
        connection.tpc_prepare()

    def close(self) -> None:
        for connection in self.connections:
            connection.close()


def _server(account: int) -> int:
    """0: odd accounts, 1: even ones."""
    return (account + 1) % SERVERS


class Transfers(TwoPhase):
    """One client: one transfer after the other."""

    def __init__(self, dsns: list[str], rows: int, name: str, rng: Random) -> None:
        super().__init__(dsns, name)
        self.rows, self.rng = rows, rng

    def transfer(self) -> None:
        self.move(*draw_accounts(self.rows, self.rng))


def connect(arguments: dict[str, Any], clients: int, rows: int, process: str) -> list[Transfers]:
    """The clients of one process."""
    names = [f"{process}-{client}" for client in range(clients)]
    return [Transfers(arguments["dsns"], rows, name, Random(name)) for name in names]
