"""What is asked in an interactive transaction at another node than the one that holds it, on its way there and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nodes.core.host import GATEWAY
from nodes.errors import OutcomeUnknown, StoreError, Unavailable
from nodes.ids import node_name
from nodes.requests import Reply, Result
from nodes.runtime.messages import Relay, Relayed
from nodes.runtime.questions import deadline_after
from nodes.runtime.surroundings import Surroundings
from nodes.wire.protocol import COMMIT, Within

Answer = Callable[[Any], None]
AGAIN_TICKS = 20
ANSWERS_KEPT = 1_000


class _Under:
    """One that is under way."""

    def __init__(self, node: int, relay: Relay, deadline: int, then: Answer) -> None:
        self.node, self.relay, self.deadline, self.then = node, relay, deadline, then
        self.sent_at = 0


class Relays:
    """`within(message, then)` is what the node that holds the transaction does.

    It is sent again until it is answered, while that node is connected: the other side knows a repeat by its number."""

    def __init__(self, surroundings: Surroundings, within: Callable[[Within, Answer], None]) -> None:
        self._surroundings = surroundings
        self._within = within
        self._under: dict[int, _Under] = {}
        self._answers: dict[tuple[int, int], Relayed | None] = {}  # of the relays of other nodes, oldest first
        self._number = surroundings.boot << 40

    def ask(self, node: int, message: Within, then: Answer) -> None:
        around = self._surroundings
        if not around.is_connected(node):
            then(_not_connected(node, around.node, message))
            return
        self._number += 1
        deadline = deadline_after(around.now, message.timeout_ms) + 1  # its own word of being late comes first
        under = _Under(node, Relay(self._number, around.node, message), deadline, then)
        self._under[self._number] = under
        self._send(under)

    def _send(self, under: _Under) -> None:
        under.sent_at = self._surroundings.now
        self._surroundings.send(under.node, GATEWAY, under.relay)

    def on_relay(self, message: Relay) -> None:
        """Once; who asks again is told what was told."""
        asked = (message.node, message.number)
        if asked in self._answers:
            if (answer := self._answers[asked]) is not None:
                self._surroundings.send(message.node, GATEWAY, answer)
            return
        self._answers[asked] = None
        if len(self._answers) > ANSWERS_KEPT:
            del self._answers[next(iter(self._answers))]

        def then(end: Reply | list[Result] | StoreError) -> None:
            answer = Relayed(message.number)
            if isinstance(end, StoreError):
                answer.error = end.info
            elif isinstance(end, Reply):
                answer.reply = end
            else:
                answer.results = end
            if asked in self._answers:
                self._answers[asked] = answer
            self._surroundings.send(message.node, GATEWAY, answer)

        self._within(message.within, then)

    def on_relayed(self, message: Relayed) -> None:
        under = self._under.pop(message.number, None)
        if under is None:
            return
        if message.error is not None:
            under.then(StoreError.of(message.error))
        else:
            under.then(message.reply if message.reply is not None else message.results)

    def tick(self) -> None:
        now = self._surroundings.now
        for number, under in list(self._under.items()):
            is_due = now - under.sent_at >= AGAIN_TICKS
            if now >= under.deadline:
                del self._under[number]
                under.then(_lost(under, "did not answer by the deadline"))
            elif is_due and not self._surroundings.is_connected(under.node):
                del self._under[number]
                under.then(_lost(under, f"is not connected to {node_name(self._surroundings.node)} any more"))
            elif is_due:
                self._send(under)


def _not_connected(node: int, here: int, within: Within) -> StoreError:
    who = f"{node_name(node)}, which holds the transaction, is not connected to {node_name(here)}"
    words = f"{who}: this was not done. Ask again; or begin anew, for what a node held is gone when it has died"
    return Unavailable(f"{words} (a fence makes that certain)", transaction=within.id)


def _lost(under: _Under, why: str) -> StoreError:
    within = under.relay.within
    who = f"{node_name(under.node)}, which holds the transaction, {why}"
    if within.verb == COMMIT:
        return OutcomeUnknown(f"{who}: ask for the fate of the transaction, or fence it", transaction=within.id)
    words = f"{who}; it is not committed, but whether that was done in it is not known: ask again, or roll back"
    return Unavailable(words, retryable=False, transaction=within.id)
