"""Idempotency keys on real processes: races, gateways killed at every step, everything killed, other requests, fences.

A request here raises one shard's counter and writes the ledger on another, so that a second commit would be seen twice
(case P28).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

import pytest

from nodes import ids
from nodes.client import Cluster
from nodes.client.connection import Connection
from nodes.client.threads import Threads, run
from nodes.errors import UNKNOWN, ConstraintViolation, KeyReused, NotFound, StoreError, TransactionAborted, Unavailable
from nodes.requests import ABORTED, COMMITTED, Reply, Request, Statement
from nodes.wire.codec import Codec
from nodes.wire.protocol import Call, Done, Failed, FromClient, Named, ToClient
from tests.e2e import bank
from tests.e2e.cluster import LocalCluster

WAIT_S = 30.0
RACES = 20
INSERT = "INSERT INTO notes (id, words) VALUES ($1, $2)"

codec: Codec[ToClient] = Codec(ToClient)
questions: Codec[FromClient] = Codec(FromClient)


@pytest.fixture(scope="module", autouse=True)
def tables(local_cluster: LocalCluster) -> None:
    with local_cluster.client() as client:
        bank.create(client, local_cluster.shards)
        client.execute("CREATE TABLE notes (id BIGINT PRIMARY KEY, words TEXT NOT NULL)")


@contextmanager
def clients(cluster: LocalCluster) -> Iterator[list[Cluster]]:
    """One for each node alone."""
    made = [cluster.client(node) for node in cluster.numbers]
    try:
        yield made
    finally:
        for each in made:
            each.close()


def counting(cluster: LocalCluster, key: str, timeout_ms: int = 10_000) -> Request:
    """Raises the counters of two shards."""
    rows = sorted(bank.counter_ids(cluster.shards).values())[:2]
    return Request([Statement(bank.COUNT_UP, [row], 1) for row in rows], timeout_ms, key=key)


def counted(client: Cluster) -> list[int]:
    return [value for _, value in client.query(f"{bank.READ_COUNTERS} ORDER BY id")][:2]


def new_key() -> str:
    return str(uuid4())


def must_have_happened_once(client: Cluster, before: list[int], replies: list[Reply]) -> None:
    """All that were told of it were told the same, which is what the rows say."""
    assert counted(client) == [value + 1 for value in before]
    assert len({(reply.id, reply.commit_ts) for reply in replies}) == 1
    for reply in replies:
        assert reply.results_lost or [result.rows[0][0] for result in reply.results] == [v + 1 for v in before]


def until_answered(client: Cluster, request: Request) -> Reply:
    """Sent again under its key until somebody says what holds for good."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            return client.submit(request)
        except StoreError as error:
            is_final = not error.info.retryable and error.info.outcome != UNKNOWN
            if is_final or time.monotonic() > deadline:
                raise


# -- one request, sent more than once


def test_a_repeat_is_told_what_the_first_one_was(local_cluster: LocalCluster, client: Cluster) -> None:
    before, request = counted(client), counting(local_cluster, new_key())
    first, second = client.submit(request), client.submit(request)
    assert (first.repeated, second.repeated, second.shards) == (False, True, first.shards)
    must_have_happened_once(client, before, [first, second])


def test_a_race_on_three_nodes_is_won_by_one(local_cluster: LocalCluster, client: Cluster) -> None:
    with clients(local_cluster) as each:
        for _ in range(RACES):
            before, request = counted(client), counting(local_cluster, new_key())
            with ThreadPoolExecutor(len(each)) as threads:
                replies = list(threads.map(partial(until_answered, request=request), each))
            assert [reply.repeated for reply in replies].count(False) == 1, replies
            must_have_happened_once(client, before, replies)


def test_a_repeated_insert_is_no_violation_of_its_own_key(client: Cluster) -> None:
    key = new_key()
    client.execute(INSERT, [1, "first"], idempotency_key=key)
    reply = client.execute_many([(INSERT, [1, "first"])], idempotency_key=key)
    assert (reply.repeated, reply.results[0].row_count) == (True, 1)
    with pytest.raises(ConstraintViolation):
        client.execute(INSERT, [1, "first"], idempotency_key=new_key())


