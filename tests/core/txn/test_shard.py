"""A shard as one of several participants: votes, outcomes, locks (cases C01, C07-C11, C14, C15, C17)."""

from __future__ import annotations

import pytest

from nodes.core.host import GATEWAY
from nodes.core.locks import IS, IX, S, X
from nodes.core.txn.entries import EndTxn, PrepareTxn, encode
from nodes.core.txn.messages import (
    ENDED,
    FAILED,
    NOT_LEADER,
    PREPARE,
    STALE,
    TIMED_OUT,
    WOUNDED,
    Acknowledge,
    InDoubt,
    Outcome,
    Refused,
    Voted,
    Wound,
)
from nodes.core.txn.recovery import FIRST_QUESTION_TICKS
from nodes.errors import ReplicaStopped
from tests.core.txn.scene import GATEWAY_NODE, ShardReplica, execute, new_id, row, select, update

OLD, TXN, YOUNG = new_id(1), new_id(2), new_id(3)
COMMITTED, ABORTED = Outcome(TXN, True, 50, "c2"), Outcome(TXN, False, 0, "c2")


def prepared(*fragments: object) -> ShardReplica:
    """TXN has voted yes."""
    shard = ShardReplica()
    shard.receive(execute(TXN, *(fragments or (update(1, -10),))))  # type: ignore[arg-type]
    shard.apply()
    assert len(shard.host.said(Voted)) == 1
    return shard


# -- the vote


def test_c01_the_vote_leaves_when_the_prepare_is_applied_and_not_before() -> None:
    """C01: the vote promises what the log holds."""
    shard = ShardReplica()
    shard.receive(execute(TXN, update(1, -10)))
    assert [type(entry) for entry in shard.proposals] == [PrepareTxn]
    assert shard.host.is_silent
    shard.apply()
    assert shard.host.sent == [(GATEWAY_NODE, GATEWAY, Voted(TXN, "s1", shard.machine.state.prepared[TXN].rows, True))]
    assert shard.balance(1) == 100


def test_c01_a_restarted_participant_is_in_doubt_holds_its_locks_and_asks() -> None:
    """C01: and so a conflicting transaction waits for it, and wounds it at its gateway only."""
    shard = prepared().restarted()
    assert shard.locks.held_by(TXN) == {(2, b""): IX, (2, row(1)): X}
    shard.receive(execute(OLD, update(1, 1)))
    assert shard.host.said(Wound) == [Wound(TXN, "s1", OLD, 2, row(1))]
    shard.pass_ticks(FIRST_QUESTION_TICKS)
    assert (GATEWAY_NODE, GATEWAY, InDoubt(TXN, "s1", 1)) in shard.host.sent


def test_c14_a_new_leader_knows_what_was_prepared_under_the_old_one() -> None:
    """C14: the decision arrives at a replica that applied the same log."""
    x = prepared()
    y = ShardReplica(node=2, lead=False)
    y.append(*(entry.data for entry in x.log))
    y.lead()
    assert y.locks.held_by(TXN) == x.locks.held_by(TXN)
    y.receive(COMMITTED)
    y.apply()
    assert (y.balance(1), len(y.locks)) == (90, 0)
    y.pass_ticks(1)
    assert y.host.to_leaders == [("c2", Acknowledge([TXN], "s1"))]


def test_c11_a_reading_participant_logs_its_prepare_and_keeps_its_locks_until_the_outcome() -> None:
    """C11: released at the vote, its read could be overwritten below the commit timestamp."""
    shard = ShardReplica()
    shard.receive(execute(TXN, select(1)))
    (entry,) = shard.apply()
    assert (entry.images, sorted(entry.locks)) == ([], [(2, b"", IS), (2, row(1), S)])
    assert [vote.wrote for vote in shard.host.said(Voted)] == [False]
    shard.receive(execute(YOUNG, update(1, 5)))
    assert shard.locks.is_waiting(YOUNG)
    shard.receive(COMMITTED)
    shard.apply()
    assert [vote.txn for vote in shard.host.said(Voted)] == [YOUNG]


