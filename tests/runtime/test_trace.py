"""What a node remembers of transactions: everything bounded, nothing of the parameters' values, all of it tellable."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nodes import ids
from nodes.core.txn import steps
from nodes.core.txn.messages import WOUNDED
from nodes.requests import ABORTED, ACTIVE, COMMITTED, NEWEST, SLOW, UNDECIDED, Statement, Step, Transaction
from nodes.runtime import trace as traces
from nodes.runtime.pages import FIRST_PAGE, rank
from nodes.runtime.trace import Record, Trace

NODE = 2
SECRET = "Grace Hopper"
STATEMENTS = [Statement("UPDATE people SET name = $1 WHERE id = $2", [SECRET, 7])]


class Clock:
    """Microseconds that the test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        self.now += 1
        return self.now


def txn_of(counter: int, home: str = "c1") -> bytes:
    return ids.mint(5 << 16, NODE, 1, counter, home, b"abc")


class Node:
    def __init__(self) -> None:
        self.clock = Clock()
        self.trace = Trace(NODE, self.clock)

    def listed(self, which: str, most: int = 10_000) -> list[Transaction]:
        return self.trace.transactions(which, most, FIRST_PAGE)

    def attempt(self, counter: int, took_us: int = 0, state: str = COMMITTED, statements: Any = STATEMENTS) -> Record:
        record = self.trace.begin(txn_of(counter), 1, ["s1", "s2"], statements, None)
        self.clock.now += took_us
        if state != ACTIVE:
            self.trace.end(record, state)
        return record


@pytest.fixture
def node() -> Node:
    return Node()


def counters(found: list[Any]) -> list[int]:
    return sorted(int.from_bytes(ids.from_text(one.id)[14:20], "big") for one in found)


def test_an_attempt_is_told_with_its_statements_but_not_their_values(node: Node) -> None:
    node.attempt(1)
    (told,) = node.listed(NEWEST)
    assert (told.id, told.gateway, told.state, told.shards) == (ids.to_text(txn_of(1)), NODE, COMMITTED, ["s1", "s2"])
    assert [(one.sql, one.params) for one in told.statements] == [(STATEMENTS[0].sql, ["text", "integer"])]
    assert SECRET.encode() not in msgspec.msgpack.encode(told)


def test_named_parameters_and_every_type_of_value_have_a_type(node: Node) -> None:
    values = {"a": 1, "b": "x", "c": True, "d": None, "e": 1.5, "f": b"x", "g": [1], "h": {}}
    node.attempt(1, statements=[Statement("SELECT :a", values)])
    (told,) = node.listed(NEWEST)
    assert told.statements[0].params == ["integer", "text", "boolean", "null", "number", "bytes", "list", "object"]


def test_of_a_large_request_the_first_statements_are_kept_and_the_rest_counted(node: Node) -> None:
    node.attempt(1, statements=[Statement("x" * 100_000, list(range(500)))] * 1_000)
    (told,) = node.listed(NEWEST)
    assert (len(told.statements), told.left_out) == (traces.STATEMENTS_KEPT, 1_000 - traces.STATEMENTS_KEPT)
    assert len(told.statements[0].sql) == traces.STATEMENT_CHARACTERS
    assert len(told.statements[0].params) == traces.PARAMS_KEPT


def test_statements_that_come_one_by_one_are_added(node: Node) -> None:
    record = node.attempt(1, state=ACTIVE)
    record.add_statements([Statement("COMMIT AND CHAIN")])
    (told,) = node.listed(NEWEST)
    assert [one.sql for one in told.statements] == [STATEMENTS[0].sql, "COMMIT AND CHAIN"]
    assert (told.state, told.ended_us, told.duration_us) == (ACTIVE, 0, 0)


