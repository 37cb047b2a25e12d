"""The benchmark judges rightly, refuses memory for a disk, and its peer is durable and whole."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from benchmarks import clients, facts, postgres, report


def points(subject: str, rates: dict[int, list[float]]) -> list[dict[str, object]]:
    return [
        {"subject": subject, "clients": count, "per_second": rate, "p50_ms": 1.0, "p99_ms": 2.0}
        for count, each in rates.items()
        for rate in each
    ]


def test_the_median_of_the_rounds_at_the_best_number_of_clients_is_compared() -> None:
    measured = points(report.PEER, {8: [90, 100, 500], 16: [80, 80, 80]})
    measured += points("txstore-1", {16: [120, 120, 120], 64: [10, 150, 160]})
    rates = report.medians(measured)
    (verdict,) = report.verdicts(rates)
    assert (verdict["clients"], verdict["ratio"], verdict["met"]) == (64, 1.5, True)
    assert "1.50" in report.table(measured, rates)


def test_a_missed_bar_is_told() -> None:
    rates = report.medians(points(report.PEER, {8: [100]}) + points("txstore-3", {16: [79]}))
    assert [verdict["met"] for verdict in report.verdicts(rates)] == [False]


def test_a_file_system_in_memory_is_refused() -> None:
    assert facts.file_system(Path("/dev/shm"))[0] in facts.MEMORY_FILE_SYSTEMS
    with pytest.raises(SystemExit, match="real file system"):
        facts.refuse_memory(Path("/dev/shm"))


def test_the_peer_moves_money_durably_and_loses_none() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        Path(directory).chmod(0o755)
        servers = postgres.Servers(Path(directory) / "peer")
        try:
            Path(directory, "peer").mkdir()
            servers.start()
            servers.load(100, 1000)
            point = clients.measure(servers.arguments(), 2, 100, 0.5)
            assert point.transfers > 0
            assert point.failures == {}
            assert servers.total() == 100 * 1000
            assert all(server["fsync"] == "on" for server in servers.facts()["servers"])
        finally:
            servers.stop()
