"""Pages of transactions that several nodes remember: one order, no gaps, no repeats, and who was not heard."""

from __future__ import annotations

from typing import Any

import pytest

from nodes import ids
from nodes.errors import BadRequest
from nodes.requests import (
    ABORTED,
    COMMITTED,
    IN_DOUBT,
    NEWEST,
    SLOW,
    UNDECIDED,
    Fate,
    Step,
    Transaction,
)
from nodes.runtime import pages
from nodes.runtime.messages import NodeTraceIs, NodeTransactionsAre


def transaction(counter: int, begun_us: int = 0, took_us: int = 0, node: int = 1, time: int = 5) -> Transaction:
    txn = ids.mint(time, node, 1, counter, "c1", b"abc")
    return Transaction(ids.to_text(txn), node, COMMITTED, begun_us, begun_us + took_us)


def answer(*found: Transaction, since_us: int = 1) -> NodeTransactionsAre:
    return NodeTransactionsAre(0, list(found), since_us)


def walked(answers: dict[int, list[Transaction]], which: str, limit: int) -> list[list[str]]:
    """Page after page, each node answering as it would, with what follows the cursor and one more than the limit."""
    found, after = [], ""
    while True:
        told = {
            node: answer(*pages._page(one, which, limit + 1, pages.rank_of_cursor(after)))
            for node, one in answers.items()
        }
        page = pages.merged(told, sorted(answers), which, limit, after)
        found.append([one.id for one in page.transactions])
        after = page.next
        if not after:
            return found


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("which", [NEWEST, SLOW, ABORTED, IN_DOUBT])
def test_pages_hold_everything_once_and_in_one_order(which: str, limit: int) -> None:
    nodes = {
        node: [transaction(n, begun_us=1 + n // 2, took_us=1 + n % 3, node=node, time=n // 2) for n in range(4)]
        for node in (1, 2, 3)
    }
    every = sorted((one for found in nodes.values() for one in found), key=lambda one: pages.rank(one, which))
    walk = walked(nodes, which, limit)
    assert [id for page in walk for id in page] == [one.id for one in reversed(every)]
    assert all(len(page) == limit for page in walk[:-1])
    assert len(walk[-1]) <= limit


def test_the_newest_and_the_slowest_come_first_and_of_those_in_doubt_the_oldest() -> None:
    early_slow, late_fast = transaction(1, begun_us=10, took_us=900, time=1), transaction(2, begun_us=20, time=2)
    for which, first in ((NEWEST, late_fast), (SLOW, early_slow), (IN_DOUBT, early_slow)):
        page = pages.merged({1: answer(late_fast, early_slow)}, [1], which, 1, "")
        assert page.transactions == [first]


def test_one_in_doubt_on_several_shards_is_one_row() -> None:
    def waiting(shard: str, age_ms: int) -> Transaction:
        one = transaction(1, begun_us=1_000_000 - age_ms)
        one.state, one.in_doubt = UNDECIDED, {shard: age_ms}
        return one

    page = pages.merged({1: answer(waiting("s1", 30)), 2: answer(waiting("s4", 50))}, [1, 2], IN_DOUBT, 10, "")
    (one,) = page.transactions
    assert (one.in_doubt, one.begun_us) == ({"s1": 30, "s4": 50}, 1_000_000 - 50)


def test_a_page_tells_who_was_silent_and_how_far_back_the_others_reach() -> None:
    page = pages.merged({1: answer(since_us=40), 3: answer(since_us=70)}, [1, 2, 3], NEWEST, 10, "")
    assert (page.silent, page.since_us, page.next) == ([2], {1: 40, 3: 70}, "")


@pytest.mark.parametrize(
    ("which", "limit", "after"),
    [("fastest", 10, ""), (NEWEST, 0, ""), (NEWEST, 201, ""), (NEWEST, 10, "x"), (NEWEST, 10, "1.t1"), (SLOW, 1, ".")],
)
def test_a_question_that_has_no_answer_is_refused(which: str, limit: int, after: str) -> None:
    with pytest.raises(BadRequest):
        pages.check(which, limit, after)


def test_a_cursor_of_a_page_is_taken() -> None:
    pages.check(NEWEST, 200, f"17.{transaction(1).id}")
    pages.check(IN_DOUBT, 1, f"-17.{transaction(1).id}")


def test_steps_of_all_nodes_stand_in_the_order_of_their_times() -> None:
    one = transaction(1)
    told: dict[int, Any] = {
        2: NodeTraceIs(0, None, [Step(30, 2, "s1", "prepared"), Step(10, 2, "s1", "arrived")], 5),
        1: NodeTraceIs(0, one, [Step(9, 1, "", "begun"), Step(40, 1, "", "answered")], 7),
    }
    fate = Fate(one.id, COMMITTED, "happened", 99)
    trace = pages.merged_trace(one.id, fate, told, [1, 2, 3])
    assert [step.at_us for step in trace.steps] == [9, 10, 30, 40]
    assert (trace.transaction, trace.fate, trace.silent, trace.since_us) == (one, fate, [3], {1: 7, 2: 5})


def test_a_step_that_two_nodes_tell_is_told_once() -> None:
    step = Step(10, 2, "s1", "arrived", {"gateway": 1})
    again = Step(10, 2, "s1", "arrived", {"gateway": 1})
    sent = [Step(8, 1, "", "sent", {"to_node": 2, "group": group}) for group in ("s1", "s2")]
    told: dict[int, Any] = {1: NodeTraceIs(0, None, [*sent, again], 5), 2: NodeTraceIs(0, None, [step], 5)}
    assert pages.merged_steps(told) == [*sent, step]


def test_an_id_that_no_node_knows_has_a_fate_and_no_steps() -> None:
    one = transaction(1)
    trace = pages.merged_trace(one.id, None, {1: NodeTraceIs(0, None, [], 7)}, [1])
    assert (trace.transaction, trace.steps, trace.since_us, trace.silent) == (None, [], {1: 7}, [])
