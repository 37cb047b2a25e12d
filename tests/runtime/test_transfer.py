"""Who hands its store to a replica that the log cannot help, and when."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from nodes.constants import Constants
from nodes.core.transfer import Chunk
from nodes.runtime.transfer import Transfer

STORE = b"all of it"
LAGGARD = 2


class Group:
    """The group of a leader, as far as a transfer needs it; its own first entry is not applied yet."""

    group, now, served_epoch = "s1", 0, 0
    log = SimpleNamespace(leads=True, epoch=3, laggards=lambda: [LAGGARD])
    driver = SimpleNamespace(log=logging.getLogger(__name__), constants=Constants())
    store = SimpleNamespace(
        applied=5,
        copy=lambda: SimpleNamespace(size=len(STORE), read=lambda at, most: STORE[at : at + most], close=lambda: None),
    )

    def __init__(self) -> None:
        self.sent: list[tuple[int, Any]] = []

    def read(self, job: Callable[[], Any], then: Callable[[Any, BaseException | None], None]) -> None:
        then(job(), None)

    def send(self, node: int, target: str, message: Any) -> None:
        self.sent.append((node, message))


def test_a_leader_that_does_not_serve_yet_helps_whom_its_first_entry_may_wait_for() -> None:
    group = Group()
    Transfer(group, None, 0).tick()  # type: ignore[arg-type]
    assert [(node, type(each), each.data) for node, each in group.sent] == [(LAGGARD, Chunk, STORE)]
