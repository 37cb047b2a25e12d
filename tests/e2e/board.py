"""What the processes of a kill test share: a page of numbers in shared memory and one queue of what was seen.

*Invariants*: each place is written by one process, but for `newest`, which has a lock; a worker is idle in exactly
the pause whose number it wrote, so a late worker of an earlier pause is never taken for one of this.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess
from typing import Any

END = -1


class Board:
    """`turn` even: work; odd: pause; END: go home. `running[i]`: the shard of client i's transfer in flight, else 0.

    `acknowledged[shard]`: the largest value of the shard's counter that a probe was told. `newest`: the largest commit
    timestamp that anyone was told. `eager`: probes write as fast as they can."""

    def __init__(self, context: SpawnContext, clients: int, workers: int, shards: int) -> None:
        self.turn = context.Value("i", 1, lock=False)
        self.eager = context.Value("b", 0, lock=False)
        self.running = context.Array("i", clients, lock=False)
        self.idle = context.Array("i", workers, lock=False)
        self.acknowledged = context.Array("q", shards + 1, lock=False)
        self.newest = context.Value("Q", 0)
        self.seen: Any = context.Queue()
        self.told = context.Value("Q", 0)

    # -- the conductor's side
    def work(self) -> None:
        assert self.turn.value % 2 == 1, "only a pause ends"
        self.turn.value += 1

    def pause(self, timeout: float) -> bool:
        """Ask for quiet; True when every worker has finished what it had begun."""
        self.turn.value += 1
        deadline = time.monotonic() + timeout
        while any(idle != self.turn.value for idle in self.idle):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def end(self) -> None:
        self.turn.value = END

    def end_with(self, processes: Sequence[BaseProcess]) -> None:
        """Send the workers home, and wait for their processes."""
        self.end()
        for process in processes:
            process.join(15)
            if process.is_alive():
                process.kill()

    # -- the workers' side
    def may_work(self, worker: int) -> bool:
        """False in a pause: the worker has nothing open, which is noted."""
        turn = self.turn.value
        if turn % 2 == 1:
            self.idle[worker] = turn
        return turn % 2 == 0 and turn != END

    @property
    def ended(self) -> bool:
        return bool(self.turn.value == END)

    def was_told(self, commit_ts: int) -> None:
        """A commit timestamp was acknowledged to a client."""
        with self.newest.get_lock():
            self.newest.value = max(self.newest.value, commit_ts)

    def tell(self, kind: str, told: object) -> None:
        """One thing seen, for the collector; `told` counts them, so that it knows when it has them all."""
        with self.told.get_lock():
            self.told.value += 1
        self.seen.put((kind, told))

    def violation(self, words: str) -> None:
        self.tell("violation", words)
