"""When a shard leader proposes the end of a prepared transaction: with what comes next, or when it is waited for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nodes.core.txn.messages import Acknowledge, AskCatalog, AskClosed, Outcome, SnapshotRead
from nodes.sql.schema import NOWAIT
from tests.core.txn.scene import GATEWAY_NODE, ShardReplica, execute, new_id, one_shard, select, step_of, update
from tests.core.txn.test_row_locks import point

FIRST, SECOND, THIRD = new_id(1), new_id(2), new_id(3)
COMMITTED = {txn: Outcome(txn, True, 1_000 + at, "c2") for at, txn in enumerate((FIRST, SECOND, THIRD))}


@pytest.fixture
def shard() -> ShardReplica:
    """FIRST, which writes account 1, and SECOND, which writes account 2, have voted."""
    shard = ShardReplica()
    shard.receive(execute(FIRST, update(1, -10)), execute(SECOND, update(2, 10)))
    shard.apply()
    shard.host.sent.clear()
    return shard


def proposed(shard: ShardReplica) -> list[tuple[str, bytes]]:
    return [(type(entry).__name__, getattr(entry, "txn", b"")) for entry in shard.proposals]


def test_while_another_one_is_in_flight_an_end_waits_and_the_last_takes_all_along(shard: ShardReplica) -> None:
    shard.receive(COMMITTED[FIRST])
    assert proposed(shard) == []
    shard.receive(COMMITTED[SECOND])
    assert proposed(shard) == [("EndTxn", FIRST), ("EndTxn", SECOND)]
    shard.apply()
    assert (shard.balance(1), shard.balance(2), len(shard.locks)) == (90, 210, 0)


def test_what_is_executed_is_in_flight_too_and_its_entry_takes_the_ends_along_in_front(shard: ShardReplica) -> None:
    shard.receive(COMMITTED[FIRST])
    shard.receive(execute(THIRD, update(3, 1)))
    assert proposed(shard) == [("EndTxn", FIRST), ("PrepareTxn", THIRD)]


def test_a_commit_of_one_shard_takes_them_along(shard: ShardReplica) -> None:
    shard.receive(COMMITTED[FIRST])
    other = new_id(9, "s1")
    shard.receive(one_shard(other, update(3, 1)))
    assert proposed(shard) == [("EndTxn", FIRST), ("CommitTxn", other)]


def test_at_the_next_tick_it_is_proposed_in_any_case(shard: ShardReplica) -> None:
    shard.receive(COMMITTED[FIRST])
    shard.pass_ticks(1)
    assert proposed(shard) == [("EndTxn", FIRST)]
    shard.apply()
    shard.pass_ticks(1)
    assert shard.host.said(Acknowledge) == [Acknowledge([FIRST], "s1")]


def test_an_outcome_that_is_told_again_is_proposed_once(shard: ShardReplica) -> None:
    shard.receive(COMMITTED[FIRST], COMMITTED[FIRST])
    shard.pass_ticks(1)
    shard.receive(COMMITTED[FIRST])
    shard.pass_ticks(1)
    assert proposed(shard) == [("EndTxn", FIRST)]


WAITS: dict[str, Callable[[ShardReplica], None]] = {
    "for a lock": lambda shard: shard.receive(execute(THIRD, update(1, 1))),
    "for a lock that it will not wait for": lambda shard: shard.receive(execute(THIRD, point(1, NOWAIT))),
    "with a snapshot": lambda shard: shard.receive(SnapshotRead(1, GATEWAY_NODE, 9_000, [select(1)], 10_000)),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
def test_who_begins_to_wait_has_it_proposed(shard: ShardReplica, wait: Callable[[ShardReplica], None]) -> None:
    shard.receive(COMMITTED[FIRST])
    wait(shard)
    assert proposed(shard) == [("EndTxn", FIRST)]


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
def test_where_somebody_waits_already_it_is_proposed_at_once(
    shard: ShardReplica, wait: Callable[[ShardReplica], None]
) -> None:
    wait(shard)
    shard.receive(COMMITTED[FIRST])
    assert proposed(shard) == [("EndTxn", FIRST)]


def test_who_asks_up_to_where_all_is_closed_is_held_back_no_longer_than_by_the_log(shard: ShardReplica) -> None:
    shard.receive(COMMITTED[FIRST])
    shard.receive(AskClosed(GATEWAY_NODE, 9_000))
    assert proposed(shard) == [("EndTxn", FIRST)]


def test_a_question_that_waits_for_nobody_hastens_nothing(shard: ShardReplica) -> None:
    shard.receive(COMMITTED[FIRST])
    shard.receive(AskCatalog(1, GATEWAY_NODE), SnapshotRead(1, GATEWAY_NODE, 9_000, [select(3)], 10_000))
    assert proposed(shard) == []


def test_who_will_bring_no_entry_is_nothing_to_wait_for(shard: ShardReplica) -> None:
    """A step that is done and rests, and a read that is being confirmed."""
    shard.receive(COMMITTED[SECOND])
    shard.receive(step_of(THIRD, 1, select(3)))
    shard.receive(one_shard(new_id(9, "s1"), select(4)))
    shard.receive(COMMITTED[FIRST])
    assert proposed(shard) == [("EndTxn", SECOND), ("EndTxn", FIRST)]


def test_when_the_last_of_the_others_leaves_what_waits_is_proposed(shard: ShardReplica) -> None:
    """Its entry is on its way already, and nothing follows it."""
    shard.receive(COMMITTED[SECOND])
    last = new_id(9, "s1")
    shard.receive(one_shard(last, update(3, 1)))
    shard.receive(COMMITTED[FIRST])
    assert proposed(shard) == [("EndTxn", SECOND), ("CommitTxn", last)]
    assert [entry.txn for entry in shard.apply()] == [SECOND, last, FIRST]


def test_a_refusal_that_is_logged_takes_them_along(shard: ShardReplica) -> None:
    shard.receive(COMMITTED[FIRST])
    shard.host.is_full = True
    shard.receive(one_shard(new_id(9, "s1"), update(3, 1)))
    assert proposed(shard) == [("EndTxn", FIRST), ("AbortTxn", new_id(9, "s1"))]


def test_before_the_leadership_is_handed_over_all_are_proposed(shard: ShardReplica) -> None:
    shard.receive(COMMITTED[FIRST])
    shard.machine.conclude()
    assert proposed(shard) == [("EndTxn", FIRST)]


def test_what_waits_goes_with_the_leadership_and_the_next_leader_asks(shard: ShardReplica) -> None:
    shard.receive(COMMITTED[FIRST])
    successor = shard.restarted()
    assert set(successor.machine.state.prepared) == {FIRST, SECOND}
    successor.receive(COMMITTED[FIRST])
    successor.pass_ticks(1)
    assert ("EndTxn", FIRST) in proposed(successor)
