"""What one node asks all the others on behalf of a client: the status, transactions, the trace of one.

It waits for every node that is connected, at most WAIT_S, and tells what came and who was silent. Who let that time
pass is asked again, and not waited for until it has said something: a node that hangs must not make every picture late.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from nodes import ids
from nodes.core.membership import Members, NodeFacts
from nodes.errors import NotFound, StoreError, Unavailable
from nodes.requests import IN_DOUBT, Fate, Trace, Transactions
from nodes.runtime import doubts, pages, status
from nodes.runtime.driver import Driver
from nodes.runtime.messages import (
    AskNodeDoubts,
    AskNodeStatus,
    AskNodeTrace,
    AskNodeTransactions,
    NodeDoubtsAre,
    NodeStatusIs,
    NodeTraceIs,
    NodeTransactionsAre,
)
from nodes.runtime.trace import STEPS_KEPT

WAIT_S = 0.75  # well below SILENCE_S, after which a client turns to another node
REMARKABLE_TICKS = 20  # one a second: each costs every node a look through its ring
FATE_WAIT_MS = 1_000

Answers = dict[int, Any]


class Around(Protocol):
    """The node, as the survey needs it."""

    number: int
    addresses: dict[int, tuple[str, int]]

    def members(self) -> dict[str, Members]: ...

    def tell(self, peer: int, message: Any) -> None:
        """Dropped if the peer is not connected."""

    def is_connected(self, peer: int) -> bool: ...

    def later(self, seconds: float, then: Callable[[], None]) -> None: ...

    def clock_ms(self) -> int: ...

    def own_status(self, wide: bool) -> dict[str, Any]: ...


class Survey:
    """`driver()` is None until the cluster is founded."""

    def __init__(self, around: Around, driver: Callable[[], Driver | None]) -> None:
        self._around = around
        self._driver = driver
        self._asked: dict[int, tuple[Answers, Callable[[Answers], None], int]] = {}
        self._numbers = 0
        self._ticks = 0
        started_ms = around.clock_ms()
        self._started_ms = started_ms
        self._changed_ms: dict[int, int] = {}
        self._answered_ms: dict[int, int] = {}
        self._silent: set[int] = set()  # connected, and did not answer in time; it may be late only

    # -- what clients ask

    def status(self, wide: bool, then: Callable[[dict[str, Any] | StoreError], None]) -> None:
        own = self._around.own_status(wide)
        if wide and self._driver() is None and self._around.number not in self._around.addresses:
            then(Unavailable("this node asks to be let in, and knows nothing of the cluster yet"))
            return
        if not wide:
            then(own)
            return

        def told(answers: Answers) -> None:
            statuses = {node: answer.status for node, answer in answers.items()}
            since_ms = self._since(statuses)
            then(own | status.merged(statuses, self._around.addresses, since_ms, self._around.members()))

        self._ask(AskNodeStatus, NodeStatusIs(0, own), told)

    def newcomer(self, node: int, then: Callable[[NodeFacts | None], None]) -> None:
        """What a node says of itself that asks any of the others, or this one, to be let in."""
        own = NodeStatusIs(0, self._around.own_status(True))
        self._ask(AskNodeStatus, own, lambda told: then(status.newcomer((each.status for each in told.values()), node)))

    def transactions(
        self, which: str, limit: int, after: str, then: Callable[[Transactions | StoreError], None]
    ) -> None:
        """The page of all nodes; BadRequest for a filter, limit or cursor that is none."""
        driver = self._driver()
        try:
            pages.check(which, limit, after)
            if driver is None:
                raise _not_founded()
        except StoreError as error:
            then(error)
            return

        def told(page: Transactions) -> None:
            if which == IN_DOUBT and page.transactions:
                self._complete(driver, page, then)
            else:
                then(page)

        self._ask(
            lambda number: AskNodeTransactions(number, which, limit, after),
            _transactions(driver, AskNodeTransactions(0, which, limit, after)),
            lambda answers: told(pages.merged(answers, self._nodes(), which, limit, after)),
        )

    def _complete(self, driver: Driver, page: Transactions, then: Callable[[Transactions | StoreError], None]) -> None:
        """Of those in doubt, what their gateways and homes know."""
        txns = [ids.from_text(each.id) for each in page.transactions]

        def told(answers: Answers) -> None:
            doubts.complete(page.transactions, answers)
            page.silent = sorted({*page.silent, *(node for node in self._nodes() if node not in answers)})
            then(page)

        self._ask(lambda number: AskNodeDoubts(number, txns), _doubts(driver, AskNodeDoubts(0, txns)), told)

    def trace(self, text: str, then: Callable[[Trace | StoreError], None]) -> None:
        """Every node's steps and the fate; NotFound for what is no id of this cluster."""
        driver = self._driver()
        if driver is None:
            then(_not_founded())
            return

        def on_fate(fate: Fate | StoreError) -> None:
            if isinstance(fate, NotFound):
                then(fate)
                return
            known = fate if isinstance(fate, Fate) else None
            txn = ids.from_text(text)
            self._ask(
                lambda number: AskNodeTrace(number, txn),
                _trace(driver, AskNodeTrace(0, txn)),
                lambda answers: then(pages.merged_trace(text, known, answers, self._nodes())),
            )

        driver.gateway.inquiries.ask_fate(text, False, FATE_WAIT_MS, on_fate)

    # -- what happens

    def receive(self, peer: int, message: Any) -> bool:
        """False: the message is none of the survey's."""
        driver = self._driver()
        if isinstance(message, AskNodeStatus):
            self._around.tell(peer, NodeStatusIs(message.number, self._around.own_status(True)))
        elif isinstance(message, AskNodeTransactions):
            if driver is not None:
                self._around.tell(peer, _transactions(driver, message))
        elif isinstance(message, AskNodeTrace):
            if driver is not None:
                self._around.tell(peer, _trace(driver, message))
        elif isinstance(message, AskNodeDoubts):
            if driver is not None:
                self._around.tell(peer, _doubts(driver, message))
        elif isinstance(message, NodeStatusIs | NodeTransactionsAre | NodeTraceIs | NodeDoubtsAre):
            self._on_answer(peer, message)
        else:
            return False
        return True

    def on_peer_changed(self, peer: int) -> None:
        """A connection to it came or went."""
        self._silent.discard(peer)
        self._changed_ms[peer] = self._around.clock_ms()

    def tick(self) -> None:
        """Now and then the steps of an attempt that was slow or aborted are fetched, before the rings move on."""
        self._ticks += 1
        driver = self._driver()
        record = driver.trace.take_remarkable() if driver and self._ticks % REMARKABLE_TICKS == 0 else None
        if driver is None or record is None:
            return

        def keep(answers: Answers) -> None:
            record.elsewhere = [step for step in pages.merged_steps(answers) if step.group][:STEPS_KEPT]

        txn = record.txn
        self._ask(lambda number: AskNodeTrace(number, txn), _trace(driver, AskNodeTrace(0, txn)), keep)

    # -- gathering

    def _ask(self, question: Callable[[int], Any], own: Any, then: Callable[[Answers], None]) -> None:
        self._numbers += 1
        number = self._numbers
        self._asked[number] = ({self._around.number: own}, then, self._around.clock_ms())
        for node in self._nodes():
            if node != self._around.number:
                self._around.tell(node, question(number))
        self._around.later(WAIT_S, lambda: self._give_up(number))
        self._tell_if_complete(number)

    def _on_answer(self, peer: int, message: Any) -> None:
        self._silent.discard(peer)
        now_ms = self._answered_ms[peer] = self._around.clock_ms()
        asked = self._asked.get(message.number)
        if asked is not None:
            answers, _, sent_ms = asked
            answers[peer] = message
            if isinstance(message, NodeStatusIs):
                ahead_ms = status.clock_ahead_ms(sent_ms, message.status["clock_ms"], now_ms)
                message.status["clock_ahead_ms"] = ahead_ms
            self._tell_if_complete(message.number)

    def _tell_if_complete(self, number: int) -> None:
        if self._silent.issuperset(self._missing(number)):
            self._tell(number)

    def _give_up(self, number: int) -> None:
        if number in self._asked:
            self._silent.update(self._missing(number))
            self._tell(number)

    def _missing(self, number: int) -> list[int]:
        """Who is connected and has not answered."""
        answers, _, _ = self._asked[number]
        return [node for node in self._nodes() if node not in answers and self._around.is_connected(node)]

    def _tell(self, number: int) -> None:
        answers, then, _ = self._asked.pop(number)
        then(answers)

    def _nodes(self) -> list[int]:
        return sorted(self._around.addresses)

    def _since(self, answered: dict[int, Any]) -> dict[int, int]:
        """Node -> when it came, if it answered; else when it was last heard."""
        return {
            node: changed if node in answered or not self._around.is_connected(node)
            else max(changed, self._answered_ms.get(node, 0))
            for node, changed in ((node, self._changed_ms.get(node, self._started_ms)) for node in self._nodes())
        }  # fmt: skip


def _transactions(driver: Driver, asked: AskNodeTransactions) -> NodeTransactionsAre:
    found = pages.of_node(driver, asked.filter, asked.limit, asked.after)
    return NodeTransactionsAre(asked.number, found, driver.trace.since_us)


def _trace(driver: Driver, asked: AskNodeTrace) -> NodeTraceIs:
    transaction, steps = driver.trace.find(asked.txn)
    return NodeTraceIs(asked.number, transaction, steps, driver.trace.since_us)


def _doubts(driver: Driver, asked: AskNodeDoubts) -> NodeDoubtsAre:
    return NodeDoubtsAre(asked.number, doubts.facts_of(driver, asked.txns))


def _not_founded() -> Unavailable:
    return Unavailable("this node is not part of a running cluster yet; nothing happened")
