"""What the three roles have in common: a replica is always in exactly one, and a role lives within one term.

*Invariants*: a message that means nothing to a role is nothing to it, never an error; a role that has ended is never
asked again. The paper, figure 4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from nodes.core.raft.replica import RaftReplica


class Role:
    """The part of a replica that differs between follower, candidate and leader."""

    __slots__ = ("replica",)
    handlers: ClassVar[dict[type, Callable[[Any, int, Any], None]]] = {}

    def __init__(self, replica: RaftReplica) -> None:
        self.replica = replica

    def receive(self, sender: int, message: Any) -> None:
        """Take a message of the current term."""
        handler = self.handlers.get(type(message))
        if handler is not None:
            handler(self, sender, message)

    def start(self) -> None:
        """The replica has just taken this role."""

    def end(self) -> None:
        """The replica is about to take another one."""

    def tick(self) -> None:
        """One tick has passed."""

    def on_durable(self) -> None:
        """More of what was recorded is durable."""

    def on_peer_lost(self, peer: int) -> None:
        """The connection to `peer` broke."""

    def on_compacted(self) -> None:
        """The log has let go of its oldest entries."""

    def on_installed(self) -> None:
        """The store was replaced by a newer one, and the log begins behind it."""

    def has_work(self) -> bool:
        """Would `flush` send anything?"""
        return False

    def flush(self) -> None:
        """A drain begins: put what was held for it into the outbox."""
