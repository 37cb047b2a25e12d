"""Which nodes there are besides this one, where they are dialled, and who may be listened to.

The founders stand in the configuration; who joined since, and who is gone, is in the roster of `s0`.

*Invariants*: a node that lost its data is a stranger under a known name; one that is gone is not heard any more, but is
still told so for a while.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from nodes.core.founding import Founding
from nodes.core.membership import NodeFacts, Roster, facts_of
from nodes.ids import group_code
from nodes.runtime.messages import MembersAre
from nodes.runtime.placement import SYSTEM

Address = tuple[str, int]
GONE_S = 10.0


class Dialler(Protocol):
    """The transport."""

    def know(self, peer: int, address: Address) -> None: ...

    def forget(self, peer: int) -> None: ...


class KnownNodes:
    """`addresses` by number; `later(seconds, then)` is the loop's; `founding()` is None before there is a cluster."""

    def __init__(
        self,
        founders: dict[int, Address],
        later: Callable[[float, Callable[[], None]], None],
        founding: Callable[[], Founding | None],
    ) -> None:
        self.addresses = dict(founders)
        self.roster = Roster()
        self._later = later
        self._founding = founding

    def follow(self, roster: Roster, transport: Dialler) -> None:
        """Dial who has joined; let go of who is gone, when it has had time to hear of that."""
        self.roster = roster
        for facts in roster.joined:
            self.addresses[facts.number] = (facts.host, facts.port)
            transport.know(facts.number, (facts.host, facts.port))
        for node in roster.gone:
            if self.addresses.pop(node, None) is not None:
                self._later(GONE_S, lambda node=node: transport.forget(node))  # type: ignore[misc]

    def still_asking(self, asked: dict[int, NodeFacts], is_heard: Callable[[int], bool]) -> dict[int, NodeFacts]:
        """Of those that `asked` to be let in, who is there and was neither let in nor removed since."""
        settled = {facts.number for facts in self.roster.joined}.union(self.roster.gone)
        return {node: facts for node, facts in asked.items() if is_heard(node) and node not in settled}

    def heeded(self, node: int, incarnation: bytes | None, items: list[tuple[int, Any]]) -> list[tuple[int, Any]]:
        """What of it is listened to: everything, if the node is known. Of one that joined while this node was away, who
        the members of `s0` are, if they name it: else the two would never hear of each other."""
        if self.is_known(node, incarnation):
            return items
        return [item for item in items if self._introduces(node, incarnation, *item)]

    def _introduces(self, node: int, incarnation: bytes | None, code: int, message: Any) -> bool:
        if code != group_code(SYSTEM) or not isinstance(message, MembersAre) or node in self.roster.gone:
            return False
        return (node, incarnation) in [(facts.number, facts.incarnation) for facts in message.members.roster.joined]

    def is_known(self, node: int, incarnation: bytes | None) -> bool:
        """Is it who was founded, or has joined, under this number?"""
        founding = self._founding()
        if founding is None or node in self.roster.gone:
            return False
        if (founder := founding.incarnations.get(node)) is not None:
            return founder == incarnation
        facts = facts_of(self.roster, node)
        return facts is not None and facts.incarnation == incarnation
