"""What a gateway is asked besides running requests, and asks the groups' leaders itself: fates and fences, client keys,
how new its catalog is, who shall lead a group, which nodes there shall be.

The home tells a fate. Where it has no decision, the gateway that minted the id is asked too, afterwards: it knows what
is open, what it has aborted and so will never propose, and what has only read, of which there is no record anywhere. A
fence goes to it first: what is open there ends at once, and what it says has only read and is committed needs no abort.
If it cannot be asked the home decides alone: whatever its client was told, of what only read nothing can be seen.

*Invariants*: what the home has decided before a question came is told, whatever the gateway says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nodes import ids
from nodes.core.membership import Roster
from nodes.core.roster import Order
from nodes.core.txn.messages import CatalogIs, FateKnown, KeyKnown
from nodes.errors import NotFound, StoreError, Unavailable
from nodes.requests import ABORTED, ACTIVE, COMMITTED, UNDECIDED, Fate, Leadership, Nodes
from nodes.runtime.catalog import Catalog
from nodes.runtime.keyed import fate_of_key
from nodes.runtime.messages import GatewayTells, LedBy, RosterIs
from nodes.runtime.questions import (
    OUTCOMES,
    CatalogQuestion,
    FateQuestion,
    FreshCatalog,
    GatewayQuestion,
    KeyQuestion,
    LeaderQuestion,
    Question,
    RosterQuestion,
    Then,
    deadline_after,
)
from nodes.runtime.surroundings import Surroundings

GATEWAY_TICKS = 20  # a gateway that is connected has so long to say what it knows
GATEWAY_SHARE = 0.25  # of the time for a fence at most: the home is what must be reached
ANSWERS = (FateKnown, KeyKnown, CatalogIs, LedBy, RosterIs, GatewayTells)


class Inquiries:
    """The questions under way, each repeated until it is answered or its time is up. `number` names a new one."""

    def __init__(self, surroundings: Surroundings, catalog: Catalog, number: Callable[[], int]) -> None:
        self._surroundings = surroundings
        self._catalog = catalog
        self._number = number
        self._open: dict[int, Question] = {}

    # -- what is asked

    def ask_fate(
        self, text: str, fence: bool, timeout_ms: int, then: Callable[[Fate | StoreError], None], since: int = 0
    ) -> None:
        """The fate of an id, or of a client key, in text form. `since`: of a key, a timestamp from before its first
        sending, or 0."""
        if ids.is_key(text):
            self._ask_fate_of_key(text, fence, since, timeout_ms, then)
            return
        try:
            txn = ids.from_text(text)
        except ValueError as error:
            then(NotFound(f"no such transaction: {error}"))
            return
        if not ids.belongs_to(txn, self._surroundings.cluster_id):
            then(NotFound("no such transaction: the id was minted by another cluster"))
            return

        deadline = self._deadline(timeout_ms)
        if fence:
            ticks = min(GATEWAY_TICKS, int((deadline - self._surroundings.now) * GATEWAY_SHARE))
            self._ask_gateway(txn, True, ticks, lambda says, _: self._fence(txn, says, deadline, then))
        else:
            self._ask_home(
                txn, False, deadline, then,
                lambda fate: self._ask_gateway(txn, False, GATEWAY_TICKS, lambda says, _: then(_joined(fate, says))),
            )  # fmt: skip

    def _fence(self, txn: bytes, says: GatewayTells, deadline: int, then: Callable[[Fate | StoreError], None]) -> None:
        """`says`: what its gateway answered to that."""
        is_known = says.state == COMMITTED
        self._ask_home(txn, not is_known, deadline, then, lambda fate: then(_joined(fate, says)))

    def _ask_home(
        self,
        txn: bytes,
        fence: bool,
        deadline: int,
        then: Callable[[Fate | StoreError], None],
        undecided: Callable[[Fate], None],
    ) -> None:
        """`undecided(fate)` where it has no decision."""

        def told(fate: Fate | None, error: StoreError | None) -> None:
            if fate is None:
                then(error or Unavailable("the fate was not asked for"))
            elif fate.state == UNDECIDED:
                undecided(fate)
            else:
                then(fate)

        self._ask(FateQuestion, (txn, fence), deadline, told)

    def _ask_gateway(self, txn: bytes, fenced: bool, ticks: int, then: Then) -> None:
        self._ask(GatewayQuestion, (txn, fenced), self._surroundings.now + ticks, then)

    def _ask_fate_of_key(
        self, text: str, fence: bool, since: int, timeout_ms: int, then: Callable[[Fate | StoreError], None]
    ) -> None:
        try:
            key = ids.key_of(text)
        except ValueError as error:
            then(NotFound(f"no such transaction: {error}"))
            return

        def ended(known: KeyKnown | None, error: StoreError | None) -> None:
            if known is None:
                then(error or Unavailable("the key was not asked for"))
            else:
                then(fate_of_key(text, known, since))

        self.ask_key(key, fence, since, self._deadline(timeout_ms), ended)

    def ask_key(
        self,
        key: bytes,
        fence: bool,
        since: int,
        deadline: int,
        then: Callable[[KeyKnown | None, StoreError | None], None],
    ) -> None:
        """What a client key belongs to, from its home, by a read index begun now or later."""
        self._ask(KeyQuestion, (key, fence, since), deadline, then)

    def ask_catalog(self, deadline: int, then: Callable[[int | None, StoreError | None], None]) -> None:
        """The version of the catalog at `s0`, by a read index begun now or later."""
        self._ask(CatalogQuestion, (), deadline, then)

    def refresh_catalog(self, timeout_ms: int, then: Callable[[StoreError | None], None]) -> None:
        """Calls `then` when the catalog here has every DDL that was committed before this call, or with an error."""
        deadline = self._deadline(timeout_ms)
        self._ask(FreshCatalog, (self._catalog.when,), deadline, lambda version, error: then(error))

    def transfer_leader(
        self, group: str, to: int, timeout_ms: int, then: Callable[[Leadership | StoreError], None]
    ) -> None:
        """Have the node `to` lead the group; calls `then` when it does, or with why that is not known to be so."""
        members = self._surroundings.members_of(group)
        if not members:
            then(NotFound(f"there is no group {group}"))
        elif to not in members:
            held = ", ".join(map(ids.node_name, members))
            then(NotFound(f"{ids.node_name(to)} has no replica of {group}: it is on {held}"))
        else:
            self._ask(LeaderQuestion, (group, to), self._deadline(timeout_ms), _one(then))

    def change_nodes(self, order: Order, timeout_ms: int, then: Callable[[Nodes | StoreError], None]) -> None:
        """Have an operator's order written down; calls `then` with what is wanted then. The groups follow by and by."""

        def ended(roster: Roster | None, error: StoreError | None) -> None:
            if roster is None:
                then(error or Unavailable("the order was not given"))
            else:
                then(Nodes(dict(roster.leaving), list(roster.gone)))

        self._ask(RosterQuestion, (order,), self._deadline(timeout_ms), ended)

    def _ask(self, kind: Callable[..., Question], about: tuple[Any, ...], deadline: int, then: Then) -> None:
        number = self._number()

        def ended(answer: Any, error: StoreError | None) -> None:
            self._open.pop(number, None)
            then(answer, error)

        self._open[number] = kind(self._surroundings, number, *about, deadline, ended)

    def _deadline(self, timeout_ms: int) -> int:
        return deadline_after(self._surroundings.now, timeout_ms)

    # -- what happens

    def receive(self, sender: int, message: Any) -> None:
        """One of ANSWERS."""
        question = self._open.get(message.number)
        if question is None or type(message) is not question.answered_by:
            return
        if question.is_from_leader(message):
            question.on_answer(message)
        else:
            self._surroundings.on_hint(question.group, sender, message.leader)
            question.on_not_leader()

    def tick(self) -> None:
        for question in list(self._open.values()):
            question.tick()


def _one(then: Callable[[Any], None]) -> Then:
    """For who takes the answer or the error as one."""
    return lambda answer, error: then(answer if error is None else error)


def _joined(fate: Fate, says: GatewayTells) -> Fate:
    """What the home, which has no decision, and the gateway know together."""
    state = says.state if says.state in (ACTIVE, ABORTED, COMMITTED) else UNDECIDED
    outcome = OUTCOMES.get(state, fate.outcome)
    return Fate(fate.id, state, outcome, 0, says.reason, known_since=fate.known_since)
