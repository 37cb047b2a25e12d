"""Follower reads on real processes: the replicas of one node answer while all others stand still."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest

from nodes.client import Cluster
from nodes.errors import BadRequest, Unavailable
from nodes.requests import Reply
from tests.e2e.cluster import LocalCluster

WAIT_S = 30
ROWS = range(1, 41)
ALL = "SELECT id, value FROM near ORDER BY id"


@pytest.fixture(scope="module")
def made_at(local_cluster: LocalCluster) -> int:
    """The token of what put the rows there; they lie on all shards."""
    with local_cluster.client() as client:
        client.execute("CREATE TABLE near (id BIGINT PRIMARY KEY, value BIGINT NOT NULL)")
        rows = ", ".join(f"({id}, 0)" for id in ROWS)
        return client.execute_many([(f"INSERT INTO near (id, value) VALUES {rows}", ())]).session_token


def read(client: Cluster, staleness: float = 300, token: int = 0, timeout: float = WAIT_S) -> Reply:
    return client.execute_many([(ALL, ())], timeout=timeout, max_staleness=staleness, session_token=token)


def until_near(client: Cluster, token: int) -> Reply:
    """Two reads of one timestamp: the leaders read each at a fresh one, so a replica here has answered."""
    ends_at, before = time.monotonic() + WAIT_S, 0
    while time.monotonic() < ends_at:
        reply = read(client, token=token)
        assert reply.ts >= token
        if reply.ts == before:
            return reply
        before = reply.ts
    raise AssertionError(f"no replica answers within {WAIT_S} s")


@contextmanager
def alone(cluster: LocalCluster, node: int) -> Iterator[None]:
    """All other nodes are stopped (SIGSTOP): no group has a majority."""
    others = [number for number in cluster.numbers if number != node]
    for other in others:
        cluster.pause(other)
    try:
        yield
    finally:
        for other in others:
            cluster.resume(other)


@pytest.mark.parametrize("node", [1, 3])
def test_a_node_answers_by_its_replicas_while_all_others_stand_still(
    local_cluster: LocalCluster, made_at: int, node: int
) -> None:
    with local_cluster.client(node) as client, local_cluster.client() as any_node:
        near = until_near(client, made_at)
        value = near.results[0].rows[0][1] + 1
        written = any_node.execute_many([("UPDATE near SET value = $1", [value])])
        with alone(local_cluster, node):
            reply = read(client)
            assert reply.ts >= near.ts
            assert reply.results[0].rows in ([[id, each] for id in ROWS] for each in (value - 1, value))
            with pytest.raises(Unavailable):
                client.query(ALL, timeout=1)
            if reply.ts < written.session_token:  # nothing below the token is served
                with pytest.raises(Unavailable):
                    read(client, token=written.session_token, timeout=1)
        after = read(client, token=written.session_token)
        assert after.ts >= written.session_token
        assert after.results[0].rows == [[id, value] for id in ROWS]


@pytest.mark.parametrize("node", [1, 3])
def test_a_node_reads_a_closed_past_again_while_all_others_stand_still(
    local_cluster: LocalCluster, made_at: int, node: int
) -> None:
    with local_cluster.client(node) as client, local_cluster.client() as any_node:
        near = until_near(client, made_at)
        later = any_node.execute_many([("UPDATE near SET value = value + 1", ())]).commit_ts
        with alone(local_cluster, node):
            again = client.execute_many([(ALL, ())], timeout=WAIT_S, as_of=near.ts)
            assert (again.ts, again.results) == (near.ts, near.results)
            with pytest.raises(Unavailable):
                client.query(ALL, timeout=1, as_of=later + (1 << 20))


def test_what_is_too_old_for_the_caller_is_read_anew(local_cluster: LocalCluster, made_at: int) -> None:
    with local_cluster.client(2) as client:
        until_near(client, made_at)
        with alone(local_cluster, 2):
            time.sleep(1)
            with pytest.raises(Unavailable):
                read(client, staleness=0.5, timeout=1)


def test_a_session_sees_its_own_past_at_every_node(local_cluster: LocalCluster, made_at: int) -> None:
    clients = [local_cluster.client(node) for node in local_cluster.numbers]
    clients[0].execute("CREATE TABLE own (id BIGINT PRIMARY KEY, value BIGINT NOT NULL)")
    clients[0].execute("INSERT INTO own (id, value) VALUES (7, 0), (8, 0)")
    for turn in range(30):
        writer, reader = clients[turn % 3], clients[(turn + 1) % 3]
        token = writer.execute_many([("UPDATE own SET value = $1", [turn])]).session_token
        seen = reader.query("SELECT value FROM own", max_staleness=300, session_token=token)
        assert seen[:] == [[turn], [turn]]
        assert seen.session_token >= token
        now = clients[(turn + 2) % 3].query("SELECT value FROM own WHERE id = 7", session_token=token)
        assert now[0] == [turn]
    for client in clients:
        client.close()


def test_what_does_not_go_with_it_is_refused(local_cluster: LocalCluster, made_at: int) -> None:
    with local_cluster.client() as client:
        with pytest.raises(BadRequest, match="max_staleness_ms reads the past"):
            client.execute_many([("UPDATE near SET value = 9", ())], max_staleness=5)
        with pytest.raises(BadRequest, match="leave one of them out"):
            client.query(ALL, as_of="-1s", max_staleness=5)
        with pytest.raises(BadRequest, match="leave one of them out"):
            client.query(ALL, as_of=made_at - 1, session_token=made_at)
        with pytest.raises(BadRequest, match="max_staleness_ms must lie"):
            client.query(ALL, max_staleness=7_200)
        for sql in (ALL, "UPDATE near SET value = 9"):
            with pytest.raises(BadRequest, match="no token of this cluster"):
                client.execute_many([(sql, ())], session_token=2**63 - 1)
        assert client.query(ALL, as_of=made_at, session_token=made_at).session_token == made_at


def test_a_token_never_goes_back(local_cluster: LocalCluster) -> None:
    """Also by what changes nothing, on a shard that has seen little, and by the repeat of an old key."""
    key = str(uuid4())
    with local_cluster.client() as client:
        client.execute("CREATE TABLE tokens (id BIGINT PRIMARY KEY, value BIGINT NOT NULL)")
        client.execute("INSERT INTO tokens VALUES (1, 0), (2, 0)")
        first = client.execute_many([("UPDATE tokens SET value = value + 1 WHERE id = 1", ())], idempotency_key=key)
        token = client.execute_many([("UPDATE tokens SET value = value + 1 WHERE id = 2", ())]).session_token
        for id in ROWS:
            nothing = client.execute_many(
                [("UPDATE tokens SET value = 0 WHERE id = $1 AND value < 0", [id])], session_token=token
            )
            assert nothing.session_token >= token
        again = client.execute_many(
            [("UPDATE tokens SET value = value + 1 WHERE id = 1", ())], idempotency_key=key, session_token=token
        )
        assert (again.repeated, again.commit_ts) == (True, first.commit_ts)
        assert again.session_token >= token
