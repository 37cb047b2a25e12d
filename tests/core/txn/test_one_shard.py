"""A one-shard transaction at its home: one entry commits it; fences and fates (cases C12, C17)."""

from __future__ import annotations

import pytest

from nodes.core.txn.entries import AbortTxn, CommitTxn, PrepareTxn, encode
from nodes.core.txn.messages import (
    BUSY,
    ENDED,
    FAILED,
    NOT_LEADER,
    STALE,
    TIMED_OUT,
    WOUNDED,
    AskFate,
    FateKnown,
    Finished,
    Refused,
)
from nodes.errors import ReplicaStopped
from nodes.requests import ABORTED, ACTIVE, COMMITTED, UNDECIDED
from tests.core.txn.scene import GATEWAY_NODE, ShardReplica, execute, new_id, one_shard, select, update

OLD, TXN, YOUNG = (new_id(counter, "s1") for counter in (1, 2, 3))


def asking(*more: bytes) -> ShardReplica:
    """TXN holds its locks and has asked the oracle."""
    shard = ShardReplica()
    shard.receive(one_shard(TXN, update(1, -10)))
    assert len(shard.host.askers) == 1
    shard.receive(*(one_shard(txn, update(1, -1)) for txn in more))
    return shard


def committed() -> ShardReplica:
    shard = asking()
    shard.host.answer_timestamp(50)
    shard.apply()
    return shard


def fate(shard: ShardReplica, fence: bool = False, txn: bytes = TXN) -> list[FateKnown]:
    shard.receive(AskFate(1, txn, GATEWAY_NODE, fence))
    shard.host.answer_confirm()
    return shard.host.said(FateKnown)


# -- the commit


def test_c12_one_entry_commits_and_the_answer_leaves_when_it_is_applied() -> None:
    """C12: no prepare, no doubt."""
    shard = asking()
    assert (shard.proposals, shard.host.is_silent) == ([], True)
    shard.host.answer_timestamp(50)
    (entry,) = shard.proposals
    assert (type(entry), entry.commit_ts, shard.host.is_silent) == (CommitTxn, 50, True)
    shard.apply()
    (finished,) = shard.host.said(Finished)
    assert (finished.txn, finished.commit_ts, finished.seen_ts) == (TXN, 50, 50)
    assert (shard.balance(1), len(shard.locks), shard.machine.state.prepared) == (90, 0, {})


def test_the_oracle_is_asked_only_with_all_locks_held() -> None:
    shard = asking(YOUNG)
    assert shard.locks.is_waiting(YOUNG)
    shard.host.answer_timestamp(50)
    assert shard.host.askers == []
    shard.apply()
    assert len(shard.host.askers) == 1
    assert shard.locks.held_by(YOUNG)


def test_the_next_one_sees_what_the_one_before_it_committed() -> None:
    shard = asking(YOUNG)
    shard.host.answer_timestamp(50)
    shard.apply()
    shard.host.answer_timestamp(60)
    shard.apply()
    assert [finished.commit_ts for finished in shard.host.said(Finished)] == [50, 60]
    assert shard.balance(1) == 89


@pytest.mark.parametrize("applied", [False, True])
def test_c12_a_crash_leaves_all_of_it_or_nothing(applied: bool) -> None:
    """C12: before and after the entry is chosen; the new leader answers a repeat either way."""
    shard = asking()
    shard.host.answer_timestamp(50)
    if applied:
        shard.apply()
    shard = shard.restarted()
    assert (len(shard.locks), shard.machine.state.prepared) == (0, {})
    shard.receive(one_shard(TXN, update(1, -10)))
    if not applied:
        shard.host.answer_timestamp(70)
        shard.apply()
    assert [finished.commit_ts for finished in shard.host.said(Finished)] == [50 if applied else 70]
    assert shard.balance(1) == 90


@pytest.mark.parametrize("restarted", [False, True])
def test_a_repeat_of_what_changed_nothing_is_told_the_time_of_its_rows(restarted: bool) -> None:
    """The rows are those of its end, not of the time at which they are asked for again."""
    shard = committed()
    missing = update(99, -10)
    shard.receive(one_shard(YOUNG, missing))
    shard.apply()
    shard.receive(one_shard(OLD, update(1, -1)))
    shard.host.answer_timestamp(60)
    shard.apply()
    told = [(finished.commit_ts, finished.seen_ts) for finished in shard.host.said(Finished)]
    assert told == [(50, 50), (0, 50), (60, 60)]
    shard = shard.restarted() if restarted else shard
    shard.receive(one_shard(YOUNG, missing))
    assert [(finished.commit_ts, finished.seen_ts) for finished in shard.host.said(Finished)][-1] == (0, 50)


