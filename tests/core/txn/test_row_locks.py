"""SELECT … FOR UPDATE and FOR SHARE at a shard's leader: which rows are locked, who waits, and who does not."""

from __future__ import annotations

from typing import Any

import pytest

from nodes import ids
from nodes.core.txn.entries import PrepareTxn
from nodes.core.txn.messages import HOLD, PREPARE, Execute, Finished, Held, Outcome, Refused, Voted, Wound
from nodes.core.txn.row_locks import FLIGHT_TICKS, SPARE_ROWS
from nodes.sql.schema import NOWAIT, SKIP_LOCKED, WAIT, Fragment, Lock, RowLocks
from tests.core.txn.scene import GATEWAY_NODE, ShardReplica, new_id, one_shard, row, update

FIRST, SECOND, THIRD = new_id(1, "c1"), new_id(2, "c1"), new_id(3, "c1")
ACCOUNTS = SPARE_ROWS * 2


def lock(wait: int, mode: str = "X", limit: int = -1, expect_rows: int = -1, above: int = 0) -> Fragment:
    """Balances over `above`, in order of the accounts."""
    shared = (
        {WAIT: "S", NOWAIT: "S", SKIP_LOCKED: "IS"} if mode == "S" else {WAIT: "SIX", NOWAIT: "SIX", SKIP_LOCKED: "IX"}
    )
    sql = "SELECT balance, id FROM t2_1 WHERE balance > ?1 ORDER BY id"
    params: list[Any] = [above]
    if limit >= 0:
        sql, params = f"{sql} LIMIT ?2 OFFSET ?3", [above, limit, 0]
    rows = RowLocks(mode, wait, 1, limit)
    return Fragment(0, sql, params, [(2, 1)], [Lock(2, b"", shared[wait])], False, expect_rows=expect_rows, rows=rows)


def point(account: int, wait: int) -> Fragment:
    locks = [Lock(2, b"", "IX"), Lock(2, row(account), "X")]
    rows = RowLocks("X", wait, 0)
    sql = "SELECT balance FROM t2_1 WHERE id = ?1"
    return Fragment(0, sql, [account], [(2, 1)], locks, False, point=True, rows=rows)


def ask(
    shard: ShardReplica, txn: bytes, *fragments: Fragment, number: int = 1, keep: int = -1
) -> list[Any] | str | None:
    """The next step of a transaction: its rows, the sqlstate, or None: it waits."""
    keep = number - 1 if keep < 0 else keep
    term = 0 if number == 1 else shard.machine.leading.participant.active[txn].term  # type: ignore[union-attr]
    shard.receive(Execute(txn, ids.age_of(txn), GATEWAY_NODE, HOLD, list(fragments), 10_000, number, keep, term))
    return told(shard)


def told(shard: ShardReplica) -> list[Any] | str | None:
    found = answers(shard)
    assert len(found) <= 1, "one step was asked"
    return found[0] if found else None


def answers(shard: ShardReplica) -> list[list[Any] | str]:
    while shard.host.confirms:
        shard.host.answer_confirm()
    held = shard.host.said(Held)
    return [each.error.sqlstate if each.error is not None else [rows.rows for rows in each.rows] for each in held]


def ended(shard: ShardReplica, txn: bytes) -> None:
    participant = shard.machine.leading.participant  # type: ignore[union-attr]
    participant.on_abort_told(txn)
    participant.after_apply()


@pytest.fixture
def shard() -> ShardReplica:
    return ShardReplica()


# -- who waits


def test_what_is_found_is_locked_until_the_end(shard: ShardReplica) -> None:
    assert ask(shard, FIRST, lock(WAIT, above=150)) == [[[200]]]
    assert shard.locks.held_by(FIRST)[2, row(2)] == 4
    assert ask(shard, SECOND, point(2, WAIT)) is None
    shard.receive(Execute(FIRST, ids.age_of(FIRST), GATEWAY_NODE, PREPARE, [], 10_000, 2, 1, 1 << 32 | 1))
    (prepared,) = shard.proposals
    assert isinstance(prepared, PrepareTxn)
    assert (2, row(2), 4) in prepared.locks
    assert (prepared.images, shard.apply() != []) == ([], True)
    assert told(shard) is None


