"""`manage.py cluster members`, `add-node`, `remove-node`, `replace-node`: what they show, and how they wait."""

from __future__ import annotations

import getpass
from typing import Any

import pytest
from django.core.management import CommandError

from nodes.errors import NotFound, Unavailable
from nodes.requests import Nodes
from tests.api.conftest import FakeCluster, changing, status
from tests.api.test_cluster_command import row, run
from txstore import progress
from txstore.models import Operation


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "TURN_S", 0.0)


def joining(**facts: Any) -> dict[str, Any]:
    told = status()
    node = {"node": 4, "name": "n4", "address": "127.0.0.1:7104", "up": True, "ready": True, "error": "", **facts}
    told["nodes"].append(node)
    return told


def gone() -> dict[str, Any]:
    return changing(leaving=[], gone=[2, 3], nodes=status()["nodes"][:1])


def test_the_members_are_shown_with_what_each_is(cluster: FakeCluster) -> None:
    cluster.answers["status"] = changing()
    printed = run("members")
    assert row(printed, "n1") == ["n1", "member", "127.0.0.1:7101", "yes", "2"]
    assert row(printed, "n2")[1:] == ["leaving, n4 takes its place", "127.0.0.1:7102", "no", "1"]
    assert row(printed, "n3") == ["n3", "gone", "-", "-", "-"]
    assert row(printed, "n5") == ["n5", "asks to be let in", "127.0.0.1:7105", "yes", "-"]
    assert row(printed, "s0") == ["s0", "n1", "n1 n2", "n4"]


def test_a_node_is_let_in_and_waited_for_until_it_serves(cluster: FakeCluster) -> None:
    waits = status() | {"waiting": [[4, "127.0.0.1:7104", "aa"]]}
    turns = [status(), waits, joining(up=False, ready=None), joining(ready=False), joining()]
    cluster.answers["status"] = turns
    printed = run("add-node", "n4")
    assert printed.splitlines() == [
        "n4 is let in, and has not been told yet",
        "n4 does not answer",
        "n4 takes over the catalog",
        "n4 is a member and serves. It takes over replicas when another node leaves.",
    ]
    assert cluster.asked[0] == ("add_node", 4)
    logged = Operation.objects.get()
    assert (logged.by, logged.via, logged.what) == (getpass.getuser(), "command", "add-node n4")


@pytest.mark.parametrize(
    ("order", "asked", "first"),
    [
        (["remove-node", "n2"], ("remove_node", (2, False)), "n2 leaves, whoever has room takes its place."),
        (["remove-node", "2", "--fewer-replicas"], ("remove_node", (2, True)),
         "n2 leaves, whoever has room takes its place."),
        (["replace-node", "n2", "n4"], ("replace_node", (2, 4)), "n2 leaves, n4 takes its place."),
    ],
)  # fmt: skip
def test_a_node_that_leaves_is_waited_for_until_it_is_gone(
    cluster: FakeCluster, order: list[str], asked: Any, first: str
) -> None:
    empty = changing()
    empty["groups"][1]["members"] = [1, 4]
    cluster.answers["status"] = [changing(), Unavailable("no node answers"), empty, gone()]
    assert run(*order).splitlines() == [
        first,
        "n2 is still in 1 of 2 groups: s0",
        "no node answers",
        "n2 holds no replica any more, and is struck off",
        "n2 is gone. Its process, if it runs, ends by itself; its data can be deleted.",
    ]
    assert cluster.asked[0] == asked


@pytest.mark.parametrize("order", [["add-node", "n4"], ["remove-node", "n2"], ["replace-node", "n2", "n4"]])
def test_who_does_not_wait_has_ordered_all_the_same(cluster: FakeCluster, order: list[str]) -> None:
    run(*order, "--no-wait")
    assert [method for method, _ in cluster.asked] == [order[0].replace("-", "_")]
    assert Operation.objects.get().outcome == "happened"


def test_what_is_gone_is_not_waited_for(cluster: FakeCluster) -> None:
    cluster.answers["remove_node"] = Nodes({}, [2])
    assert run("remove-node", "n2") == "n2 is gone.\n"
    assert len(cluster.asked) == 1


def test_when_its_time_is_up_it_says_that_the_cluster_goes_on(cluster: FakeCluster) -> None:
    cluster.answers["status"] = changing()
    with pytest.raises(CommandError, match=r"Not done after 0.01 s: n2 is still in .* goes on by itself"):
        run("remove-node", "n2", "--timeout", "0.01")


def test_ctrl_c_stops_the_waiting_alone_and_says_so(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cluster, "status", interrupt)
    with pytest.raises(CommandError, match=r"cluster members` shows how far") as stopped:
        run("replace-node", "n2", "n4")
    assert stopped.value.returncode == progress.INTERRUPTED


def test_a_refusal_is_told_logged_and_not_waited_for(cluster: FakeCluster) -> None:
    cluster.answers["add_node"] = NotFound("n4 does not ask to be let in")
    with pytest.raises(CommandError, match="does not ask"):
        run("add-node", "n4")
    assert [method for method, _ in cluster.asked] == ["add_node"]
    assert Operation.objects.get().outcome == "did_not_happen"
