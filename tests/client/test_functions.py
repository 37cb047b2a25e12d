"""Functions of an interactive transaction, run again while that helps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nodes.errors import Conflict, ConstraintViolation, StoreError
from nodes.wire.protocol import Begin
from tests.client.blocks import GONE, asked, lost
from tests.client.fake_node import FakeNode, aborted_fate, closes, ran, refused

MakeNode = Callable[..., FakeNode]
Play = Callable[..., Any]


def test_a_function_is_run_committed_and_gives_its_result(node: MakeNode, play: Play) -> None:
    n1 = node(1)

    async def transfer(txn: Any, source: int, amount: int = 0) -> int:
        found: int = (await txn.execute("UPDATE", [source + amount])).rows[0][1]
        return found

    async def scene(cluster: Any) -> None:
        assert await cluster.run(transfer, 1, amount=10, timeout=3.0) == 11

    play([n1], scene)
    assert asked(n1) == [("run", 1), ("commit", 2)]


@pytest.mark.parametrize("error", [Conflict("wounded"), GONE])
@pytest.mark.parametrize("at", ["statement", "commit"])
def test_what_is_lost_is_run_again_with_the_age_of_the_first(
    node: MakeNode, play: Play, error: StoreError, at: str
) -> None:
    n1 = node(1, fate=aborted_fate)
    n1.within = [refused(error)] * 2 + [ran] if at == "statement" else [ran, refused(error), ran, refused(error), ran]

    async def work(txn: Any) -> None:
        await txn.execute("UPDATE")

    async def scene(cluster: Any) -> None:
        await cluster.run(work)

    play([n1], scene)
    ages = [each.age for each in n1.received if isinstance(each, Begin)]
    assert (ages[0], len(ages), ages[1] == ages[2] != "") == ("", 3, True)
    assert asked(n1)[-2:] == [("run", 1), ("commit", 2)]


def test_the_age_that_an_error_names_counts(node: MakeNode, play: Play) -> None:
    n1 = node(1)
    n1.within = [refused(Conflict("wounded", detail={"age": "cd" * 20})), ran]

    async def work(txn: Any) -> None:
        await txn.execute("UPDATE")

    async def scene(cluster: Any) -> None:
        await cluster.run(work)

    play([n1], scene)
    assert [each.age for each in n1.received if isinstance(each, Begin)] == ["", "cd" * 20]


@pytest.mark.parametrize("error", [ConstraintViolation("there is one"), ValueError("a fault of the function")])
def test_what_a_retry_cannot_help_is_rolled_back_and_raised(node: MakeNode, play: Play, error: Exception) -> None:
    n1 = node(1)

    async def work(txn: Any) -> None:
        await txn.execute("UPDATE")
        raise error

    async def scene(cluster: Any) -> None:
        with pytest.raises(type(error)):
            await cluster.run(work)

    play([n1], scene)
    assert asked(n1) == [("run", 1), ("rollback", 0)]


def test_a_commit_of_a_function_that_is_fenced_is_run_again(node: MakeNode, play: Play) -> None:
    n1 = node(1, fate=aborted_fate)
    n1.within = [lost, refused(GONE), ran]

    async def work(txn: Any) -> str:
        return "done"

    async def scene(cluster: Any) -> None:
        assert await cluster.run(work) == "done"

    play([n1], scene)
    assert len({each.id for each in n1.asked}) == 2


def test_a_function_that_loses_for_ever_ends_with_its_time(node: MakeNode, play: Play) -> None:
    n1 = node(1)
    n1.within = [refused(Conflict("wounded"))]

    async def work(txn: Any) -> None:
        await txn.execute("UPDATE")

    async def scene(cluster: Any) -> None:
        with pytest.raises(Conflict):
            await cluster.run(work, timeout=2.0)

    play([n1], scene)
    assert len(n1.asked) > 5


def test_a_node_that_closes_at_once_costs_nothing_but_a_try(node: MakeNode, play: Play) -> None:
    n1, n2 = node(1, greet=closes), node(2)

    async def scene(cluster: Any) -> None:
        async with cluster.transaction() as txn:
            await txn.execute("UPDATE")

    play([n1, n2], scene)
    assert asked(n2) == [("run", 1), ("commit", 2)]
