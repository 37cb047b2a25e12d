"""When a shard forgets: its leader moves the marks through the log, every replica then removes what lies below them.

`late` trails the oracle by the greatest age of a transaction, `home` by the time that outcomes are kept, `horizon` by
the time that history is kept. The first two never pass an id that is in flight here. DESIGN.md §5, late messages and
forgetting.

*Invariants*: a record goes only below a mark, and below `late` an unknown id is refused: so every copy of a message
meets its record or a refusal. *Left out*: the decisions of coordinator groups, which forget by themselves.
"""

from __future__ import annotations

from nodes import ids
from nodes.core.host import Host
from nodes.core.oracle import at_ms
from nodes.core.replicated_log import TICK_MS
from nodes.core.txn.entries import MoveMarks, encode
from nodes.core.txn.participant import Participant
from nodes.core.txn.shard_state import ShardState


class Forgetting:
    """One time of leadership."""

    def __init__(self, state: ShardState, participant: Participant, host: Host) -> None:
        self._state = state
        self._participant = participant
        self._host = host
        self._due = host.now + self._every_ticks()
        self._is_over = False

    def _every_ticks(self) -> int:
        return max(1, self._host.constants.watermark_every_ms // TICK_MS)

    def tick(self) -> None:
        if self._host.now >= self._due:
            self._due = self._host.now + self._every_ticks()
            if self._has_something():
                self._host.timestamp(self._propose)

    def end(self) -> None:
        """The leadership is over: an answer of the oracle comes too late."""
        self._is_over = True

    def _has_something(self) -> bool:
        """Is anything remembered that the marks have not passed? Else an idle shard would write for ever."""
        marks = self._state.marks
        newest = self._state.engine.newest_outcome()
        return marks.largest_ts > marks.horizon or (newest != b"" and ids.time_of(newest) > marks.home)

    def _propose(self, ts: int) -> None:
        if self._is_over:
            return
        self._participant.seen = max(self._participant.seen, ts)
        constants, marks = self._host.constants, self._state.marks
        in_flight = min(map(ids.time_of, (*self._state.prepared, *self._participant.active)), default=ts) - 1
        late = max(marks.late, min(ts - at_ms(constants.txn_age_max_ms), in_flight))
        home = max(marks.home, min(ts - at_ms(constants.outcomes_kept_ms), late))
        horizon = max(marks.horizon, ts - at_ms(constants.history_kept_ms))
        if (late, home, horizon) != (marks.late, marks.home, marks.horizon):
            self._host.propose(encode(MoveMarks(late, home, horizon)))
