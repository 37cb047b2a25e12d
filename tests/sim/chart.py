"""A run as a message chart: time on the left, a column for each node, an arrow for each message, and words.

    │ up   ┆ paused   (blank) down    ──> came   ──x lost
    > a client asks   < is told   L leads   l leads no longer   s synced   X crashed   ^ started

Heartbeats are counted, not shown one by one. *Invariants*: no line is wider than WIDTH.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from tests.sim.record import DOWN, PAUSED, UP, Step
from tests.sim.timeline import SECOND

WIDTH = 160
LAST = 60
COLUMN = 9  # between two nodes
EVERY = 15  # lines at least between two counts of heartbeats
REST_S = 0.3  # but when nothing else comes for so long, they are told at once
LEGEND = __doc__.splitlines()[2:4]
_LANES = {UP: "│", PAUSED: "┆", DOWN: " "}


def chart(steps: Iterable[Step], last: int = 0) -> list[str]:
    """Lines; the last so many steps, 0: all."""
    lines = list(_lines(steps))
    if last:
        lines = lines[-last:]
    return [*LEGEND, *lines] if lines else []


def heading(nodes: int) -> str:
    return " " * 12 + "".join(f"n{number}".ljust(COLUMN + 1) for number in range(1, nodes + 1)) + " group"


def _lines(steps: Iterable[Step]) -> Iterator[str]:
    heartbeats = _Heartbeats()
    shown, counted_at, lanes = 0, 0, 0
    before = 0
    for step in steps:
        if len(step.lanes) != lanes:
            lanes = len(step.lanes)
            yield heading(lanes)
        if heartbeats and not step.is_quiet and (shown - counted_at >= EVERY or step.at - before > REST_S * SECOND):
            yield heartbeats.line(before)
            counted_at = shown
        if step.is_quiet:
            heartbeats.add(step)
            continue
        shown, before = shown + 1, step.at
        yield _line(step.at, _drawing(step), step.group, _words(step))
    if heartbeats:
        yield heartbeats.line(before)


def _line(at: int, drawing: str, group: str, words: str) -> str:
    line = f"{at / SECOND:10.4f}  {drawing}  {group:4} {words}".rstrip()
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"


def _words(step: Step) -> str:
    """What went wrong comes first, lest it be cut off."""
    return f"({', '.join(step.marks)}) {step.words}" if step.marks else step.words


def _drawing(step: Step) -> str:
    cells = list((" " * COLUMN).join(_LANES[state] for state in step.lanes))
    place = (step.node - 1) * (COLUMN + 1)
    if step.to:
        _draw_arrow(cells, place, (step.to - 1) * (COLUMN + 1), step.is_lost)
    elif step.node and step.sign:
        cells[place] = step.sign
    return "".join(cells)


def _draw_arrow(cells: list[str], begin: int, end: int, lost: bool) -> None:
    forward = 1 if begin < end else -1
    for place in range(begin + forward, end, forward):
        cells[place] = "─" if cells[place] == " " else "┼"
    cells[begin] = "├" if forward > 0 else "┤"
    cells[end - forward] = "x" if lost else ">" if forward > 0 else "<"


class _Heartbeats:
    """Those that have not been told yet."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._from: Counter[tuple[int, str]] = Counter()
        self._count, self._lost = 0, 0
        self._last: Step | None = None

    def __bool__(self) -> bool:
        return self._count > 0

    def add(self, step: Step) -> None:
        self._last = step
        self._count += 1
        self._lost += step.is_lost
        if step.words.split()[0] == "Heartbeat":
            self._from[step.node, step.group] += 1

    def line(self, after: int) -> str:
        """Told after what happened at `after`, although some may have come before."""
        assert self._last is not None, "there are some"
        leaders: dict[int, list[str]] = {}
        for node, group in sorted(self._from):
            leaders.setdefault(node, []).append(group)
        whose = ", ".join(f"n{node} for {' '.join(groups)}" for node, groups in leaders.items())
        lost = f", {self._lost} lost" if self._lost else ""
        words = f"{self._count} heartbeats and answers{lost}" + (f": {whose}" if whose else "")
        drawing = "".join(char if char != " " else "·" for char in _drawing(Step(0, self._last.lanes, "")))
        line = _line(max(after, self._last.at), drawing, "", words)
        self._clear()
        return line
