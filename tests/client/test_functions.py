"""Functions of an interactive transaction, run again while that helps."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from nodes.errors import Conflict, ConstraintViolation, OutcomeUnknown, StoreError, Unavailable
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


def lose_for_ever(node: MakeNode, play: Play) -> FakeNode:
    """A function that is run for two seconds, and wounded each time."""
    n1 = node(1)
    n1.within = [refused(Conflict("wounded"))]

    async def work(txn: Any) -> None:
        await txn.execute("UPDATE")

    async def scene(cluster: Any) -> None:
        with pytest.raises(Conflict):
            await cluster.run(work, timeout=2.0)

    play([n1], scene)
    return n1


def test_a_function_that_loses_for_ever_ends_with_its_time(node: MakeNode, play: Play) -> None:
    assert len(lose_for_ever(node, play).asked) > 5


def test_a_node_that_closes_at_once_costs_nothing_but_a_try(node: MakeNode, play: Play) -> None:
    n1, n2 = node(1, greet=closes), node(2)

    async def scene(cluster: Any) -> None:
        async with cluster.transaction() as txn:
            await txn.execute("UPDATE")

    play([n1, n2], scene)
    assert asked(n2) == [("run", 1), ("commit", 2)]


def test_between_runs_lie_random_pauses_each_up_to_twice_as_long_within_the_time(
    node: MakeNode, play: Play, surroundings: Any
) -> None:
    chances = itertools.cycle([0.0, 0.999, 0.5])
    surroundings.chance = lambda: next(chances)
    lose_for_ever(node, play)
    sleeps = surroundings.sleeps
    most = [min(0.005 * 2**tries, 0.25) for tries in range(len(sleeps))]
    shares = [slept / longest for slept, longest in zip(sleeps, most, strict=True)]
    assert len(sleeps) > 8
    assert {round(share, 4) for share in shares} == {0.5, 0.75, 0.9995}
    assert sum(sleeps) <= 2.0


@pytest.mark.parametrize("is_told", [True, False])
def test_a_commit_of_which_nothing_was_heard_is_settled_and_its_function_not_run_again(
    node: MakeNode, play: Play, is_told: bool
) -> None:
    n1 = node(1) if is_told else node(1, fate=lambda question: Unavailable("no leader"))
    n1.within = [ran, lost, refused(GONE)]
    calls: list[str] = []

    async def work(txn: Any) -> str:
        calls.append(txn.id)
        await txn.execute("UPDATE")
        return "done"

    async def scene(cluster: Any) -> None:
        if is_told:
            assert await cluster.run(work) == "done"
        else:
            with pytest.raises(OutcomeUnknown) as caught:
                await cluster.run(work)
            assert caught.value.info.transaction == calls[0]

    play([n1], scene)
    assert len(calls) == 1
    assert {(question.id, question.fence) for question in n1.questions} == {(calls[0], True)}
