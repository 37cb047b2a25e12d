"""Reads of the past: one snapshot of all shards, the same whenever and wherever it is asked for."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from nodes import ids
from nodes.client import Cluster
from nodes.errors import BadRequest, SnapshotTooOld
from tests.e2e.cluster import LocalCluster

ROWS = range(1, 41)
ALL = "SELECT id, value FROM past ORDER BY id"


@pytest.fixture(scope="module")
def times(local_cluster: LocalCluster) -> dict[int, int]:
    """Value -> the timestamp at which all rows got it."""
    with local_cluster.client() as client:
        client.execute("CREATE TABLE past (id BIGINT PRIMARY KEY, value BIGINT NOT NULL)")
        rows = ", ".join(f"({id}, 0)" for id in ROWS)
        made = client.execute_many([(f"INSERT INTO past (id, value) VALUES {rows}", ())])
        found = {0: made.commit_ts}
        for value in range(1, 6):
            found[value] = client.execute_many([("UPDATE past SET value = $1", [value])]).commit_ts
        return found


def all_have(client: Cluster, value: int, as_of: str | int | datetime | timedelta = "") -> bool:
    return list(client.query(ALL, as_of=as_of)) == [[id, value] for id in ROWS]


def test_every_node_gives_the_rows_of_then(local_cluster: LocalCluster, times: dict[int, int]) -> None:
    for node in local_cluster.numbers:
        with local_cluster.client(node) as client:
            for value, ts in times.items():
                assert all_have(client, value, ts)
                assert all_have(client, value, str(ts))
                reply = client.execute_many([(ALL, ()), ("SELECT count(*) FROM past", ())], as_of=ts)
                assert (reply.ts, reply.commit_ts, reply.id) == (ts, 0, "")
            assert all_have(client, 5)
            before = client.query(ALL, as_of=times[0] - 1)
            assert list(before) == []


def test_a_time_of_day_and_how_long_ago(local_cluster: LocalCluster, times: dict[int, int]) -> None:
    with local_cluster.client() as client:
        ends_at = time.monotonic() + 30
        while ids.time_at(client.execute_many([(ALL, ())]).ts) - ids.time_at(times[5]) <= timedelta(milliseconds=1):
            assert time.monotonic() < ends_at, "the oracle's time stands still"  # it goes on with the heartbeats
        now = datetime.now(UTC)
        for as_of in ("-1ms", timedelta(milliseconds=1), now, now.isoformat()):
            assert all_have(client, 5, as_of)


def test_what_is_no_past_is_refused(local_cluster: LocalCluster, times: dict[int, int]) -> None:
    with local_cluster.client() as client:
        for as_of in (datetime.now(UTC) + timedelta(hours=1), 2**63 - 1):
            with pytest.raises(BadRequest, match="only the past"):
                client.query(ALL, as_of=as_of)
        with pytest.raises(BadRequest, match="as_of is 'yesterday'"):
            client.query(ALL, as_of="yesterday")


def test_the_past_is_not_written_to(local_cluster: LocalCluster, times: dict[int, int]) -> None:
    with local_cluster.client() as client:
        for statements in ([("UPDATE past SET value = 9", ())], [(ALL, ()), ("DELETE FROM past", ())]):
            with pytest.raises(BadRequest, match="as_of reads the past") as refusal:
                client.execute_many(statements, as_of="-1s")
            assert refusal.value.info.sqlstate == "25006"
        assert all_have(client, 5)


def test_what_is_not_kept_is_too_old(local_cluster: LocalCluster) -> None:
    with local_cluster.client(2) as client:
        client.execute("CREATE TABLE older (id BIGINT PRIMARY KEY)")
        put_at = client.execute_many([("INSERT INTO older (id) VALUES (1), (2)", ())]).commit_ts
        with pytest.raises(SnapshotTooOld):
            client.query("SELECT * FROM older", as_of="-11m")
        client.execute("ALTER TABLE older ADD COLUMN more BIGINT DEFAULT 7")
        with pytest.raises(SnapshotTooOld):
            client.query("SELECT more FROM older", as_of=put_at)
        assert client.query("SELECT more FROM older ORDER BY id")[:] == [[7], [7]]
        gone_at = client.execute_many([("DROP TABLE older", ())]).commit_ts
        with pytest.raises(BadRequest, match="does not exist"):
            client.query("SELECT * FROM older")
        with pytest.raises(SnapshotTooOld, match="what tables there were"):
            client.query("SELECT * FROM older", as_of=gone_at - 1)
