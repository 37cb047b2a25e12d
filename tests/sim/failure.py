"""A failing run told to a reader: the violation, the command, what is left of its schedule, a chart of its last steps.

A violation that is found at the end of a run is about something that is long past: then the chart ends where the last
of what its words name was told or decided, if they name a request or a transaction.
"""

from __future__ import annotations

import re

from tests.sim import phrases
from tests.sim.chart import LAST, WIDTH, chart
from tests.sim.record import Recorder, Step
from tests.sim.report import Report
from tests.sim.shrink import BUDGET_S, shrink
from tests.sim.simulation import simulate

BEHIND = 20  # steps are shown behind the last one that is named
_REQUEST = re.compile(r"operation (\d+)")


def explain(report: Report, budget_s: float = BUDGET_S) -> str:
    """Of a failing run. It is run again, and shrunk if there is a budget; 0: it is not."""
    lines = [f"FAILED {report.violation}", f"  replay: {report.command}"]
    small, runs = shrink(report, budget_s) if budget_s else (report, 0)
    recorder = Recorder()
    small = simulate(small.seed, small.asked, small.without, recorder)
    if budget_s:
        sizes = f"{len(report.events)} events to {len(small.events)}"
        lines += [f"  shrunk: {sizes} in {runs} runs, profile {small.profile}", f"  replay: {small.command}"]
    if small.without:
        lines += [f"  {event}"[:WIDTH] for event in sorted(small.events, key=lambda event: event.due)]
    lines += ["", *chart(cut_at(recorder.steps, small.violation), LAST)]
    return "\n".join([*lines, " " * 12 + phrases.with_names(small.violation)])


def cut_at(steps: list[Step], violation: str) -> list[Step]:
    """Those up to the last one that tells of what the violation is about, and some more."""
    names = [f"request {number} is told" for number in _REQUEST.findall(violation)]
    names += [match[0] for match in re.finditer(r"\bn\d+\.\d+\.\d+\b", phrases.with_names(violation))]
    for end in range(len(steps), 0, -1):
        if any(name in steps[end - 1].words for name in names):
            return steps[: end + BEHIND]
    return steps
