"""The connections of a client: which node to try next, and idle connections to reuse.

One call at a time uses a connection. A node that failed or fell silent is tried last for SUSPECT_S. An idle connection
that was closed meanwhile is not lent: a call sent over it would be answered by a reset, which leaves its outcome open.
One that lay idle for PROBE_AFTER_S is asked for the node's status before a call is sent over it: a node that stopped
meanwhile (without closing) is then found before anything was sent that it could act on later.

*Invariants*: a connection is in use by one thread or idle, never both; a failed one is closed and takes the node's
idle ones along. *Left out*: a bound on connections in use (callers' threads bound it), tuning.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Sequence

from nodes.client.exchange import Channel, Lost, NotSent, exchange, once
from nodes.wire.frames import FrameError
from nodes.wire.protocol import AskStatus

Address = tuple[str, int]

CONNECT_S = 1.0
SUSPECT_S = 1.0
PROBE_AFTER_S = 0.5
IDLE_PER_NODE = 32


class Surroundings:
    """The real clock, sleep and chance; a test gives its own."""

    def now(self) -> float:
        """Seconds of a clock that never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def chance(self) -> float:
        """A random number in [0, 1)."""
        return random.random()


class NodeDown(Exception):
    """No usable connection to the node is to be had now."""


class Pool:
    """Connections to the nodes at `addresses`; `connect(address, secret, timeout)` opens one. Thread-safe."""

    def __init__(
        self,
        addresses: Sequence[Address],
        secret: bytes,
        connect: Callable[[Address, bytes, float], Channel],
        surroundings: Surroundings,
    ) -> None:
        self.addresses = list(addresses)
        self.surroundings = surroundings
        self._secret = secret
        self._connect = connect
        self._lock = threading.Lock()
        self._idle: list[list[tuple[float, Channel]]] = [[] for _ in self.addresses]
        self._suspect_until = [0.0] * len(self.addresses)
        self._closed = False
        self._turns = itertools.count(int(surroundings.chance() * len(self.addresses)))
        self._numbers = itertools.count(1)

    def next_number(self) -> int:
        """A call number, unique in this client."""
        return next(self._numbers)

    def order(self) -> list[int]:
        """The nodes to try: each once, another first each time, suspects last."""
        count, turn, now = len(self.addresses), next(self._turns), self.surroundings.now()
        nodes = [(turn + step) % count for step in range(count)]
        return sorted(nodes, key=lambda node: self._suspect_until[node] > now)

    def lend(self, node: int, timeout: float) -> Channel:
        """A connection for one question; NodeDown if none is to be had within `timeout` seconds."""
        timeout = min(timeout, CONNECT_S)
        if timeout <= 0:
            raise NodeDown("no time is left")
        lent = self._take(node)
        if lent is None:
            return self._open(node, timeout)
        since, channel = lent
        if not channel.is_idle():
            self.discard(node, channel)
            return self._open(node, timeout)
        if self.surroundings.now() - since > PROBE_AFTER_S and not self._is_alive(node, channel, timeout):
            return self._open(node, timeout)
        return channel

    def give_back(self, node: int, channel: Channel) -> None:
        """The connection is whole and has no question open."""
        with self._lock:
            if not self._closed and len(self._idle[node]) < IDLE_PER_NODE:
                self._idle[node].append((self.surroundings.now(), channel))
                return
        channel.close()

    def discard(self, node: int, channel: Channel) -> None:
        """The connection failed: so, presumably, did the node's others."""
        channel.close()
        self.suspect(node)
        with self._lock:
            idle, self._idle[node] = self._idle[node], []
        for _, other in idle:
            other.close()

    def suspect(self, node: int) -> None:
        """Try this node last for a while."""
        self._suspect_until[node] = self.surroundings.now() + SUSPECT_S

    def close(self) -> None:
        """Close what is idle; what is in use is closed when it is given back."""
        with self._lock:
            self._closed = True
            idle = [channel for channels in self._idle for _, channel in channels]
            self._idle = [[] for _ in self.addresses]
        for channel in idle:
            channel.close()

    def _take(self, node: int) -> tuple[float, Channel] | None:
        with self._lock:
            if self._closed:
                raise NodeDown("the client is closed")
            return self._idle[node].pop() if self._idle[node] else None

    def _open(self, node: int, timeout: float) -> Channel:
        try:
            channel = self._connect(self.addresses[node], self._secret, timeout)
        except (OSError, FrameError) as error:
            self.suspect(node)
            host, port = self.addresses[node]
            raise NodeDown(f"{host}:{port}: {error}") from error
        self._suspect_until[node] = 0.0
        return channel

    def _is_alive(self, node: int, channel: Channel, timeout: float) -> bool:
        """Does the node answer over this connection? False if it is closed, NodeDown if it says nothing."""
        try:
            exchange(channel, AskStatus(self.next_number()), once(timeout))
        except (NotSent, Lost) as error:
            self.discard(node, channel)
            if isinstance(error, Lost) and error.silent:
                raise NodeDown(str(error)) from error
            return False
        return True
