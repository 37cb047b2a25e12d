"""`manage.py cluster`: what it shows of a cluster that is not well, and what it says when it cannot."""

from __future__ import annotations

import getpass
import re
import stat
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from nodes.errors import Unavailable
from tests.api.conftest import TOKEN, FakeCluster, status
from txstore.models import Operation


def run(*arguments: str) -> str:
    printed = StringIO()
    call_command("cluster", *arguments, stdout=printed)
    return printed.getvalue()


def row(printed: str, first: str) -> list[str]:
    """The cells of the table row that begins with `first`."""
    line = next(line for line in printed.splitlines() if re.match(rf"│ {first} ", line))
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_the_status_shows_nodes_groups_and_lag(cluster: FakeCluster) -> None:
    printed = run("status")
    assert row(printed, "n1") == ["n1", "127.0.0.1:7101", "up", "c1 s0", "2"]
    assert row(printed, "c1") == ["c1", "coordinator", "n1", "3", "n1 0"]
    assert "Cluster abc123" in printed
    assert "In doubt: 0" in printed


def test_the_status_shows_what_is_not_well(cluster: FakeCluster) -> None:
    told: dict[str, Any] = status(leader=None, second_up=False)
    told["nodes"][1]["error"] = "did not [red]answer[/]"
    told["groups"][1]["replicas"] = []
    told["groups"][0]["replicas"][0]["stopped"] = "slot 7"
    told["in_doubt"] = {"count": 2, "oldest_ms": 950}
    cluster.answers["status"] = told
    printed = run("status")
    assert row(printed, "n2")[2:4] == ["down: did not [red]answer[/]", "-"]
    assert row(printed, "s0")[2:] == ["none", "3", "no replica answers"]
    assert row(printed, "c1")[4] == "n1 stopped: slot 7"
    assert "In doubt: 2, the oldest for 950 ms" in printed


def test_a_cluster_that_does_not_answer_is_an_error_in_words(cluster: FakeCluster) -> None:
    cluster.answers["status"] = Unavailable("no node answers: 127.0.0.1:7101")
    with pytest.raises(CommandError, match="no node answers"):
        run("status")


def test_a_token_is_rotated_for_its_owner_alone(home: Path) -> None:
    assert str(home / "api-token") in run("rotate-token").replace("\n", "")
    token = (home / "api-token").read_text()
    assert token != TOKEN
    assert len(token) >= 43
    assert stat.S_IMODE((home / "api-token").stat().st_mode) == 0o600
    assert token not in run("rotate-token")


def test_there_is_no_token_to_rotate_before_the_first_start(home: Path) -> None:
    (home / "api-token").unlink()
    with pytest.raises(CommandError, match="make up"):
        run("rotate-token")
    assert not (home / "api-token").exists()


@pytest.mark.parametrize("verb", [[], ["bad"]])
def test_an_unknown_verb_is_refused(verb: list[str]) -> None:
    with pytest.raises(CommandError):
        run(*verb)


def test_a_leader_is_transferred_by_names(cluster: FakeCluster) -> None:
    assert run("transfer-leader", "s1", "n2").strip() == "n2 leads s1 in epoch 7"
    assert cluster.asked == [("transfer_leader", ("s1", 2))]
    row = Operation.objects.get()
    assert (row.by, row.via, row.what) == (getpass.getuser(), "command", "transfer-leader s1 n2")
    assert (row.outcome, row.words) == ("happened", "leads in epoch 7")


def test_what_the_cluster_refuses_is_logged_too(cluster: FakeCluster) -> None:
    cluster.answers["transfer_leader"] = Unavailable("n2 is behind; the group is led as before")
    with pytest.raises(CommandError, match="is behind"):
        run("transfer-leader", "s1", "n2")
    row = Operation.objects.get()
    assert (row.outcome, row.words) == ("did_not_happen", "n2 is behind; the group is led as before")


@pytest.mark.parametrize("node", ["second", "n", "-1"])
def test_a_node_that_is_no_name_is_refused(cluster: FakeCluster, node: str) -> None:
    with pytest.raises(CommandError, match=r"no node|argument"):
        run("transfer-leader", "s1", node)
