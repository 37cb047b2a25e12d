"""What a shard's leader closes, and what a replica that has applied it answers (case O12)."""

from __future__ import annotations

import msgspec

from nodes.core.txn.entries import CommitTxn, MoveMarks, encode
from nodes.core.txn.messages import (
    BEHIND,
    STALE,
    AskClosed,
    ClosedIs,
    NotHome,
    Outcome,
    SnapshotRead,
    SnapshotRefused,
    SnapshotRows,
)
from nodes.sql.schema import AddColumns, ColumnDef, Fragment, Lock
from tests.core.txn.scene import GATEWAY_NODE, ShardReplica, execute, new_id, one_shard, select, update
from tests.storage.bank import ACCOUNTS

FIRST, TXN, NEXT = new_id(1, "s1"), new_id(2), new_id(3)


def ask(leader: ShardReplica, ts: int) -> None:
    leader.receive(AskClosed(GATEWAY_NODE, ts))


def closed(leader: ShardReplica, ts: int) -> ClosedIs:
    ask(leader, ts)
    leader.host.answer_confirm()
    (answer,) = leader.host.said(ClosedIs)
    return answer


def follower_of(leader: ShardReplica, slot: int) -> ShardReplica:
    """It has applied as much of the leader's log."""
    follower = ShardReplica(node=2, lead=False)
    follower.append(*[entry.data for entry in leader.log if entry.slot <= slot])
    return follower


def read(replica: ShardReplica, ts: int, slot: int, fragment: Fragment | None = None) -> list[list[list[int]]]:
    replica.receive(SnapshotRead(1, GATEWAY_NODE, ts, [fragment or select(1)], 10_000, slot))
    replica.host.run_jobs()
    assert replica.host.confirms == []
    return [answer.rows[0].rows for answer in replica.host.said(SnapshotRows)]


def causes(replica: ShardReplica) -> list[int]:
    return [refusal.cause for refusal in replica.host.said(SnapshotRefused)]


def prepared(floor: int) -> ShardReplica:
    """TXN has voted, in flight since `floor` was the largest value seen."""
    shard = ShardReplica()
    shard.receive(one_shard(FIRST, update(2, 1)))
    shard.host.answer_timestamp(floor)
    shard.apply()
    shard.receive(execute(TXN, update(1, -10)))
    shard.apply()
    return shard


# -- what is closed


def test_o12_nothing_above_the_floor_of_those_in_flight_is_closed_before_their_outcome_is_applied() -> None:
    """O12: T prepared with floor 80; a read at 90 at a follower is not served until T's outcome is applied there."""
    leader = prepared(floor=80)
    assert closed(leader, 95) == ClosedIs("s1", 80, leader.slot)
    assert read(follower_of(leader, leader.slot), 80, leader.slot) == [[[1, 100]]]
    leader.receive(Outcome(TXN, True, 85, "c2"))
    behind = leader.slot
    leader.apply()
    now_closed = closed(leader, 95)
    assert (now_closed.ts, now_closed.slot) == (95, leader.slot)
    follower = follower_of(leader, behind)
    assert read(follower, 90, now_closed.slot) == []
    assert causes(follower) == [BEHIND]
    follower.append(leader.log[-1].data)
    assert read(follower, 90, now_closed.slot) == [[[1, 90]]]
    assert read(follower, 84, now_closed.slot) == [[[1, 100]]]


def test_o12_what_asks_or_is_appended_keeps_what_lies_above_its_floor_open() -> None:
    shard = ShardReplica()
    shard.receive(one_shard(FIRST, update(1, -10)))
    assert closed(shard, 60).ts == 0
    shard.host.answer_timestamp(70)
    assert closed(shard, 90).ts == 0
    shard.apply()
    assert closed(shard, 90) == ClosedIs("s1", 90, shard.slot)


def test_o12_a_floor_outlives_the_leader() -> None:
    leader = prepared(floor=80).restarted()
    assert closed(leader, 95).ts == 80