def test_no_answer_leaves_before_the_leader_has_applied_an_entry_of_its_own() -> None:
    shard = ShardReplica(lead=False)
    shard.host.leader = 3
    shard.receive(execute(TXN, update(1, -10)))
    assert shard.host.said(Refused) == [Refused(TXN, "s1", NOT_LEADER, leader=3)]
    assert shard.proposals == []
    shard.lead()
    shard.receive(execute(TXN, update(1, -10)))
    assert len(shard.proposals) == 1


def test_who_is_lost_with_the_leadership_is_refused_as_not_leader_and_may_come_again() -> None:
    shard = ShardReplica()
    shard.receive(execute(TXN, update(1, -10)))
    shard.machine.unlead()
    assert [refused.cause for refused in shard.host.said(Refused)] == [NOT_LEADER]
    shard.host.proposed.clear()
    shard.lead()
    shard.receive(execute(TXN, update(1, -10)))
    shard.apply()
    assert len(shard.host.said(Voted)) == 1


# -- repeats and orders


def test_c09_a_repeated_prepare_is_answered_from_the_record_with_the_same_vote() -> None:
    """C09, C17: also while the first is appended, and by a leader that never saw it."""
    shard = ShardReplica()
    shard.receive(execute(TXN, update(1, -10)), execute(TXN, update(1, -10)))
    assert len(shard.proposals) == 1
    shard.apply()
    first = shard.host.said(Voted)
    shard.receive(execute(TXN, update(1, -10)))
    restarted = shard.restarted()
    restarted.receive(execute(TXN, update(1, -10)))
    assert first == shard.host.said(Voted) == restarted.host.said(Voted)
    assert restarted.proposals == []


@pytest.mark.parametrize(("outcome", "balance"), [(COMMITTED, 90), (ABORTED, 100)])
def test_c09_a_repeated_outcome_takes_effect_once(outcome: Outcome, balance: int) -> None:
    """C09: twice at once, once more later, and once more after a restart."""
    shard = prepared()
    shard.receive(outcome, outcome)
    assert len(shard.apply()) == 1
    shard.pass_ticks(1)
    shard.receive(outcome)
    shard.pass_ticks(1)
    restarted = shard.restarted()
    restarted.receive(outcome)
    restarted.pass_ticks(1)
    assert (shard.proposals, restarted.proposals, restarted.balance(1)) == ([], [], balance)
    said = [Acknowledge([TXN], "s1")] if outcome.commit else []
    assert restarted.host.said(Acknowledge) == said
    assert shard.host.said(Acknowledge) == 2 * said


def test_commits_are_acknowledged_together_once_a_tick() -> None:
    shard = prepared()
    shard.receive(execute(YOUNG, update(2, 5)))
    shard.apply()
    shard.receive(COMMITTED, Outcome(YOUNG, True, 51, "c2"))
    shard.apply()
    assert shard.host.said(Acknowledge) == []
    shard.pass_ticks(2)
    assert shard.host.said(Acknowledge) == [Acknowledge([TXN, YOUNG], "s1")]


def test_c09_a_repeated_entry_takes_effect_once() -> None:
    """C09: a new leader appended the outcome too."""
    shard = prepared()
    end = encode(EndTxn(TXN, True, 50))
    shard.append(end, end)
    assert (shard.balance(1), len(shard.locks)) == (90, 0)


def test_c09_a_prepare_that_comes_after_the_commit_is_not_executed() -> None:
    """C09: its gateway has the outcome, or asks the home."""
    shard = prepared()
    shard.receive(COMMITTED)
    shard.apply()
    shard.receive(execute(TXN, update(1, -10)))
    assert (shard.proposals, len(shard.locks), shard.balance(1)) == ([], 0, 90)


