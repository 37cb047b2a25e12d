"""A plot as SVG: one panel a series, all over the same axis. Pure."""

from __future__ import annotations

from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH, PANEL, LEFT, TOP = 900, 170, 80, 40


class Series(NamedTuple):
    name: str
    x: list[float]
    y: list[float]


def plot(title: str, series: list[Series], x_name: str) -> str:
    """The whole document."""
    height = TOP + PANEL * len(series) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="18">{escape(title)}</text>',
    ]
    for place, each in enumerate(series):
        parts += _panel(each, TOP + place * PANEL)
    parts.append(f'<text x="{WIDTH - 90}" y="{height - 8}" font-size="12">{escape(x_name)}</text></svg>')
    return "\n".join(parts) + "\n"


def _panel(series: Series, top: int) -> list[str]:
    inner, span = PANEL - 50, WIDTH - LEFT - 20
    most_x, most_y = max(series.x, default=1.0) or 1.0, max(series.y, default=1.0) or 1.0
    points = " ".join(
        f"{LEFT + span * x / most_x:.1f},{top + 20 + inner * (1 - y / most_y):.1f}"
        for x, y in zip(series.x, series.y, strict=True)
    )
    bottom = top + 20 + inner
    return [
        f'<text x="{LEFT}" y="{top + 12}" font-size="13">{escape(series.name)}</text>',
        f'<text x="8" y="{top + 30}" font-size="12">{most_y:.0f}</text>',
        f'<text x="8" y="{bottom}" font-size="12">0</text>',
        f'<text x="{LEFT + span - 30}" y="{bottom + 16}" font-size="12">{most_x:.0f}</text>',
        f'<path d="M{LEFT} {top + 20}V{bottom}H{LEFT + span}" fill="none" stroke="#999"/>',
        f'<polyline points="{points}" fill="none" stroke="#1f5fbf" stroke-width="1.5"/>',
    ]
