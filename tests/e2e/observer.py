"""What the conductor of a kill test knows while it runs: what clients reported, who leads, what is in doubt.

*Left out*: judging the ledger (`proof.py`).
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from typing import Any

from nodes.errors import HAPPENED, UNKNOWN, StoreError
from tests.e2e.board import Board
from tests.e2e.cluster import LocalCluster, number_of
from tests.e2e.proof import COMMITTED, Transfer

STATUS_EVERY_S = 0.2
IN_DOUBT_MOST_MS = 5000


class Collector(threading.Thread):
    """Empties the board's queue. Its lists only grow within a round; `new_round` starts them afresh."""

    def __init__(self, board: Board) -> None:
        super().__init__(name="collector", daemon=True)
        self.board = board
        self.violations: list[str] = []
        self.handled = 0
        self.counted: Counter[str] = Counter()
        self.probed: Counter[tuple[int, str]] = Counter()
        self.new_round()

    def new_round(self) -> None:
        self.transfers: list[Transfer] = []
        self.writes: list[tuple[int, float, float]] = []  # (shard, begun, acknowledged)

    def run(self) -> None:
        while not self.board.ended:
            try:
                kind, told = self.board.seen.get(timeout=0.1)
            except queue.Empty:
                continue
            getattr(self, f"_on_{kind}")(told)
            self.counted[kind] += 1
            self.handled += 1

    def catch_up(self, timeout: float = 10) -> None:
        """Until everything that was told is in the lists; AssertionError if it does not come."""
        deadline = time.monotonic() + timeout
        while self.handled < self.board.told.value:
            assert time.monotonic() < deadline, "a client process ended with something untold"
            time.sleep(0.01)

    def _on_transfer(self, moved: Transfer) -> None:
        self.transfers.append(moved)
        if moved.answer == COMMITTED:
            self.writes += [(shard, moved.begun, moved.ended) for shard in moved.shards]

    def _on_probe(self, told: tuple[int, float, float, str]) -> None:
        shard, begun, ended, outcome = told
        self.probed[shard, outcome] += 1
        if outcome == HAPPENED:
            self.writes.append((shard, begun, ended))

    def _on_violation(self, words: str) -> None:
        self.violations.append(words)

    def _on_read(self, node: int) -> None:
        self.counted[f"read n{node}"] += 1

    def _on_standby(self, answered: bool) -> None:
        self.counted["standby answered"] += answered

    def counter_bounds(self, shard: int) -> tuple[int, int]:
        """The least and the most that the shard's counter can be, from what its probe was told."""
        happened = self.probed[shard, HAPPENED]
        return happened, happened + self.probed[shard, UNKNOWN]

    def transfer_back_s(self, since: float) -> float | None:
        """Seconds from `since` to the first acknowledgement of a transfer begun after it; None: none yet."""
        ends = [moved.ended for moved in list(self.transfers) if moved.begun >= since and moved.answer == COMMITTED]
        return min(ends) - since if ends else None

    def shards_back_s(self, since: float, shards: int) -> float | None:
        """The same for writes on each shard: the slowest shard's first; None while one has none."""
        first: dict[int, float] = {}
        for shard, begun, ended in list(self.writes):
            if begun >= since:
                first[shard] = min(ended, first.get(shard, ended))
        return max(first.values()) - since if len(first) == shards else None


class Observer(threading.Thread):
    """Polls the status: leaders, and the age of what is in doubt."""

    def __init__(self, cluster: LocalCluster, board: Board) -> None:
        super().__init__(name="observer", daemon=True)
        self.cluster, self.board = cluster, board
        self.leaders: dict[str, int] = {}
        self.ages: list[tuple[float, int, int]] = []  # (when, how many, milliseconds of the oldest)

    def run(self) -> None:
        with self.cluster.client() as client:
            while not self.board.ended:
                try:
                    status = client.status(wide=True, timeout=2)
                    self._note(status)
                except (StoreError, OSError):
                    pass
                time.sleep(STATUS_EVERY_S)

    def _note(self, status: dict[str, Any]) -> None:
        doubt = status["in_doubt"]
        self.leaders.update({group["group"]: number_of(group["leader"] or 0) for group in status["groups"]})
        self.ages.append((time.monotonic(), int(doubt["count"]), int(doubt["oldest_ms"] or 0)))

    def leader(self, group: str) -> int:
        return self.leaders.get(group, 0)

    def in_doubt(self, since: float, majority_at: float) -> tuple[int, list[str]]:
        """(the greatest age in milliseconds seen from `since` on, what was too old).

        What was left in doubt while no majority stood has IN_DOUBT_MOST_MS from `majority_at` on to be resolved."""
        ages = [(at, oldest) for at, count, oldest in self.ages if at >= since and count]
        judged_from = majority_at + IN_DOUBT_MOST_MS / 1000
        late = [oldest for at, oldest in ages if oldest > IN_DOUBT_MOST_MS and at > judged_from]
        words = [f"in doubt for {max(late)} ms with a majority there"] if late else []
        return max((oldest for _, oldest in ages), default=0), words
