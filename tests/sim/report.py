"""What one simulated run gave, and the command that replays it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.sim.schedule import Event, Number, numbers_text


@dataclass
class Report:
    """What a run gave. `violation` "": none; `invariant` is its first words. `asked`: the profile that was asked for,
    "": none."""

    seed: int
    asked: str
    profile: str
    without: frozenset[Number] = frozenset()  # events that were left out
    trace: str = ""
    invariant: str = ""
    violation: str = ""
    committed: int = 0
    reached: Counter[str] = field(default_factory=Counter)  # see coverage.py
    events: list[Event] = field(default_factory=list)  # as far as any were planned
    ended_at: int = 0  # virtual time

    @property
    def command(self) -> str:
        """Replays it."""
        profile = f" --profile {self.asked}" if self.asked else ""
        without = f" --without {numbers_text(self.without)}" if self.without else ""
        return f"python -m tests.sim --seed {self.seed}{profile}{without}"