def test_the_newest_are_bounded_and_a_lasting_attempt_that_was_pushed_out_still_ends(node: Node) -> None:
    lasting = node.attempt(1, state=ACTIVE)
    for counter in range(2, traces.NEWEST_KEPT + 2):
        node.attempt(counter)
    assert counters(node.listed(NEWEST)) == list(range(2, traces.NEWEST_KEPT + 2))
    node.trace.note_at_gateway(steps.VOTED, lasting.txn, "s1")
    node.clock.now += 10**6
    node.trace.end(lasting, COMMITTED)
    assert 1 in counters(node.listed(SLOW))


def test_the_slowest_are_kept_when_many_fast_ones_follow(node: Node) -> None:
    for counter in range(1, traces.SLOW_KEPT + 1):
        node.attempt(counter, took_us=50_000 + counter)
    for counter in range(10_000, 10_000 + 2 * traces.NEWEST_KEPT):
        node.attempt(counter, took_us=10)
    assert counters(node.listed(SLOW)) == list(range(1, traces.SLOW_KEPT + 1))
    slow, found = node.trace.find(txn_of(7))
    assert slow is not None
    assert slow.duration_us > 50_000
    assert [step.step for step in found] == [steps.BEGUN, steps.ANSWERED]


def test_the_slow_of_old_days_make_place_for_those_of_now(node: Node) -> None:
    node.attempt(1, took_us=50_000)
    for counter in (2, 3):
        node.clock.now += traces.SLOW_KEPT_US
        node.attempt(counter, took_us=10)
    assert counters(node.listed(SLOW)) == [2, 3]


def test_the_aborted_are_kept_with_their_cause_and_bounded(node: Node) -> None:
    for counter in range(traces.ABORTED_KEPT + 5):
        record = node.trace.begin(txn_of(counter), 2, ["s1"], STATEMENTS, None)
        node.trace.end(record, ABORTED, code="conflict", cause="was wounded")
    found = node.listed(ABORTED)
    assert counters(found) == list(range(5, traces.ABORTED_KEPT + 5))
    assert {(one.state, one.code, one.cause, one.attempt) for one in found} == {(ABORTED, "conflict", "was wounded", 2)}


@pytest.mark.parametrize("which", [NEWEST, SLOW, ABORTED])
def test_a_page_of_a_node_holds_the_first_ones_behind_the_cursor(node: Node, which: str) -> None:
    for counter, took_us in enumerate((500, 100, 900, 300, 700)):
        node.attempt(counter, took_us, ABORTED)
    every = node.listed(which)
    assert [rank(one, which) for one in every] == sorted((rank(one, which) for one in every), reverse=True)
    assert node.listed(which, 2) == every[:2]
    assert node.trace.transactions(which, 2, rank(every[1], which)) == every[2:4]


def test_an_attempt_knows_the_one_that_followed_it(node: Node) -> None:
    first = node.attempt(1, state=ABORTED)
    node.trace.begin(txn_of(2), 2, ["s1"], STATEMENTS, first)
    told = {one.id: one.retried_as for one in node.listed(NEWEST)}
    assert told == {ids.to_text(txn_of(1)): ids.to_text(txn_of(2)), ids.to_text(txn_of(2)): ""}


def test_an_unknown_outcome_is_told_as_undecided(node: Node) -> None:
    node.trace.end(node.attempt(1, state=ACTIVE), UNDECIDED, code="outcome_unknown")
    (told,) = node.listed(NEWEST)
    assert (told.state, told.code) == (UNDECIDED, "outcome_unknown")


# -- steps