def test_c17_a_repeat_after_the_commit_gets_the_same_answer_and_no_second_execution() -> None:
    """C17: the reply was lost."""
    shard = committed()
    first = shard.host.said(Finished)
    shard.receive(one_shard(TXN, update(1, -10)))
    assert shard.host.said(Finished) == first
    assert (shard.proposals, shard.host.askers, shard.balance(1)) == ([], [], 90)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_repeat_of_what_failed_is_told_the_same_error(restarted: bool) -> None:
    """Its first answer was lost: "aborted" would say less than what was wrong."""
    shard = ShardReplica()
    for number in range(2):
        shard.receive(one_shard(TXN, update(1, -1_000)))
        shard.apply()
        (refusal,) = shard.host.said(Refused)
        assert refusal.error is not None
        assert (refusal.cause, refusal.error.sqlstate) == (FAILED, "23514")
        shard = shard.restarted() if restarted and not number else shard


def test_a_repeated_commit_entry_takes_effect_once() -> None:
    shard = asking()
    shard.host.answer_timestamp(50)
    (entry,) = shard.host.proposed
    shard.append(entry, entry)
    assert shard.balance(1) == 90


def test_a_one_shard_commit_of_what_is_prepared_stops_the_replica() -> None:
    shard = ShardReplica()
    shard.receive(execute(TXN, update(1, -10)))
    shard.apply()
    with pytest.raises(ReplicaStopped, match="which is prepared"):
        shard.append(encode(CommitTxn(TXN, [], [], [], 50)))


def test_who_wrote_nothing_draws_no_timestamp_and_waits_for_a_read_index() -> None:
    shard = committed()
    shard.host.said(Finished)
    shard.receive(one_shard(YOUNG, select(1)))
    assert (shard.host.askers, shard.proposals, shard.host.is_silent) == ([], [], True)
    assert shard.locks.held_by(YOUNG)
    shard.host.answer_confirm()
    (finished,) = shard.host.said(Finished)
    assert (finished.commit_ts, finished.seen_ts, finished.rows[0].rows) == (0, 50, [[1, 90]])
    assert len(shard.locks) == 0


def test_a_write_that_changed_nothing_is_recorded_so_that_a_late_copy_changes_nothing_either() -> None:
    """C17: the copy comes when it would find the row; it is answered as the first was."""
    shard = ShardReplica()
    nothing = update(9, -10)
    shard.receive(one_shard(TXN, nothing))
    assert (shard.host.askers, [type(entry) for entry in shard.proposals]) == ([], [CommitTxn])
    shard.apply()
    (first,) = shard.host.said(Finished)
    assert (first.commit_ts, first.rows[0].row_count) == (0, 0)
    shard.receive(one_shard(TXN, update(1, -10)))
    (second,) = shard.host.said(Finished)
    assert (second.commit_ts, second.rows[0].row_count, shard.proposals) == (0, 0, [])


def test_a_read_without_a_confirmed_round_is_not_answered() -> None:
    shard = ShardReplica()
    shard.receive(one_shard(TXN, select(1)))
    shard.host.answer_confirm(False)
    shard.machine.unlead()
    assert (shard.host.said(Finished), [r.cause for r in shard.host.said(Refused)]) == ([], [NOT_LEADER])


# -- ended before it was appended


def test_wounded_while_asking_the_abort_is_logged_before_the_refusal_leaves() -> None:
    shard = asking(OLD)
    assert [type(entry) for entry in shard.proposals] == [AbortTxn]
    assert shard.host.said(Refused) == []
    assert len(shard.host.askers) == 2, "the older one has the locks and asks"
    shard.apply()
    assert [(r.txn, r.cause, r.winner) for r in shard.host.said(Refused)] == [(TXN, WOUNDED, OLD)]


def test_a_timestamp_that_comes_after_the_wound_is_thrown_away() -> None:
    shard = asking(OLD)
    late, after = shard.host.askers
    late(50)
    assert [entry.txn for entry in shard.proposals] == [TXN]
    shard.apply()
    after(60)
    shard.apply()
    late(70)
    assert (shard.proposals, shard.balance(1)) == ([], 99)


def test_what_was_wounded_is_aborted_for_every_later_leader() -> None:
    shard = asking(OLD)
    shard.apply()
    shard = shard.restarted()
    shard.receive(one_shard(TXN, update(1, -10)))
    assert [refused.cause for refused in shard.host.said(Refused)] == [ENDED]
    assert (shard.host.askers, shard.balance(1)) == ([], 100)


def test_an_appended_commit_is_not_wounded() -> None:
    shard = asking()
    shard.host.answer_timestamp(50)
    shard.receive(one_shard(OLD, update(1, -1)))
    assert [type(entry) for entry in shard.proposals] == [CommitTxn]
    shard.apply()
    assert shard.host.said(Finished)[0].txn == TXN


def test_no_oracle_by_the_deadline_is_an_abort_that_is_logged_first() -> None:
    """Case O14."""
    shard = ShardReplica()
    shard.receive(one_shard(TXN, update(1, -10), timeout_ms=200))
    shard.pass_ticks(4)
    assert (shard.host.said(Refused), len(shard.locks)) == ([], 0)
    shard.apply()
    assert [refused.cause for refused in shard.host.said(Refused)] == [TIMED_OUT]
    shard.host.answer_timestamp(50)
    assert shard.proposals == []


