"""From measured points to medians, ratios, bars: pure, so that a kept JSON can be judged again."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

PEER, REST_PEER, HOT_PEER = "postgres-2pc", "rest-2pc", "contended-postgres"


@dataclass(frozen=True)
class Faster:
    """`subject`'s best over `peer`'s best, in transfers a second, is at least `bar`."""

    subject: str
    peer: str
    bar: float


@dataclass(frozen=True)
class AtMost:
    """`figure` of `subject` is at most `bar`, in the worst round."""

    subject: str
    figure: str
    bar: float
    unit: str
    words: str


FASTER = (
    Faster("txstore-1", PEER, 2.0),
    Faster("txstore-3", PEER, 1.0),
    Faster("rest-txstore", REST_PEER, 1.0),
    Faster("contended-1", HOT_PEER, 0.5),
    Faster("contended-3", HOT_PEER, 0.2),
)
AT_MOST = (
    AtMost("nodes", "first_s", 5.0, "s", "all groups are led, at the first start"),
    AtMost("nodes", "again_s", 5.0, "s", "all groups are led, at a later start"),
    AtMost("up", "nodes_mb", 300.0, "MB", "Pss of the three nodes, idle"),
    AtMost("up", "all_mb", 900.0, "MB", "Pss of all of up, idle"),
    AtMost("up", "cpu_percent", 5.0, "% of a core", "CPU of the three nodes, idle"),
    AtMost("up", "ready_s", 12.0, "s", "make up on an installed home, until /readyz is 200"),
)
PEERS = {each.subject: each.peer for each in FASTER} | {each.peer: each.peer for each in FASTER}
PEERS |= {"interactive-1": "txstore-1"}  # no bar: what round trips cost

Rates = dict[str, dict[int, float]]


def medians(points: list[dict[str, Any]]) -> Rates:
    """Subject -> clients -> the median over the rounds of transfers a second."""
    found: dict[str, dict[int, list[float]]] = {}
    for point in points:
        found.setdefault(point["subject"], {}).setdefault(point["clients"], []).append(point["per_second"])
    return {
        subject: {clients: round(statistics.median(rates), 1) for clients, rates in by_clients.items()}
        for subject, by_clients in found.items()
    }


def best(of_subject: dict[int, float]) -> tuple[int, float]:
    """(clients, transfers a second) where the subject is fastest."""
    clients = max(of_subject, key=lambda each: of_subject[each])
    return clients, of_subject[clients]


def verdicts(rates: Rates, figures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each bar whose sides were measured: its words with the numbers, its value, and whether it is met."""
    found = [_faster(each, rates) for each in FASTER if each.subject in rates and each.peer in rates]
    for bar in AT_MOST:
        values = [figure[bar.figure] for figure in figures if figure["subject"] == bar.subject]
        if values:
            worst = max(values)
            words = f"{bar.words}: {worst:g} {bar.unit}, at most {bar.bar:g}"
            found.append(_verdict(bar.subject, bar.figure, words, worst, bar.bar, worst <= bar.bar))
    return found


def _faster(bar: Faster, rates: Rates) -> dict[str, Any]:
    clients, rate = best(rates[bar.subject])
    peer_clients, peer = best(rates[bar.peer])
    ratio = round(rate / peer, 2) if peer else 0.0
    words = (
        f"{bar.subject}: {ratio} x {bar.peer} ({rate:g}/s with {clients} clients over {peer:g}/s with {peer_clients}),"
        f" at least {bar.bar:g} x"
    )
    return _verdict(bar.subject, "ratio", words, ratio, bar.bar, ratio >= bar.bar) | {"clients": clients}


def _verdict(subject: str, figure: str, words: str, value: float, bar: float, met: bool) -> dict[str, Any]:
    return {"subject": subject, "figure": figure, "words": words, "value": value, "bar": bar, "met": met}


def table(points: list[dict[str, Any]], rates: Rates) -> str:
    """One line per subject and number of clients."""
    lines = [f"{'subject':14} {'clients':>7} {'median /s':>10} {'x peer':>7} {'p50 ms':>8} {'p99 ms':>8}  rounds"]
    for subject, by_clients in rates.items():
        peer = best(rates.get(PEERS.get(subject, ""), {0: 0.0}))[1]
        for clients, rate in sorted(by_clients.items()):
            same = [point for point in points if (point["subject"], point["clients"]) == (subject, clients)]
            middle = {key: statistics.median([point[key] for point in same]) for key in ("p50_ms", "p99_ms")}
            ratio = f"{rate / peer:.2f}" if peer else "-"
            rounds = " ".join(f"{point['per_second']:.0f}" for point in same)
            lines.append(
                f"{subject:14} {clients:>7} {rate:>10.1f} {ratio:>7} {middle['p50_ms']:>8.2f} {middle['p99_ms']:>8.2f}"
                f"  {rounds}"
            )
    return "\n".join(lines)
