"""Fake nodes and clients of them, ended with the test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from nodes.client import Cluster
from nodes.client.pool import Surroundings
from tests.client.fake_node import SECRET, FakeNode


class StillSurroundings(Surroundings):
    """The real clock; no chance; sleeps are kept, and passed over by advancing the clock."""

    def __init__(self) -> None:
        self.sleeps: list[float] = []

    def now(self) -> float:
        return time.monotonic() + sum(self.sleeps)

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)

    def chance(self) -> float:
        return 0.0


@pytest.fixture
def surroundings() -> StillSurroundings:
    return StillSurroundings()


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
def client(surroundings: StillSurroundings) -> Iterator[Callable[..., Cluster]]:
    """Makes a client of the nodes that it is given; it turns to the first one first."""
    clients: list[Cluster] = []

    def make(*nodes: FakeNode, timeout: float = 5.0, secret: bytes = SECRET) -> Cluster:
        addresses = ",".join(f"{host}:{port}" for host, port in (each.address for each in nodes))
        clients.append(Cluster.connect(addresses, secret=secret, timeout=timeout, surroundings=surroundings))
        return clients[-1]

    yield make
    for each in clients:
        each.close()
