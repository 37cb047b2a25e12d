"""The connections of a client: idle ones to reuse, and one question put over one of them.

An idle connection that was closed meanwhile is not lent: a call sent over it would be answered by a reset, which leaves
its outcome open. One that lay idle for PROBE_AFTER_S, or whose node is suspect, is asked for the node's status before a
call is sent over it: a node that stopped (without closing) is then found before anything was sent that it could act on
later. One that was idle for `idle_s` is closed when another one of its node becomes idle.

In a forked child the pool begins anew: the child closes its copies, and the parent's connections stay the parent's.

*Invariants*: a connection is in use by one call or idle, never both; one that failed, or may still bring an answer that
nobody waits for, is closed; one that broke takes the node's idle ones along; of a node at most `connections` are open.
"""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nodes.client.admission import Admission, NodeDown
from nodes.client.connection import Connection
from nodes.client.exchange import Answer, Exchange, GivesUp, Lost, NotSent
from nodes.client.health import ANY, Candidates, Health
from nodes.client.surroundings import Address, Deadline, Surroundings
from nodes.errors import BadRequest, StoreError, TooLarge
from nodes.wire.frames import FrameError
from nodes.wire.protocol import AskStatus, Done, Failed, FromClient, StatusIs

PROBE_AFTER_S = 0.5


@dataclass(frozen=True, slots=True)
class Limits:
    """`connections` of each node at most; an idle one is kept for `idle_s` seconds; `connect_s` seconds for one to be
    made, handshake included. ValueError for what is not above 0."""

    connections: int = 64
    idle_s: float = 60.0
    connect_s: float = 1.0

    def __post_init__(self) -> None:
        if self.connections < 1 or not (self.idle_s > 0 and self.connect_s > 0):
            raise ValueError(f"connections and times must be above 0: {self}")


