"""Over real sockets, in both forms: a node that stops at any step keeps no call beyond its time-out."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from nodes.client import Cluster, aio
from nodes.errors import StoreError
from nodes.requests import Request, Statement
from tests.client.conftest import Awaited
from tests.client.fake_node import (
    SECRET,
    FakeNode,
    closes,
    half_a_hello,
    half_done,
    hangs,
    lost_within_named,
    silent,
    silent_after_named,
    stopped,
    strays,
    trickles,
    txn_id,
)

TIMEOUT_S, GRACE_S = 0.5, 1.0  # the grace is for a machine at work; test_deadlines.py has none
GREETINGS: list[Any] = [hangs, half_a_hello, closes, trickles]
STEPS: list[Any] = [silent, stopped, silent_after_named, half_done, lost_within_named, strays]


def no_answer(question: object) -> None:
    """The fate is not told."""


@pytest.fixture
def connect(form: str) -> Iterator[Callable[[str], Any]]:
    """Makes a client on the real clock."""
    clients: list[Any] = []

    def make(addresses: str) -> Any:
        options = {"secret": SECRET, "timeout": TIMEOUT_S}
        blocking = form == "blocking"
        clients.append(Cluster.connect(addresses, **options) if blocking else Awaited(addresses, options))
        return clients[-1]

    yield make
    for each in clients:
        each.end() if isinstance(each, Awaited) else each.close()


def must_be_over_in_time(cluster: Any) -> None:
    """Each kind of call, all at once."""

    def take(call: Callable[[], Any]) -> float:
        begun = time.monotonic()
        with pytest.raises(StoreError):
            call()
        return time.monotonic() - begun

    request = Request([Statement("UPDATE")], round(TIMEOUT_S * 1000))
    calls: list[Callable[[], Any]] = [
        lambda: cluster.submit(request),
        lambda: cluster.execute("UPDATE $1", ["x" * (3 << 20)]),
        lambda: cluster.query("SELECT 1"),
        lambda: cluster.fate(txn_id(1)),
        lambda: cluster.fence(txn_id(1)),
    ]
    with ThreadPoolExecutor(len(calls)) as threads:
        took = list(threads.map(take, calls))
    assert max(took) < TIMEOUT_S + GRACE_S, took


def addresses_of(*nodes: FakeNode) -> str:
    return ",".join("{}:{}".format(*each.address) for each in nodes)


@pytest.mark.parametrize("greet", GREETINGS)
def test_a_node_that_does_not_greet(node: Callable[..., FakeNode], connect: Callable[[str], Any], greet: Any) -> None:
    must_be_over_in_time(connect(addresses_of(node(1, greet=greet), node(2, greet=greet))))


@pytest.mark.parametrize("step", STEPS)
def test_a_node_that_does_not_answer(node: Callable[..., FakeNode], connect: Callable[[str], Any], step: Any) -> None:
    must_be_over_in_time(connect(addresses_of(node(1, step, fate=no_answer), node(2, step, fate=no_answer))))


def test_a_node_that_takes_no_connection(connect: Callable[[str], Any]) -> None:
    """Its queue of connections is full, as that of a host that drops packets: connecting does not end."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _ in range(3)]
        try:
            for each in waiting:
                each.setblocking(False)
                each.connect_ex(full.getsockname())
            must_be_over_in_time(connect("{}:{}".format(*full.getsockname())))
        finally:
            for each in waiting:
                each.close()


def test_a_name_that_is_not_found_in_time(connect: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    look_up, released = socket.getaddrinfo, threading.Event()

    def slow(host: Any, *args: Any, **options: Any) -> Any:
        if host == "slow.example":
            if options.get("flags"):
                raise socket.gaierror("not a number")
            released.wait(30)
        return look_up("127.0.0.1", *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    try:
        must_be_over_in_time(connect("slow.example:7101"))
    finally:
        released.set()


def test_both_forms_have_the_same_names() -> None:
    def names(cls: type) -> set[str]:
        return {name for name in dir(cls) if not name.startswith("_")}

    assert names(Cluster) == names(aio.Cluster)
