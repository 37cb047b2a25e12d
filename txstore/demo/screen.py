"""What the demo shows: a live picture on a terminal, a line a second anywhere else; the proof at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from txstore.demo.bank import Tell
from txstore.demo.gauge import Gauge
from txstore.demo.proof import Claim

BARS = "▁▂▃▄▅▆▇█"
CONTRADICTIONS_SHOWN = 5


class Screen:
    """One console; `events` are (seconds since the beginning, words), `struck_s` the second of the kill."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.events: list[tuple[float, str]] = []
        self.struck_s: float | None = None
        self._live: Live | None = None
        self._lines = 0
        self._events_told = 0

    def say(self, words: str) -> None:
        self.console.print(words, highlight=False)

    def happened(self, at_s: float, words: str) -> None:
        self.events.append((at_s, escape(words)))

    @contextmanager
    def progress(self) -> Iterator[Tell]:
        """A bar for each thing that is done; gives the function that is told of the progress."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.console) as progress:
            tasks: dict[str, Any] = {}

            def tell(words: str, done: int, total: int) -> None:
                if words not in tasks:
                    tasks[words] = progress.add_task(words)
                progress.update(tasks[words], completed=done, total=total)

            yield tell

    @contextmanager
    def live(self) -> Iterator[None]:
        """While it is open, `draw` shows the picture that it is given."""
        if not self.console.is_terminal:
            yield
            return
        with Live(console=self.console, refresh_per_second=8, transient=False) as self._live:
            yield

    def draw(self, gauge: Gauge, nodes: list[str], seconds: float) -> None:
        """`nodes`: a line about each; `seconds`: how long the run takes."""
        if self._live is not None:
            self._live.update(self._picture(gauge, nodes, seconds))
            return
        for at_s, words in self.events[self._events_told :]:
            self.say(f"{at_s:5.1f} s  {words}")
        self._events_told = len(self.events)
        for place in range(self._lines, max(0, len(gauge.seconds) - 1)):
            second = gauge.seconds[place]
            p50, p99 = second.quantile_ms(0.5), second.quantile_ms(0.99)
            self.say(f"{place + 1:5} s  {second.committed:6,} transfers/s  p50 {p50:6.1f} ms  p99 {p99:7.1f} ms")
        self._lines = max(0, len(gauge.seconds) - 1)

    def prove(self, claims: list[Claim]) -> None:
        for claim in claims:
            mark = "[green]✔[/]" if claim.holds else "[bold red]✘[/]"
            self.say(f"  {mark} {escape(claim.words)}")
            for words in claim.against[:CONTRADICTIONS_SHOWN]:
                self.say(f"      {escape(words)}")
            if (more := len(claim.against) - CONTRADICTIONS_SHOWN) > 0:
                self.say(f"      and {more:,} more")

    def _picture(self, gauge: Gauge, nodes: list[str], seconds: float) -> RenderableType:
        rates = gauge.per_second()
        last = gauge.seconds[-2] if len(gauge.seconds) > 1 else gauge.seconds[-1]
        figures = Table.grid(padding=(0, 3))
        figures.add_row(
            f"[bold]{last.committed:,}[/] transfers/s",
            f"p50 {last.quantile_ms(0.5):.1f} ms",
            f"p99 {last.quantile_ms(0.99):.1f} ms",
            f"{gauge.committed:,} committed, {gauge.retried:,} of them retried",
            f"{gauge.refused.total():,} did not happen, {gauge.unknown:,} unknown",
        )
        width = max(10, min(self.console.width - 6, int(seconds) + 1))
        shown = rates[-width:]
        most = max(shown, default=0) or 1
        chart = "".join(BARS[min(7, rate * 8 // (most + 1))] if rate else " " for rate in shown)
        place = -1 if self.struck_s is None else int(self.struck_s) - (len(rates) - len(shown))
        arrow = " " * place + "[red]▲ kill -9[/]" if place >= 0 else ""
        events = "\n".join(f"{at_s:5.1f} s  {words}" for at_s, words in self.events[-8:])
        parts: list[RenderableType] = [figures, f"[cyan]{chart}[/] up to {most:,}/s", arrow, *nodes, events]
        return Panel(Group(*parts), title=f"{len(rates)} of {seconds:.0f} s", title_align="left")
