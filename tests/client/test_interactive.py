"""Interactive transactions: what is asked, in which order, and where."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from nodes.errors import BadRequest, ConstraintViolation, NotFound, Unavailable
from nodes.wire.protocol import Begin
from tests.client.blocks import asked, lost, play_blocks
from tests.client.conftest import StillLoop
from tests.client.fake_node import FakeNode, ran, refused, silent, txn_id

MakeNode = Callable[..., FakeNode]
Play = Callable[..., Any]


def test_a_block_begins_asks_in_order_and_commits(node: MakeNode, play: Play) -> None:
    n1 = node(1)

    async def scene(cluster: Any) -> None:
        async with cluster.transaction() as txn:
            assert txn.id == txn_id(1)
            assert (txn.begun.idle_ms, txn.reply) == (30_000, None)
            assert (await txn.execute("UPDATE", [5])).rows == [[1, 5]]
            assert [row[1] for row in await txn.query("SELECT", [6])] == [6]
            assert len(await txn.execute_many([("A", []), ("B", {"x": 1}, 7)], expect_rows=1)) == 2
            await txn.savepoint("here")
            await txn.rollback_to("here")
        assert (txn.reply.state, txn.reply.commit_ts, txn.reply.id) == ("committed", 77, txn.id)

    play([n1], scene)
    expected = [("run", 1), ("run", 2), ("run", 3), ("save", 4), ("back to", 5), ("commit", 6)]
    assert asked(n1) == expected
    assert [each.expect_rows for each in n1.asked[2].statements] == [1, 7]
    assert [each.name for each in n1.asked] == ["", "", "", "here", "here", ""]
    assert all(3_000 < each.timeout_ms < 5_000 for each in n1.asked)


async def fail_within(cluster: Any) -> None:
    async with cluster.transaction() as txn:
        await txn.execute("UPDATE")
        raise ZeroDivisionError


def test_an_exception_rolls_back_and_goes_on(node: MakeNode, play: Play) -> None:
    n1 = node(1)

    async def scene(cluster: Any) -> None:
        with pytest.raises(ZeroDivisionError):
            await fail_within(cluster)

    play([n1], scene)
    assert asked(n1) == [("run", 1), ("rollback", 0)]


def test_a_rollback_that_fails_is_not_raised_over_the_exception(node: MakeNode, play: Play) -> None:
    n1 = node(1)
    n1.within = [ran, refused(Unavailable("not now"))]

    async def scene(cluster: Any) -> None:
        with pytest.raises(ZeroDivisionError):
            await fail_within(cluster)

    play([n1], scene)
    assert asked(n1)[-1] == ("rollback", 0)


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_what_is_over_takes_no_more_calls_and_is_not_ended_twice(node: MakeNode, play: Play, end: str) -> None:
    n1 = node(1)

    async def scene(cluster: Any) -> None:
        async with cluster.transaction() as txn:
            await getattr(txn, end)()
            for call in (txn.execute("SELECT 1"), txn.savepoint("s"), txn.commit(), txn.rollback()):
                with pytest.raises(BadRequest, match=r"is committed|is rolled back"):
                    await call

    play([n1], scene)
    assert [what for what, _ in asked(n1)] == [end]


def test_what_is_not_begun_or_begun_twice_is_refused(node: MakeNode, play: Play) -> None:
    async def scene(cluster: Any) -> None:
        txn = cluster.transaction()
        with pytest.raises(BadRequest, match="not begun"):
            await txn.execute("SELECT 1")
        await txn.begin()
        with pytest.raises(BadRequest, match="begun already"):
            await txn.begin()

    play([node(1)], scene)


def test_a_failed_statement_leaves_the_rest_to_the_caller(node: MakeNode, play: Play) -> None:
    n1 = node(1)
    n1.within = [ran, refused(ConstraintViolation("there is one")), ran]

    async def scene(cluster: Any) -> None:
        async with cluster.transaction() as txn:
            await txn.savepoint("s")
            with pytest.raises(ConstraintViolation):
                await txn.execute("INSERT")
            await txn.rollback_to("s")

    play([n1], scene)
    assert asked(n1) == [("save", 1), ("run", 2), ("back to", 3), ("commit", 4)]


def test_what_cannot_be_sent_uses_no_number_up(node: MakeNode, play: Play) -> None:
    n1 = node(1)

    async def scene(cluster: Any) -> None:
        async with cluster.transaction() as txn:
            with pytest.raises(BadRequest):
                await txn.execute("SELECT $1", [object()])
            await txn.execute("SELECT 1")

    play([n1], scene)
    assert asked(n1) == [("run", 1), ("commit", 2)]


def test_the_holder_is_asked_first_whoever_began_it(node: MakeNode, play: Play) -> None:
    n1, n2, n3 = node(1), node(2), node(3)

    async def scene(cluster: Any) -> None:
        for _ in range(4):
            async with cluster.transaction() as txn:
                for _ in range(5):
                    await txn.execute("SELECT 1")

    play([n1, n2, n3], scene)
    for each in (n1, n2, n3):
        assert {within.id for within in each.asked} == {
            txn_id(message.number, each.number) for message in each.received if isinstance(message, Begin)
        }


def test_an_age_is_handed_on(node: MakeNode, play: Play) -> None:
    n1 = node(1)

    async def scene(cluster: Any) -> None:
        async with cluster.transaction(age="ab" * 20):
            pass

    play([n1], scene)
    assert [each.age for each in n1.received if isinstance(each, Begin)] == ["ab" * 20]


def test_two_things_at_once_are_refused(node: MakeNode) -> None:
    n1 = node(1)
    n1.within = [silent, ran]

    async def scene(cluster: Any) -> None:
        async with cluster.transaction() as txn:
            first = asyncio.create_task(txn.execute("SELECT 1"))
            await asyncio.to_thread(n1.until, lambda _: len(n1.asked) == 1)
            with pytest.raises(BadRequest, match="under way"):
                await txn.execute("SELECT 2")
            first.cancel()
            await asyncio.wait([first])
            with pytest.raises(BadRequest, match="roll it back"):
                await txn.execute("SELECT 2")
            await txn.rollback()

    play_blocks("awaited", StillLoop([]), [n1], scene)
    assert asked(n1) == [("run", 1), ("rollback", 0)]


# -- a transaction that another program began


def test_what_is_asked_of_another_programs_transaction_has_no_number(node: MakeNode, play: Play) -> None:
    n1, n2 = node(1), node(2)

    async def scene(cluster: Any) -> None:
        await cluster.transaction().begin()
        await cluster.transaction().begin()
        txn = cluster.opened(txn_id(5, 2))
        assert (await txn.execute("UPDATE", [1])).rows == [[2, 1]]
        await cluster.opened(txn.id).commit()

    play([n1, n2], scene)
    assert (asked(n1), asked(n2)) == ([], [("run", 0), ("commit", 0)])


def test_a_lost_statement_of_another_programs_transaction_is_not_repeated(node: MakeNode, play: Play) -> None:
    n1, n2 = node(1), node(2)
    n1.within = n2.within = [lost]

    async def scene(cluster: Any) -> None:
        with pytest.raises(Unavailable, match="roll it back") as caught:
            await cluster.opened(txn_id(5)).execute("UPDATE")
        assert not caught.value.info.retryable

    play([n1, n2], scene)
    assert asked(n1, n2) == [("run", 0)]


def test_a_lost_commit_of_another_programs_transaction_is_settled(node: MakeNode, play: Play) -> None:
    n1 = node(1)
    n1.within = [lost]

    async def scene(cluster: Any) -> None:
        assert (await cluster.opened(txn_id(5)).commit()).commit_ts == 99

    play([n1], scene)
    assert asked(n1) == [("commit", 0)]


@pytest.mark.parametrize("id", ["t1", "", "0f1e2d3c-4b5a-4978-8697-a6b5c4d3e2f1"])
def test_what_is_no_id_is_found_nowhere(node: MakeNode, play: Play, id: str) -> None:
    async def scene(cluster: Any) -> None:
        with pytest.raises(NotFound):
            cluster.opened(id)

    play([node(1)], scene)
