"""Time, chance and threads, journal and network, as the driver gets them: all given at construction.

The simulator gives its own (tests/sim/world.py); this is the real one.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from nodes.core.membership import Roster


class World(Protocol):
    rng: random.Random

    def clock_ms(self) -> int:
        """This node's wall clock."""

    def clock_us(self) -> int:
        """The same, finer: for the times of a trace."""

    def steady_ms(self) -> int:
        """Time since some moment of this machine; nobody sets it, and it goes on while this process is stopped."""

    def call_soon(self, then: Callable[[], None]) -> None:
        """At the end of this turn of the loop."""

    def in_thread(self, job: Callable[[], Any], then: Callable[[Any, BaseException | None], None]) -> None:
        """Run `job` in a thread of its own; `then(result, error)` on the loop."""


class JournalWriter(Protocol):
    """What the driver needs of the journal; the node calls `on_durable(ticket)`."""

    durable: int

    @property
    def segment(self) -> int: ...

    def release(self, first: int) -> None: ...

    def append(self, records: list[bytes]) -> None: ...

    def submit(self) -> int: ...


class Network(Protocol):
    """What the driver needs of the transport. One `send` per peer and turn: a list of (target code, message)."""

    def send(self, peer: int, items: list[tuple[int, Any]]) -> None: ...

    def flush(self) -> None: ...

    def is_connected(self, peer: int) -> bool: ...

    def on_roster(self, roster: Roster) -> None:
        """Nodes have joined, or are gone."""


class RealWorld:
    """The running event loop, the system's clock and chance, a small pool of reader threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.rng = random.Random()
        self._loop = loop
        self._readers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="reader")

    def clock_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def clock_us(self) -> int:
        return time.time_ns() // 1_000

    def steady_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    def call_soon(self, then: Callable[[], None]) -> None:
        self._loop.call_soon(then)

    def in_thread(self, job: Callable[[], Any], then: Callable[[Any, BaseException | None], None]) -> None:
        def done(future: Future[Any]) -> None:
            error = future.exception()
            result = None if error is not None else future.result()
            with contextlib.suppress(RuntimeError):  # The loop is closed: nobody waits for it any more.
                self._loop.call_soon_threadsafe(then, result, error)

        self._readers.submit(job).add_done_callback(done)

    def close(self) -> None:
        self._readers.shutdown(wait=False, cancel_futures=True)
