"""What a replica wants done, gathered until the next drain, and which of it waits for the disk.

A *promise* may leave only when every record made before it is durable, those of earlier drains too. A drain without
records has no mark to wait for: a promise that rests on an earlier, not yet durable mark is held back here until that
mark is durable or until a drain with a higher one takes it along.

*Invariants*: marks rise by one; no promise leaves in a drain without a mark while a mark is outstanding; hard state
comes before the log in one drain (entries of a term need the term). DESIGN.md section 2.
"""

from __future__ import annotations

from typing import Any

from nodes.core.raft.log import RaftLog
from nodes.core.raft.messages import Compacted, HardState
from nodes.core.replicated_log import LogEffects


class Outbox:
    """Messages, the dirty hard state and the marks of one replica."""

    __slots__ = (
        "sends",
        "promises",
        "reads",
        "hard_state",
        "compacted",
        "last_mark",
        "durable_mark",
        "_hard_state_mark",
    )

    def __init__(self) -> None:
        self.sends: list[tuple[int, Any]] = []
        self.promises: list[tuple[int, Any]] = []
        self.reads: list[tuple[int, bool]] = []
        self.hard_state: HardState | None = None  # Not yet handed to the journal.
        self.compacted: Compacted | None = None  # Likewise; it comes before the log, which may begin behind it.
        self.last_mark = 0
        self.durable_mark = 0
        self._hard_state_mark = 0

    @property
    def term_is_durable(self) -> bool:
        """Is the current term, with the vote in it, durable?"""
        return self.hard_state is None and self._hard_state_mark <= self.durable_mark

    def reply(self, to: int, message: Any) -> None:
        """Send what promises nothing but that this replica is in its term."""
        (self.sends if self.term_is_durable else self.promises).append((to, message))

    def fail(self, tokens: list[int]) -> None:
        self.reads += [(token, False) for token in tokens]

    def on_durable(self, mark: int) -> None:
        assert mark <= self.last_mark, "only what was handed out can be durable"
        self.durable_mark = max(self.durable_mark, mark)

    def has_work(self, log: RaftLog) -> bool:
        """Would `collect` return anything?"""
        if self.sends or self.reads or self.hard_state is not None or log.unrecorded_slot <= log.last_slot:
            return True
        if self.compacted is not None:
            return True
        return bool(self.promises) and self.durable_mark == self.last_mark

    def collect(self, log: RaftLog) -> LogEffects:
        """Everything gathered, with the records under a new mark; entries are left to the caller."""
        effects = LogEffects(sends=self.sends, reads=self.reads)
        self.sends, self.reads = [], []
        self._collect_records(effects, log)
        if effects.mark or self.durable_mark == self.last_mark:
            effects.promises, self.promises = self.promises, []
        return effects

    def _collect_records(self, effects: LogEffects, log: RaftLog) -> None:
        mark = self.last_mark + 1
        if self.hard_state is not None:
            effects.records.append(self.hard_state)
            self.hard_state, self._hard_state_mark = None, mark
        if self.compacted is not None:
            effects.records.append(self.compacted)
            self.compacted = None
        if log.unrecorded_slot <= log.last_slot:
            effects.records.append(log.take_unrecorded(mark))
        if effects.records:
            effects.mark = self.last_mark = mark
