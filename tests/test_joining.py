"""A node that joins the cluster of a home: what it is written, what is refused, whom the web tier dials then."""

from __future__ import annotations

import io
import os
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from nodes.errors import Unavailable
from tests.api.conftest import FakeCluster, changing
from tests.e2e.cluster import free_ports
from txstore import store, up
from txstore.home import Home, HomeError, Shape

FOUNDERS = {node: f"127.0.0.1:{7100 + node}" for node in (1, 2, 3)}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("TXSTORE_HOME", str(tmp_path / "home"))
    made = Home(tmp_path / "home")
    made.create(Shape(), FOUNDERS)
    return made


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    fake = FakeCluster()
    monkeypatch.setattr(store, "cluster", lambda: fake)
    return fake


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would have taken the place of this process."""
    found: list[Any] = []
    monkeypatch.setattr(os, "execv", lambda path, command: found.append((path, command)))
    return found


def node(*arguments: str) -> str:
    said, before = io.StringIO(), _umask()
    call_command("node", *arguments, stdout=said)
    assert _umask() == before, "the mask of a process that goes on is given back"
    return said.getvalue()


def _umask() -> int:
    now = os.umask(0o077)
    os.umask(now)
    return now


def config(home: Home, number: int) -> dict[str, Any]:
    return tomllib.loads(home.node_config(number).read_text())


def test_a_node_that_joins_knows_the_founders_and_who_joined_before_it(home: Home) -> None:
    home.create_joining(4, "127.0.0.1:7104")
    home.create_joining(6, "127.0.0.1:7106")
    written = config(home, 6)
    assert written["nodes"] == {str(number): address for number, address in FOUNDERS.items()}
    assert (written["node"], written["listen"], written["joined"]) == (6, "127.0.0.1:7106", {"4": "127.0.0.1:7104"})
    assert "joined" not in config(home, 1)
    assert home.joining_nodes() == [4, 6]
    moved = {number: f"127.0.0.1:{8100 + number}" for number in FOUNDERS}
    home.create(Shape(), moved)  # `up` with other ports
    assert config(home, 6) == {**written, "nodes": {str(number): address for number, address in moved.items()}}


def test_up_starts_who_joined_and_leaves_out_who_was_removed(home: Home) -> None:
    home.create_joining(4, "127.0.0.1:7104")
    home.create_joining(5, "127.0.0.1:7105")
    (home.node_folder(4) / "data" / "removed").touch()
    (home.node_folder(2) / "data" / "removed").touch()
    names = [program.name for program in up.programs(home, up.wish_from({}, home))]
    assert names == ["n1", "n2", "n3", "n5", "web", "worker", "beat"]
    assert home.node_addresses() == ["127.0.0.1:7101", "127.0.0.1:7103", "127.0.0.1:7105"]


@pytest.mark.parametrize(
    ("number", "words"), [(3, "from its founding"), (256, "a number from 4 to 255"), (5, "a number is given once")]
)
def test_a_number_that_is_not_to_be_had_is_refused(home: Home, number: int, words: str) -> None:
    (home.node_folder(5) / "data").mkdir(parents=True)
    (home.node_folder(5) / "data" / "removed").touch()
    with pytest.raises(HomeError, match=words):
        home.create_joining(number, "127.0.0.1:7109")
    assert home.joining_nodes() == []


def test_the_command_makes_the_node_runs_it_and_says_what_is_next(
    home: Home, cluster: FakeCluster, started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = free_ports(1)
    monkeypatch.setenv("TXSTORE_NODE_PORT", str(port - 4))
    said = node("n5")
    assert f"n5 listens on 127.0.0.1:{port}" in said
    assert "manage.py cluster add-node n5" in said
    path = str(home.node_config(5))
    assert started == [(sys.executable, [sys.executable, "-m", "nodes", "serve", "--config", path])]
    assert config(home, 5)["listen"] == f"127.0.0.1:{port}"
    monkeypatch.setenv("TXSTORE_NODE_PORT", "7101")
    assert f"127.0.0.1:{port}" in node("5")  # started again, it is where it was


def test_a_member_is_said_to_be_one_and_stays_where_it_is_dialled(
    home: Home, cluster: FakeCluster, started: list[Any]
) -> None:
    (port,) = free_ports(1)
    cluster.answers["status"] = told = changing()
    with pytest.raises(CommandError, match=r"the others dial it at 127\.0\.0\.1:7104: leave --port out"):
        node("n4", "--port", str(port))
    told["nodes"][2]["address"] = f"127.0.0.1:{port}"
    assert "is a member of the cluster" in node("n4", "--port", str(port))
    assert len(started) == 1


def test_a_cluster_that_does_not_answer_is_no_hindrance(home: Home, cluster: FakeCluster, started: list[Any]) -> None:
    cluster.answers["status"] = Unavailable("no node answers")
    assert "looks for the cluster, which does not answer now: no node answers" in node(
        "n4", "--port", str(*free_ports(1))
    )
    assert len(started) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["n2"], "from its founding"),
        (["four"], "is no node"),
        (["n4", "--port", "0"], "a port is a number"),
        (["n6"], "n6 was removed from this cluster"),
    ],
)
def test_wrong_use_is_refused_in_words(
    home: Home, cluster: FakeCluster, started: list[Any], arguments: list[str], words: str
) -> None:
    cluster.answers["status"] = changing(gone=[3, 6])
    with pytest.raises(CommandError, match=words):
        node(*arguments)
    assert started == []
    assert home.joining_nodes() == []


def test_without_a_home_or_with_nodes_elsewhere_nothing_is_started(
    tmp_path: Path, home: Home, started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TXSTORE_NODES_AT", "db1:7101")
    with pytest.raises(CommandError, match="TXSTORE_NODES_AT is set"):
        node("n4")
    monkeypatch.delenv("TXSTORE_NODES_AT")
    monkeypatch.setenv("TXSTORE_HOME", str(tmp_path / "none"))
    with pytest.raises(CommandError, match="run `make up` first"):
        node("n4")
    assert started == []


def test_the_web_tier_dials_who_joined_and_no_more_who_was_removed(
    home: Home, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HOME = home
    for name, begin in (("_cluster", None), ("_former", None), ("_addresses", []), ("LOOK_EVERY_S", 0.0)):
        monkeypatch.setattr(store, name, begin)
    monkeypatch.setattr(store, "_look_again_at", 0.0)
    dialled: list[str] = []

    class Client:
        is_closed = False

        def close(self) -> None:
            self.is_closed = True

    def connect(addresses: str, secret: str) -> Client:
        dialled.append(addresses)
        return Client()

    monkeypatch.setattr(store.Cluster, "connect", connect)
    first: Any = store.cluster()
    assert store.cluster() is first
    home.create_joining(4, "127.0.0.1:7104")
    second: Any = store.cluster()
    assert store.cluster() is second
    assert not first.is_closed  # somebody may be using it
    (home.node_folder(1) / "data" / "removed").touch()
    third: Any = store.cluster()
    assert (first.is_closed, second.is_closed, third.is_closed) == (True, False, False)
    assert dialled == [
        "127.0.0.1:7101,127.0.0.1:7102,127.0.0.1:7103",
        "127.0.0.1:7101,127.0.0.1:7102,127.0.0.1:7103,127.0.0.1:7104",
        "127.0.0.1:7102,127.0.0.1:7103,127.0.0.1:7104",
    ]
    home.shape_file.write_text("what no up wrote")
    assert store.cluster() is third