@pytest.mark.parametrize(("fragment", "cause"), [(update(1, -1000), FAILED), (update(1, 1, version=9), STALE)])
def test_what_fails_is_logged_as_aborted_before_it_is_said(fragment: object, cause: int) -> None:
    shard = ShardReplica()
    shard.receive(one_shard(TXN, fragment))  # type: ignore[arg-type]
    assert shard.host.is_silent
    assert [type(entry) for entry in shard.apply()] == [AbortTxn]
    assert [refused.cause for refused in shard.host.said(Refused)] == [cause]
    assert len(shard.locks) == 0


def test_a_full_shard_logs_the_abort_so_that_a_later_copy_cannot_commit() -> None:
    """The gateway says that it did not happen, and may try again under a new id."""
    shard = ShardReplica()
    shard.host.is_full = True
    shard.receive(one_shard(TXN, update(1, -10)))
    assert shard.host.is_silent
    shard.apply()
    assert [refused.cause for refused in shard.host.said(Refused)] == [BUSY]
    shard.host.is_full = False
    shard.receive(one_shard(TXN, update(1, -10)))
    assert [refused.cause for refused in shard.host.said(Refused)] == [ENDED]
    assert (shard.host.askers, shard.proposals, shard.balance(1)) == ([], [], 100)


def test_a_full_shard_refuses_a_part_of_several_without_an_entry() -> None:
    """Its gateway never proposes commit, so nothing needs to be remembered."""
    shard = ShardReplica()
    shard.host.is_full = True
    shard.receive(execute(TXN, update(1, -10)))
    assert [refused.cause for refused in shard.host.said(Refused)] == [BUSY]
    assert (shard.proposals, len(shard.locks)) == ([], 0)


# -- fate and fence


def test_c17_the_fate_of_a_committed_id_is_known_at_its_home() -> None:
    """C17: also at a later leader."""
    shard = committed()
    known = [FateKnown(1, TXN, COMMITTED, 50, "")]
    assert fate(shard) == fate(shard, fence=True) == fate(shard.restarted()) == known


def test_a_fate_is_told_only_after_a_round_that_proves_the_leadership() -> None:
    shard = committed()
    shard.receive(AskFate(1, TXN, GATEWAY_NODE, False))
    assert shard.host.said(FateKnown) == []
    shard.host.leader = 2
    shard.host.answer_confirm(False)
    assert shard.host.said(FateKnown) == [FateKnown(1, TXN, "", 0, "", 2)]


def test_a_question_without_fence_decides_nothing() -> None:
    shard = asking()
    assert [known.state for known in fate(shard)] == [ACTIVE]
    assert [known.state for known in fate(shard, txn=YOUNG)] == [UNDECIDED]
    assert shard.proposals == []


def test_a_fence_goes_through_the_log_before_it_is_answered() -> None:
    shard = ShardReplica()
    assert fate(shard, fence=True) == []
    assert [type(entry) for entry in shard.apply()] == [AbortTxn]
    assert shard.host.said(FateKnown) == [FateKnown(1, TXN, ABORTED, 0, "fenced")]
    shard.receive(one_shard(TXN, update(1, -10)))
    assert [refused.cause for refused in shard.host.said(Refused)] == [ENDED]
    assert len(shard.locks) == 0


def test_a_fence_ends_one_that_still_asks_the_oracle() -> None:
    shard = asking()
    fate(shard, fence=True)
    shard.apply()
    assert [refused.cause for refused in shard.host.said(Refused)] == [ENDED]
    shard.host.answer_timestamp(50)
    assert (shard.proposals, len(shard.locks), shard.balance(1)) == ([], 0, 100)


@pytest.mark.parametrize("fence_first", [True, False])
def test_of_a_fence_and_a_commit_the_first_in_the_log_counts(fence_first: bool) -> None:
    shard = asking()
    shard.host.answer_timestamp(50)
    fate(shard, fence=True)
    if fence_first:
        shard.host.proposed.reverse()
    shard.apply()
    (known,) = shard.host.said(FateKnown)
    assert known.state == (ABORTED if fence_first else COMMITTED)
    assert len(shard.host.said(Refused)) == fence_first
    assert len(shard.host.said(Finished)) == (not fence_first)
    assert (shard.balance(1), len(shard.locks)) == (100 if fence_first else 90, 0)


def test_a_fence_behind_a_prepare_changes_nothing() -> None:
    shard = ShardReplica()
    shard.receive(execute(TXN, update(1, -10)))
    assert [type(entry) for entry in shard.apply()] == [PrepareTxn]
    shard.append(encode(AbortTxn(TXN, "fenced")))
    assert TXN in shard.machine.state.prepared
    assert shard.locks.held_by(TXN)
