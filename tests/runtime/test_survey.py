"""One node asks all the others: it waits for those that are connected, not for ever, and says who was silent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nodes import ids
from nodes.core.membership import Members
from nodes.errors import BadRequest, NotFound, StoreError, Unavailable
from nodes.requests import Fate, Step, Trace, Transactions
from nodes.runtime.messages import (
    AskNodeStatus,
    AskNodeTrace,
    AskNodeTransactions,
    NodeStatusIs,
    NodeTraceIs,
    NodeTransactionsAre,
)
from nodes.runtime.survey import REMARKABLE_TICKS, WAIT_S, Survey
from nodes.runtime.trace import Record
from tests.runtime.test_pages import transaction

TXN = transaction(1)


def own_status(node: int) -> dict[str, Any]:
    nothing = {"live": 0, "committed": node, "aborted": 0, "read": 0}
    doubt = {"count": 0, "oldest_ms": 0}
    return {
        "node": node,
        "boot": 1,
        "ready": True,
        "waiting": [],
        "leaving": [],
        "gone": [],
        "clock_ms": 50_000,
        "journal": {"free_bytes": 9},
        "groups": [],
        "in_doubt": doubt,
        "requests": nothing,
        "per_second": [],
        "changes": [],
    }


class Around:
    """Node 1 of three; a peer answers when the test says so."""

    def __init__(self) -> None:
        self.number = 1
        self.addresses = {node: ("127.0.0.1", 7100 + node) for node in (1, 2, 3)}
        self.connected = {1, 2, 3}
        self.now_ms = 50_000
        self.told: list[tuple[int, Any]] = []
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.founded = True
        self.remarkable: list[Any] = []
        self.survey = Survey(self, lambda: _Driver(self) if self.founded else None)  # type: ignore[arg-type, return-value]

    def members(self) -> dict[str, Members]:
        return {"s1": Members((1, 2, 3))}

    def tell(self, peer: int, message: Any) -> None:
        if peer in self.connected:
            self.told.append((peer, message))

    def is_connected(self, peer: int) -> bool:
        return peer in self.connected

    def later(self, seconds: float, then: Callable[[], None]) -> None:
        self.timers.append((seconds, then))

    def clock_ms(self) -> int:
        return self.now_ms

    def own_status(self, wide: bool) -> dict[str, Any]:
        return own_status(1)

    def time_is_up(self) -> None:
        assert [seconds for seconds, _ in self.timers] == [WAIT_S] * len(self.timers)
        for _, then in self.timers:
            then()

    def answer_status(self, peer: int) -> None:
        (number,) = [question.number for to, question in self.told if to == peer]
        assert self.survey.receive(peer, NodeStatusIs(number, own_status(peer)))


class _Driver:
    """As much of a driver as a survey asks."""

    def __init__(self, around: Around) -> None:
        self.trace = self.gateway = self.inquiries = self
        self.groups: dict[int, Any] = {}
        self.since_us = 11
        self.remarkable = around.remarkable

    def take_remarkable(self) -> Any:
        return self.remarkable.pop(0) if self.remarkable else None

    def transactions(self, which: str, most: int, after: Any) -> list[Any]:
        return [TXN]

    def find(self, txn: bytes) -> tuple[Any, list[Any]]:
        return TXN, []

    def ask_fate(self, text: str, fence: bool, timeout_ms: int, then: Callable[[Fate | StoreError], None]) -> None:
        if text != TXN.id:
            then(NotFound("no such transaction"))
        else:
            then(Fate(text, "committed", "happened", 9))


@pytest.fixture
def around() -> Around:
    return Around()


def up(status: dict[str, Any]) -> list[int]:
    return [node["node"] for node in status["nodes"] if node["up"]]


def test_a_narrow_status_asks_nobody(around: Around) -> None:
    told: list[dict[str, Any]] = []
    around.survey.status(False, told.append)
    assert told == [own_status(1)]
    assert around.told == []


def test_a_wide_status_is_told_when_the_last_connected_node_has_answered(around: Around) -> None:
    told: list[dict[str, Any]] = []
    around.survey.status(True, told.append)
    assert [(peer, type(question)) for peer, question in around.told] == [(2, AskNodeStatus), (3, AskNodeStatus)]
    around.answer_status(3)
    assert told == []
    around.answer_status(2)
    (status,) = told
    assert (up(status), status["requests"]["committed"]) == ([1, 2, 3], 6)
    around.time_is_up()
    assert len(told) == 1


def test_a_node_that_is_not_connected_is_not_waited_for_and_told_with_the_time_it_was_lost(around: Around) -> None:
    around.now_ms = 60_000
    around.connected.discard(3)
    around.survey.on_peer_changed(3)
    told: list[dict[str, Any]] = []
    around.survey.status(True, told.append)
    around.answer_status(2)
    (status,) = told
    assert up(status) == [1, 2]
    assert [node["since_ms"] for node in status["nodes"]] == [50_000, 50_000, 60_000]


def test_a_node_that_is_connected_but_silent_is_waited_for_a_while_and_told_since_when(around: Around) -> None:
    told: list[dict[str, Any]] = []
    around.survey.status(True, told.append)
    around.answer_status(2)
    around.now_ms = 61_000
    around.answer_status(3)
    around.told.clear()
    around.now_ms = 70_000
    around.survey.status(True, told.append)
    around.answer_status(2)
    assert len(told) == 1
    around.time_is_up()
    assert up(told[1]) == [1, 2]
    assert told[1]["nodes"][2]["since_ms"] == 61_000


def test_who_let_the_time_pass_is_asked_but_not_waited_for_until_it_says_something(around: Around) -> None:
    told: list[dict[str, Any]] = []
    around.survey.status(True, told.append)
    around.answer_status(2)
    around.time_is_up()
    around.told.clear()
    around.survey.status(True, told.append)
    around.answer_status(2)
    assert [up(each) for each in told] == [[1, 2], [1, 2]], "at once"
    around.answer_status(3)  # late
    around.told.clear()
    around.survey.status(True, told.append)
    around.answer_status(2)
    assert len(told) == 2, "it is waited for again"
    around.answer_status(3)
    assert up(told[2]) == [1, 2, 3]


def test_a_new_connection_is_waited_for(around: Around) -> None:
    told: list[dict[str, Any]] = []
    around.survey.status(True, told.append)
    around.answer_status(2)
    around.time_is_up()
    around.survey.on_peer_changed(3)
    around.told.clear()
    around.survey.status(True, told.append)
    around.answer_status(2)
    assert len(told) == 1


def test_the_clocks_are_compared_at_the_middle_of_the_question(around: Around) -> None:
    told: list[dict[str, Any]] = []
    around.survey.status(True, told.append)
    around.now_ms += 100
    around.answer_status(2)
    around.answer_status(3)
    assert [node["clock_ahead_ms"] for node in told[0]["nodes"]] == [0, -50, -50]
    assert [(node["boot"], node["free_bytes"]) for node in told[0]["nodes"]] == [(1, 9)] * 3


def test_an_answer_that_comes_too_late_changes_nothing(around: Around) -> None:
    told: list[dict[str, Any]] = []
    around.survey.status(True, told.append)
    around.time_is_up()
    around.answer_status(2)
    assert len(told) == 1


def test_transactions_are_gathered_from_all(around: Around) -> None:
    told: list[Transactions | StoreError] = []
    around.survey.transactions("newest", 10, "", told.append)
    for peer, question in list(around.told):
        assert isinstance(question, AskNodeTransactions)
        around.survey.receive(peer, NodeTransactionsAre(question.number, [transaction(peer, node=peer)], 22))
    (page,) = told
    assert isinstance(page, Transactions)
    assert len(page.transactions) == 3
    assert page.since_us == {1: 11, 2: 22, 3: 22}


def test_a_trace_is_gathered_from_all_with_its_fate(around: Around) -> None:
    told: list[Trace | StoreError] = []
    around.survey.trace(TXN.id, told.append)
    for peer, question in list(around.told):
        assert isinstance(question, AskNodeTrace)
        around.survey.receive(peer, NodeTraceIs(question.number, None, [], 22))
    (trace,) = told
    assert isinstance(trace, Trace)
    assert trace.fate is not None
    assert (trace.fate.state, trace.transaction) == ("committed", TXN)


def test_once_a_second_the_steps_of_a_remarkable_attempt_are_fetched_and_kept_with_it(around: Around) -> None:
    txn = ids.from_text(TXN.id)
    records = [Record(txn, 1, ["s1"], 5), Record(txn, 1, ["s1"], 6)]
    around.remarkable += records
    for _ in range(REMARKABLE_TICKS):
        around.survey.tick()
    asked = list(around.told)
    assert [(peer, type(question), question.txn) for peer, question in asked] == [
        (2, AskNodeTrace, txn),
        (3, AskNodeTrace, txn),
    ]
    here, elsewhere = Step(9, 1, "", "begun"), Step(7, 3, "s1", "arrived")
    around.survey.receive(2, NodeTraceIs(asked[0][1].number, TXN, [here], 22))
    around.survey.receive(3, NodeTraceIs(asked[1][1].number, None, [elsewhere], 22))
    assert (records[0].elsewhere, records[1].elsewhere) == ([elsewhere], [])
    assert around.remarkable == records[1:]


def test_a_foreign_id_a_wrong_filter_and_an_unfounded_cluster_are_refused_at_once(around: Around) -> None:
    told: list[Any] = []
    around.survey.trace("t1", told.append)
    around.survey.transactions("fastest", 10, "", told.append)
    around.founded = False
    around.survey.trace(TXN.id, told.append)
    around.survey.transactions("newest", 10, "", told.append)
    assert [type(error) for error in told] == [NotFound, BadRequest, Unavailable, Unavailable]
    assert around.told == []


def test_a_node_answers_what_another_one_asks(around: Around) -> None:
    for question in (
        AskNodeStatus(5),
        AskNodeTransactions(5, "newest", 10, ""),
        AskNodeTrace(5, b"x"),
    ):
        assert around.survey.receive(2, question)
    kinds = [(peer, type(message), message.number) for peer, message in around.told]
    assert kinds == [(2, NodeStatusIs, 5), (2, NodeTransactionsAre, 5), (2, NodeTraceIs, 5)]


def test_what_is_not_the_surveys_is_left_to_others(around: Around) -> None:
    assert not around.survey.receive(2, "a message of the founding")
