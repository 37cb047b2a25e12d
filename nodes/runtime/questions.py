"""Questions that a gateway repeats until the leader of a group answers or the deadline comes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar
from uuid import UUID

from nodes import ids
from nodes.core.host import GATEWAY
from nodes.core.replicated_log import TICK_MS
from nodes.core.roster import Order
from nodes.core.txn.messages import AskCatalog, AskFate, AskKey, CatalogIs, FateKnown, KeyKnown
from nodes.errors import DID_NOT_HAPPEN, HAPPENED, UNKNOWN, OutcomeUnknown, StoreError, Unavailable
from nodes.requests import ABORTED, COMMITTED, UNDECIDED, Fate, Leadership
from nodes.runtime.messages import AskGateway, CarryOut, GatewayTells, HandOver, LedBy, RosterIs
from nodes.runtime.surroundings import Surroundings

ASK_AGAIN_TICKS = 10
MAX_TIMEOUT_MS = 60_000

Then = Callable[[Any, StoreError | None], None]

OUTCOMES = {COMMITTED: HAPPENED, ABORTED: DID_NOT_HAPPEN}


def deadline_after(now: int, timeout_ms: int) -> int:
    """In ticks. A time-out that makes no sense leaves time to say so, at least."""
    sensible_ms = timeout_ms if 1 <= timeout_ms <= MAX_TIMEOUT_MS else MAX_TIMEOUT_MS
    return now + max(1, sensible_ms // TICK_MS)


class Question(ABC):
    """Asks the leader of `group`, which answers with an `answered_by`; `then(answer, error)` once."""

    answered_by: ClassVar[type[Any]]

    def __init__(
        self,
        surroundings: Surroundings,
        group: str,
        message: Any,
        deadline: int,
        then: Then,
    ) -> None:
        self.group = group
        self.is_over = False
        self._surroundings = surroundings
        self._message = message
        self._deadline = deadline
        self._then = then
        self._sent_to = 0
        self._sent_at = 0
        self._send()

    def _send(self) -> None:
        self._sent_to = self._surroundings.to_leader(self.group, self._message)
        self._sent_at = self._surroundings.now

    def tick(self) -> None:
        now = self._surroundings.now
        leader = self._surroundings.leader_of(self.group)
        if now >= self._deadline:
            self.end(None, self.no_answer())
        elif leader and (leader != self._sent_to or now - self._sent_at >= ASK_AGAIN_TICKS):
            self._send()

    def end(self, answer: Any, error: StoreError | None) -> None:
        if not self.is_over:
            self.is_over = True
            self._then(answer, error)

    def is_from_leader(self, message: Any) -> bool:
        """Of an `answered_by`; one that does not lead names whom it takes for the leader."""
        return True

    @abstractmethod
    def on_answer(self, message: Any) -> None:
        """The leader's."""

    def on_not_leader(self) -> None:
        self._sent_to = 0

    def no_answer(self) -> StoreError:
        return Unavailable(f"no answer by the deadline: {self._surroundings.silence_of(self.group)}; ask again")


class CatalogQuestion(Question):
    """The catalog version of `s0` now; answers with an integer."""

    answered_by = CatalogIs

    def __init__(self, surroundings: Surroundings, number: int, deadline: int, then: Then) -> None:
        super().__init__(surroundings, "s0", AskCatalog(number, surroundings.node), deadline, then)

    def on_answer(self, message: CatalogIs) -> None:
        self.end(message.version, None)


class FreshCatalog(CatalogQuestion):
    """Ends when `when(version, then)`, the catalog here, has the version that `s0` named."""

    def __init__(
        self,
        surroundings: Surroundings,
        number: int,
        when: Callable[[int, Callable[[], None]], None],
        deadline: int,
        then: Then,
    ) -> None:
        self._when = when
        self._is_answered = False
        super().__init__(surroundings, number, deadline, then)

    def on_answer(self, message: CatalogIs) -> None:
        if not self._is_answered:
            self._is_answered = True
            self._when(message.version, lambda: self.end(message.version, None))


class LeaderQuestion(Question):
    """That node `to` leads `group`; answers with a Leadership when it does."""

    answered_by = LedBy

    def __init__(
        self,
        surroundings: Surroundings,
        number: int,
        group: str,
        to: int,
        deadline: int,
        then: Then,
    ) -> None:
        self._to = to
        super().__init__(surroundings, group, HandOver(number, surroundings.node, to), deadline, then)

    def is_from_leader(self, message: LedBy) -> bool:
        return message.leads or message.refusal != ""

    def on_answer(self, message: LedBy) -> None:
        if message.leads:
            self.end(Leadership(message.group, message.leader, message.epoch), None)
        else:
            self.end(None, Unavailable(f"{message.refusal}; the group is led as before"))

    def no_answer(self) -> StoreError:
        words = f"{ids.node_name(self._to)} was not seen to lead {self.group} by the deadline, and may do so later"
        return OutcomeUnknown(f"{words}; ask again, or look at the status", retryable=True)