class Pool:
    """Connections to the nodes at `addresses`. Thread-safe, and safe to fork at any time."""

    def __init__(self, addresses: Sequence[Address], secret: bytes, surroundings: Surroundings, limits: Limits) -> None:
        self.surroundings = surroundings
        self._addresses = list(addresses)
        self._secret = secret
        self._limits = limits
        self._numbers = itertools.count(1)
        self._node_of: dict[int, int] = {}  # by the number that it told in its handshake
        self._begin()
        _pools.add(self)

    def _begin(self) -> None:
        """As when nothing was ever opened."""
        count = len(self._addresses)
        self._health = Health(count, self.surroundings)
        self._admission = Admission(count, self._limits.connections, self.surroundings.turn)
        self._lock = threading.Lock()
        self._idle: list[deque[tuple[float, Connection]]] = [deque() for _ in range(count)]
        self._open: weakref.WeakSet[Connection] = weakref.WeakSet()

    def candidates(self, number: int = 0) -> Candidates:
        """The nodes to try, for one call; first the one of that number, if it is known."""
        return self._health.candidates(self._node_of.get(number, ANY))

    def gateways(self) -> Candidates:
        """The nodes to try, for one call that commits or reads; first the one that the nodes advise."""
        return self._health.gateways()

    async def ask(
        self,
        candidates: Candidates,
        question: Callable[[int], FromClient],
        answer: type[Answer],
        begin: Deadline,
        until: Deadline,
        gives_up: GivesUp,
    ) -> tuple[Answer | Failed, str]:
        """Put a question to the next candidate, which is one no longer: (its answer, the named id or "").

        `question` is given its number when a connection is there. NodeDown: none was to be had before `begin`;
        NotSent, Lost, BadRequest and TooLarge as in `Exchange`."""
        if self.surroundings.is_elsewhere():
            self.forget()
        admission = self._admission
        node = await admission.enter(candidates.next(), begin)
        try:
            connection = await self._connected(node, begin)
            return await self._put(node, connection, question, answer, until, gives_up)
        finally:
            admission.leave(node)

    def close(self) -> None:
        """Close what is idle; what is in use is closed when its call ends, and who waits is refused."""
        if self.surroundings.is_elsewhere():
            self.forget()
        self._admission.close()
        for node in range(len(self._addresses)):
            self._close_idle(node)

    def forget(self) -> None:
        """Begin anew, and let go of all connections, which are of no use here."""
        abandoned, is_closed = list(self._open), self._admission.is_closed
        self._begin()
        self._admission.is_closed = is_closed
        for connection in abandoned:
            connection.abandon()

    async def _put(
        self,
        node: int,
        connection: Connection,
        question: Callable[[int], FromClient],
        answer: type[Answer],
        until: Deadline,
        gives_up: GivesUp,
    ) -> tuple[Answer | Failed, str]:
        """One exchange; afterwards the connection is idle, or closed."""

        def silent(named: str) -> bool:
            self._health.suspect(node)
            return gives_up(named)

        is_whole = False
        try:
            exchange = Exchange(connection, question(next(self._numbers)))
            reply = await exchange.run(answer, until, silent)
            self._health.clear(node)
            if isinstance(reply, Done):
                self._health.advise(node, self._node_of.get(reply.gateway, ANY))
            is_whole = exchange.is_even
        except (BadRequest, TooLarge):
            is_whole = True
            raise
        except (NotSent, Lost) as error:
            self._blame(node, error)
            raise
        finally:  # A caller that gives up is no reason to blame the node; but its answer may still come.
            self._keep(node, connection) if is_whole else connection.close()
        return reply, exchange.named

    async def _connected(self, node: int, deadline: Deadline) -> Connection:
        """A connection that can be relied on; NodeDown if none is to be had in time."""
        with self._lock:
            lent = self._idle[node].pop() if self._idle[node] else None
        if lent is not None:
            since, connection = lent
            if not connection.is_idle():
                connection.close()
                self._close_idle(node)
            elif not self._is_doubtful(node, since) or await self._is_alive(node, connection, deadline):
                return connection
        return await self._dialled(node, deadline)

    async def _dialled(self, node: int, deadline: Deadline) -> Connection:
        address, seconds = self._addresses[node], self._seconds(deadline)
        try:
            connection = await Connection.open(self.surroundings, address, self._secret, seconds)
        except (OSError, FrameError) as error:
            self._health.suspect(node)
            raise NodeDown("{}:{}: {}".format(*address, error)) from error
        except StoreError:
            self._health.suspect(node)
            raise
        self._open.add(connection)
        self._node_of[connection.number] = node
        self._health.clear(node)
        return connection

    def _is_doubtful(self, node: int, since: float) -> bool:
        return self._health.is_suspect(node) or self.surroundings.now() - since > PROBE_AFTER_S

    async def _is_alive(self, node: int, connection: Connection, deadline: Deadline) -> bool:
        """Does the node answer over this connection? False if it is closed, NodeDown if it says nothing."""
        probe, is_alive = Exchange(connection, AskStatus(next(self._numbers))), False
        until = Deadline(self.surroundings, self._seconds(deadline))
        try:
            await probe.run(StatusIs, until, lambda named: True)
            self._health.clear(node)
            is_alive = True
        except (NotSent, Lost) as error:
            self._blame(node, error)
            if isinstance(error, Lost) and error.silent:
                raise NodeDown(str(error)) from error
        finally:
            if not is_alive:
                connection.close()
        return is_alive

    def _seconds(self, deadline: Deadline) -> float:
        seconds = min(deadline.left(), self._limits.connect_s)
        if seconds <= 0:
            raise NodeDown("no time is left")
        return seconds

    def _keep(self, node: int, connection: Connection) -> None:
        """It is whole and has no question open, so it is idle now; those that were idle for too long are closed."""
        now = self.surroundings.now()
        closing: list[tuple[float, Connection]] = []
        with self._lock:
            idle = self._idle[node]
            (closing if self._admission.is_closed else idle).append((now, connection))
            while idle and now - idle[0][0] > self._limits.idle_s:
                closing.append(idle.popleft())
        for _, each in closing:
            each.close()

    def _blame(self, node: int, error: NotSent | Lost) -> None:
        """After silence the node's idle connections are doubtful; after a break they presumably broke, too."""
        self._health.suspect(node)
        if isinstance(error, NotSent) or not error.silent:
            self._close_idle(node)

    def _close_idle(self, node: int) -> None:
        with self._lock:
            idle, self._idle[node] = self._idle[node], deque()
        for _, connection in idle:
            connection.close()


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _forget_all() -> None:
    for pool in list(_pools):
        pool.forget()


os.register_at_fork(after_in_child=_forget_all)
