"""Whatever the API's own document allows or forbids to send, the answer is one that it describes, and never a fault.

TXSTORE_FUZZ_S is the time to spend, in seconds (25): longer runs find more.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import ROOT, LocalCluster
from tests.e2e.logs import faults
from tests.e2e.rest import Door
from tests.e2e.test_supervisor import eventually
from tests.e2e.web import WebServer

SECONDS = int(os.environ.get("TXSTORE_FUZZ_S", "25"))


@pytest.fixture(scope="module")
def web(local_cluster: LocalCluster) -> Iterator[WebServer]:
    server = WebServer(local_cluster)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def fuzz(web: WebServer, folder: Path, seconds: int) -> subprocess.CompletedProcess[str]:
    """One run of schemathesis in `folder` against the server, from the document that it publishes."""
    settings = ROOT / "tests" / "e2e" / "fuzz" / "schemathesis.toml"
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings), "run"]
    command += [f"http://{web.address}/api/schema/", "--header", f"Authorization: Bearer {web.token}"]
    command += ["--checks", "all", "--max-time", str(seconds), "--no-color"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=seconds + 120)


@pytest.mark.timeout(SECONDS + 240)
def test_every_answer_is_one_that_the_document_describes(
    web: WebServer, local_cluster: LocalCluster, tmp_path: Path
) -> None:
    door = Door(web.address, web.token)
    columns = "b BIGINT NOT NULL CHECK (b >= 0), n TEXT, d DOUBLE PRECISION, y BYTEA, u UUID"
    create = f"CREATE TABLE fuzzed (id BIGINT PRIMARY KEY, {columns}, z TIMESTAMPTZ DEFAULT now())"
    assert door.transact((create, [])).status == 200
    run = fuzz(web, tmp_path, SECONDS)
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-5_000:]
    # schemathesis leaves out the address of the document itself.
    described = sum(map(len, door.ask("GET", "/api/schema/").body["paths"].values())) - 1
    assert f"Tested: {described}\n" in run.stdout, run.stdout[-5_000:]
    assert faults(local_cluster.directory) == []
    assert door.ask("GET", "/api/v1/tables/fuzzed").status == 200
    eventually(lambda: door.ask("GET", "/api/v1/cluster").body["in_doubt"]["count"] == 0)


def test_a_trace_in_a_log_is_found(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "nodes" / "n1").mkdir(parents=True)
    (tmp_path / "logs" / "web").write_text("[INFO] Started worker-1\n")
    (tmp_path / "nodes" / "n1" / "log").write_text("INFO n1 listens\nTraceback (most recent call last):\n  File\n")
    assert faults(tmp_path) == ["nodes/n1/log: Traceback (most recent call last):"]
    (tmp_path / "nodes" / "n1" / "log").write_text("INFO n1 listens\n")
    assert faults(tmp_path) == []
