"""How busy a loop is, by windows."""

from __future__ import annotations

from nodes.runtime.load import HIGH, WINDOW_S, Load


class Meter:
    """A clock, and the work that a thread did by it."""

    def __init__(self) -> None:
        self.now = self.used = 0.0
        self.load = Load(lambda: self.now, lambda: self.used)

    def after(self, seconds: float, share: float) -> bool:
        self.now += seconds
        self.used += seconds * share
        return self.load.is_high()


def test_a_loop_is_busy_by_its_last_whole_window() -> None:
    meter = Meter()
    assert not meter.after(WINDOW_S / 2, 1.0)
    assert meter.after(WINDOW_S / 2, 1.0)
    assert meter.after(WINDOW_S / 2, 0.0)
    assert not meter.after(WINDOW_S / 2, 1.0)


def test_a_window_is_as_long_as_nobody_asked() -> None:
    meter = Meter()
    assert not meter.after(10 * WINDOW_S, HIGH - 0.01)
    assert meter.after(10 * WINDOW_S, HIGH + 0.01)
