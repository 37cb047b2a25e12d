"""The examples of the documents, run as they stand on a real cluster, with the output that they show."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodes.client import Cluster, Transaction, aio
from tests.e2e.cluster import ROOT, LocalCluster
from txstore import store
from txstore.home import Home

DOCS = ROOT / "docs"
# A block in a language, and the block without one that follows it with nothing between: what it prints.
EXAMPLE = re.compile(r"^```(\w+)\n(.*?)^```\n(?:\n```\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)


def examples(page: Path, language: str) -> list[tuple[str, str]]:
    """(code, what it prints) of each block in that language."""
    return [(code, shown or "") for name, code, shown in EXAMPLE.findall(page.read_text()) if name == language]


@pytest.fixture
def at_home(local_cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[LocalCluster]:
    """This process, and those that it starts, have the home of the cluster."""
    monkeypatch.setenv("TXSTORE_HOME", str(local_cluster.directory))
    settings.HOME = Home(local_cluster.directory)
    monkeypatch.setattr(store, "_cluster", None)
    monkeypatch.setattr(store, "_addresses", [])
    yield local_cluster
    if store._cluster is not None:
        store._cluster.close()


def test_the_examples_of_the_client_print_what_they_show(at_home: LocalCluster) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    found = list(examples(DOCS / "client.md", "python"))
    assert len([shown for _, shown in found if shown]) >= 7
    for code, shown in found:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(code, "client.md", "exec"), names)
        assert said.getvalue() == shown, code
    names["cluster"].close()


@pytest.mark.parametrize("example", ["shop", "telecom"])
def test_each_example_runs_more_than_once_and_prints_what_its_page_shows(at_home: LocalCluster, example: str) -> None:
    ((command, shown),) = examples(DOCS / "examples" / example / "README.md", "sh")
    assert command.split()[0] == ".venv/bin/python"
    for _ in range(2):
        run = subprocess.run(
            [sys.executable, *command.split()[1:]], cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=60
        )
        assert (run.returncode, run.stderr, run.stdout) == (0, "", shown)


def test_an_example_goes_on_while_a_node_is_killed(at_home: LocalCluster) -> None:
    """Its calls are safe to repeat, so it prints the same."""
    ((command, shown),) = examples(DOCS / "examples" / "telecom" / "README.md", "sh")
    with subprocess.Popen(
        [sys.executable, *command.split()[1:]], cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        first = run.stdout.readline()
        at_home.kill(2)
        rest = run.stdout.read()
    assert (run.returncode, first + rest) == (0, shown)
    at_home.wait_ready(caught_up=True)


def test_the_reference_names_every_call_and_option() -> None:
    text = (DOCS / "client.md").read_text()
    calls = {name for name in vars(Cluster) if not name.startswith("_") and name != "connect"}
    listed = {
        name: re.findall(r"(?:^|, )\**(\w+)", each) for name, each in re.findall(r"^\| `(\w+)\((.*?)\)`", text, re.M)
    }
    assert listed == {name: [*inspect.signature(getattr(Cluster, name)).parameters][1:] for name in calls}
    within = dict(re.findall(r"^\| `txn\.(\w+)\((.*?)\)`", text, re.M))
    assert {name: re.findall(r"(?:^|, )(\w+)", each) for name, each in within.items()} == {
        name: [*inspect.signature(call).parameters][1:]
        for name, call in vars(Transaction).items()
        if inspect.isfunction(call) and not name.startswith("_")
    }
    options = set(inspect.signature(Cluster.connect).parameters) - {"surroundings"}
    assert options <= set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    for name in calls:
        assert inspect.signature(getattr(Cluster, name)).parameters.keys() == (
            inspect.signature(getattr(aio.Cluster, name)).parameters.keys()
        )


def test_a_program_of_its_own_is_typed_by_the_client(tmp_path: Path) -> None:
    """What a user's mypy makes of both forms, and that it finds what is wrong."""
    program = tmp_path / "program.py"
    program.write_text(
        "from nodes.client import Cluster, Rows, aio\n"
        "from nodes.requests import Fate, Reply\n"
        "def blocking(cluster: Cluster) -> tuple[Reply, Rows, Fate]:\n"
        "    return cluster.execute_many([('', [])]), cluster.query('', timeout=1.5), cluster.fate('t')\n"
        "async def awaited(cluster: aio.Cluster) -> tuple[Reply, Rows, Fate]:\n"
        "    return await cluster.execute_many([('', [])]), await cluster.query(''), await cluster.fate('t')\n"
        "def wrong(cluster: Cluster) -> int:\n"
        "    cluster.fate(7)\n"
        "    cluster.query('', nonsense=1)\n"
        "    return cluster.execute('')\n"
    )
    copied = tmp_path / "nodes"
    shutil.copytree(ROOT / "nodes", copied)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "program.py"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280).stdout
    wrong = re.findall(r"^program.py:(\d+): error: .*\[([\w-]+)\]$", said, re.MULTILINE)
    assert wrong == [("8", "arg-type"), ("9", "call-arg"), ("10", "return-value")], said