class RosterQuestion(Question):
    """That an operator's order is written down; answers with a Roster that has it."""

    answered_by = RosterIs

    def __init__(self, surroundings: Surroundings, number: int, order: Order, deadline: int, then: Then) -> None:
        super().__init__(surroundings, "s0", CarryOut(number, surroundings.node, order), deadline, then)

    def is_from_leader(self, message: RosterIs) -> bool:
        return message.leads

    def on_answer(self, message: RosterIs) -> None:
        if message.error is not None:
            self.end(None, StoreError.of(message.error))
        else:
            self.end(message.roster, None)

    def no_answer(self) -> StoreError:
        words = "the leader of s0 did not say by the deadline that this is written down, and may have done so"
        return OutcomeUnknown(f"{words}; ask again, or look at the members", retryable=True)


class KeyQuestion(Question):
    """What a client key belongs to, or its fence; answers with a KeyKnown."""

    answered_by = KeyKnown

    def __init__(
        self,
        surroundings: Surroundings,
        number: int,
        key: bytes,
        fence: bool,
        since: int,
        deadline: int,
        then: Then,
    ) -> None:
        self._key = key
        home = ids.key_home(key, surroundings.coordinators)
        super().__init__(surroundings, home, AskKey(number, key, surroundings.node, fence, since), deadline, then)

    def is_from_leader(self, message: KeyKnown) -> bool:
        return message.leads

    def on_answer(self, message: KeyKnown) -> None:
        self.end(message, None)

    def no_answer(self) -> StoreError:
        words = f"the home of this key ({self.group}) did not answer by the deadline; ask again"
        return OutcomeUnknown(words, transaction=str(UUID(bytes=self._key)), retryable=True)


class FateQuestion(Question):
    """The fate of an id, or its fence; answers with a Fate."""

    answered_by = FateKnown

    def __init__(
        self,
        surroundings: Surroundings,
        number: int,
        txn: bytes,
        fence: bool,
        deadline: int,
        then: Then,
    ) -> None:
        self._txn = txn
        message = AskFate(number, txn, surroundings.node, fence)
        super().__init__(surroundings, ids.home_of(txn), message, deadline, then)

    def is_from_leader(self, message: FateKnown) -> bool:
        return message.state != ""

    def on_answer(self, message: FateKnown) -> None:
        text, outcome = ids.to_text(message.txn), OUTCOMES.get(message.state, UNKNOWN)
        fate = Fate(text, message.state, outcome, message.commit_ts, message.reason, known_since=message.known_since)
        self.end(fate, None)

    def no_answer(self) -> StoreError:
        words = f"the home of this transaction ({self.group}) did not answer by the deadline; ask again"
        return OutcomeUnknown(words, transaction=ids.to_text(self._txn), retryable=True)


class GatewayQuestion(Question):
    """What the gateway that minted an id says of it; answers with a GatewayTells, always."""

    answered_by = GatewayTells

    def __init__(
        self,
        surroundings: Surroundings,
        number: int,
        txn: bytes,
        fenced: bool,
        deadline: int,
        then: Then,
    ) -> None:
        self._minter = ids.node_of(txn)
        super().__init__(surroundings, "", AskGateway(number, surroundings.node, txn, fenced), deadline, then)

    def _send(self) -> None:
        self._surroundings.send(self._minter, GATEWAY, self._message)
        self._sent_at = self._surroundings.now

    def tick(self) -> None:
        around, minter = self._surroundings, ids.node_name(self._minter)
        if not around.is_connected(self._minter):
            self._end_without(f"{minter}, which minted the id, is not connected to {ids.node_name(around.node)}")
        elif around.now >= self._deadline:
            self._end_without(f"{minter}, which minted the id, does not answer")
        elif around.now - self._sent_at >= ASK_AGAIN_TICKS:
            self._send()

    def _end_without(self, why: str) -> None:
        self.end(GatewayTells(0, UNDECIDED, f"{why}: it may be open there; ask again, or fence it"), None)

    def on_answer(self, message: GatewayTells) -> None:
        self.end(message, None)
