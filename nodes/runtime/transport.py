"""The transport: which connections a node has, and how messages find the right one.

Every node dials every other one and sends on what it dialled; it receives on what it accepted. So a pair of nodes has
two connections, and neither end must agree with the other on which is the right one. Peers and clients come in at one
port; the handshake tells them apart.

*Invariants*: a peer's messages come from its newest connection only, in the order in which they were sent, each at
most once; what is queued in one turn of the loop for one connection leaves in one write, and all that goes to clients
leaves before what goes to peers, so that a client told of an id (`Named`) is told before anybody acts on it;
`on_peer_lost` comes once per break, though both connections usually break together; a peer's identity is the proved
one. Whether its incarnation is the founded one is the node's to judge (`incarnations`).

*Left out*: delivery. What is sent to a peer that is not connected is gone; the cores repeat what matters.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
from collections.abc import Callable
from functools import partial
from typing import Any

from nodes.ids import node_name
from nodes.runtime.connection import Connection, Limits, Owner, refuse_all
from nodes.wire.frames import FORMAT, MAX_CLIENT_BYTES, MAX_NODE_BYTES
from nodes.wire.handshake import NODE, NONCE_BYTES, Handshake, Hello, Removed, decode_removed, encode_removed

__all__ = ["Connection", "Limits", "Transport"]

Address = tuple[str, int]
BACKLOG = 1024
REMOVED_BYTES = 16


class Transport(Owner):
    """All calls and all handlers are on the loop that ran `start`; handlers are called from within the reading.

    `addresses`: of all nodes known from the start, by number, this one may be among them. Any node with the secret may
    come in, for it may want to join; one that is `gone` is told so and nothing else, which it hears by `on_removed`
    (set before `start`). `decode` turns a peer's frame into the list that `on_peer_message` gets; `decode_client`
    (default: the same) a client's into what `on_client_message` gets; whatever they raise closes the connection; what a
    handler raises is the node's own and goes to the loop's exception handler. `on_peer_up`: sending reaches the peer
    from now on. `on_client_lost` is called once for each client connection, whoever closed it.
    """

    def __init__(
        self,
        *,
        node: int,
        addresses: dict[int, Address],
        listen: Address,
        secret: bytes,
        cluster_id: Callable[[], bytes],
        incarnation: bytes,
        decode: Callable[[bytes], Any],
        on_peer_message: Callable[[int, Any], None],
        on_peer_up: Callable[[int], None],
        on_peer_lost: Callable[[int], None],
        on_client_message: Callable[[Connection, Any], None],
        on_client_lost: Callable[[Connection], None],
        log: logging.Logger,
        decode_client: Callable[[bytes], Any] | None = None,
        limits: Limits | None = None,
        rng: random.Random | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.limits = limits or Limits()
        self.log = log
        self.incarnations: dict[int, bytes] = {}  # of each peer, as its newest connection says
        self.gone: set[int] = set()
        self.on_removed: Callable[[], None] = lambda: None
        self._node = node
        self._addresses = {peer: address for peer, address in sorted(addresses.items()) if peer != node}
        self._listen = listen
        self._secret = secret
        self._cluster_id = cluster_id
        self._incarnation = incarnation
        self._decode = decode
        self._decode_client = decode_client or decode
        self._on_peer_message = on_peer_message
        self._on_peer_up = on_peer_up
        self._on_peer_lost = on_peer_lost
        self._on_client_message = on_client_message
        self._on_client_lost = on_client_lost
        self._rng, self._entropy = rng or random.Random(), entropy
        self._connections: dict[Connection, None] = {}  # all there are, in the order of their beginning
        self._outgoing: dict[int, Connection] = {}
        self._incoming: dict[int, Connection] = {}
        self._is_lost: dict[int, bool] = {}
        self._clients_to_flush: list[Connection] = []
        self._peers_to_flush: list[Connection] = []
        self._is_flush_due = self._is_stopped = False
        self._retry_now: dict[int, asyncio.Event] = {}
        self._diallers: dict[int, asyncio.Task[None]] = {}
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen (OSError if the port is taken) and begin to dial."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(partial(Connection, self), *self._listen, backlog=BACKLOG)
        self._retry_now = {peer: asyncio.Event() for peer in self._addresses}
        self._diallers = {peer: loop.create_task(self._keep_dialling(peer)) for peer in self._addresses}

    async def stop(self) -> None:
        """Send what is queued, close everything. No handler is called any more."""
        self.flush()
        self._is_stopped = True
        if self._server is not None:
            self._server.close()
        connections = list(self._connections)
        for connection in connections:
            connection.close()
        for task in self._diallers.values():
            task.cancel()
        await asyncio.gather(*self._diallers.values(), return_exceptions=True)
        if connections:
            await asyncio.wait([connection.ended for connection in connections], timeout=2 * self.limits.closing_s)

    @property
    def port(self) -> int:
        """The port listened on, the one the system chose if 0 was asked for."""
        assert self._server is not None, "the transport is not started"
        return int(self._server.sockets[0].getsockname()[1])

    def send(self, peer: int, payload: bytes) -> None:
        """Queue one frame; dropped if the peer is not connected."""
        connection = self._outgoing.get(peer)
        if connection is not None:
            connection.send(payload)

    def flush(self) -> None:
        """Write what is queued now, clients first. Otherwise it leaves at the end of this turn of the loop."""
        self._is_flush_due = False
        clients, self._clients_to_flush = self._clients_to_flush, []
        peers, self._peers_to_flush = self._peers_to_flush, []
        for connection in clients:
            connection.flush()
        for connection in peers:
            connection.flush()

    def know(self, peer: int, address: Address) -> None:
        """Another node that is there to be dialled, or one that is somewhere else now."""
        if peer == self._node or self._addresses.get(peer) == address:
            return
        is_new = peer not in self._addresses
        self._addresses[peer] = address
        self.gone.discard(peer)
        if is_new and self._server is not None:
            self._retry_now[peer] = asyncio.Event()
            self._diallers[peer] = asyncio.get_running_loop().create_task(self._keep_dialling(peer))

    def forget(self, peer: int) -> None:
        """The node is gone: it is neither dialled nor listened to any more."""
        self.gone.add(peer)
        if self._addresses.pop(peer, None) is not None and peer in self._diallers:
            self._diallers.pop(peer).cancel()
        if (outgoing := self._outgoing.get(peer)) is not None:
            outgoing.refuse(f"{node_name(peer)} was removed from this cluster")
        if (incoming := self._incoming.get(peer)) is not None:
            self._dismiss(incoming)

    def is_connected(self, peer: int) -> bool:
        """Would `send` reach for it?"""
        return peer in self._outgoing

    def is_heard(self, peer: int) -> bool:
        """Does it have a connection to this node?"""
        return peer in self._incoming

    # -- what connections ask and tell
    def begin_handshake(self, is_dialler: bool) -> Handshake:
        nonce = self._entropy(NONCE_BYTES)
        mine = Hello(FORMAT, NODE, self._node, self._cluster_id(), self._incarnation, nonce)
        return Handshake(self._secret, mine, is_dialler)

    def on_made(self, connection: Connection) -> None:
        self._connections[connection] = None
        if self._is_stopped:
            connection.close()

    def why_refused(self, connection: Connection, peer: Hello) -> str:
        if peer.role != NODE:
            return ""
        name = node_name(peer.node)
        if connection.expected and peer.node != connection.expected:
            return f"{name} answers where {node_name(connection.expected)} was dialled"
        if peer.node == self._node:
            return f"{name} is this node"
        self.incarnations[peer.node] = peer.incarnation
        return ""

    def on_established(self, connection: Connection) -> None:
        peer = connection.peer
        assert peer is not None, "an established connection has a peer"
        if peer.role != NODE:
            connection.deliver_to(self._decode_client, partial(self._on_client_message, connection), MAX_CLIENT_BYTES)
        elif connection.expected:
            self._on_dialled(connection, peer.node)
        else:
            self._on_accepted(connection, peer.node)

    def on_ended(self, connection: Connection, was_established: bool) -> None:
        del self._connections[connection]
        if self._is_stopped or not was_established or connection.peer is None:
            return
        peer = connection.peer.node
        if connection.peer.role != NODE:
            self._on_client_lost(connection)
            return
        current = self._outgoing if connection.expected else self._incoming
        if current.get(peer) is connection:
            del current[peer]
            self._tell_lost(peer)

    def on_output(self, connection: Connection) -> None:
        is_peer = connection.peer is not None and connection.peer.role == NODE
        (self._peers_to_flush if is_peer else self._clients_to_flush).append(connection)
        if not self._is_flush_due:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self.flush)

    # -- peers
    def _on_dialled(self, connection: Connection, peer: int) -> None:
        connection.deliver_to(decode_removed, self._on_dismissed, REMOVED_BYTES)
        self._outgoing[peer] = connection
        self._is_lost[peer] = False
        self.log.info("connected to %s", connection.name)
        self._on_peer_up(peer)

    def _dismiss(self, connection: Connection) -> None:
        """The last that a removed node hears."""
        connection.deliver_to(refuse_all, lambda _: None, 0)
        connection.send(encode_removed())
        connection.flush()
        connection.close()

    def _on_dismissed(self, message: Removed) -> None:
        self.on_removed()

    def _on_accepted(self, connection: Connection, peer: int) -> None:
        if peer in self.gone:
            self._dismiss(connection)
            return
        connection.deliver_to(self._decode, partial(self._on_peer_message, peer), MAX_NODE_BYTES)
        older = self._incoming.get(peer)
        self._incoming[peer] = connection
        if older is not None:
            older.refuse("the peer has opened a newer one")
            self._tell_lost(peer)
        self._is_lost[peer] = False
        if peer in self._retry_now:
            self._retry_now[peer].set()  # Who dials is there to be dialled.

    def _tell_lost(self, peer: int) -> None:
        if not self._is_lost.get(peer, True):
            self._is_lost[peer] = True
            self._on_peer_lost(peer)

    # -- dialling
    async def _keep_dialling(self, peer: int) -> None:
        """Have a connection to the peer, or try to, until `stop`."""
        delay_s = self.limits.retry_first_s
        while not self._is_stopped and peer in self._addresses:
            self._retry_now[peer].clear()
            was_established = await self._dial(peer)
            delay_s = self.limits.retry_first_s if was_established else min(delay_s * 2, self.limits.retry_most_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s * self._rng.uniform(0.5, 1)):
                    await self._retry_now[peer].wait()

    async def _dial(self, peer: int) -> bool:
        """One connection from its beginning to its end; True if it was established meanwhile."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.limits.connect_s):
                _, connection = await loop.create_connection(partial(Connection, self, peer), *self._addresses[peer])
        except (OSError, ValueError, OverflowError):  # A time-out, or no address. Not worth a line at every try.
            return False
        return await asyncio.shield(connection.ended)
