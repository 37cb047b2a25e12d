"""Fake nodes, and clients of them in both forms, ended with the test."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nodes.client import Cluster, aio
from nodes.client.aio.streams import Loop
from nodes.client.surroundings import Surroundings
from nodes.client.threads import Threads
from tests.client.blocks import play_blocks
from tests.client.fake_node import SECRET, FakeNode


class Still(Surroundings):
    """The real clock; no chance; sleeps are kept, and passed over by advancing the clock."""

    def __init__(self, sleeps: list[float]) -> None:
        super().__init__()
        self.sleeps = sleeps

    def now(self) -> float:
        return time.monotonic() + sum(self.sleeps)

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)

    def chance(self) -> float:
        return 0.0


class StillThreads(Still, Threads):
    """For the blocking form."""


class StillLoop(Still, Loop):
    """For the awaited one."""


class Awaited:
    """An awaited client, driven on a loop in a thread of its own: each of its calls as a blocking one."""

    def __init__(self, addresses: str, options: dict[str, Any]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.cluster = aio.Cluster.connect(addresses, **options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            coroutine = getattr(self.cluster, name)(*args, **kwargs)
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

        return call

    def __enter__(self) -> Awaited:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def end(self) -> None:
        self.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(params=["blocking", "awaited"])
def form(request: pytest.FixtureRequest) -> str:
    """Every test of a client runs with both forms."""
    return str(request.param)


@pytest.fixture
def surroundings(form: str) -> Still:
    return (StillThreads if form == "blocking" else StillLoop)([])


@pytest.fixture
def node() -> Iterator[Callable[..., FakeNode]]:
    """Makes a node with the script that it is given; killed at the end."""
    nodes: list[FakeNode] = []

    def make(number: int, *script: object, **options: object) -> FakeNode:
        nodes.append(FakeNode(number, *script, **options))  # type: ignore[arg-type]
        return nodes[-1]

    yield make
    for each in nodes:
        each.kill()


@pytest.fixture
def client(form: str, surroundings: Still) -> Iterator[Callable[..., Any]]:
    """Makes a client of the nodes that it is given; it turns to the first one first."""
    clients: list[Cluster | Awaited] = []

    def make(*nodes: FakeNode, **options: Any) -> Cluster | Awaited:
        addresses = ",".join(f"{host}:{port}" for host, port in (each.address for each in nodes))
        own = type(surroundings)(surroundings.sleeps)
        options = {"timeout": 5.0, "secret": SECRET, "surroundings": own, **options}
        if form == "blocking":
            clients.append(Cluster.connect(addresses, **options))
        else:
            clients.append(Awaited(addresses, options))
        return clients[-1]

    yield make
    for each in clients:
        each.end() if isinstance(each, Awaited) else each.close()


@pytest.fixture
def play(form: str, surroundings: Still) -> Callable[..., Any]:
    """(nodes, scene) -> what the scene gives; it is written for the awaited form, and played with either one."""
    return lambda nodes, scene: play_blocks(form, surroundings, nodes, scene)
