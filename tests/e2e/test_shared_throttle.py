"""Two web servers count a caller's requests together in Redis; without Redis nobody is limited."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.cluster import LocalCluster
from tests.e2e.logs import faults
from tests.e2e.redis import Redis, redis_server
from tests.e2e.rest import Door, check_problem
from tests.e2e.web import WebServer


@pytest.fixture
def redis() -> Iterator[Redis]:
    with redis_server() as server:
        yield server


def test_one_count_for_all_servers_as_long_as_there_is_redis(local_cluster: LocalCluster, redis: Redis) -> None:
    settings = {"TXSTORE_CACHE_URL": redis.url, "TXSTORE_THROTTLE_QUESTIONS": "20/day"}
    webs = [WebServer(local_cluster, **settings) for _ in range(2)]
    try:
        for web in webs:
            web.start()
        first, second = (Door(web.address, web.token) for web in webs)
        statuses = [door.ask("GET", "/api/v1/shards").status for _ in range(10) for door in (first, second)]
        assert statuses == [200] * 20
        for door in (first, second):
            check_problem(door.ask("GET", "/api/v1/shards"), 429, "too_many_requests")
        redis.kill()
        for door in (first, second):
            assert [door.ask("GET", "/api/v1/shards").status for _ in range(3)] == [200] * 3
        assert "nobody is limited" in webs[0].log.read_text()
    finally:
        for web in webs:
            web.stop()
    assert faults(local_cluster.directory) == []
