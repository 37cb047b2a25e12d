"""The awaited client: one object per event loop, shared by its tasks.

A call that is cancelled ends at once, and its connection with it. What it asked may still happen: it is as after a lost
answer whose id was never heard. Who cancels calls that write sends an idempotency key, or lets them end by their
`timeout` instead, which always tells the outcome.

It belongs to the loop that it is first used in. After that loop has ended, or in a forked child, it begins anew in the
next one; while that loop lives, another one is refused (RuntimeError).
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from nodes.client.aio.streams import Loop
from nodes.client.calls import Calls


class Cluster(Calls):
    """A client of one cluster, made by `connect`."""

    _surroundings = Loop

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()
