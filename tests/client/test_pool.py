"""The connections of a client, in both forms: how many there are, who waits, when they are closed, who is tried."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from nodes.client import Cluster
from nodes.errors import StoreError, Unavailable
from tests.client.conftest import Still
from tests.client.fake_node import FakeNode, Talk, answered, hangs, silent, stopped

MakeNode = Callable[..., FakeNode]
MakeClient = Callable[..., Any]


class Gate:
    """A step that answers when it is opened, and knows how many calls stand before it."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Talk, Any]] = []
        self._is_open = threading.Event()

    def __call__(self, talk: Talk, call: Any) -> None:
        self.waiting.append((talk, call))
        self._is_open.wait(30)
        answered(talk, call)

    def open(self) -> None:
        self._is_open.set()


@pytest.fixture
def threads() -> Any:
    with ThreadPoolExecutor(32) as pool:
        yield pool


def call_all(threads: ThreadPoolExecutor, cluster: Any, count: int) -> list[Future[Any]]:
    return [threads.submit(cluster.execute, "SELECT $1", [number]) for number in range(count)]


def test_no_node_gets_more_connections_than_it_may(node: MakeNode, client: MakeClient, threads: Any) -> None:
    gate = Gate()
    n1, n2 = node(1, gate), node(2, gate)
    cluster = client(n1, n2, max_connections=3, timeout=30.0)
    calls = call_all(threads, cluster, 20)
    n1.until(lambda _: len(gate.waiting) == 6)
    gate.open()
    assert sorted(call.result().rows[0][1] for call in calls) == list(range(20))
    assert (n1.connections, n2.connections) == (3, 3)


def test_who_finds_no_free_connection_in_time_did_nothing(node: MakeNode, client: MakeClient, threads: Any) -> None:
    gate = Gate()
    n1 = node(1, gate)
    cluster = client(n1, max_connections=1, timeout=30.0)
    first = threads.submit(cluster.execute, "UPDATE")
    n1.until(lambda _: len(gate.waiting) == 1)
    with pytest.raises(Unavailable, match="max_connections") as caught:
        cluster.execute("UPDATE", timeout=0.2)
    assert caught.value.info.outcome == "did_not_happen"
    gate.open()
    assert first.result().row_count == 1
    assert len(n1.calls) == 1


def test_a_call_that_waits_is_served_when_the_one_before_it_fails(
    node: MakeNode, client: MakeClient, threads: Any
) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def lost(talk: Talk, call: Any) -> None:
        reached.set()
        go_on.wait(30)
        talk.close()

    n1 = node(1, lost, answered)
    cluster = client(n1, max_connections=1, timeout=30.0)
    first = threads.submit(cluster.execute, "UPDATE")
    assert reached.wait(30)
    second = threads.submit(cluster.execute, "UPDATE")
    n1.until(lambda _: len(pool_of(cluster)._admission._queue) == 1)
    go_on.set()
    assert (first.result().row_count, second.result().row_count) == (1, 1)


def test_who_came_first_is_served_first(node: MakeNode, client: MakeClient, threads: Any) -> None:
    gate = Gate()
    n1 = node(1, gate)
    cluster = client(n1, max_connections=1, timeout=30.0)
    queue = pool_of(cluster)._admission._queue
    calls = []
    for number in range(6):
        calls += [threads.submit(cluster.execute, "SELECT $1", [number])]
        n1.until(lambda _, number=number: len(gate.waiting) == 1 and len(queue) == number)
    gate.open()
    assert [call.result().rows[0][1] for call in calls] == list(range(6))
    assert [call.request.statements[0].params for call in n1.calls] == [[number] for number in range(6)]


def test_closing_a_client_refuses_who_waits_and_lets_calls_end(
    node: MakeNode, client: MakeClient, threads: Any
) -> None:
    gate = Gate()
    n1 = node(1, gate)
    cluster = client(n1, max_connections=1, timeout=30.0)
    first, second = call_all(threads, cluster, 2)
    n1.until(lambda _: len(gate.waiting) == 1 and len(pool_of(cluster)._admission._queue) == 1)
    cluster.close()
    gate.open()
    ends = [call.exception(30) for call in (first, second)]
    assert sorted(type(end) for end in ends if end is not None) == [Unavailable]
    n1.until(lambda _: n1.open_connections == 0)


