"""What the gateway's parts need of the node around them; nodes/runtime/driver.py gives it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Protocol

from nodes.constants import Constants
from nodes.runtime.activity import Counts
from nodes.runtime.trace import Trace
from nodes.runtime.world import World


class Surroundings(Protocol):
    """`now` counts ticks; `shards` is the number of user shards, `coordinators` that of coordinator groups; `boot`
    names this life of the node."""

    node: int
    boot: int
    now: int
    shards: int
    coordinators: int
    cluster_id: bytes
    rng: random.Random
    world: World
    constants: Constants
    trace: Trace
    counts: Counts

    def send(self, node: int, target: str, message: Any) -> None: ...

    def to_leader(self, group: str, message: Any) -> int:
        """The node it was sent to, 0: no leader is known and nothing left."""

    def leader_of(self, group: str) -> int: ...

    def members_of(self, group: str) -> tuple[int, ...]:
        """() for a group that is none."""

    def is_connected(self, node: int) -> bool:
        """True of this node itself."""

    def applied_slot(self, group: str) -> int:
        """Of the replica here; -1: there is none."""

    def silence_of(self, group: str) -> str:
        """Why there may be no answer from it, in words."""

    def on_hint(self, group: str, refused_by: int, leader: int) -> None: ...

    def clock_ms(self) -> int:
        """This node's wall clock."""

    def note(self, step: str, txn: bytes, group: str, detail: Any = None) -> None: ...

    def timestamp(self, then: Callable[[int], None]) -> None: ...
