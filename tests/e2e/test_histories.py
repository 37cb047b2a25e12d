"""What clients are told while faults of every kind strike is strictly serializable; and the faults are real ones."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from nodes.errors import StoreError
from tests.e2e import histories
from tests.e2e.histories import FaultyCluster
from tests.e2e.proxy import FAIR, Weather
from tests.e2e.test_supervisor import eventually

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyCluster]:
    with histories.faulty_cluster(tmp_path_factory.mktemp("histories") / "home") as started:
        yield started


@pytest.mark.timeout(240)
def test_histories_under_faults_have_no_anomaly(cluster: FaultyCluster) -> None:
    findings = histories.one_round(cluster, clients=2, tell=print)
    print(histories.summary(findings), cluster.proxies.summary(), sep="\n")
    assert histories.failures(findings) == []
    assert len(findings) == 7
    assert {"all", "dropped", "delayed", "repeated"} <= cluster.proxies.counts.keys()
    cluster.wait_ready(60, caught_up=True)


def test_nothing_is_written_while_all_messages_between_nodes_are_dropped(cluster: FaultyCluster) -> None:
    cluster.wait_ready(60)
    with cluster.client() as client:
        client.execute("CREATE TABLE IF NOT EXISTS dropped (id BIGINT PRIMARY KEY)")
        cluster.proxies.weather = Weather(dropped=1.0)
        with pytest.raises(StoreError):
            client.execute("INSERT INTO dropped (id) VALUES (1)", timeout=2)
        cluster.proxies.weather = FAIR
        cluster.wait_ready(60)
        client.execute("INSERT INTO dropped (id) VALUES (2)", timeout=30)
        assert [2] in client.query("SELECT id FROM dropped", timeout=30)


def test_a_node_whose_clock_is_hours_off_serves_with_it(cluster: FaultyCluster) -> None:
    cluster.hours = dict.fromkeys(cluster.numbers, 0) | {2: 3}
    for node in cluster.numbers:
        cluster.kill(node)
    eventually(lambda: is_ahead(cluster, 2) == 3, 60)
    cluster.wait_ready(60)
    assert [round((cluster.statistics(node)["clock_ms"] - time.time() * 1000) / HOUR_MS) for node in (1, 3)] == [0, 0]
    with cluster.client(2) as client:
        client.execute("CREATE TABLE IF NOT EXISTS early (id BIGINT PRIMARY KEY)", timeout=30)
        reply = client.execute_many([("INSERT INTO early (id) VALUES (1)", ())], timeout=30)
    oracle_ms = reply.commit_ts >> 16
    assert abs(oracle_ms - time.time() * 1000) < HOUR_MS, "one clock moves nothing"


def is_ahead(cluster: FaultyCluster, node: int) -> int | None:
    """Hours, None while it does not answer."""
    try:
        return round((cluster.statistics(node)["clock_ms"] - time.time() * 1000) / HOUR_MS)
    except StoreError:
        return None
