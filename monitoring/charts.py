"""From samples to what is drawn: numbers and places, no markup. Pure functions.

*Invariant*: places are percentages of the width, as text, so that a template writes them as they are.
"""

from __future__ import annotations

import itertools
from typing import Any

from nodes.ids import node_name
from nodes.requests import Step

RATE_SECONDS = 10
SHOWN_SECONDS = 120
TICKS = 4

# What a lane is doing from one step on until its next: the colours of the timeline.
RUN, LOCK, LOG, WAIT, DECIDE = "run", "lock", "log", "wait", "decide"
PHASES = {
    RUN: "runs the statements",
    LOCK: "waits for a lock",
    LOG: "waits for its log",
    WAIT: "waits for the decision",
    DECIDE: "waits for the home",
}
_PHASE_FROM = {
    "begun": RUN,
    "sent": RUN,
    "voted": RUN,
    "decision asked": DECIDE,
    "arrived": RUN,
    "waits for a lock": LOCK,
    "evaluated": LOG,
    "prepared": WAIT,
    "in doubt": WAIT,
}


def columns(per_second: list[list[int]]) -> list[list[int]]:
    """[seconds, committed, read, aborted], each a list, of the last SHOWN_SECONDS, without gaps."""
    if not per_second:
        return [[], [], [], []]
    known = {entry[0]: entry[1:] for entry in per_second}
    last = per_second[-1][0]
    seconds = list(range(max(per_second[0][0], last - SHOWN_SECONDS + 1), last + 1))
    rows = [known.get(second, [0, 0, 0]) for second in seconds]
    return [seconds, [row[0] for row in rows], [row[2] for row in rows], [row[1] for row in rows]]


def rates(per_second: list[list[int]]) -> tuple[float, float, float]:
    """Committed, read and aborted in a second, on average over the last RATE_SECONDS."""
    _, *counted = columns(per_second)
    committed, read, aborted = (sum(counts[-RATE_SECONDS:]) / RATE_SECONDS for counts in counted)
    return committed, read, aborted


def duration_text(us: int) -> str:
    """`380 µs`, `4.2 ms`, `1.3 s`, `4 min`."""
    if us < 1_000:
        return f"{us} µs"
    if us < 100_000:
        return f"{us / 1_000:.1f} ms"
    if us < 1_000_000:
        return f"{us / 1_000:.0f} ms"
    return age_text(us // 1_000) if us >= 60_000_000 else f"{us / 1_000_000:.1f} s"


def age_text(ms: int) -> str:
    """`0.4 s`, `14 s`, `3 min`, `5 h`, `2 days`."""
    seconds = max(0, ms) / 1_000
    if seconds < 2:
        return f"{seconds:.1f} s"
    for least, unit, length in ((172_800, "days", 86_400), (7_200, "h", 3_600), (120, "min", 60)):
        if seconds >= least:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def bytes_text(size: int) -> str:
    """`512 MiB`, `14.2 GiB`."""
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):.0f} MiB"


def timeline(steps: list[Step]) -> dict[str, Any]:
    """Lanes with their points and the spans between them, all on one axis; {} without steps.

    A lane is a group on a node, or the gateway; lanes stand in the order of their first step. Of a decision only the
    first application is drawn: the home's other replicas follow when they may, and nobody waits for them."""
    steps = _without_followers(steps)
    if not steps:
        return {}
    first = min(step.at_us for step in steps)
    total = max(1, max(step.at_us for step in steps) - first)
    lanes: dict[tuple[int, str], list[Step]] = {}
    for step in sorted(steps, key=lambda step: step.at_us):
        lanes.setdefault((step.node, step.group), []).append(step)
    drawn = [_lane(node, group, found, first, total) for (node, group), found in lanes.items()]
    used = {span["phase"] for lane in drawn for span in lane["spans"]}
    return {
        "lanes": drawn,
        "ticks": [
            {"left": _percent(n, TICKS - 1), "text": duration_text(total * n // (TICKS - 1))} for n in range(TICKS)
        ],
        "phases": [{"phase": phase, "words": words} for phase, words in PHASES.items() if phase in used],
        "total": duration_text(total),
    }


def _without_followers(steps: list[Step]) -> list[Step]:
    applied = [step for step in steps if step.step == "decision applied"]
    first = min(applied, key=lambda step: step.at_us, default=None)
    return [step for step in steps if step.step != "decision applied" or step is first]


def _lane(node: int, group: str, steps: list[Step], first: int, total: int) -> dict[str, Any]:
    spans = []
    for step, following in itertools.pairwise(steps):
        phase = _PHASE_FROM.get(step.step)
        if phase is not None:
            left, width = step.at_us - first, following.at_us - step.at_us
            words = f"{PHASES[phase]}: {duration_text(width)}"
            spans.append(
                {"phase": phase, "left": _percent(left, total), "width": _percent(width, total), "words": words}
            )
    points = [
        {"left": _percent(step.at_us - first, total), "words": f"{step.step}, at {duration_text(step.at_us - first)}"}
        for step in steps
    ]
    name = group or "gateway"
    return {"name": name, "node": node_name(node), "points": points, "spans": spans}


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f}"