def test_c08_an_abort_before_its_prepare_leaves_a_tombstone() -> None:
    """C08: the prepare takes no locks that nobody frees."""
    shard = ShardReplica()
    shard.receive(ABORTED, execute(TXN, update(1, -10)))
    assert [refused.cause for refused in shard.host.said(Refused)] == [ENDED]
    assert (shard.proposals, len(shard.locks)) == ([], 0)


def test_c08_a_late_execute_after_a_logged_abort_is_refused() -> None:
    """C08: also by a leader that has only the log."""
    shard = prepared()
    shard.receive(ABORTED)
    shard.apply()
    for replica in (shard, shard.restarted()):
        replica.receive(execute(TXN, update(1, -10)))
        assert [refused.cause for refused in replica.host.said(Refused)] == [ENDED]
        assert (replica.proposals, len(replica.locks)) == ([], 0)


def test_c07_an_abort_told_while_the_prepare_is_appended_ends_it_when_it_is_applied() -> None:
    """C07: the vote is late, the abort is decided."""
    shard = ShardReplica()
    shard.receive(execute(TXN, update(1, -10)), ABORTED)
    assert [type(entry) for entry in shard.apply()] == [PrepareTxn, EndTxn]
    assert (shard.machine.state.prepared, len(shard.locks), shard.balance(1)) == ({}, 0, 100)


def test_the_first_outcome_counts_and_a_different_one_stops_the_replica() -> None:
    shard = prepared()
    shard.append(encode(EndTxn(TXN, False, 0)))
    with pytest.raises(ReplicaStopped, match="ended twice"):
        shard.append(encode(EndTxn(TXN, True, 50)))


def test_c10_a_commit_of_an_unknown_transaction_stops_the_replica_loudly() -> None:
    """C10: its prepare was lost; nothing of the turn is kept."""
    shard = ShardReplica()
    applied = shard.engine.applied
    with pytest.raises(ReplicaStopped, match="never prepared here"):
        shard.append(b"", encode(EndTxn(TXN, True, 50)))
    assert shard.engine.applied == applied


def test_c10_a_commit_message_for_an_unknown_transaction_is_never_acknowledged() -> None:
    """C10: silence, so that the home goes on telling; never a silent done."""
    shard = ShardReplica()
    shard.receive(COMMITTED)
    assert (shard.proposals, shard.host.is_silent) == ([], True)


# -- the outcome


def test_locks_stand_until_the_outcome_is_applied() -> None:
    shard = prepared()
    shard.receive(execute(YOUNG, update(1, 5)), COMMITTED)
    assert shard.locks.is_waiting(YOUNG)
    shard.apply()
    assert shard.machine.state.prepared[YOUNG].images[0].old_ts == 50
    assert shard.balance(1) == 90


def test_an_abort_leaves_the_rows_and_frees_the_locks() -> None:
    shard = prepared()
    shard.receive(ABORTED)
    shard.apply()
    shard.pass_ticks(1)
    assert (shard.balance(1), len(shard.locks), shard.host.said(Acknowledge)) == (100, 0, [])


# -- wounds and time


def test_c15_a_waiter_holds_nothing_of_what_it_waits_for_and_is_not_wounded() -> None:
    """C15: all locks of a request or none."""
    shard = ShardReplica()
    shard.receive(execute(new_id(0), update(2, 1)))
    shard.receive(execute(YOUNG, update(1, 1), update(2, 1)))
    shard.receive(execute(TXN, update(1, 1)))
    assert shard.locks.is_waiting(YOUNG)
    assert [entry.txn for entry in shard.proposals] == [new_id(0), TXN]
    assert shard.host.is_silent