def test_who_begins_after_it_goes_in_flight_above_it() -> None:
    """The value that was asked with is one that the oracle gave: what is prepared now commits above it."""
    shard = ShardReplica()
    ask(shard, 95)
    shard.receive(execute(TXN, update(1, -10)))
    shard.apply()
    assert shard.machine.state.prepared[TXN].floor == 95
    shard.host.answer_confirm()
    assert shard.host.said(ClosedIs) == [ClosedIs("s1", 95, shard.slot - 1)]
    assert closed(shard, 99).ts == 95


def test_it_is_told_after_a_round_begun_after_it_was_taken_and_as_it_was_taken() -> None:
    shard = ShardReplica()
    ask(shard, 50)
    assert shard.host.said(ClosedIs) == []
    taken_at = shard.slot
    shard.append(encode(CommitTxn(FIRST, [], [], [], 0)))
    shard.host.answer_confirm()
    assert shard.host.said(ClosedIs) == [ClosedIs("s1", 50, taken_at)]


def test_a_deposed_leader_closes_nothing() -> None:
    shard = ShardReplica()
    ask(shard, 50)
    shard.host.answer_confirm(False)
    shard.machine.unlead()
    assert shard.host.said(ClosedIs) == []
    ask(shard, 60)
    assert shard.host.confirms == []
    assert [refusal.group for refusal in shard.host.said(NotHome)] == ["s1"]


# -- what is read


def test_any_replica_that_has_applied_it_answers_without_a_round() -> None:
    leader = prepared(floor=80)
    slot = closed(leader, 70).slot
    for replica in (leader, follower_of(leader, slot), follower_of(leader, slot).restarted(lead=False)):
        assert read(replica, 70, slot) == [[[1, 100]]]


def test_who_has_not_applied_it_refuses() -> None:
    leader = prepared(floor=80)
    follower = follower_of(leader, leader.slot - 1)
    assert read(follower, 70, leader.slot) == []
    assert causes(follower) == [BEHIND]


def test_a_follower_reads_a_table_only_by_the_definition_that_held_then() -> None:
    leader = prepared(floor=80)
    leader.receive(Outcome(TXN, True, 85, "c2"))
    leader.apply()
    before = leader.slot
    columns = (*ACCOUNTS.columns, ColumnDef("credit", "INT"))
    ddl = AddColumns(msgspec.structs.replace(ACCOUNTS, version=2, columns=columns), 1)
    leader.receive(execute(NEXT, Fragment(0, "", [], [(2, 1)], [Lock(2, b"", "X")], True, ddl=ddl)))
    leader.apply()
    leader.receive(Outcome(NEXT, True, 100, "c2"))
    leader.apply()
    slot = closed(leader, 110).slot
    older, newer = select(1), select(1, version=2)

    behind = follower_of(leader, before)
    assert read(behind, 90, before, older) == [[[1, 90]]]
    assert read(behind, 90, before, newer) == []
    assert causes(behind) == [STALE]

    follower = follower_of(leader, slot)
    assert read(follower, 99, slot, older) == [[[1, 90]]]
    assert read(follower, 100, slot, newer) == [[[1, 90]]]
    assert read(follower, 100, slot, older) == []
    assert causes(follower) == [STALE]
    assert read(follower, 99, slot, newer) == []
    (refusal,) = follower.host.said(SnapshotRefused)
    assert refusal.error is not None
    assert refusal.error.code == "snapshot_too_old"


def test_a_read_that_waits_for_its_thread_while_history_goes_is_refused_never_answered_with_rows_missing() -> None:
    leader = prepared(floor=80)
    slot = leader.slot
    leader.receive(Outcome(TXN, True, 85, "c2"))
    leader.apply()
    follower = follower_of(leader, leader.slot)
    follower.receive(SnapshotRead(1, GATEWAY_NODE, 80, [select(1)], 10_000, slot))
    follower.append(encode(MoveMarks(0, 0, 120)))
    follower.pass_ticks(3)
    follower.host.run_jobs()
    assert follower.host.said(SnapshotRows) == []
    (refusal,) = follower.host.said(SnapshotRefused)
    assert refusal.error is not None
    assert refusal.error.code == "snapshot_too_old"
