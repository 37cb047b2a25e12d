"""Transfers over REST, on the web server as `up` runs it: into our cluster, and beside it two peers on the same server.

`rest-nothing` is what the server, Django and its middleware cost by themselves; `rest-2pc` moves the money by psycopg
two-phase commit over two PostgreSQL servers. A client is a thread with a kept connection, one request after the other.
"""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from random import Random
from typing import Any

from benchmarks import postgres
from benchmarks.store import Store, draw_transfer
from benchmarks.web import Web
from nodes.requests import Request
from txstore.home import Home, Shape

PEER_SETTINGS = "benchmarks.rest_settings"


class RestStore(Store):
    """Our cluster with its web server."""

    name = "rest-txstore"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, replicas=3, multiplexed=False)
        self.name = RestStore.name
        self.web = Web(directory)

    def start(self) -> None:
        super().start()
        self.web.start()

    def arguments(self) -> dict[str, Any]:
        return self.web.arguments("/api/v1/transactions", "statements")

    def stop(self) -> None:
        self.web.stop()
        super().stop()


class RestPeer:
    """A web server with the peers' views, and `servers` for the one that moves money."""

    def __init__(self, directory: Path, servers: postgres.Servers | None) -> None:
        self.name, self.servers, self.is_durable = "rest-2pc" if servers else "rest-nothing", servers, bool(servers)
        Home(directory / "home").create(Shape(), {})
        dsns = json.dumps([server.dsn for server in servers.servers] if servers else [])
        self.web = Web(directory / "home", DJANGO_SETTINGS_MODULE=PEER_SETTINGS, TXSTORE_BENCH_DSNS=dsns)

    def start(self) -> None:
        if self.servers:
            self.servers.start()
        self.web.start()

    def load(self, rows: int, balance: int) -> None:
        if self.servers:
            self.servers.load(rows, balance)

    def total(self) -> int:
        return self.servers.total() if self.servers else 0

    def facts(self) -> dict[str, Any]:
        return self.servers.facts() if self.servers else {}

    def counters(self) -> dict[str, int]:
        return self.servers.counters() if self.servers else {"fsyncs": 0}

    def arguments(self) -> dict[str, Any]:
        return (
            self.web.arguments("/transfer", "transfer")
            if self.servers
            else self.web.arguments("/nothing", "statements")
        )

    def stop(self) -> None:
        self.web.stop()
        if self.servers:
            self.servers.stop()


def connect(arguments: dict[str, Any], clients: int, rows: int, process: str) -> list[Transfers]:
    """The clients of one process."""
    return [Transfers(arguments, rows, Random(f"{process}-{client}")) for client in range(clients)]


class Transfers:
    """One client."""

    PATIENCE_S = 15.0

    def __init__(self, arguments: dict[str, Any], rows: int, rng: Random) -> None:
        self.connection = http.client.HTTPConnection(arguments["address"], timeout=self.PATIENCE_S)
        self.headers = {"Authorization": f"Bearer {arguments['token']}", "Content-Type": "application/json"}
        self.path, self.shape, self.rows, self.rng = arguments["path"], arguments["shape"], rows, rng

    def transfer(self) -> None:
        """RuntimeError for an answer that is not 200."""
        self.connection.request("POST", self.path, json.dumps(self._body()), self.headers)
        response = self.connection.getresponse()
        text = response.read()
        if response.status != 200:
            raise RuntimeError(f"{response.status}: {text.decode()[:200]}")

    def _body(self) -> dict[str, Any]:
        if self.shape == "transfer":
            source, target = postgres.draw_accounts(self.rows, self.rng)
            return {"source": source, "target": target}
        return {"statements": _as_json(draw_transfer(self.rows, self.rng))}

    def close(self) -> None:
        self.connection.close()


def _as_json(request: Request) -> list[dict[str, Any]]:
    return [{"sql": each.sql, "params": each.params, "expect_rows": each.expect_rows} for each in request.statements]
