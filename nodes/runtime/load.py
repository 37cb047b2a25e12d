"""How busy a node's loop is: the share of a core that its thread used lately."""

from __future__ import annotations

import time
from collections.abc import Callable

WINDOW_S = 0.5
HIGH = 0.85  # of a core; a loop that has more to do lets everybody wait


class Load:
    """Made and asked on the loop's thread. `clock` and `cpu` give seconds: of time, and of this thread's work."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, cpu: Callable[[], float] = time.thread_time
    ) -> None:
        self._clock, self._cpu = clock, cpu
        self._since, self._used = clock(), cpu()
        self._is_high = False

    def is_high(self) -> bool:
        """In the last window that is over, which is as long as nobody asked, but WINDOW_S at least."""
        now = self._clock()
        if now - self._since >= WINDOW_S:
            used = self._cpu()
            self._is_high = used - self._used > HIGH * (now - self._since)
            self._since, self._used = now, used
        return self._is_high