def test_c15_a_prepared_transaction_is_not_aborted_by_its_shard_alone() -> None:
    """C15: its gateway is asked, again and again while the older one waits."""
    shard = prepared()
    shard.receive(execute(OLD, update(1, 1)))
    assert shard.host.sent == [(GATEWAY_NODE, GATEWAY, Wound(TXN, "s1", OLD, 2, row(1)))]
    shard.pass_ticks(8)
    assert shard.host.said(Wound) == 3 * [Wound(TXN, "s1", OLD, 2, row(1))]
    assert TXN in shard.machine.state.prepared
    shard.receive(ABORTED)
    shard.apply()
    assert [vote.txn for vote in shard.host.said(Voted)] == [OLD]


def test_c15_an_appended_prepare_is_not_wounded() -> None:
    """C15: it is in flight; the older one waits until it is applied, then asks its gateway."""
    shard = ShardReplica()
    shard.receive(execute(TXN, update(1, 1)), execute(OLD, update(1, 1)))
    assert (shard.host.said(Refused), shard.host.said(Wound)) == ([], [])
    shard.apply()
    shard.pass_ticks(4)
    assert shard.host.said(Wound) == [Wound(TXN, "s1", OLD, 2, row(1))]


def test_c15_a_younger_one_that_holds_locks_and_waits_for_more_is_wounded_at_once() -> None:
    """C15: not in flight, so the shard ends it alone and tells its gateway. It waits for a row that it found."""
    shard = ShardReplica()
    shard.receive(execute(OLD, select(2)))
    moved = update(1, 1)
    moved.sql, moved.params = "UPDATE t2_1 SET balance = balance + ?2 WHERE id IN (?1, 2)", [1, 1]
    shard.receive(execute(YOUNG, moved))
    assert shard.locks.is_waiting(YOUNG)
    shard.receive(execute(TXN, update(1, 1)))
    (refused,) = shard.host.said(Refused)
    assert (refused.txn, refused.cause, refused.winner) == (YOUNG, WOUNDED, TXN)
    assert (refused.table, refused.key) == (2, row(1)), "where the older one needs it, not where itself waits"
    assert [entry.txn for entry in shard.proposals] == [OLD, TXN]


def test_who_waits_past_its_deadline_is_refused_and_stays_refused() -> None:
    shard = prepared()
    shard.receive(execute(YOUNG, update(1, 1), timeout_ms=200))
    shard.pass_ticks(4)
    (refused,) = shard.host.said(Refused)
    assert (refused.cause, refused.winner, refused.table, refused.waited_ms) == (TIMED_OUT, TXN, 2, 200)
    shard.receive(execute(YOUNG, update(1, 1)))
    assert shard.host.said(Refused) == [refused]


def test_no_deadline_ends_what_is_appended() -> None:
    shard = ShardReplica()
    shard.receive(execute(TXN, update(1, 1), timeout_ms=50))
    shard.pass_ticks(5)
    assert shard.host.said(Refused) == []
    shard.apply()
    assert len(shard.host.said(Voted)) == 1


# -- what fails


def test_a_failed_statement_is_refused_after_a_read_index_with_its_locks_held() -> None:
    shard = ShardReplica()
    shard.receive(execute(TXN, update(1, -1000)))
    assert shard.host.is_silent
    assert shard.locks.held_by(TXN)
    shard.host.answer_confirm()
    (refused,) = shard.host.said(Refused)
    assert (refused.cause, refused.error and refused.error.sqlstate, len(shard.locks)) == (FAILED, "23514", 0)


def test_a_deposed_leader_does_not_say_that_a_statement_failed() -> None:
    shard = ShardReplica()
    shard.receive(execute(TXN, update(1, -1000)))
    shard.host.answer_confirm(False)
    shard.machine.unlead()
    assert [refused.cause for refused in shard.host.said(Refused)] == [NOT_LEADER]


def test_a_plan_for_another_version_of_a_table_is_stale() -> None:
    shard = ShardReplica()
    shard.receive(execute(TXN, update(1, 1, version=9), finish=PREPARE))
    shard.host.answer_confirm()
    assert shard.host.said(Refused) == [Refused(TXN, "s1", STALE, table=2, version=1)]
    assert (shard.proposals, len(shard.locks)) == ([], 0)
