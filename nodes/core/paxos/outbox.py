"""What waits for the disk: records not yet durable, and the messages that may not leave before them.

*Invariants*: a promise leaves with the records it rests on or after they are durable, also when they went out with an
earlier drain; a slot counts as durable only when every record that touches it or a slot below it is.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from nodes.core.paxos.messages import Message, Record
from nodes.core.replicated_log import LogEffects

NO_SLOT = 1 << 62


class Outbox:
    """Gathers the effects of one replica between two drains. `ballot` is the promise that the records gave."""

    __slots__ = (
        "_durable_mark",
        "_held",
        "_low_slot",
        "_mark",
        "_pending",
        "durable_ballot",
        "promises",
        "records",
        "sends",
    )

    def __init__(self, ballot: int) -> None:
        self.records: list[Record] = []
        self.sends: list[tuple[int, Message]] = []
        self.promises: list[tuple[int, Message]] = []
        self.durable_ballot = ballot
        self._mark = 0
        self._durable_mark = 0
        self._low_slot = NO_SLOT
        self._pending: deque[tuple[int, int, int]] = deque()  # (mark, lowest slot, promised ballot)
        self._held: deque[tuple[int, list[tuple[int, Message]]]] = deque()

    def touch(self, slot: int) -> None:
        """An entry at `slot` is, or will be before the next drain, in a record."""
        if slot < self._low_slot:
            self._low_slot = slot

    def durable_slot(self) -> int:
        """Every entry held at or below this slot is durable."""
        low_slot = self._low_slot
        for _, low, _ in self._pending:
            if low < low_slot:
                low_slot = low
        return low_slot - 1

    def on_durable(self, mark: int) -> None:
        assert mark <= self._mark, "the journal made durable what was never given to it"
        while self._pending and self._pending[0][0] <= mark:
            self._durable_mark, _, self.durable_ballot = self._pending.popleft()

    def drain_into(self, effects: LogEffects, ballot: int) -> None:
        """Hand over everything; `ballot` is the one promised once the records are durable."""
        self._release(effects)
        effects.sends.extend(self.sends)
        self.sends = []
        if self.records:
            self._mark += 1
            effects.records, effects.mark, self.records = list[Any](self.records), self._mark, []
            self._pending.append((self._mark, self._low_slot, ballot))
            self._low_slot = NO_SLOT
        if self.promises:
            self._part_with_promises(effects)
        assert self._low_slot == NO_SLOT, "an entry was touched without a record"

    def has_any(self) -> bool:
        return bool(self.records or self.sends or self.promises or self._held_are_free())

    def _part_with_promises(self, effects: LogEffects) -> None:
        if effects.mark or self._durable_mark == self._mark:
            effects.promises.extend(self.promises)
        else:  # they rest on records of an earlier drain, whose sync this drain would not wait for
            self._held.append((self._mark, self.promises))
        self.promises = []

    def _held_are_free(self) -> bool:
        return bool(self._held) and self._held[0][0] <= self._durable_mark

    def _release(self, effects: LogEffects) -> None:
        while self._held_are_free():
            effects.sends.extend(self._held.popleft()[1])
