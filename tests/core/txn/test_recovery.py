"""A prepared participant that nobody tells the outcome: whom it asks, and when."""

from __future__ import annotations

from nodes.core.host import GATEWAY
from nodes.core.txn.messages import Deciding, InDoubt, Outcome
from nodes.core.txn.recovery import FIRST_QUESTION_TICKS, NEXT_QUESTION_TICKS, UNANSWERED_TICKS
from tests.core.txn.scene import GATEWAY_NODE, ShardReplica, execute, new_id, update

TXN = new_id(2)
ABORTED = Outcome(TXN, False, 0, "c2")


def prepared() -> ShardReplica:
    """TXN has voted yes."""
    shard = ShardReplica()
    shard.receive(execute(TXN, update(1, -10)))
    shard.apply()
    shard.host.sent.clear()
    return shard


def test_who_is_in_doubt_asks_its_gateway_first_and_then_the_home() -> None:
    shard = prepared()
    shard.pass_ticks(FIRST_QUESTION_TICKS - 1)
    assert shard.host.is_silent
    shard.pass_ticks(1)
    assert shard.host.sent == [(GATEWAY_NODE, GATEWAY, InDoubt(TXN, "s1", 1))]
    shard.pass_ticks(UNANSWERED_TICKS - 1)
    assert shard.host.to_leaders == []
    shard.pass_ticks(1)
    assert shard.host.to_leaders == [("c2", InDoubt(TXN, "s1", 1))]


def test_a_home_that_does_not_answer_is_asked_again_soon_for_it_may_have_another_leader_by_then() -> None:
    shard = prepared()
    shard.pass_ticks(FIRST_QUESTION_TICKS + 4 * UNANSWERED_TICKS)
    assert shard.host.to_leaders == [("c2", InDoubt(TXN, "s1", 1))] * 4
    assert len(shard.host.sent) == 1


def test_a_new_leader_asks_at_once_about_what_it_finds_prepared() -> None:
    """The outcome may have been told to the leader before it, or its gateway may have gone with that one."""
    shard = prepared().restarted()
    shard.pass_ticks(1)
    assert shard.host.sent == [(GATEWAY_NODE, GATEWAY, InDoubt(TXN, "s1", 1))]
    shard.pass_ticks(UNANSWERED_TICKS)
    assert shard.host.to_leaders == [("c2", InDoubt(TXN, "s1", 1))]


def test_a_new_leader_leaves_the_decision_to_a_gateway_that_is_deciding() -> None:
    shard = prepared().restarted()
    shard.pass_ticks(1)
    shard.receive(Deciding(TXN, "s1", True))
    shard.pass_ticks(NEXT_QUESTION_TICKS - 1)
    assert (len(shard.host.sent), shard.host.to_leaders) == (1, [])
    shard.pass_ticks(1)
    assert (len(shard.host.sent), shard.host.to_leaders) == (2, [])


def test_while_its_gateway_decides_the_gateway_is_asked_again() -> None:
    shard = prepared()
    shard.pass_ticks(FIRST_QUESTION_TICKS)
    for _ in range(3):
        shard.receive(Deciding(TXN, "s1", True))
        shard.pass_ticks(NEXT_QUESTION_TICKS)
    assert (len(shard.host.sent), shard.host.to_leaders) == (4, [])


def test_a_gateway_that_knows_nothing_sends_the_question_to_the_home_at_once() -> None:
    shard = prepared()
    shard.pass_ticks(FIRST_QUESTION_TICKS)
    shard.receive(Deciding(TXN, "s1", False))
    assert shard.host.to_leaders == [("c2", InDoubt(TXN, "s1", 1))]


def test_who_knows_the_outcome_asks_nobody() -> None:
    shard = prepared()
    shard.receive(ABORTED)
    shard.apply()
    shard.receive(Deciding(TXN, "s1", False))
    shard.pass_ticks(3 * NEXT_QUESTION_TICKS)
    assert shard.host.is_silent