def test_a_refusal_does_not_use_up_the_key(client: Cluster) -> None:
    key = new_key()
    request = [("UPDATE notes SET words = $1 WHERE id = 7", ["seen"], 1)]
    with pytest.raises(StoreError):
        client.execute_many(request, idempotency_key=key)
    with pytest.raises(NotFound):
        client.fate(key)
    client.execute(INSERT, [7, "now it is there"])
    assert not client.execute_many(request, idempotency_key=key).repeated


def test_a_request_that_only_reads_gives_its_repeat_the_rows_of_then(client: Cluster) -> None:
    key, query = new_key(), [("SELECT words FROM notes WHERE id = 8", [])]
    client.execute(INSERT, [8, "old"])
    first = client.execute_many(query, idempotency_key=key)
    client.execute("UPDATE notes SET words = 'new' WHERE id = 8")
    second = client.execute_many(query, idempotency_key=key)
    assert [reply.results[0].rows for reply in (first, second)] == [[["old"]], [["old"]]]
    assert client.fate(key).state == COMMITTED


def test_a_result_that_is_too_large_to_be_kept_is_said_to_be_lost(client: Cluster) -> None:
    key, words = new_key(), "w" * 40_000
    request = [("INSERT INTO notes (id, words) VALUES (9, $1) RETURNING words", [words])]
    assert client.execute_many(request, idempotency_key=key).results[0].rows == [[words]]
    repeat = client.execute_many(request, idempotency_key=key)
    assert (repeat.repeated, repeat.results_lost, repeat.results) == (True, True, [])


# -- another request


@pytest.mark.parametrize(
    "other", [(INSERT, [21, "first"]), (INSERT, [20, "other"]), ("DELETE FROM notes", []), (INSERT, [20, "first"], 1),
              ("SELECT FROM WHERE", []), ("SELECT nothing FROM nowhere", [])]
)  # fmt: skip
def test_another_request_under_the_same_key_is_refused_and_nothing_happens(client: Cluster, other: tuple) -> None:  # type: ignore[type-arg]
    key = new_key()
    client.execute("DELETE FROM notes WHERE id >= 20")
    client.execute(INSERT, [20, "first"], idempotency_key=key)
    with pytest.raises(KeyReused) as caught:
        client.execute_many([other], idempotency_key=key)
    assert (caught.value.info.outcome, caught.value.info.retryable) == ("did_not_happen", False)
    assert list(client.query("SELECT id, words FROM notes WHERE id >= 20")) == [[20, "first"]]


# -- fate and fence


def test_a_key_has_a_fate_when_its_request_is_committed(local_cluster: LocalCluster, client: Cluster) -> None:
    key = new_key()
    with pytest.raises(NotFound) as caught:
        client.fate(key)
    assert 0 <= caught.value.info.detail["known_since"] < ids.timestamp_at(datetime.now(UTC))
    reply = client.submit(counting(local_cluster, key))
    for fate in (client.fate(key), client.fence(key)):
        assert (fate.id, fate.state, fate.transaction, fate.commit_ts) == (key, COMMITTED, reply.id, reply.commit_ts)


def test_a_fenced_key_never_commits(local_cluster: LocalCluster, client: Cluster) -> None:
    before, key = counted(client), new_key()
    assert client.fence(key).state == ABORTED
    assert (client.fate(key).state, client.fence(key).state) == (ABORTED, ABORTED)
    with pytest.raises(TransactionAborted):
        client.submit(counting(local_cluster, key))
    assert counted(client) == before


def test_a_fence_that_races_with_its_request_agrees_with_it(local_cluster: LocalCluster, client: Cluster) -> None:
    with clients(local_cluster) as each:
        for turn in range(RACES):
            before, key = counted(client), new_key()
            with ThreadPoolExecutor(1) as thread:
                told = thread.submit(until_answered, each[turn % 3], counting(local_cluster, key))
                time.sleep(0.002 * (turn % 7))
                state = each[(turn + 1) % 3].fence(key).state
            if state == COMMITTED:
                assert told.result().state == COMMITTED
            else:
                assert isinstance(told.exception(), TransactionAborted)
            assert counted(client) == [value + (state == COMMITTED) for value in before]


