"""Snapshot reads at a shard leader: whom they wait for, and whom not (cases O08, O09, O10, O13)."""

from __future__ import annotations

import msgspec

from nodes.core.txn.entries import MoveMarks, encode
from nodes.core.txn.messages import (
    NOT_LEADER,
    STALE,
    TIMED_OUT,
    AskCatalog,
    CatalogIs,
    Outcome,
    SnapshotRead,
    SnapshotRefused,
    SnapshotRows,
)
from nodes.sql.schema import AddColumns, ColumnDef, Fragment, Lock
from tests.core.txn.scene import GATEWAY_NODE, ShardReplica, execute, new_id, one_shard, select, update
from tests.storage.bank import ACCOUNTS

TXN, NEXT = new_id(2), new_id(3)


def ask(shard: ShardReplica, ts: int, *fragments: Fragment, number: int = 1, timeout_ms: int = 10_000) -> None:
    shard.receive(SnapshotRead(number, GATEWAY_NODE, ts, list(fragments or (select(1),)), timeout_ms))


def answers(shard: ShardReplica) -> list[list[list[int]]]:
    shard.host.run_jobs()
    return [answer.rows[0].rows for answer in shard.host.said(SnapshotRows)]


def read(shard: ShardReplica, ts: int, *fragments: Fragment) -> list[list[list[int]]]:
    ask(shard, ts, *fragments)
    shard.host.answer_confirm()
    return answers(shard)


def prepared(floor: int = 0) -> ShardReplica:
    """TXN has voted, in flight since `floor` was the largest value seen."""
    shard = ShardReplica()
    if floor:
        shard.receive(one_shard(new_id(1, "s1"), update(2, 1)))
        shard.host.answer_timestamp(floor)
        shard.apply()
    shard.receive(execute(TXN, update(1, -10)))
    shard.apply()
    return shard


def end(shard: ShardReplica, commit: bool, ts: int) -> None:
    shard.receive(Outcome(TXN, commit, ts if commit else 0, "c2"))
    shard.apply()


# -- in flight


def test_o08_a_read_waits_for_a_prepared_transaction_and_then_sees_its_outcome() -> None:
    """O08: never skipped, never shown undecided."""
    for commit, balance in ((True, 90), (False, 100)):
        shard = prepared()
        assert read(shard, 100) == []
        end(shard, commit, 80)
        assert answers(shard) == [[[1, balance]]]


def test_o08_a_read_below_the_commit_does_not_see_it() -> None:
    """O08: the row of before is in the history."""
    shard = prepared()
    assert read(shard, 100) == []
    end(shard, True, 120)
    assert answers(shard) == [[[1, 100]]]


def test_o09_a_read_waits_for_a_one_shard_commit_that_asks_or_is_appended() -> None:
    """O09: the same read repeated gives the same rows."""
    shard = ShardReplica()
    shard.receive(one_shard(new_id(1, "s1"), update(1, -10)))
    assert read(shard, 100) == []
    shard.host.answer_timestamp(90)
    ask(shard, 100, number=2)
    shard.host.answer_confirm()
    assert answers(shard) == []
    shard.apply()
    assert answers(shard) == 2 * [[[1, 90]]]
    assert read(shard, 100) == [[[1, 90]]]
    assert read(shard, 89) == [[[1, 100]]]


def test_who_went_in_flight_at_or_above_the_read_is_not_waited_for() -> None:
    """Its floor lies below its commit_ts, so it commits above the read."""
    shard = prepared(floor=100)
    assert read(shard, 100) == [[[1, 100]]]
    assert read(shard, 101) == []


def test_a_floor_outlives_the_leader() -> None:
    shard = prepared(floor=100).restarted()
    assert read(shard, 100) == [[[1, 100]]]
    assert read(shard, 101) == []


def test_who_does_not_overlap_what_is_read_is_not_waited_for() -> None:
    shard = prepared()
    assert read(shard, 100, select(2)) == [[[2, 200]]]


def test_who_reads_only_is_not_waited_for() -> None:
    shard = ShardReplica()
    shard.receive(execute(TXN, select(1)))
    shard.apply()
    assert read(shard, 100) == [[[1, 100]]]


def test_who_still_waits_for_locks_is_not_waited_for() -> None:
    """Its timestamp will be drawn after its locks are held, so above the read's."""
    shard = prepared(floor=100)
    shard.receive(execute(NEXT, update(1, 5)))
    assert read(shard, 100) == [[[1, 100]]]


