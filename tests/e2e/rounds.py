"""What the failover runs showed: one round, the summary of all, and the bounds that they have to keep.

Pure: nothing is measured here. A write that did not come back counts as BACK_S, which is over every bound.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from tests.e2e.writers import PROBES, Aim

KILL, STOP = "kill", "stop"
BACK_S = 30.0
MEDIAN_S, WORST_S, NEEDLESS_MOST = 1.5, 3.0, 1
SHARES = ("election", "recovery", "client")


@dataclass
class Round:
    """What one round showed, in seconds; None: did not come back."""

    number: int
    action: str
    aim: Aim
    shard_s: float | None = None
    transfer_s: float | None = None
    keyed_s: float | None = None
    bare_s: float | None = None
    election_s: float = 0.0
    recovery_s: float = 0.0
    client_s: float = 0.0
    caught_up_s: float = 0.0
    spread_s: float = 0.0
    asked: int = 0  # groups that were not given back by themselves in time
    load: float = 0.0
    violations: list[str] = field(default_factory=list)

    HEADER = (
        f"{'round':>5}  {'loss':12} {'groups':8} {'shard':>7} {'transfer':>8} = {'election':>8} {'recovery':>8} "
        f"{'client':>7}  {'keyed':>7} {'bare':>7} {'caught up':>9} {'spread':>7}  {'load':>5}"
    )

    @property
    def back_s(self) -> float:
        """The slower of the two writes that are judged."""
        return max(BACK_S if back_s is None else back_s for back_s in (self.shard_s, self.transfer_s))

    def line(self) -> str:
        def seconds(value: float | None) -> str:
            return f"{value:.2f} s" if value is not None else "-"

        groups = f"s{self.aim.shard} c{self.aim.coordinator}"
        verdict = "" if not self.violations else f"  {len(self.violations)} VIOLATIONS"
        by_hand = f" ({self.asked} asked for)" if self.asked else ""
        return (
            f"{self.number:>5}  {self.action} n{self.aim.victim:<6} {groups:8} {seconds(self.shard_s):>7} "
            f"{seconds(self.transfer_s):>8} = {seconds(self.election_s):>8} {seconds(self.recovery_s):>8} "
            f"{seconds(self.client_s):>7}  {seconds(self.keyed_s):>7} {seconds(self.bare_s):>7} "
            f"{seconds(self.caught_up_s):>9} {seconds(self.spread_s):>7}  {self.load:>5.2f}{by_hand}{verdict}"
        )


@dataclass
class Calm:
    """Full load without a fault. `elections`: group -> how many; `load`: the mean load average."""

    minutes: float
    elections: dict[str, int]
    writes_per_second: float
    load: float
    violations: list[str] = field(default_factory=list)

    @property
    def needless(self) -> int:
        return sum(self.elections.values())

    def missed(self) -> list[str]:
        """The bound, if it is missed, in words."""
        needless = f"{self.needless} needless elections, at most {NEEDLESS_MOST} is allowed"
        return [needless] if self.needless > NEEDLESS_MOST else []

    def line(self) -> str:
        groups = f" ({self.elections})" if self.elections else ""
        return (
            f"full load for {self.minutes:g} minutes: {self.needless} needless elections{groups}, "
            f"{self.writes_per_second:.0f} writes/s, load {self.load:.2f}"
        )


def figures(values: list[float]) -> str:
    """Median, 90th percentile and most, in words."""
    high = statistics.quantiles(values, n=10, method="inclusive")[-1] if len(values) > 1 else values[0]
    return f"median {statistics.median(values):.2f} s, p90 {high:.2f} s, most {max(values):.2f} s"


def turns(rounds: list[Round]) -> dict[str, list[Round]]:
    """The rounds by their kind of loss, and all; each with its name, none empty."""
    chosen = {action: [seen for seen in rounds if action in (seen.action, "all")] for action in (KILL, STOP, "all")}
    return {f"{action}, {len(known)} rounds": known for action, known in chosen.items() if known}


def summary(rounds: list[Round]) -> list[str]:
    """The figures of each kind of loss, and of all."""
    words = []
    for name, chosen in turns(rounds).items():
        words.append(f"{name}: the slower write back {figures([seen.back_s for seen in chosen])}")
        words += [f"  {kind} {figures([getattr(seen, f'{kind}_s') or BACK_S for seen in chosen])}" for kind in PROBES]
        known = [seen for seen in chosen if seen.election_s]
        total = sum(seen.election_s + seen.recovery_s + seen.client_s for seen in known)
        for share in SHARES if known else ():
            values = [getattr(seen, f"{share}_s") for seen in known]
            words.append(f"  {share} {figures(values)}, {sum(values) / total:.0%} of the time")
    return words


def missed_by(rounds: list[Round]) -> list[str]:
    """Which bounds are missed, by each kind of loss and by all, in words."""
    missed = []
    for name, chosen in turns(rounds).items():
        back = [seen.back_s for seen in chosen]
        if statistics.median(back) > MEDIAN_S:
            missed.append(f"{name}: median {statistics.median(back):.2f} s, at most {MEDIAN_S} s is allowed")
        if max(back) > WORST_S:
            missed.append(f"{name}: most {max(back):.2f} s, at most {WORST_S} s is allowed")
    return missed
