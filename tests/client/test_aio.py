"""What only the awaited form has: calls that are cancelled, and loops that come and go."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from nodes.client import aio
from nodes.errors import Unavailable
from tests.client.fake_node import (
    SECRET,
    FakeNode,
    answered,
    failed,
    hangs,
    lost_after_named,
    silent,
    silent_after_named,
)

MakeNode = Callable[..., FakeNode]
Play = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def play(request: pytest.FixtureRequest) -> Play:
    """Runs a scene on a loop of each kind; an error that only the loop saw fails it too."""

    def run(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
        unseen: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: unseen.append(context))
            runner.run(asyncio.wait_for(scene(), 60))
        assert unseen == []

    return run


def connect(*nodes: FakeNode, **options: Any) -> aio.Cluster:
    addresses = ",".join("{}:{}".format(*each.address) for each in nodes)
    return aio.Cluster.connect(addresses, **{"secret": SECRET, "timeout": 30.0, **options})


async def until(node: FakeNode, condition: Callable[[FakeNode], bool]) -> None:
    await asyncio.to_thread(node.until, condition)


def no_answer(question: object) -> None:
    """The fate is not told."""


def has_calls(node: FakeNode) -> bool:
    return len(node.calls) > 0


# Where a call may be when it is cancelled: how the node plays, and how far the call has come.
STEPS: dict[str, tuple[dict[str, Any], list[Any], Callable[[FakeNode], bool]]] = {
    "greeting": ({"greet": hangs}, [], lambda node: node.connections > 0),
    "before the name": ({}, [silent], has_calls),
    "after the name": ({}, [silent_after_named], has_calls),
    "at the fence": ({"fate": no_answer}, [lost_after_named], lambda node: len(node.questions) > 0),
    "between attempts": ({}, [failed(Unavailable("later"))], lambda node: len(node.calls) > 3),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_call_that_is_cancelled_ends_at_once_and_leaves_nothing_behind(node: MakeNode, play: Play, step: str) -> None:
    options, script, has_come = STEPS[step]
    n1 = node(1, *script, **options)

    async def scene() -> None:
        async with connect(n1, max_connections=1, connect_timeout=30.0) as cluster:
            task = asyncio.create_task(cluster.execute("UPDATE"))
            await until(n1, has_come)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(n1, lambda _: n1.open_connections <= (step == "between attempts"))
            n1.script, n1.greet = [answered], None
            assert (await cluster.execute("SELECT 1")).row_count == 1

    play(scene)


def test_a_cancelled_call_is_no_reason_to_blame_the_node(node: MakeNode, play: Play) -> None:
    n1, n2 = node(1, silent, answered), node(2)

    async def scene() -> None:
        async with connect(n1, n2) as cluster:
            for n1.script in ([silent], [answered]):
                tasks = [asyncio.create_task(cluster.execute("SELECT 1")) for _ in range(2)]
                await until(n1, has_calls)
                await asyncio.wait(tasks, timeout=0.1)
                for task in tasks:
                    task.cancel()
            first = [(await cluster.execute("SELECT 1")).rows[0][0] for _ in range(6)]
            assert first.count(1) == 3

    play(scene)


def test_a_call_that_is_cancelled_in_the_queue_is_not_served(node: MakeNode, play: Play) -> None:
    n1 = node(1, silent_after_named, answered)

    async def scene() -> None:
        async with connect(n1, max_connections=1) as cluster:
            first, second, third = (asyncio.create_task(cluster.execute("UPDATE")) for _ in range(3))
            await until(n1, has_calls)
            second.cancel()
            first.cancel()
            assert (await third).row_count == 1
            assert len(n1.calls) == 2
            with pytest.raises(asyncio.CancelledError):
                await second

    play(scene)


def test_a_call_that_is_cancelled_just_as_its_turn_comes_passes_it_on(node: MakeNode, play: Play) -> None:
    n1 = node(1, silent_after_named, answered)

    async def scene() -> None:
        async with connect(n1, max_connections=1) as cluster:
            first, second, third = (asyncio.create_task(cluster.execute("UPDATE")) for _ in range(3))
            await until(n1, has_calls)
            first.cancel()
            await asyncio.sleep(0)  # first leaves, and second is called
            second.cancel()
            assert (await third).row_count == 1

    play(scene)


def test_a_time_limit_around_a_call_cancels_it(node: MakeNode, play: Play) -> None:
    n1 = node(1, silent, answered)

    async def scene() -> None:
        async with connect(n1) as cluster:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await cluster.execute("UPDATE")
            assert (await cluster.execute("UPDATE")).row_count == 1

    play(scene)


def test_a_connection_that_ended_while_the_loop_was_busy_is_not_used(node: MakeNode, play: Play) -> None:
    n1 = node(1)

    async def scene() -> None:
        async with connect(n1) as cluster:
            await cluster.execute("UPDATE")
            n1.drop_connections()  # and the loop has no turn before the next call
            assert (await cluster.execute("UPDATE")).row_count == 1

    play(scene)
    assert n1.questions == []


def test_many_tasks_share_few_connections(node: MakeNode, play: Play) -> None:
    n1, n2 = node(1), node(2)

    async def scene() -> None:
        async with connect(n1, n2, max_connections=2) as cluster:
            results = await asyncio.gather(*(cluster.execute("SELECT $1", [number]) for number in range(200)))
            assert [result.rows[0][1] for result in results] == list(range(200))

    play(scene)
    assert (n1.connections, n2.connections) == (2, 2)


def test_a_large_request_is_taken_in_pieces_and_a_large_answer_too(node: MakeNode, play: Play) -> None:
    n1 = node(1)

    async def scene() -> None:
        async with connect(n1) as cluster:
            text = "x" * (4 << 20)
            assert (await cluster.execute("SELECT $1", [text])).rows[0][1] == text

    play(scene)


def test_a_client_goes_on_in_the_next_loop_when_its_own_has_ended(node: MakeNode, play: Play) -> None:
    n1 = node(1)
    cluster = connect(n1)

    async def scene() -> None:
        assert (await cluster.execute("SELECT 1")).row_count == 1

    play(scene)
    play(scene)
    asyncio.run(cluster.close())
    gc.collect()  # a loop that is closed leaves its transports to the collector
    n1.until(lambda _: n1.open_connections == 0)
    assert n1.connections == 2


def test_a_client_is_refused_in_another_loop_while_its_own_lives(node: MakeNode, play: Play) -> None:
    cluster = connect(node(1))

    async def scene() -> None:
        await cluster.execute("SELECT 1")

        def elsewhere() -> None:
            with pytest.raises(RuntimeError, match="another event loop"):
                asyncio.run(cluster.execute("SELECT 1"))

        await asyncio.to_thread(elsewhere)

    play(scene)
