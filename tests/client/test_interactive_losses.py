"""Interactive transactions: what is told when answers are lost, and when the transaction is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nodes.errors import BadRequest, Conflict, OutcomeUnknown, StoreError, TransactionAborted, Unavailable
from tests.client.blocks import GONE, asked, lost
from tests.client.fake_node import FakeNode, aborted_fate, ran, refused

MakeNode = Callable[..., FakeNode]
Play = Callable[..., Any]


@pytest.mark.parametrize("loss", [lost, refused(Unavailable("its node is not reached"))])
def test_what_was_lost_is_asked_again_elsewhere_under_its_number(node: MakeNode, play: Play, loss: Any) -> None:
    n1, n2 = node(1), node(2)
    n1.within = [loss]

    async def scene(cluster: Any) -> None:
        txn = cluster.transaction()
        await txn.begin()
        assert (await txn.execute("UPDATE", [1])).rows == [[2, 1]]
        assert (await txn.commit()).commit_ts == 77

    n2.begin = [refused(Unavailable("later"))]
    play([n1, n2], scene)
    assert asked(n1)[0] == ("run", 1)
    assert asked(n2) == [("run", 1), ("commit", 2)]


def test_a_holder_that_is_not_reached_is_given_up_after_a_while(node: MakeNode, play: Play) -> None:
    n1 = node(1)
    n1.within = [refused(Unavailable("its node is not reached"))]

    async def scene(cluster: Any) -> None:
        async with cluster.transaction(timeout=60.0) as txn:
            with pytest.raises(Unavailable, match="not reached"):
                await txn.execute("UPDATE")
            with pytest.raises(BadRequest, match="roll it back"):
                await txn.execute("UPDATE")
            n1.within = [ran]
            await txn.rollback()

    play([n1], scene)
    assert set(asked(n1)[:-1]) == {("run", 1)}
    assert 5 < len(asked(n1)) < 30


@pytest.mark.parametrize("error", [Conflict("wounded", detail={"age": "ab" * 20}), GONE])
def test_a_transaction_that_is_lost_says_so_to_every_later_call(node: MakeNode, play: Play, error: StoreError) -> None:
    n1 = node(1)
    n1.within = [ran, refused(error)]

    async def scene(cluster: Any) -> None:
        txn = cluster.transaction()
        await txn.begin()
        await txn.execute("UPDATE")
        for call in (txn.execute("UPDATE"), txn.execute("UPDATE"), txn.savepoint("s"), txn.commit()):
            with pytest.raises(type(error)) as caught:
                await call
            assert caught.value.info == error.info
        await txn.rollback()
        with pytest.raises(BadRequest):
            await txn.commit()

    play([n1], scene)
    assert asked(n1) == [("run", 1), ("run", 2)]


def test_an_error_that_names_the_age_ends_it_whatever_its_code(node: MakeNode, play: Play) -> None:
    n1 = node(1)
    n1.within = [refused(Unavailable("no leader", detail={"age": "ab" * 20}))]

    async def scene(cluster: Any) -> None:
        with pytest.raises(Unavailable, match="no leader"):
            async with cluster.transaction() as txn:
                await txn.execute("UPDATE")

    play([n1], scene)
    assert asked(n1) == [("run", 1)]


def test_a_statement_whose_answer_is_late_can_only_be_rolled_back(node: MakeNode, play: Play) -> None:
    n1 = node(1)
    n1.within = [refused(Unavailable("its node did not answer by the deadline", retryable=False))]

    async def scene(cluster: Any) -> None:
        async with cluster.transaction() as txn:
            with pytest.raises(Unavailable, match="did not answer"):
                await txn.execute("UPDATE")
            with pytest.raises(BadRequest, match="roll it back"):
                await txn.commit()
            n1.within = [ran]
            await txn.rollback()

    play([n1], scene)
    assert set(asked(n1)) == {("run", 1), ("rollback", 0)}


@pytest.mark.parametrize("error", [GONE, Conflict("wounded"), TransactionAborted("it was idle", sqlstate="25P03")])
def test_a_rollback_of_what_is_gone_is_one(node: MakeNode, play: Play, error: StoreError) -> None:
    n1 = node(1)
    n1.within = [ran, refused(error)]

    async def scene(cluster: Any) -> None:
        async with cluster.transaction() as txn:
            await txn.execute("UPDATE")
            await txn.rollback()

    play([n1], scene)
    assert asked(n1) == [("run", 1), ("rollback", 0)]


def test_a_lost_commit_is_asked_again(node: MakeNode, play: Play) -> None:
    n1 = node(1)
    n1.within = [ran, lost, ran]

    async def scene(cluster: Any) -> None:
        async with cluster.transaction() as txn:
            await txn.execute("UPDATE")
        assert (txn.reply.commit_ts, txn.reply.shards) == (77, ["s1"])

    play([n1], scene)
    assert asked(n1) == [("run", 1), ("commit", 2), ("commit", 2)]
    assert n1.questions == []


def test_a_commit_whose_node_forgot_it_is_settled_by_its_fate(node: MakeNode, play: Play) -> None:
    n1 = node(1)
    n1.within = [lost, refused(GONE)]

    async def scene(cluster: Any) -> None:
        async with cluster.transaction() as txn:
            reply = await txn.commit()
        assert (reply.state, reply.commit_ts, reply.id, reply.results_lost) == ("committed", 99, txn.id, False)
        return txn.id

    id = play([n1], scene)
    assert [(question.id, question.fence) for question in n1.questions] == [(id, True)]


def test_a_commit_that_is_fenced_did_not_happen(node: MakeNode, play: Play) -> None:
    n1 = node(1, fate=aborted_fate)
    n1.within = [refused(OutcomeUnknown("too late", transaction="x"))]

    async def scene(cluster: Any) -> None:
        with pytest.raises(Unavailable) as caught:
            async with cluster.transaction() as txn:
                pass
        assert (caught.value.info.transaction, caught.value.info.outcome) == (txn.id, "did_not_happen")

    play([n1], scene)
    assert asked(n1) == [("commit", 1)]


def test_a_commit_of_which_nothing_can_be_learnt_is_unknown_in_time(node: MakeNode, play: Play) -> None:
    n1 = node(1, fate=lambda question: Unavailable("no leader"))
    n1.within = [lost]

    async def scene(cluster: Any) -> None:
        with pytest.raises(OutcomeUnknown) as caught:
            async with cluster.transaction() as txn:
                pass
        assert caught.value.info.transaction == txn.id

    play([n1], scene)


@pytest.mark.parametrize("loss", [lost, refused(GONE)])
def test_a_commit_of_what_its_node_does_not_know_and_that_is_aborted_says_so(
    node: MakeNode, play: Play, loss: Any
) -> None:
    n1 = node(1, fate=aborted_fate)
    n1.within = [loss, refused(GONE)]

    async def scene(cluster: Any) -> None:
        with pytest.raises(TransactionAborted, match="no such transaction is open"):
            async with cluster.transaction():
                pass

    play([n1], scene)
    assert len(n1.questions) == 1


def test_a_failed_transaction_may_go_back_to_a_savepoint(node: MakeNode, play: Play) -> None:
    n1 = node(1)
    n1.within = [refused(TransactionAborted("a statement failed", sqlstate="25P02")), ran]

    async def scene(cluster: Any) -> None:
        async with cluster.transaction() as txn:
            with pytest.raises(TransactionAborted):
                await txn.execute("UPDATE")
            await txn.rollback_to("s")

    play([n1], scene)
    assert asked(n1) == [("run", 1), ("back to", 2), ("commit", 3)]


@pytest.mark.parametrize("error", [TransactionAborted("a statement had failed"), Conflict("wounded")])
def test_a_commit_that_is_refused_ends_it(node: MakeNode, play: Play, error: StoreError) -> None:
    n1 = node(1)
    n1.within = [refused(error)]

    async def scene(cluster: Any) -> None:
        with pytest.raises(type(error)):
            async with cluster.transaction():
                pass

    play([n1], scene)
    assert asked(n1) == [("commit", 1)]
    assert n1.questions == []
