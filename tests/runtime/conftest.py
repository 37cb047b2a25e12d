"""Scenes are played on asyncio's own loop and on uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from tests.runtime.scene import WAIT_S, Scene


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def play(request: pytest.FixtureRequest) -> Scene:
    """Runs a scene on a loop of each kind; an error that only the loop saw fails it too."""

    def run(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
        unseen: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: unseen.append(context))
            runner.run(asyncio.wait_for(scene(), 2 * WAIT_S))
        assert unseen == []

    return run
