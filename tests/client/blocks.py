"""Scenes with blocks of a transaction, written for the awaited form, and played with either form."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from nodes.client import Cluster, aio
from nodes.client.surroundings import Surroundings
from nodes.errors import TransactionAborted
from nodes.wire.protocol import BACK_TO, COMMIT, ROLLBACK, RUN, SAVE
from tests.client.fake_node import SECRET, FakeNode, lost_before_named

WORDS = {RUN: "run", COMMIT: "commit", ROLLBACK: "rollback", SAVE: "save", BACK_TO: "back to"}
GONE = TransactionAborted("no such transaction is open", sqlstate="25P01")
lost = lost_before_named  # the node reads what is asked, and closes


def asked(*nodes: FakeNode) -> list[tuple[str, int]]:
    """(what, its number) in the order of the nodes."""
    return [(WORDS[each.verb], each.seq) for node in nodes for each in node.asked]


def play_blocks(form: str, surroundings: Surroundings, nodes: list[FakeNode], scene: Callable[[Any], Any]) -> Any:
    """What the scene gives, with a client of the nodes in that form."""
    addresses = ",".join("{}:{}".format(*each.address) for each in nodes)
    options: dict[str, Any] = {"secret": SECRET, "timeout": 5.0, "surroundings": surroundings}

    async def whole() -> Any:
        is_blocking = form == "blocking"
        connect = Cluster.connect if is_blocking else aio.Cluster.connect
        cluster: Any = connect(addresses, **options)
        cluster = AwaitedCluster(cluster) if is_blocking else cluster
        try:
            return await scene(cluster)
        finally:
            await cluster.close()

    return asyncio.run(whole())


class AwaitedCluster:
    """The blocking form with the names of the awaited one."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def transaction(self, *args: Any, **kwargs: Any) -> AwaitedTransaction:
        return AwaitedTransaction(self._inner.transaction(*args, **kwargs))

    def opened(self, *args: Any, **kwargs: Any) -> AwaitedTransaction:
        return AwaitedTransaction(self._inner.opened(*args, **kwargs))

    async def run(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        def blocking(txn: Any, *args: Any, **kwargs: Any) -> Any:
            coroutine = function(AwaitedTransaction(txn), *args, **kwargs)
            try:
                coroutine.send(None)
            except StopIteration as end:
                return end.value
            raise AssertionError("it suspended")

        return self._inner.run(blocking, *args, **kwargs)

    async def close(self) -> None:
        self._inner.close()


class AwaitedTransaction:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        async def call(*args: Any, **kwargs: Any) -> Any:
            return found(*args, **kwargs)

        return call

    async def __aenter__(self) -> AwaitedTransaction:
        self._inner.__enter__()
        return self

    async def __aexit__(self, *how: Any) -> None:
        self._inner.__exit__(*how)
