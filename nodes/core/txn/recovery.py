"""In doubt: what a prepared participant does when nobody tells it the outcome (DESIGN.md §5).

The first question goes to the gateway, which may say *deciding* until its deadline; who gets no answer, or hears that
the gateway knows nothing, asks the home. The home first decides abort if nothing is decided; whichever decision came
first is the answer. What a new leader finds prepared it asks about at once: the outcome may have been told to the one
before it, and others wait for the locks (docs/decisions/005-in-doubt-asks-soon.md).

*Invariants*: a prepared participant obeys the home alone, and for an abort also the gateway that minted the id.
"""

from __future__ import annotations

from nodes import ids
from nodes.core.host import GATEWAY, Host
from nodes.core.txn import steps
from nodes.core.txn.messages import Deciding, InDoubt
from nodes.core.txn.shard_state import ShardState

FIRST_QUESTION_TICKS = 10
UNANSWERED_TICKS = 6  # then the question goes to the home, and to the home again
NEXT_QUESTION_TICKS = 20  # to a gateway that is deciding


class _Doubt:
    __slots__ = ("ask_at", "asks_home", "since")

    def __init__(self, now: int, wait_ticks: int) -> None:
        self.since = now
        self.ask_at = now + wait_ticks
        self.asks_home = False


class Doubts:
    """The prepared transactions of a shard leader, and whom it asks when."""

    def __init__(self, state: ShardState, host: Host) -> None:
        self.host = host
        self.state = state
        self._doubts = {txn: _Doubt(host.now, 0) for txn in state.prepared}

    def on_prepared(self, txn: bytes) -> None:
        self._doubts[txn] = _Doubt(self.host.now, FIRST_QUESTION_TICKS)

    def on_ended(self, txn: bytes) -> None:
        self._doubts.pop(txn, None)

    def on_deciding(self, message: Deciding) -> None:
        doubt = self._doubts.get(message.txn)
        if doubt is None:
            return
        doubt.asks_home = not message.known
        doubt.ask_at = self.host.now + NEXT_QUESTION_TICKS
        if not message.known:
            self._ask(message.txn, doubt)

    def tick(self) -> None:
        for txn, doubt in self._doubts.items():
            if doubt.ask_at <= self.host.now:
                self._ask(txn, doubt)

    def waiting(self) -> dict[bytes, int]:
        """Each one's time in doubt, in ticks."""
        return {txn: self.host.now - doubt.since for txn, doubt in self._doubts.items()}

    def oldest_ticks(self) -> int:
        return max((self.host.now - doubt.since for doubt in self._doubts.values()), default=0)

    def __len__(self) -> int:
        return len(self._doubts)

    def _ask(self, txn: bytes, doubt: _Doubt) -> None:
        self.host.note(steps.IN_DOUBT, txn, "home" if doubt.asks_home else "gateway")
        question = InDoubt(txn, self.host.group, self.host.node)
        if doubt.asks_home:
            self.host.to_leader(ids.home_of(txn), question)
        else:
            self.host.send(self.state.prepared[txn].gateway, GATEWAY, question)
            doubt.asks_home = True  # unless the gateway answers that it is deciding
        doubt.ask_at = self.host.now + UNANSWERED_TICKS