def test_a_connection_that_was_idle_for_too_long_is_closed(
    node: MakeNode, client: MakeClient, surroundings: Still, threads: Any
) -> None:
    gate = Gate()
    n1 = node(1, gate)
    cluster = client(n1, idle_timeout=60.0)
    calls = call_all(threads, cluster, 5)
    n1.until(lambda _: len(gate.waiting) == 5)
    gate.open()
    assert [call.result().row_count for call in calls] == [1] * 5
    surroundings.sleeps.append(59.0)
    cluster.execute("SELECT 1")
    assert n1.open_connections == 5
    surroundings.sleeps.append(30.0)
    cluster.execute("SELECT 1")
    n1.until(lambda _: n1.open_connections == 1)
    assert n1.connections == 5


def test_one_call_a_second_looks_whether_a_node_is_back(
    node: MakeNode, client: MakeClient, surroundings: Still
) -> None:
    n1, n2 = node(1, greet=hangs), node(2)
    cluster = client(n1, n2, connect_timeout=0.1)

    def tries(calls: int) -> int:
        before = n1.connections
        for _ in range(calls):
            assert cluster.execute("SELECT 1").rows[0][0] == 2
        return n1.connections - before

    assert tries(10) == 1
    surroundings.sleeps.append(1.1)
    assert tries(10) == 1
    n1.greet = None
    surroundings.sleeps.append(1.1)
    assert cluster.execute("SELECT 1").rows[0][0] == 1
    assert {cluster.execute("SELECT 1").rows[0][0] for _ in range(4)} == {1, 2}


def test_a_silent_node_is_left_before_the_time_is_up_and_its_idle_connections_are_doubted(
    node: MakeNode, client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodes.client.exchange.SILENCE_S", 0.1)
    n1, n2 = node(1, stopped), node(2)
    cluster = client(n1, n2, timeout=30.0, connect_timeout=0.2)
    assert cluster.query("SELECT 1")[0][0] == 2
    n1.running.set()
    n1.script = [answered]
    assert cluster.query("SELECT 1")[0][0] == 2


def test_a_call_that_takes_long_is_waited_for_while_its_node_is_there(
    node: MakeNode, client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its connection, which still owes an answer, is not used again."""
    monkeypatch.setattr("nodes.client.exchange.SILENCE_S", 0.05)
    pings = threading.Semaphore(0)

    def late(talk: Talk, call: Any) -> None:
        def answer() -> None:
            for _ in range(4):
                assert pings.acquire(timeout=30)
            answered(talk, call)

        threading.Thread(target=answer, daemon=True).start()

    n1, n2 = node(1, late), node(2)
    n1.on_status = pings.release
    cluster = client(n1, n2, timeout=30.0)
    assert cluster.query("SELECT 1")[0][0] == 1
    assert n2.connections == 0


def test_a_call_that_ran_out_of_time_makes_no_node_lose_its_other_connections(
    node: MakeNode, client: MakeClient, threads: Any
) -> None:
    gate = Gate()
    n1 = node(1, gate, gate, silent, answered)
    cluster = client(n1, timeout=30.0)
    calls = call_all(threads, cluster, 2)
    n1.until(lambda _: len(gate.waiting) == 2)
    gate.open()
    assert [call.result().row_count for call in calls] == [1, 1]
    with pytest.raises(StoreError):
        cluster.execute("UPDATE", timeout=0.1)
    n1.until(lambda _: n1.open_connections == 1)
    assert cluster.execute("UPDATE").row_count == 1
    assert n1.connections == 2


@pytest.mark.parametrize(
    "options",
    [
        {"secret": ""},
        {"secret": b""},
        {"timeout": 0},
        {"timeout": -1.0},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"max_connections": 0},
        {"idle_timeout": 0},
        {"connect_timeout": -1},
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(
    node: MakeNode, client: MakeClient, options: dict[str, Any]
) -> None:
    with pytest.raises(ValueError):
        client(node(1), **options)


def test_a_call_without_time_is_refused_before_anything_is_asked(node: MakeNode, client: MakeClient) -> None:
    n1 = node(1)
    cluster = client(n1)
    for timeout in (0, -1, float("nan"), float("inf")):
        for call in (cluster.status, lambda timeout: cluster.execute("SELECT 1", timeout=timeout)):
            with pytest.raises(StoreError, match="nothing was asked") as caught:
                call(timeout=timeout)
            assert caught.value.info.code == "bad_request"
    assert n1.connections == 0
    assert cluster.status(timeout=1e9)["node"] == 1


def pool_of(cluster: Any) -> Any:
    return (cluster._calls if isinstance(cluster, Cluster) else cluster.cluster)._pool