def test_an_older_one_waits_for_the_lock_on_a_row_that_it_finds_and_looks_again(shard: ShardReplica) -> None:
    shard.receive(one_shard(SECOND, update(1, -50)))  # asks the oracle: it is in flight
    assert ask(shard, THIRD, lock(WAIT)) is None
    shard.host.answer_timestamp(90)
    shard.apply()
    assert told(shard) == [[[50], [200]]]


@pytest.mark.parametrize("fragment", [point(1, NOWAIT), lock(NOWAIT), lock(NOWAIT, mode="S")])
def test_nowait_neither_waits_nor_wounds(shard: ShardReplica, fragment: Fragment) -> None:
    assert ask(shard, SECOND, update(1, -50)) == [[]]
    assert ask(shard, FIRST, fragment) == "55P03"
    assert shard.host.said(Refused) == []
    ended(shard, SECOND)
    assert isinstance(ask(shard, FIRST, fragment, number=2, keep=0), list)


def test_nowait_is_refused_for_a_row_that_somebody_reads_and_not_for_one_that_is_free(shard: ShardReplica) -> None:
    assert ask(shard, SECOND, Fragment(0, "SELECT 1", [], [], [Lock(2, b"", "IS"), Lock(2, row(1), "S")], False)) == [
        [[1]]
    ]
    assert ask(shard, FIRST, lock(NOWAIT, above=150)) == [[[200]]]
    ended(shard, FIRST)
    assert ask(shard, THIRD, lock(NOWAIT)) == "55P03"


def test_nowait_holds_what_it_got_while_another_statement_waits(shard: ShardReplica) -> None:
    assert ask(shard, FIRST, update(1, -50)) == [[]]
    assert ask(shard, SECOND, update(1, 1), point(2, NOWAIT)) is None
    assert ask(shard, THIRD, point(2, NOWAIT)) == "55P03"
    ended(shard, FIRST)
    assert told(shard) == [[], [[200]]]


# -- those that are being committed


def commit(shard: ShardReplica, txn: bytes, number: int) -> None:
    """Prepared: its client may have been told that it is committed."""
    term = shard.machine.leading.participant.active[txn].term  # type: ignore[union-attr]
    shard.receive(Execute(txn, ids.age_of(txn), GATEWAY_NODE, PREPARE, [], 10_000, number, number - 1, term))
    shard.apply()
    shard.host.said(Voted)


@pytest.mark.parametrize("fragment", [point(1, NOWAIT), lock(NOWAIT), lock(SKIP_LOCKED), lock(SKIP_LOCKED, mode="S")])
def test_who_is_prepared_on_arrival_is_waited_for(shard: ShardReplica, fragment: Fragment) -> None:
    assert ask(shard, SECOND, update(1, -50)) == [[]]
    commit(shard, SECOND, 2)
    assert ask(shard, FIRST, fragment) is None
    shard.receive(Outcome(SECOND, True, 90, "c1"))
    shard.apply()
    answer = told(shard)
    assert isinstance(answer, list)
    assert answer[0][0] == [50]
    assert shard.host.said(Wound) == []


def test_who_stays_prepared_is_not_waited_for_for_ever(shard: ShardReplica) -> None:
    assert ask(shard, SECOND, update(1, -50)) == [[]]
    commit(shard, SECOND, 2)
    assert ask(shard, FIRST, point(1, NOWAIT)) is None
    assert ask(shard, THIRD, lock(SKIP_LOCKED)) is None
    shard.pass_ticks(FLIGHT_TICKS)
    assert sorted(map(str, answers(shard))) == ["55P03", "[[[200]]]"]


