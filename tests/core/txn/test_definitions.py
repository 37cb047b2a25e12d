"""DDL at a shard: it stands between the writers of before and those of after, and is voted on by the rows there."""

from __future__ import annotations

import msgspec

from nodes.core.locks import X
from nodes.core.txn.messages import FAILED, STALE, Outcome, Refused, Voted
from nodes.sql.schema import AddColumns, ColumnDef, DropTable, Fragment, Lock
from tests.core.txn.scene import ShardReplica, execute, update
from tests.core.txn.test_shard import COMMITTED, OLD, TXN, YOUNG, prepared
from tests.storage.bank import ACCOUNTS


def widen(version: int = 2, catalog: int = -1) -> Fragment:
    """ALTER TABLE accounts ADD COLUMN credit, planned with version 1."""
    columns = (*ACCOUNTS.columns, ColumnDef("credit", "INT", has_default=True, default=5))
    ddl = AddColumns(msgspec.structs.replace(ACCOUNTS, version=version, columns=columns), 1)
    return Fragment(0, "", [], [(2, 1)], [Lock(2, b"", "X")], True, ddl=ddl, catalog=catalog)


def test_an_image_of_before_cannot_follow_a_new_shape() -> None:
    """A writer that came first ends first; one that comes behind is evaluated behind it, and its plan is too old."""
    shard = prepared()
    shard.receive(execute(OLD, widen()))
    shard.receive(execute(YOUNG, update(2, 1)))
    shard.apply()
    assert shard.host.said(Voted) == []
    shard.receive(COMMITTED)
    shard.apply()
    assert [vote.txn for vote in shard.host.said(Voted)] == [OLD]
    assert shard.engine.table(2) == ACCOUNTS
    shard.receive(Outcome(OLD, True, 60, "c2"))
    shard.apply()
    assert len(shard.engine.table(2).columns) == 4  # type: ignore[union-attr]
    shard.host.answer_confirm()
    assert [(refusal.txn, refusal.cause) for refusal in shard.host.said(Refused)] == [(YOUNG, STALE)]
    assert (shard.balance(1), shard.balance(2)) == (90, 200)


def test_a_definition_is_voted_on_by_the_rows_that_are_there() -> None:
    ddl = widen().ddl
    assert isinstance(ddl, AddColumns)
    columns = (*ACCOUNTS.columns, ColumnDef("credit", "INT", not_null=True))
    shard = ShardReplica()
    demanding = AddColumns(msgspec.structs.replace(ddl.table, columns=columns), 1)
    shard.receive(execute(TXN, msgspec.structs.replace(widen(), ddl=demanding)))
    shard.host.answer_confirm()
    (refusal,) = shard.host.said(Refused)
    assert (refusal.cause, refusal.error.sqlstate) == (FAILED, "23502")  # type: ignore[union-attr]
    assert len(shard.locks) == 0


def test_a_definition_planned_with_another_catalog_is_refused() -> None:
    for fragment in (widen(version=1), widen(catalog=7)):
        shard = ShardReplica()
        shard.receive(execute(TXN, fragment))
        shard.host.answer_confirm()
        assert [(refusal.cause, refusal.version) for refusal in shard.host.said(Refused)] == [(STALE, 1)]


def test_a_new_leader_carries_a_definition_out_that_was_prepared_under_the_old_one() -> None:
    shard = ShardReplica()
    shard.receive(execute(TXN, widen()))
    shard.apply()
    again = shard.restarted()
    assert again.locks.held_by(TXN) == {(2, b""): X}
    again.receive(COMMITTED)
    again.apply()
    assert (again.engine.catalog_version, len(again.locks)) == (2, 0)
    again.receive(execute(YOUNG, Fragment(0, "", [], [(2, 2)], [Lock(2, b"", "X")], True, ddl=DropTable(2, 3))))
    again.apply()
    again.receive(Outcome(YOUNG, True, 90, "c2"))
    again.apply()
    assert again.engine.tables() == []
