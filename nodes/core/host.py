"""What a state machine may ask of its surroundings, and what its surroundings ask of it.

A machine does nothing itself: it proposes entries, sends messages, asks for a read index or a timestamp. The host is
the group's driver (nodes/runtime/group.py) or a test's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from nodes.constants import Constants
from nodes.core.replicated_log import Entry

GATEWAY = "gateway"


class Host(Protocol):
    """One replica's surroundings. `now` counts ticks; `clock_ms` is only reported; `leader` is a hint (0: none)."""

    node: int
    group: str

    @property
    def constants(self) -> Constants: ...

    @property
    def now(self) -> int: ...

    @property
    def clock_ms(self) -> int: ...

    @property
    def is_full(self) -> bool:
        """Disk space runs low: nothing new is executed here."""

    @property
    def leader(self) -> int: ...

    def propose(self, data: bytes) -> bool:
        """Append in the epoch that is served; False when this replica does not lead it any more."""

    def confirm(self, then: Callable[[bool], None]) -> None:
        """A read index: `then(True)` after a quorum round begun now, `then(False)` when leadership is lost."""

    def timestamp(self, then: Callable[[int], None]) -> None:
        """An oracle value, drawn after this call."""

    def send(self, node: int, target: str, message: Any) -> None:
        """To a group's replica, or the GATEWAY, on a node."""

    def to_leader(self, group: str, message: Any) -> None:
        """To the node that probably leads the group; dropped when none is known."""

    def read(self, job: Callable[[], Any], then: Callable[[Any, BaseException | None], None]) -> None:
        """Run `job` in a thread; `then(result, error)` on the loop."""

    def note(self, step: str, txn: bytes, detail: Any = None) -> None:
        """For the trace of `txn` (nodes/core/txn/steps.py); costs little, decides nothing."""


class Machine(Protocol):
    """The state machine of a group's replica."""

    def apply(self, entries: list[Entry]) -> None:
        """Chosen entries, in order, some perhaps a second time after a restart."""

    def lead(self) -> None:
        """An entry of this replica's own epoch is applied: serve."""

    def conclude(self) -> None:
        """The leadership is about to be handed over: what was to be proposed later is proposed now."""

    def unlead(self) -> None:
        """No longer the leader: nothing that is not applied may be relied on."""

    def receive(self, sender: int, message: Any) -> None:
        """Any message, whether leading or not."""

    def tick(self) -> None: ...

    def flush(self) -> None:
        """What was applied goes into the store now, all of it. ReplicaStopped, as of `apply`, `receive` and `tick`."""

    @property
    def holds_open(self) -> bool:
        """It leads interactive transactions that end when it leads no longer."""