def test_who_is_ended_while_it_waits_for_the_prepared_holds_nothing(shard: ShardReplica) -> None:
    assert ask(shard, SECOND, update(1, -50)) == [[]]
    commit(shard, SECOND, 2)
    assert ask(shard, FIRST, lock(SKIP_LOCKED)) is None
    ended(shard, FIRST)
    shard.receive(Outcome(SECOND, True, 90, "c1"))
    shard.apply()
    shard.pass_ticks(FLIGHT_TICKS)
    assert (answers(shard), len(shard.locks)) == ([], 0)


# -- what is left out


def test_two_that_skip_get_different_rows(shard: ShardReplica) -> None:
    assert ask(shard, FIRST, lock(SKIP_LOCKED, limit=1)) == [[[100]]]
    assert ask(shard, SECOND, lock(SKIP_LOCKED, limit=1)) == [[[200]]]
    assert ask(shard, THIRD, lock(SKIP_LOCKED, limit=1)) == [[]]
    assert shard.host.said(Refused) == []
    ended(shard, FIRST)
    assert ask(shard, THIRD, lock(SKIP_LOCKED, limit=1), number=2) == [[[100]]]


def test_those_who_share_skip_only_what_is_written(shard: ShardReplica) -> None:
    assert ask(shard, FIRST, lock(SKIP_LOCKED, mode="S", limit=1)) == [[[100]]]
    assert ask(shard, SECOND, lock(SKIP_LOCKED, mode="S")) == [[[100], [200]]]
    assert ask(shard, THIRD, lock(SKIP_LOCKED)) == [[]]


def test_a_limit_counts_what_is_free_however_much_is_not(shard: ShardReplica) -> None:
    for account in range(3, ACCOUNTS + 1):
        shard.receive(one_shard(new_id(account + 10, "s1"), insert(account)))
        shard.host.answer_timestamp(100 + account)
        shard.apply()
    taken = ask(shard, FIRST, lock(SKIP_LOCKED, limit=ACCOUNTS - 2))
    assert isinstance(taken, list)
    assert len(taken[0]) == ACCOUNTS - 2
    assert ask(shard, SECOND, lock(SKIP_LOCKED, limit=1)) == [[[ACCOUNTS - 1]]]
    assert ask(shard, THIRD, lock(SKIP_LOCKED, limit=5)) == [[[ACCOUNTS]]]


def insert(account: int) -> Fragment:
    locks = [Lock(2, b"", "IX"), Lock(2, row(account), "X")]
    return Fragment(0, "INSERT INTO t2_1 (id, balance) VALUES (?1, ?1)", [account], [(2, 1)], locks, True, point=True)


def test_nothing_is_found_in_a_table_that_is_locked_as_a_whole(shard: ShardReplica) -> None:
    assert ask(shard, FIRST, lock(WAIT)) == [[[100], [200]]]
    assert ask(shard, SECOND, lock(SKIP_LOCKED)) == [[]]
    assert shard.locks.held_by(SECOND) == {}


def test_what_it_wrote_itself_is_its_own_and_rows_that_wait_for_others_are_not(shard: ShardReplica) -> None:
    assert ask(shard, FIRST, update(1, -50)) == [[]]
    assert ask(shard, SECOND, update(1, 0)) is None
    assert ask(shard, FIRST, lock(SKIP_LOCKED), number=2) == [[[50], [200]]]


def test_expected_rows_are_counted_after_those_that_are_left_out(shard: ShardReplica) -> None:
    assert ask(shard, FIRST, lock(SKIP_LOCKED, limit=1, expect_rows=1)) == [[[100]]]
    assert ask(shard, SECOND, lock(SKIP_LOCKED, expect_rows=2)) == "02000"
    assert ask(shard, THIRD, lock(SKIP_LOCKED, limit=2, expect_rows=1)) == [[[200]]]


def test_a_request_of_one_shard_that_only_locks_ends_without_an_entry(shard: ShardReplica) -> None:
    txn = new_id(5, "s1")
    shard.receive(one_shard(txn, lock(SKIP_LOCKED, limit=1)))
    assert shard.proposals == []
    shard.host.answer_confirm()
    (finished,) = shard.host.said(Finished)
    assert (finished.commit_ts, finished.rows[0].rows, len(shard.locks)) == (0, [[100]], 0)
