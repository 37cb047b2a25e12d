"""Two web servers count a caller's requests together in Redis; without Redis nobody is limited."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import HOST, LocalCluster, free_ports, tied_to_us
from tests.e2e.logs import faults
from tests.e2e.rest import Door, check_problem
from tests.e2e.test_supervisor import eventually
from tests.e2e.web import WebServer


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A Redis server without a file, and its URL."""
    (port,), folder = free_ports(1), tmp_path_factory.mktemp("redis")
    options = ["--bind", HOST, "--port", str(port), "--save", "", "--dir", str(folder), "--logfile", "log"]
    server = subprocess.Popen([*tied_to_us(), "redis-server", *options])
    eventually(lambda: "Ready to accept connections" in _text(folder / "log"))
    yield server, f"redis://{HOST}:{port}/0"
    server.kill()
    server.wait()


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def test_one_count_for_all_servers_as_long_as_there_is_redis(
    local_cluster: LocalCluster, redis: tuple[subprocess.Popen[bytes], str]
) -> None:
    server, url = redis
    settings = {"TXSTORE_CACHE_URL": url, "TXSTORE_THROTTLE_QUESTIONS": "20/day"}
    webs = [WebServer(local_cluster, **settings) for _ in range(2)]
    try:
        for web in webs:
            web.start()
        first, second = (Door(web.address, web.token) for web in webs)
        statuses = [door.ask("GET", "/api/v1/shards").status for _ in range(10) for door in (first, second)]
        assert statuses == [200] * 20
        for door in (first, second):
            check_problem(door.ask("GET", "/api/v1/shards"), 429, "too_many_requests")
        server.kill()
        for door in (first, second):
            assert [door.ask("GET", "/api/v1/shards").status for _ in range(3)] == [200] * 3
        assert "nobody is limited" in webs[0].log.read_text()
    finally:
        for web in webs:
            web.stop()
    assert faults(local_cluster.directory) == []