def test_only_those_there_on_arrival_are_waited_for() -> None:
    shard = prepared()
    ask(shard, 100)
    shard.receive(execute(NEXT, update(1, 5)))
    end(shard, True, 80)
    assert NEXT in shard.machine.state.prepared
    shard.host.answer_confirm()
    assert answers(shard) == [[[1, 90]]]


def test_a_wounded_one_shard_commit_is_waited_for_until_its_abort_is_applied() -> None:
    shard = ShardReplica()
    shard.receive(one_shard(new_id(3, "s1"), update(1, -10)))
    assert read(shard, 100) == []
    shard.receive(one_shard(new_id(1, "s1"), update(1, 5)))
    assert answers(shard) == []
    shard.apply()
    assert answers(shard) == [[[1, 100]]]


# -- confirmed


def test_o10_a_read_is_answered_only_after_a_round_begun_after_it_came() -> None:
    """O10: a deposed leader must not answer below a commit of its successor."""
    shard = ShardReplica()
    ask(shard, 100)
    assert answers(shard) == []
    shard.host.answer_confirm(False)
    shard.host.leader = 3
    shard.machine.unlead()
    assert answers(shard) == []
    (refused,) = shard.host.said(SnapshotRefused)
    assert (refused.cause, refused.leader) == (NOT_LEADER, 3)


def test_who_does_not_lead_refuses() -> None:
    shard = ShardReplica(lead=False)
    ask(shard, 100)
    assert [refused.cause for refused in shard.host.said(SnapshotRefused)] == [NOT_LEADER]


def test_a_repeated_question_is_asked_once() -> None:
    shard = ShardReplica()
    ask(shard, 100)
    ask(shard, 100)
    shard.host.answer_confirm()
    assert (len(answers(shard)), shard.host.confirms) == (1, [])


def test_a_read_waits_no_longer_than_its_deadline() -> None:
    shard = prepared()
    ask(shard, 100, timeout_ms=200)
    shard.host.answer_confirm()
    shard.pass_ticks(4)
    assert [refused.cause for refused in shard.host.said(SnapshotRefused)] == [TIMED_OUT]
    end(shard, True, 80)
    assert answers(shard) == []


def test_a_plan_for_another_version_of_a_table_is_stale() -> None:
    shard = ShardReplica()
    assert read(shard, 100, select(1, version=9)) == []
    assert shard.host.said(SnapshotRefused) == [SnapshotRefused(1, "s1", STALE, version=1)]


def test_the_catalog_version_is_told_after_a_round() -> None:
    shard = ShardReplica()
    shard.receive(AskCatalog(4, GATEWAY_NODE))
    assert shard.host.is_silent
    shard.host.answer_confirm()
    assert shard.host.said(CatalogIs) == [CatalogIs(4, 1)]


def test_a_read_planned_before_a_definition_gets_its_rows_below_it_and_is_refused_above() -> None:
    shard = ShardReplica()
    columns = (*ACCOUNTS.columns, ColumnDef("credit", "INT"))
    ddl = AddColumns(msgspec.structs.replace(ACCOUNTS, version=2, columns=columns), 1)
    shard.receive(execute(TXN, Fragment(0, "", [], [(2, 1)], [Lock(2, b"", "X")], True, ddl=ddl)))
    shard.apply()
    assert read(shard, 100) == []
    end(shard, True, 80)
    assert answers(shard) == []
    assert [refusal.cause for refusal in shard.host.said(SnapshotRefused)] == [STALE]
    assert read(shard, 79) == [[[1, 100]]]
    newer = msgspec.structs.replace(select(1), tables=[(2, 2)])
    assert read(shard, 80, newer) == [[[1, 100]]]
    assert read(shard, 79, newer) == []
    (refusal,) = shard.host.said(SnapshotRefused)
    assert refusal.error is not None
    assert refusal.error.code == "snapshot_too_old"


def test_o13_a_snapshot_of_what_is_pruned_is_refused_by_a_new_leader_too() -> None:
    """O13: the horizon moves between two pages; rows of before are gone, so none are told."""
    shard = prepared()
    end(shard, True, 110)
    assert read(shard, 100) == [[[1, 100]]]
    shard.append(encode(MoveMarks(0, 0, 120)))
    for leader in (shard, shard.restarted()):
        assert read(leader, 100) == []
        (refusal,) = leader.host.said(SnapshotRefused)
        assert refusal.error is not None
        assert refusal.error.code == "snapshot_too_old"
        assert read(leader, 120) == [[[1, 90]]]
