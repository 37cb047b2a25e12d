"""From measured points to medians, ratios, bars: pure, so that a kept JSON can be judged again."""

from __future__ import annotations

import statistics
from typing import Any

PEER = "postgres-2pc"
BARS = {"txstore-1": 1.5, "txstore-3": 0.8}


def medians(points: list[dict[str, Any]]) -> dict[str, dict[int, float]]:
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


def verdicts(rates: dict[str, dict[int, float]]) -> list[dict[str, Any]]:
    """Each bar: our best against the peer's best. [] where one side was not measured."""
    if PEER not in rates:
        return []
    peer_clients, peer = best(rates[PEER])
    found = []
    for subject, bar in BARS.items():
        if subject in rates:
            clients, rate = best(rates[subject])
            ratio = round(rate / peer, 2) if peer else 0.0
            found.append(
                {"subject": subject, "clients": clients, "per_second": rate, "peer_clients": peer_clients,
                 "peer_per_second": peer, "ratio": ratio, "bar": bar, "met": ratio >= bar}
            )  # fmt: skip
    return found


def table(points: list[dict[str, Any]], rates: dict[str, dict[int, float]]) -> str:
    """One line per subject and number of clients."""
    peer = best(rates[PEER])[1] if PEER in rates else 0.0
    lines = [f"{'subject':14} {'clients':>7} {'median /s':>10} {'x peer':>7} {'p50 ms':>8} {'p99 ms':>8}  rounds"]
    for subject, by_clients in rates.items():
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
