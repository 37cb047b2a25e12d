"""`make demo` as a user meets it, on a cluster that `up` runs; small numbers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from nodes.client import Cluster
from nodes.errors import BadRequest
from tests.e2e.cluster import ROOT
from tests.e2e.test_supervisor import eventually
from tests.e2e.test_up import Up, node_pid, ports
from txstore.home import Home

CLAIMS = 6


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One cluster for all tests of this module."""
    started = Up(Home(tmp_path_factory.mktemp("demo") / "home"), **ports())
    try:
        started.wait_ready()
        yield started
    finally:
        assert started.end(signal.SIGINT) == 0


@pytest.fixture
def client(running: Up) -> Iterator[Cluster]:
    addresses = ",".join(running.home.node_addresses())
    with Cluster.connect(addresses, secret=running.home.cluster_secret()) as connected:
        yield connected


def begin(home: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "manage.py"), "demo", *options]
    environment = {**os.environ, "TXSTORE_HOME": str(home)}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=pipe, stderr=subprocess.STDOUT, text=True
    )


def run(home: Path, *options: str) -> tuple[int, str]:
    """(exit status, everything that it said)."""
    process = begin(home, *options)
    said, _ = process.communicate(timeout=150)
    return process.returncode, said


def begin_moving(home: Home, client: Cluster, *options: str) -> subprocess.Popen[str]:
    """A demo whose first transfers are in the ledger."""
    with suppress(BadRequest):  # No demo was run before, so there is no ledger.
        client.execute("DELETE FROM demo_ledger WHERE id > 0")
    process = begin(home.path, "--accounts", "100", "--clients", "2", "--no-kill", *options)
    eventually(lambda: has_rows(client, "demo_ledger", 1), 60)
    return process


def has_rows(client: Cluster, table: str, least: int) -> bool:
    try:
        return bool(client.query(f"SELECT COUNT(*) FROM {table}")[0][0] >= least)
    except BadRequest:
        return False


def test_a_node_is_killed_and_comes_back_and_the_proof_holds(running: Up) -> None:
    before = {node: node_pid(running.home, node) for node in (1, 2, 3)}
    status, said = run(running.home.path, "--accounts", "700", "--seconds", "8", "--clients", "4", "--yes")
    assert status == 0, said
    assert "kill -9 of n" in said
    assert "has started n" in said
    assert "Before the kill" in said
    assert said.count("✔") == CLAIMS
    assert "on 700 accounts" in said
    assert "The proof holds." in said
    after = {node: node_pid(running.home, node) for node in (1, 2, 3)}
    assert len([node for node in before if before[node] != after[node]]) == 1


def test_it_may_be_run_again_with_the_same_and_with_other_numbers(running: Up, client: Cluster) -> None:
    for accounts in (900, 300, 300):
        status, said = run(
            running.home.path, "--accounts", str(accounts), "--seconds", "3", "--clients", "2", "--no-kill"
        )
        assert status == 0, said
        assert "kill" not in said
        assert f"on {accounts} accounts" in said
        assert client.query("SELECT COUNT(*) FROM demo_accounts")[0][0] == accounts


def test_nothing_is_killed_when_nobody_says_yes(running: Up) -> None:
    before = [node_pid(running.home, node) for node in (1, 2, 3)]
    status, said = run(running.home.path, "--accounts", "100", "--seconds", "3", "--clients", "1")
    assert status == 0, said
    assert "nobody to ask" in said
    assert [node_pid(running.home, node) for node in (1, 2, 3)] == before


def test_money_that_appears_is_found(running: Up, client: Cluster) -> None:
    process = begin_moving(running.home, client, "--seconds", "5")
    client.execute("UPDATE demo_accounts SET balance = balance + 1 WHERE id = 7", timeout=30)
    said, _ = process.communicate(timeout=150)
    assert process.returncode == 1, said
    assert "account 7 has" in said
    assert "The proof does not hold." in said


def test_ctrl_c_ends_the_transfers_early_and_still_proves_them(running: Up, client: Cluster) -> None:
    process = begin_moving(running.home, client, "--seconds", "60")
    second = run(running.home.path, "--accounts", "100", "--no-kill")
    assert second[0] == 2
    assert "Another demo runs on" in second[1]
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "Stopped early." in said
    assert said.count("✔") == CLAIMS


def test_ctrl_c_while_it_loads_leaves_nothing_that_the_next_run_cannot_mend(running: Up, client: Cluster) -> None:
    process = begin(running.home.path, "--accounts", "200000", "--no-kill")
    eventually(lambda: has_rows(client, "demo_accounts", 2_000), 60)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    status, said = run(running.home.path, "--accounts", "400", "--seconds", "3", "--clients", "2", "--no-kill")
    assert status == 0, said


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--accounts", "1"], "from 2 to"), (["--seconds", "x"], "whole number"), (["--clients", "0"], "from 1 to")],
)
def test_options_that_make_no_sense_are_refused(tmp_path: Path, options: list[str], words: str) -> None:
    status, said = run(tmp_path / "nowhere", *options)
    assert status == 2
    assert words in said


def test_without_a_cluster_it_says_how_to_start_one(tmp_path: Path, running: Up) -> None:
    status, said = run(tmp_path / "nowhere", "--yes")
    assert status == 2
    assert "start one with `make up`" in said
    assert not (tmp_path / "nowhere").exists()
    stopped = Home(tmp_path / "stopped")
    first = int(ports()["TXSTORE_NODE_PORT"])
    stopped.create(running.home.shape(), {node: f"127.0.0.1:{first + node}" for node in (0, 1, 2)})
    status, said = run(stopped.path, "--yes")
    assert status == 2
    assert "Start it with `make up`" in said