def test_steps_of_the_gateway_and_of_this_nodes_groups_are_found_by_id(node: Node) -> None:
    txn, other = txn_of(1), txn_of(2)
    node.attempt(1, state=ACTIVE)
    node.trace.note_at_gateway(steps.SENT, txn, "s1", 3)
    node.trace.note(steps.ARRIVED, other, "s1", 1)
    node.trace.note(steps.WAITS, txn, "s1", other)
    node.trace.note(steps.PREPARED, txn, "s1", (4, 99))
    node.trace.note(steps.DECISION, txn, "c1", (3 << 8 | 2, 12, True, 77, ""))
    _, found = node.trace.find(txn)
    assert [(step.group, step.step, step.detail) for step in found] == [
        ("", steps.BEGUN, {"attempt": 1, "home": "c1"}),
        ("", steps.SENT, {"to_node": 3, "group": "s1"}),
        ("s1", steps.WAITS, {"behind": ids.to_text(other)}),
        ("s1", steps.PREPARED, {"term": 4, "slot": 99}),
        ("c1", steps.DECISION, {"ballot": "3.n2", "slot": 12, "commit": True, "commit_ts": 77, "reason": ""}),
    ]
    assert {step.node for step in found} == {NODE}


def test_a_cause_is_told_in_words_and_its_winner_as_an_id(node: Node) -> None:
    node.trace.note(steps.TURNED_DOWN, txn_of(1), "s1", (WOUNDED, txn_of(2)))
    _, (step,) = node.trace.find(txn_of(1))
    assert step.detail == {"cause": traces.CAUSES[WOUNDED], "winner": ids.to_text(txn_of(2))}


@pytest.mark.parametrize("step", steps.DETAILS)
def test_every_step_can_be_told(node: Node, step: str) -> None:
    values = tuple(7 if name != "winner" else b"" for name in steps.DETAILS[step])
    node.trace.note(step, txn_of(1), "c1", values)
    _, (told,) = node.trace.find(txn_of(1))
    assert told.step == step
    assert len(told.detail) == len(values)


def test_an_id_that_nobody_noted_has_no_steps(node: Node) -> None:
    assert node.trace.find(txn_of(9)) == (None, [])


def test_the_ring_is_bounded_and_says_how_far_back_it_reaches(node: Node) -> None:
    started = node.trace.since_us
    assert started <= node.clock.now
    for number in range(traces.RING_EVENTS + 10):
        node.trace.note(steps.ARRIVED, txn_of(number), "s1", 1)
    assert node.trace.find(txn_of(9)) == (None, [])
    _, (oldest,) = node.trace.find(txn_of(10))
    assert node.trace.since_us == oldest.at_us > started


def test_the_aborted_and_the_slow_are_remarkable_once_a_second_after_their_end(node: Node) -> None:
    aborted = node.attempt(1, state=ABORTED)
    assert node.trace.take_remarkable() is None
    node.clock.now += traces.REMARKABLE_AFTER_US
    assert node.trace.take_remarkable() is aborted
    assert node.trace.take_remarkable() is None
    for counter in range(2, 2 + traces.SLOW_KEPT):
        node.attempt(counter, took_us=500)
    node.clock.now += traces.REMARKABLE_AFTER_US
    while node.trace.take_remarkable() is not None:
        pass
    node.attempt(5_000, took_us=10)
    slow = node.attempt(5_001, took_us=900)
    node.clock.now += traces.REMARKABLE_AFTER_US
    assert node.trace.take_remarkable() is slow
    assert node.trace.take_remarkable() is None


def test_steps_that_were_fetched_are_told_when_the_rings_have_moved_on(node: Node) -> None:
    record = node.attempt(1, state=ABORTED)
    record.elsewhere = [Step(1_000_005, 3, "s1", steps.PREPARED, {"term": 1, "slot": 9})]
    for number in range(traces.RING_EVENTS):
        node.trace.note(steps.ARRIVED, txn_of(number + 100), "s1", 1)
    _, found = node.trace.find(txn_of(1))
    assert [step.step for step in found] == [steps.BEGUN, steps.ANSWERED, steps.PREPARED]


def test_a_repeated_message_cannot_grow_an_attempt_without_end(node: Node) -> None:
    node.attempt(1, state=ACTIVE)
    for _ in range(3 * traces.STEPS_KEPT):
        node.trace.note_at_gateway(steps.SENT, txn_of(1), "s1", 3)
    assert len(node.trace.find(txn_of(1))[1]) == traces.STEPS_KEPT
