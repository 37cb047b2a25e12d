"""A failing schedule is made smaller: events are left out as long as the same invariant fails.

Chunks of events are tried, all at once first, then halves, down to single ones, and again until nothing more can go:
first the events, then the parts of those that are left. Each try is a whole run. An event's own chance stays the same
whatever is left out (schedule.py), but nodes draw delays as they send: a try may miss what it could show, and what is
left is small, not the smallest there is. (Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input.)

*Invariants*: what is given back has failed by the same invariant, in a run of exactly its command.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.sim.report import Report
from tests.sim.schedule import Number
from tests.sim.simulation import simulate

BUDGET_S = 60.0  # of CPU time


class Shrinker:
    """`report` is the smallest failing run so far, `runs` how many were tried."""

    def __init__(self, report: Report, budget_s: float, run: Callable[..., Report] = simulate) -> None:
        assert report.invariant, "only a failing run is shrunk"
        self.report = report
        self.runs = 0
        self._run = run
        self._ends = time.process_time() + budget_s

    def shrink(self) -> Report:
        size = -1
        while size != len(self.report.events):
            size = len(self.report.events)
            self._reduce(self._events)
            self._reduce(self._parts)
        return self.report

    def _events(self) -> list[Number]:
        """The latest first: what comes after the failure goes at once."""
        events = sorted(self.report.events, key=lambda event: event.due, reverse=True)
        return [event.number for event in events if len(event.number) == 1]

    def _parts(self) -> list[Number]:
        return [event.number for event in self.report.events if len(event.number) > 1]

    def _reduce(self, which: Callable[[], list[Number]]) -> None:
        size = len(which())
        while size:
            if not self._leave_out_any(which, size) or size > 1:
                size //= 2

    def _leave_out_any(self, which: Callable[[], list[Number]], size: int) -> bool:
        """One pass over them, by chunks of that size; has any been left out?"""
        begin, any_left_out = 0, False
        while chunk := which()[begin : begin + size]:
            if time.process_time() > self._ends:
                return False
            if self._try(chunk):
                any_left_out = True
            else:
                begin += size
        return any_left_out

    def _try(self, chunk: list[Number]) -> bool:
        self.runs += 1
        gone = self.report.without.union(chunk)
        without = frozenset(number for number in gone if number[:1] not in gone - {number})
        report = self._run(self.report.seed, self.report.asked, without)
        if report.invariant != self.report.invariant:
            return False
        self.report = report
        return True


def shrink(report: Report, budget_s: float = BUDGET_S) -> tuple[Report, int]:
    """The report of the smallest run found, and how many runs were tried."""
    shrinker = Shrinker(report, budget_s)
    return shrinker.shrink(), shrinker.runs
