"""What the transfers amount to, second by second: throughput, latency, and what a killed node did to them.

Pure: it is given what the clients were told, and the times of what happened.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

from nodes.errors import DID_NOT_HAPPEN, HAPPENED
from txstore.demo.traffic import Told

BEFORE_S, DIP_S = 5, 10
BACK_SHARE = 0.8


@dataclass
class Second:
    """The transfers that ended in one second; latencies in milliseconds."""

    committed: int = 0
    latencies_ms: list[float] = field(default_factory=list)

    def quantile_ms(self, share: float) -> float:
        """0 when nothing was committed."""
        ranked = sorted(self.latencies_ms)
        return ranked[int(len(ranked) * share)] if ranked else 0.0


class Gauge:
    """Counts from `begun`, a time of time.monotonic()."""

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.seconds: list[Second] = []
        self.committed = self.retried = self.unknown = 0
        self.refused: Counter[str] = Counter()
        self._commits: list[float] = []

    def add(self, told: list[Told]) -> None:
        for each in told:
            if each.outcome == HAPPENED:
                self._add_commit(each)
            elif each.outcome == DID_NOT_HAPPEN:
                self.refused[each.code] += 1
            else:
                self.unknown += 1

    def reach(self, now: float) -> None:
        """Seconds in which nothing ended are there too."""
        while len(self.seconds) <= int(now - self.begun):
            self.seconds.append(Second())

    def per_second(self) -> list[int]:
        """Commits of each whole second."""
        return [second.committed for second in self.seconds[:-1]]

    def _add_commit(self, told: Told) -> None:
        self.reach(told.ended)
        second = self.seconds[max(0, int(told.ended - self.begun))]
        second.committed += 1
        second.latencies_ms.append((told.ended - told.begun) * 1000)
        self.committed += 1
        self.retried += told.attempts > 1
        self._commits.append(told.ended)

    def dip(self, struck: float, ended: float) -> Dip:
        """What a kill at `struck` did, up to `ended`; both times of time.monotonic()."""
        at = int(struck - self.begun)
        rates = self.per_second()
        known = rates[max(0, at - BEFORE_S) : at] or [0]
        before = sum(known) / len(known)
        after = rates[at:]
        low = next((place for place, rate in enumerate(after[:DIP_S]) if rate < BACK_SHARE * before), None)
        back = next(
            (place for place, rate in enumerate(after) if rate >= BACK_SHARE * before and place > (low or 0)), None
        )
        commits = sorted([struck, *(commit for commit in self._commits if struck < commit < ended), ended])
        gap = max((later - earlier for earlier, later in pairwise(commits)), default=0.0)
        return Dip(before, min(after[: DIP_S if back is None else back + 1], default=0), gap, low is not None, back)


@dataclass(frozen=True)
class Dip:
    """`before`: transfers a second until then; `slowest`: those of the slowest second until it was back; `gap_s`: the
    longest time without a commit; `fell`: below BACK_SHARE of `before`; `back_s`: seconds until that was reached again,
    None if it was not."""

    before: float
    slowest: int
    gap_s: float
    fell: bool
    back_s: int | None

    def __str__(self) -> str:
        words = (
            f"Before the kill {self.before:,.0f} transfers/s. After it {self.gap_s:.2f} s at most without a commit; "
        )
        if not self.fell:
            return f"{words}no second was below {BACK_SHARE:.0%} of what it was before."
        words += f"the slowest second had {self.slowest:,}, and "
        if self.back_s is None:
            return f"{words}{BACK_SHARE:.0%} of what it was before was not reached again in this time."
        return f"{words}{self.back_s} s after the kill it was back at {BACK_SHARE:.0%} of what it was before."
