"""How many connections of a node are in use, and who waits for one.

A call that finds all connections of the nodes it would try in use waits in a queue; a connection that becomes free goes
to the first in it that can use its node.

*Invariants*: of a node never more than `most` are in use; nobody overtakes who waits for the same node; every `enter`
that returned is followed by one `leave`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from nodes.client.surroundings import Deadline, Turn
from nodes.errors import Unavailable


class NodeDown(Exception):
    """No usable connection to the node is to be had now."""


class _Waiter:
    """A call in the queue, and the node whose connection it may use; -1 before its turn."""

    __slots__ = ("node", "nodes", "turn")

    def __init__(self, turn: Turn, nodes: list[int]) -> None:
        self.node = -1
        self.nodes = nodes
        self.turn = turn


class Admission:
    """Of the nodes 0 to `count` - 1. Thread-safe. `turn` makes a place in the queue."""

    def __init__(self, count: int, most: int, turn: Callable[[], Turn]) -> None:
        self.is_closed = False
        self._most = most
        self._turn = turn
        self._lock = threading.Lock()
        self._in_use = [0] * count
        self._queue: deque[_Waiter] = deque()

    async def enter(self, nodes: list[int], deadline: Deadline) -> int:
        """The first of `nodes` that has a connection to spare, which is taken out of them. NodeDown if none became free
        in time, and then none is left of them; Unavailable after `close`."""
        with self._lock:
            self._refuse_if_closed()
            node = next((node for node in nodes if self._in_use[node] < self._most), -1)
            if node >= 0:
                self._in_use[node] += 1
                nodes.remove(node)
                return node
            waiter = _Waiter(self._turn(), nodes)
            self._queue.append(waiter)
        return await self._wait(waiter, deadline)

    def leave(self, node: int) -> None:
        """One connection fewer of this node is in use."""
        with self._lock:
            heir = next((waiter for waiter in self._queue if node in waiter.nodes), None)
            if heir is None:
                self._in_use[node] -= 1
                return
            self._queue.remove(heir)
            heir.node = node
            heir.turn.call()

    def close(self) -> None:
        """Refuse who comes, and who waits."""
        with self._lock:
            self.is_closed = True
            waiting, self._queue = self._queue, deque()
        for waiter in waiting:
            waiter.turn.call()

    async def _wait(self, waiter: _Waiter, deadline: Deadline) -> int:
        try:
            await waiter.turn.wait(deadline.left())
        except BaseException:
            if self._step_out(waiter) >= 0:
                self.leave(waiter.node)
            raise
        if self._step_out(waiter) >= 0:
            waiter.nodes.remove(waiter.node)
            return waiter.node
        self._refuse_if_closed()
        waiter.nodes.clear()
        raise NodeDown(f"all {self._most} connections that a node may have stayed in use (max_connections)")

    def _step_out(self, waiter: _Waiter) -> int:
        """The node that it was given; it is given none afterwards."""
        with self._lock:
            if waiter in self._queue:
                self._queue.remove(waiter)
            return waiter.node

    def _refuse_if_closed(self) -> None:
        if self.is_closed:
            raise Unavailable("the client is closed; nothing happened", retryable=False)
