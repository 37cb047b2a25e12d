"""Interactive transactions at a shard's leader: steps, what they keep, and what ends them (case C16)."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from nodes import ids
from nodes.core.host import GATEWAY
from nodes.core.replicated_log import TICK_MS
from nodes.core.txn.entries import MoveMarks, encode
from nodes.core.txn.interactive import ASK_TICKS, MARGIN_TICKS, SILENT_TICKS
from nodes.core.txn.messages import (
    ENDED,
    NOT_LEADER,
    PREPARE,
    STALE,
    TOO_LATE,
    WOUNDED,
    Deciding,
    Execute,
    Held,
    InDoubt,
    Outcome,
    Refused,
    Voted,
)
from nodes.sql.schema import Fragment
from tests.core.txn.scene import GATEWAY_NODE, TERM, ShardReplica, execute, new_id, row, select, step_of, update

TXN, OLDER, YOUNGER = new_id(5, "c1"), new_id(1, "c1"), new_id(9, "c1")
step = partial(step_of, TXN)


def prepare(number: int, keep: int = -1, term: int = TERM) -> Execute:
    return step(number, keep=keep, term=term, finish=PREPARE)


def held(shard: ShardReplica) -> list[tuple[int, list[Any]]]:
    """(number of the step, rows of its statements) of each answer since the last look."""
    return [(answer.number, [rows.rows for rows in answer.rows]) for answer in shard.host.said(Held)]


def commit(shard: ShardReplica, number: int, keep: int = -1) -> None:
    shard.receive(prepare(number, keep))
    shard.apply()
    assert len(shard.host.said(Voted)) == 1
    shard.receive(Outcome(TXN, True, 90, "c1"))
    shard.apply()


# -- steps


def test_each_step_sees_what_those_before_it_did_and_nothing_is_written_before_the_end() -> None:
    shard = ShardReplica()
    shard.receive(step(1, update(1, -10), select(1)))
    assert held(shard) == [(1, [[], [[1, 90]]])]
    shard.receive(step(2, update(1, -10), update(2, 20), select(1)))
    assert held(shard) == [(2, [[], [], [[1, 80]]])]
    assert shard.proposals == []
    assert (shard.balance(1), shard.balance(2)) == (100, 200)
    commit(shard, 3)
    assert (shard.balance(1), shard.balance(2), len(shard.locks)) == (80, 220, 0)


def test_a_repeat_is_answered_as_it_was_and_an_older_step_not_at_all() -> None:
    shard = ShardReplica()
    shard.receive(step(1, update(1, -10), select(1)))
    shard.receive(step(1, update(1, -10), select(1)))
    assert held(shard) == 2 * [(1, [[], [[1, 90]]])]
    shard.receive(step(2, select(1)), step(1, update(1, -10), select(1)))
    assert held(shard) == [(2, [[[1, 90]]])]


def test_what_is_not_kept_is_undone_and_its_locks_stay() -> None:
    shard = ShardReplica()
    shard.receive(step(1, update(1, -10)), step(2, update(2, 5), saved=(1,)), step(3, select(1), select(2), keep=1))
    assert held(shard)[-1] == (3, [[[1, 90]], [[2, 200]]])
    assert (2, row(2)) in shard.locks.held_by(TXN)
    shard.receive(step(4, select(1), keep=0))
    assert held(shard) == [(4, [[[1, 100]]])]
    commit(shard, 5, keep=0)
    assert (shard.balance(1), shard.balance(2)) == (100, 200)


def test_a_row_that_came_and_went_and_came_again_is_one_row_in_the_end() -> None:
    sql = {
        "insert": "INSERT INTO t2_1 (id, balance) VALUES (7, 70)",
        "delete": "DELETE FROM t2_1 WHERE id = 7",
        "move": "UPDATE t2_1 SET id = 8 WHERE id = 1",
    }

    def write(word: str) -> Fragment:
        return Fragment(0, sql[word], [], [(2, 1)], update(7, 0).locks, True)

    shard = ShardReplica()
    for number, word in enumerate(("insert", "delete", "insert", "move", "delete", "insert"), start=1):
        shard.receive(step(number, write(word)))
    shard.receive(prepare(7))
    (entry,) = shard.apply()
    assert sorted((image.old_key, image.row) for image in entry.images if image.old_key) == [([1], [8, 100, None])]
    assert [image.row for image in entry.images if not image.old_key] == [[7, 70, None]]
    shard.receive(Outcome(TXN, True, 90, "c1"))
    shard.apply()
    assert (shard.balance(7), shard.balance(8)) == (70, 100)


def test_a_statement_that_fails_leaves_nothing_and_is_told_when_the_leadership_is_confirmed() -> None:
    shard = ShardReplica()
    shard.receive(step(1, update(1, -10)))
    shard.host.said(Held)
    shard.receive(step(2, update(2, 1), update(1, -1_000)))
    assert shard.host.said(Held) == []
    shard.host.answer_confirm()
    (answer,) = shard.host.said(Held)
    assert answer.error is not None
    assert (answer.number, answer.error.sqlstate) == (2, "23514")
    shard.receive(step(3, select(1), select(2), keep=1))
    assert held(shard) == [(3, [[[1, 90]], [[2, 200]]])]


def test_a_table_of_another_version_is_told_and_the_transaction_goes_on() -> None:
    shard = ShardReplica()
    shard.receive(step(1, update(1, -10, version=7)))
    shard.host.answer_confirm()
    (answer,) = shard.host.said(Held)
    assert (answer.version, answer.error) == (1, None)
    shard.receive(step(2, update(1, -10), keep=0))
    commit(shard, 3, keep=2)
    assert shard.balance(1) == 90
    assert STALE not in [refusal.cause for refusal in shard.host.said(Refused)]


# -- who leads


@pytest.mark.parametrize("late", [step(2, select(1)), prepare(2), prepare(2, term=2), step(3, select(1), keep=0)])
def test_a_later_step_that_meets_another_leader_ends_it(late: Execute) -> None:
    shard = ShardReplica()
    shard.receive(step(1, update(1, -10)))
    successor = shard.restarted()
    successor.receive(late)
    (refusal,) = successor.host.said(Refused)
    assert refusal.cause == ENDED
    assert (successor.proposals, len(successor.locks)) == ([], 0)


def test_a_step_that_names_the_term_of_another_leader_ends_it() -> None:
    """Its first step came again to this leader, which knows nothing of what the other one told."""
    shard = ShardReplica()
    shard.receive(step(1, update(1, -10)))
    shard.host.said(Held)
    shard.receive(step(2, select(1), term=7))
    assert [refusal.cause for refusal in shard.host.said(Refused)] == [ENDED]
    assert len(shard.locks) == 0
    shard.receive(prepare(3))
    assert [refusal.cause for refusal in shard.host.said(Refused)] == [ENDED]


def test_who_no_longer_leads_says_so() -> None:
    shard = ShardReplica()
    shard.receive(step(1, update(1, -10)))
    shard.machine.unlead()
    assert [refusal.cause for refusal in shard.host.said(Refused)] == [NOT_LEADER]
    shard.receive(step(2, select(1)))
    assert [refusal.cause for refusal in shard.host.said(Refused)] == [NOT_LEADER]


def test_a_prepared_one_is_as_any_other() -> None:
    """A repeat of its last step is answered from the record, by a new leader too."""
    shard = ShardReplica()
    shard.receive(step(1, update(1, -10)), prepare(2))
    shard.apply()
    shard.host.said(Voted)
    successor = shard.restarted()
    successor.receive(prepare(2))
    assert [vote.txn for vote in successor.host.said(Voted)] == [TXN]
    successor.receive(Outcome(TXN, True, 90, "c1"))
    successor.apply()
    assert successor.balance(1) == 90


def test_a_first_step_that_is_late_is_refused() -> None:
    shard = ShardReplica()
    shard.append(encode(MoveMarks(ids.time_of(TXN), 0, 0)))
    shard.receive(step(1, update(1, -10)))
    assert [refusal.cause for refusal in shard.host.said(Refused)] == [TOO_LATE]


# -- what ends it


def test_an_older_one_that_waits_ends_it_between_its_steps() -> None:
    shard = ShardReplica()
    shard.receive(step(1, update(1, -10)))
    shard.host.said(Held)
    shard.receive(execute(OLDER, update(1, 1)))
    assert [(each.txn, each.cause, each.winner) for each in shard.host.said(Refused)] == [(TXN, WOUNDED, OLDER)]
    assert [proposal.txn for proposal in shard.proposals] == [OLDER]
    shard.receive(step(2, select(1)))
    assert [each.cause for each in shard.host.said(Refused)] == [WOUNDED]


def test_a_younger_one_waits_until_it_is_over() -> None:
    shard = ShardReplica()
    shard.receive(step(1, update(1, -10)), execute(YOUNGER, update(1, 1)))
    assert shard.locks.is_waiting(YOUNGER)
    shard.receive(Outcome(TXN, False, 0, "c1"))
    assert not shard.locks.is_waiting(YOUNGER)
    shard.receive(step(1, update(1, -10)))
    assert [(refusal.txn, refusal.cause) for refusal in shard.host.said(Refused)] == 2 * [(TXN, ENDED)]


def test_an_abort_that_comes_while_an_error_is_confirmed_ends_it() -> None:
    shard = ShardReplica()
    shard.receive(step(1, update(1, -1_000)))
    shard.receive(Outcome(TXN, False, 0, "c1"))
    assert len(shard.locks) > 0
    shard.host.answer_confirm()
    assert len(shard.locks) == 0
    assert shard.host.said(Held) == []


def test_its_gateway_is_asked_and_ends_it_when_it_knows_nothing_of_it() -> None:
    """C16: its gateway was started again, and nobody will go on with it."""
    shard = ShardReplica()
    shard.receive(step(1, update(1, -10)))
    shard.pass_ticks(ASK_TICKS)
    assert (GATEWAY_NODE, GATEWAY, InDoubt(TXN, "s1", 1)) in shard.host.sent
    shard.receive(Deciding(TXN, "s1", True))
    assert len(shard.locks) > 0
    shard.receive(Deciding(TXN, "s1", False))
    assert len(shard.locks) == 0


def test_a_gateway_that_is_silent_ends_it() -> None:
    """C16: or its machine is gone."""
    shard = ShardReplica()
    shard.receive(step(1, update(1, -10)))
    shard.pass_ticks(SILENT_TICKS - 1)
    assert len(shard.locks) > 0
    shard.pass_ticks(1)
    assert len(shard.locks) == 0


def test_a_gateway_that_says_so_keeps_it_open_for_as_long_as_it_wants() -> None:
    """C16: how long its client rests is for the gateway to see; it may be busy at other shards."""
    shard = ShardReplica()
    shard.receive(step(1, update(1, -10)))
    ticks = shard.host.constants.interactive_idle_ms // TICK_MS + MARGIN_TICKS
    for _ in range(ticks // 10 + 5):
        shard.receive(Deciding(TXN, "s1", True))
        shard.pass_ticks(10)
    shard.receive(step(2, select(1)))
    assert held(shard)[-1] == (2, [[[1, 90]]])


def test_a_late_copy_of_the_first_step_opens_another_one_that_no_later_step_goes_on_with() -> None:
    """What the first opening read and locked is gone. (Its refusal is forgotten after ten thousand others.)"""
    shard = ShardReplica()
    shard.receive(step(1, select(1)))
    shard.receive(execute(OLDER, update(1, 1)))
    shard.apply()
    assert shard.machine.leading is not None
    shard.machine.leading.participant._answers.clear()
    shard.receive(Outcome(OLDER, True, 80, "c2"))
    shard.apply()
    shard.host.said(Refused)
    shard.receive(step(1, select(1)))
    assert [answer.term for answer in shard.host.said(Held)] == [TERM, TERM + 1]
    shard.receive(step(2, update(1, 5)))
    assert [refusal.cause for refusal in shard.host.said(Refused)] == [ENDED]
    assert len(shard.locks) == 0


def test_a_step_that_goes_on_from_what_is_not_kept_ends_it() -> None:
    shard = ShardReplica()
    shard.receive(*(step(number, update(1, -10)) for number in (1, 2, 3)), step(4, select(1), keep=1))
    assert [refusal.cause for refusal in shard.host.said(Refused)] == [ENDED]
