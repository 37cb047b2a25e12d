"""The web server on a cluster's home, as `up` starts it, and a client of its REST verbs."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from typing import Any

from nodes.errors import HAPPENED, UNKNOWN
from tests.e2e import proof
from tests.e2e.cluster import HOST, ROOT, LocalCluster, free_ports, tied_to_us
from txstore.home import Home

PATH = "/api/v1/transactions"
PATIENCE_S = 30.0


class RestError(Exception):
    """An answer that is not the one hoped for, or none."""


class RestClient:
    """One client of the REST verbs at `address`, on one connection; used by one thread."""

    def __init__(self, address: str, token: str) -> None:
        self._address, self._token = address, token
        self._connection: http.client.HTTPConnection | None = None

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, str], Any]:
        """(status, headers, JSON); RestError when the connection broke or the answer is no JSON."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._address, timeout=PATIENCE_S)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        try:
            self._connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = self._connection.getresponse()
            return response.status, dict(response.headers), json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise RestError(f"{method} {path}: {type(error).__name__}: {error}") from error

    def transact(self, statements: list[tuple[str, list[int]]], timeout_ms: int) -> tuple[str, str, str, int, str]:
        """(answer, fate or "" to be asked for, transaction, commit_ts, why) in words of `proof`."""
        listed = [{"sql": sql, "params": params, "expect_rows": 1} for sql, params in statements]
        try:
            status, headers, body = self.send("POST", PATH, {"statements": listed, "timeout_ms": timeout_ms})
        except RestError as error:
            return proof.UNKNOWN, proof.UNNAMED, "", 0, str(error)
        if status == 200:
            return proof.COMMITTED, "", body["id"], int(body["commit_ts"] or 0), ""
        named = str(body.get("transaction") or headers.get("Location", "").rpartition("/")[2])
        why = f"{status} {body.get('code')}: {body.get('detail')}"
        if body.get("outcome") == HAPPENED:
            return proof.COMMITTED, "", named, 0, why
        if body.get("outcome") == UNKNOWN:
            return proof.UNKNOWN, "" if named else proof.UNNAMED, named, 0, why
        return proof.REFUSED, "", named, 0, why

    def fate(self, transaction: str, fence: bool) -> str:
        """The state of a transaction; RestError: ask again."""
        method, path = ("POST", f"{PATH}/{transaction}/fence") if fence else ("GET", f"{PATH}/{transaction}")
        status, _, body = self.send(method, path)
        if status != 200:
            raise RestError(f"{method} {path}: {status} {body.get('detail')}")
        return str(body["state"])

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class WebServer:
    """granian with the project's WSGI application on the cluster's home; `settings` are environment variables."""

    def __init__(self, cluster: LocalCluster, **settings: str) -> None:
        self.address = f"{HOST}:{free_ports(1)[0]}"
        self.token = Home(cluster.directory).api_token()
        self.password = Home(cluster.directory).admin_password()  # of the user admin
        self.log = Home(cluster.directory).log_file("web")
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "txstore.settings",
            "TXSTORE_HOME": str(cluster.directory),
            "TXSTORE_WEB_PORT": self.address.rpartition(":")[2],
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def manage(self, *arguments: str) -> str:
        """What `manage.py` prints, on this server's home."""
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        ended = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 0, ended
        return ended.stdout

    def start(self, timeout: float = 30) -> None:
        """Prepare Django's database, start the server and wait until it answers."""
        self.manage("prepare")
        with self.log.open("ab") as log:
            command = [*tied_to_us(), sys.executable, "-m", "txstore.web"]
            self._process = subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=log, stderr=log)
        deadline = time.monotonic() + timeout
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the web server does not answer; see {self.log}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(self.address, timeout=1)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        return False

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