# -- death


def kill(cluster: LocalCluster, *nodes: int) -> None:
    """kill -9; returns when they are gone. They are started again."""
    for node in nodes:
        cluster.kill(node)
    deadline = time.monotonic() + WAIT_S
    while any(cluster.alive(node) for node in nodes):
        assert time.monotonic() < deadline, "a killed node lives on"
        time.sleep(0.001)


class Talk:
    """One call over one connection to one node, step by step."""

    def __init__(self, cluster: LocalCluster, node: int, request: Request) -> None:
        host, _, port = cluster.addresses[node].rpartition(":")
        self.connection = run(Connection.open(Threads(), (host, int(port)), cluster.secret, WAIT_S))
        run(self.connection.send(questions.encode(Call(1, request, True)), WAIT_S))

    def until(self, *kinds: type) -> ToClient:
        while True:
            message = codec.decode(run(self.connection.receive(WAIT_S)))
            if isinstance(message, kinds):
                return message


@pytest.mark.parametrize(
    ("step", "delay_ms"),
    [*(("sent", ms) for ms in (0, 1, 3)), *(("named", ms) for ms in (0, 1, 2, 3, 5, 8, 13)), ("answered", 0)],
)
def test_a_request_whose_gateway_is_killed_is_sent_again(local_cluster: LocalCluster, step: str, delay_ms: int) -> None:
    """Before and after it is named, while it votes, decides and tells, and after it has answered."""
    victim = 1 + delay_ms % 3
    survivors = [node for node in local_cluster.numbers if node != victim]
    with local_cluster.client(*survivors) as client:
        local_cluster.wait_ready(WAIT_S, caught_up=True)
        before, request = counted(client), counting(local_cluster, new_key())
        talk, told = Talk(local_cluster, victim, request), list[Reply]()
        if step != "sent":
            talk.until(Named)
        if step == "answered":
            end = talk.until(Done, Failed)
            assert isinstance(end, Done), end
            told.append(end.reply)
        time.sleep(delay_ms / 1000)
        kill(local_cluster, victim)
        talk.connection.close()
        told.append(until_answered(client, request))
        must_have_happened_once(client, before, told)
        assert told[-1].repeated or len(told) == 1


def test_a_gateway_killed_before_a_fence_leaves_a_key_that_never_commits(local_cluster: LocalCluster) -> None:
    """Whatever of the request is still on its way when its key is fenced."""
    local_cluster.wait_ready(WAIT_S, caught_up=True)
    with local_cluster.client(2, 3) as client:
        before, key = counted(client), new_key()
        talk = Talk(local_cluster, 1, counting(local_cluster, key))
        talk.until(Named)
        kill(local_cluster, 1)
        talk.connection.close()
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                state = client.fence(key).state
                break
            except Unavailable:
                assert time.monotonic() < deadline
        local_cluster.wait_ready(WAIT_S, caught_up=True)
        assert counted(client) == [value + (state == COMMITTED) for value in before]


def test_a_repeat_is_told_of_the_first_after_all_nodes_were_killed(local_cluster: LocalCluster) -> None:
    with local_cluster.client() as client:
        local_cluster.wait_ready(WAIT_S, caught_up=True)
        before, requests = counted(client), [counting(local_cluster, new_key()) for _ in range(5)]
        fenced = new_key()
        first = [client.submit(request) for request in requests]
        client.fence(fenced)
        kill(local_cluster, *local_cluster.numbers)
        local_cluster.wait_ready(WAIT_S, caught_up=True)
        for reply, request in zip(first, requests, strict=True):
            repeat = until_answered(client, request)
            assert (repeat.id, repeat.repeated, repeat.results) == (reply.id, True, reply.results)
        with pytest.raises(TransactionAborted):
            client.submit(counting(local_cluster, fenced))
        assert counted(client) == [value + 5 for value in before]
