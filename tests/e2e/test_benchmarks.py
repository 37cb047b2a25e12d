"""The benchmark judges rightly, refuses memory for a disk, and its peer is durable and whole."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from benchmarks import clients, facts, postgres, report
from benchmarks.__main__ import SUBJECTS


def points(subject: str, rates: dict[int, list[float]]) -> list[dict[str, object]]:
    return [
        {"subject": subject, "clients": count, "per_second": rate, "p50_ms": 1.0, "p99_ms": 2.0}
        for count, each in rates.items()
        for rate in each
    ]


def test_the_median_of_the_rounds_at_the_best_number_of_clients_is_compared() -> None:
    measured = points(report.PEER, {8: [90, 100, 500], 16: [80, 80, 80]})
    measured += points("txstore-1", {16: [120, 120, 120], 64: [10, 200, 210]})
    rates = report.medians(measured)
    (verdict,) = report.verdicts(rates, [])
    assert (verdict["clients"], verdict["value"], verdict["met"]) == (64, 2.0, True)
    assert "2.0 x postgres-2pc (200/s with 64 clients over 100/s with 8)" in verdict["words"]
    assert "2.00" in report.table(measured, rates)


def test_each_bar_is_judged_and_a_missed_one_is_told() -> None:
    assert {(bar.subject, bar.peer): bar.bar for bar in report.FASTER} == {
        ("txstore-1", "postgres-2pc"): 2.0,
        ("txstore-3", "postgres-2pc"): 1.0,
        ("rest-txstore", "rest-2pc"): 1.0,
        ("contended-1", "contended-postgres"): 0.5,
        ("contended-3", "contended-postgres"): 0.2,
    }
    for bar in report.FASTER:
        for rate, met in ((100 * bar.bar, True), (100 * bar.bar - 1, False)):
            rates = report.medians(points(bar.peer, {8: [100]}) + points(bar.subject, {16: [rate]}))
            assert [verdict["met"] for verdict in report.verdicts(rates, [])] == [met], bar


def test_a_figure_is_judged_by_its_worst_round() -> None:
    bars = {(bar.subject, bar.figure): bar.bar for bar in report.AT_MOST}
    assert bars == {
        ("nodes", "first_s"): 5, ("nodes", "again_s"): 5, ("up", "nodes_mb"): 300, ("up", "all_mb"): 900,
        ("up", "cpu_percent"): 5, ("up", "ready_s"): 12,
    }  # fmt: skip
    for (subject, figure), bar in bars.items():
        blank = {other: 0.0 for of, other in bars if of == subject}
        for worst, met in ((bar, True), (bar + 0.1, False)):
            rounds = [{"subject": subject, **blank, figure: value} for value in (0.1, worst, 0.2)]
            found = {verdict["figure"]: verdict["met"] for verdict in report.verdicts({}, rounds)}
            assert found == {**dict.fromkeys(blank, True), figure: met}


def test_what_was_not_measured_is_not_judged() -> None:
    assert report.verdicts(report.medians(points("txstore-1", {16: [10]})), []) == []


def test_every_subject_runs_and_its_result_is_kept(tmp_path: Path) -> None:
    """Small enough to say nothing of speed: what is looked at is that each figure comes from something that ran."""
    result = tmp_path / "bench.json"
    little = ["--rounds", "1", "--rows", "500", "--clients", "2", "--seconds", "0.5"]
    little += ["--idle-seconds", "0.5", "--cpu-seconds", "0.5", "--no-assert", "--json", str(result)]
    ended = subprocess.run([sys.executable, "-m", "benchmarks", *little], capture_output=True, text=True, timeout=280)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    kept = json.loads(result.read_text())
    assert {point["subject"] for point in kept["points"]} == set(SUBJECTS)
    assert not [point for point in kept["points"] if point["failures"] or not point["transfers"]]
    assert len(kept["verdicts"]) == len(report.FASTER) + len(report.AT_MOST)
    assert all(verdict["words"] in ended.stdout for verdict in kept["verdicts"])
    (up,) = [figure for figure in kept["figures"] if figure["subject"] == "up"]
    assert set(up["mb"]) == {"supervisor", "n1", "n2", "n3", "web", "worker", "beat"}
    assert all(mb > 5 for mb in up["mb"].values())


def test_a_file_system_in_memory_is_refused() -> None:
    assert facts.file_system(Path("/dev/shm"))[0] in facts.MEMORY_FILE_SYSTEMS
    with pytest.raises(SystemExit, match="real file system"):
        facts.refuse_memory(Path("/dev/shm"))


def test_the_peer_moves_money_durably_and_loses_none() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        Path(directory).chmod(0o755)  # for the user that PostgreSQL runs as
        servers = postgres.Servers(Path(directory))
        try:
            servers.start()
            servers.load(100, 1000)
            point = clients.measure(servers.arguments(), 2, 100, 0.5)
            assert point.transfers > 0
            assert point.failures == {}
            assert servers.total() == 100 * 1000
            assert all(server["fsync"] == "on" for server in servers.facts()["servers"])
        finally:
            servers.stop()


def test_the_cost_of_a_call_is_measured_in_both_forms() -> None:
    command = [sys.executable, "-m", "benchmarks.client", "--threads", "1,4", "--seconds", "0.3"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.splitlines()
    assert [line.split()[:2] for line in said] == [
        [form, width] for form in ("blocking", "awaited") for width in ("1:", "4:")
    ]
    assert all(0 < float(line.split()[2]) < 100_000 for line in said)
