"""When a leader gives its group back to the preferred one (DESIGN.md §1: leaders are spread).

Who leads because the preferred leader was away gives the group back once that one has been near for a while: it is
heard, and its log is as long but for a few entries. A leadership that was handed over on purpose stays where it is
until the preferred leader has been away: an operator's choice, or that of a node which runs low on disk.

Each time the group is given back the next wait is twice as long, so that a preferred leader that stalls again and
again is left alone for longer and longer. While interactive transactions are open, which end with the leadership that
holds their locks, it waits PATIENCE times as long more, and not for ever: there may always be one.
"""

from __future__ import annotations

MOST_DOUBLED = 64
PATIENCE = 12  # times `after`


class Rebalance:
    """Of one replica, over all its leaderships; times in ticks."""

    def __init__(self, after: int) -> None:
        self._after = self._wait = max(1, after)
        self._near = 0  # so many ticks the preferred leader has been near since it was away
        self._is_due = False  # it was away, or this leadership was not handed over

    def begin(self, handed_over: bool) -> None:
        """A leadership begins here; `handed_over` by another leader."""
        self._near, self._is_due = 0, not handed_over

    def on_away(self) -> None:
        """The preferred leader is not heard, or the connection to it broke."""
        self._near, self._is_due = 0, True

    def tick(self, is_heard: bool, is_near: bool, holds_open: bool) -> bool:
        """One tick of a leader that is not the preferred one; should it hand over to that one now? Who is heard and a
        little behind is not away: such a tick does not count. `holds_open`: interactive transactions would end with
        this leadership."""
        if not is_heard:
            self.on_away()
        elif is_near:
            self._near += 1
        patience = PATIENCE * self._after if holds_open else 0
        if not (is_near and self._is_due and self._near >= self._wait + patience):
            return False
        self._near = 0
        self._wait = min(self._wait * 2, self._after * MOST_DOUBLED)
        return True
