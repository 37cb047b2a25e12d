"""How a cluster begins, once (DESIGN.md §1, membership).

    founder                             n1 (the lowest number)
      │ Here(incarnation) ───────────────> collects all founders
      │ <──────────────────────── Found(founding)      durable at n1 before it leaves
      │ FoundAck ────────────────────────>             durable here before it leaves
      │ <──────────────────────── Open                  all have it: elections may begin

Everything is repeated until answered. A node that holds the founding but not Open asks any other with Here. So does one
that wants to join later, until an operator has added it: then it is told Open as well.

*Invariants*: no election before the founders' list and the cluster id are durable on all founders. A node whose
incarnation is not the founding's is a stranger under a known name: its disk was lost or swapped; it does not vote.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from nodes.core.membership import NodeFacts, Roster, facts_of
from nodes.ids import node_name

REPEAT_TICKS = 4


class Founding(msgspec.Struct, array_like=True, frozen=True, tag=190):
    """Record and message: what was decided once. `incarnations` by node number."""

    cluster_id: bytes
    incarnations: dict[int, bytes]
    shards: int
    replicas: int


class Incarnation(msgspec.Struct, array_like=True, frozen=True, tag=191):
    """Record: what this data directory was drawn as, before anything else."""

    incarnation: bytes


class Opened(msgspec.Struct, array_like=True, frozen=True, tag=192):
    """Record: all founders hold the founding."""


class Boot(msgspec.Struct, array_like=True, frozen=True, tag=193):
    """Record: the number of this life of the node; durable before an id is minted in it."""

    number: int


class Here(msgspec.Struct, array_like=True, tag=60):
    """`host`, `port`: where the sender is dialled."""

    incarnation: bytes
    founding: Founding | None
    host: str = ""
    port: int = 0


class Found(msgspec.Struct, array_like=True, tag=61):
    founding: Founding


class FoundAck(msgspec.Struct, array_like=True, tag=62):
    incarnation: bytes


class Open(msgspec.Struct, array_like=True, tag=63):
    founding: Founding
    roster: Roster = Roster()


class Stranger(msgspec.Struct, array_like=True, tag=64):
    """You are not who was founded under your name."""

    words: str


Message = Here | Found | FoundAck | Open | Stranger
Record = Founding | Incarnation | Opened | Boot


class Founder:
    """One node's part. `send(node, message)`; `save(record, then)` calls `then` when the record is durable; `opened`
    is called once when elections may begin; `refused(words)` when this node must not take part. `roster()` tells who
    has joined or gone since the founding; `waiting` are those who ask to be let in; `contacts` are no founders, but may
    let this node in as well."""

    def __init__(
        self,
        me: int,
        nodes: tuple[int, ...],
        incarnation: bytes,
        founding: Founding | None,
        is_open: bool,
        draw: Callable[[dict[int, bytes]], Founding],
        send: Callable[[int, Any], None],
        save: Callable[[Any, Callable[[], None]], None],
        opened: Callable[[Founding], None],
        refused: Callable[[str], None],
        roster: Callable[[], Roster] = Roster,
        address: tuple[str, int] = ("", 0),
        contacts: tuple[int, ...] = (),
    ) -> None:
        self.me = me
        self.nodes = nodes
        self.known = nodes + contacts
        self.waiting: dict[int, NodeFacts] = {}
        self.founding = founding
        self.is_open = is_open
        self._incarnation = incarnation
        self._is_durable = founding is not None
        self._draw = draw
        self._send = send
        self._save = save
        self._opened = opened
        self._refused = refused
        self._roster = roster
        self._address = address
        self._here: dict[int, bytes] = {me: incarnation}
        self._acknowledged = {me}

    def tick(self, now: int) -> None:
        if now % REPEAT_TICKS == 0 and not self.is_open:
            self.ask()

    def ask(self) -> None:
        """Tell all others that this node is there."""
        if self.me == min(self.nodes):
            self._lead()
        durable = self.founding if self._is_durable else None  # what it names, it acknowledges
        for node in self.known:
            if node != self.me:
                self._send(node, Here(self._incarnation, durable, *self._address))

    def receive(self, sender: int, message: Any) -> None:
        if isinstance(message, Here):
            (self._on_here if sender in self.nodes else self._on_newcomer)(sender, message)
        elif sender not in self.known:
            return
        elif isinstance(message, Found):
            self._on_found(sender, message)
        elif isinstance(message, FoundAck):
            self._on_acknowledged(sender, message.incarnation)
        elif isinstance(message, Open) and not self.is_open:
            self._on_open(message)
        elif isinstance(message, Stranger):
            self._refused(message.words)

    def _on_here(self, sender: int, message: Here) -> None:
        if self.founding is not None and self.founding.incarnations.get(sender) != message.incarnation:
            self._acknowledged.discard(sender)
            self._send(sender, _stranger(sender))
        elif self.is_open and self.founding is not None:
            self._send(sender, Open(self.founding, self._roster()))
        else:
            self._here[sender] = message.incarnation
            if message.founding is not None and message.founding == self.founding:
                self._acknowledged.add(sender)

    def _on_newcomer(self, sender: int, message: Here) -> None:
        """Who was no founder is let in when an operator has added it."""
        if self.founding is None or not self.is_open:
            return
        roster, facts = self._roster(), NodeFacts(sender, message.incarnation, message.host, message.port)
        known = facts_of(roster, sender)
        if known is not None and known.incarnation == message.incarnation:
            self.waiting.pop(sender, None)
            self._send(sender, Open(self.founding, roster))
        elif known is not None:
            self._send(sender, _stranger(sender))
        elif sender in roster.gone:
            self._send(sender, Stranger(f"{node_name(sender)} was removed from this cluster"))
        else:
            self.waiting[sender] = facts

    def _on_acknowledged(self, sender: int, incarnation: bytes) -> None:
        if self.founding is not None and self.founding.incarnations.get(sender) == incarnation:
            self._acknowledged.add(sender)
            self._lead()

    def _lead(self) -> None:
        if self.me != min(self.nodes) or self.is_open:
            return
        if self.founding is None:
            if len(self._here) == len(self.nodes):
                self._hold(self._draw(dict(sorted(self._here.items()))), self._lead)
        elif self._is_durable and len(self._acknowledged) == len(self.nodes):
            self._open()
        elif self._is_durable:
            for node in self.nodes:
                if node not in self._acknowledged:
                    self._send(node, Found(self.founding))

    def _hold(self, founding: Founding, then: Callable[[], None]) -> None:
        self.founding = founding

        def durable() -> None:
            self._is_durable = True
            then()

        self._save(founding, durable)

    def _on_found(self, sender: int, message: Found) -> None:
        acknowledge = FoundAck(self._incarnation)
        if self.founding is None and message.founding.incarnations.get(self.me) == self._incarnation:
            self._hold(message.founding, lambda: self._send(sender, acknowledge))
        elif self.founding == message.founding and self._is_durable:
            self._send(sender, acknowledge)

    def _on_open(self, message: Open) -> None:
        if self.founding == message.founding and self._is_durable:
            self._open()
        elif self.founding is None and self._is_named(message):
            self._hold(message.founding, self._open)

    def _is_named(self, message: Open) -> bool:
        """Is this node a founder, or has it been let in since?"""
        joined = facts_of(message.roster, self.me)
        incarnation = joined.incarnation if joined is not None else message.founding.incarnations.get(self.me)
        return incarnation == self._incarnation

    def _open(self) -> None:
        if not self.is_open:
            assert self.founding is not None, "opened without a founding"
            self.is_open = True
            founding = self.founding

            def durable() -> None:
                for node in self.nodes:
                    if node != self.me:
                        self._send(node, Open(founding))
                self._opened(founding)

            self._save(Opened(), durable)


def _stranger(node: int) -> Stranger:
    name = node_name(node)
    return Stranger(f"this cluster knows {name} with other data: was {name}; replace it")
