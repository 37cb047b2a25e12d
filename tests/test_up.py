"""What `up` wants, refuses and writes; no process is started here."""

from __future__ import annotations

import io
import os
import socket
import stat
import tomllib

import pytest
from django.core.management import CommandError, call_command

from txstore import up
from txstore.home import Home, HomeError, Shape


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


def made(home: Home, nodes: int = 3, shards: int = 6, replicas: int = 3) -> Home:
    shape = Shape(nodes, shards, replicas)
    home.create(shape, {node: f"127.0.0.1:{7100 + node}" for node in range(1, nodes + 1)})
    return home


def test_the_defaults_are_three_nodes_six_shards_three_replicas(home):
    wish = up.wish_from({}, home)
    assert wish == up.Wish(Shape(3, 6, 3, "sqlite"), 8000, 7101, 1.0)
    assert wish.addresses() == {1: "127.0.0.1:7101", 2: "127.0.0.1:7102", 3: "127.0.0.1:7103"}


def test_never_leaves_nodes_down(home):
    assert up.wish_from({"TXSTORE_RESTART_S": "never"}, home).restart_s is None
    assert up.wish_from({"TXSTORE_RESTART_S": "0.5"}, home).restart_s == 0.5


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("TXSTORE_NODES", "0"),
        ("TXSTORE_NODES", "6"),
        ("TXSTORE_NODES", "three"),
        ("TXSTORE_NODES", "-1"),
        ("TXSTORE_SHARDS", "0"),
        ("TXSTORE_SHARDS", "1000"),
        ("TXSTORE_REPLICAS", "4"),
        ("TXSTORE_ENGINE", "oracle"),
        ("TXSTORE_WEB_PORT", "70000"),
        ("TXSTORE_NODE_PORT", "65535"),
        ("TXSTORE_RESTART_S", "soon"),
        ("TXSTORE_RESTART_S", "nan"),
        ("TXSTORE_RESTART_S", "-1"),
    ],
)
def test_a_wrong_variable_is_named_and_nothing_is_made(home, name, text):
    with pytest.raises(HomeError, match=name):
        up.wish_from({name: text}, home)
    assert not home.path.exists()


def test_a_home_keeps_its_shape(home):
    made(home, nodes=1, shards=2, replicas=1)
    assert up.wish_from({}, home).shape == Shape(1, 2, 1)
    for name, text in (("NODES", "3"), ("SHARDS", "6"), ("REPLICAS", "3")):
        with pytest.raises(HomeError, match=f"TXSTORE_{name} is {text}, but the home .* was made with"):
            up.wish_from({f"TXSTORE_{name}": text}, home)


def test_a_new_home_has_secrets_that_nobody_else_reads_and_that_stay(home):
    made(home)
    files = [home.api_token_file, home.admin_password_file, home.cluster_secret_file, home.django_secret_file]
    before = [file.read_text() for file in files]
    assert len(set(before)) == 4
    assert min(map(len, before)) >= 32
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] * 4
    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700
    made(home)
    assert [file.read_text() for file in files] == before


def test_a_node_finds_itself_and_the_founders_in_its_configuration(home):
    made(home)
    assert tomllib.loads(home.node_config(2).read_text()) == {
        "node": 2,
        "listen": "127.0.0.1:7102",
        "data": str(home.path / "nodes/n2/data"),
        "secret_file": str(home.path / "cluster-secret"),
        "shards": 6,
        "replicas": 3,
        "engine": "sqlite",
        "nodes": {"1": "127.0.0.1:7101", "2": "127.0.0.1:7102", "3": "127.0.0.1:7103"},
    }
    assert home.node_addresses() == ["127.0.0.1:7101", "127.0.0.1:7102", "127.0.0.1:7103"]


def test_a_path_with_quotes_is_written_as_it_is(tmp_path):
    home = made(Home(tmp_path / 'a "b" \\c'))
    assert tomllib.loads(home.node_config(1).read_text())["data"] == str(home.path / "nodes/n1/data")


def test_a_directory_with_foreign_files_is_no_home(home):
    home.refuse_foreign()
    home.path.mkdir()
    home.refuse_foreign()
    (home.path / "thesis.txt").write_text("years of work")
    with pytest.raises(HomeError, match="not empty"):
        home.refuse_foreign()


def test_a_home_that_was_begun_is_taken_up_again(home):
    up.lock(home).close()
    home.refuse_foreign()


def test_a_damaged_home_is_refused_in_words(home):
    made(home)
    for text in ("nodes = ", "nodes = 3", "format = 2\nnodes = 3"):
        home.shape_file.write_text(text)
        with pytest.raises(HomeError, match=r"home\.toml"):
            up.wish_from({}, home)


def test_a_second_up_names_the_first(home):
    made(home)
    up.refuse_running(home)
    with up.lock(home):
        for second in (up.lock, up.refuse_running):
            with pytest.raises(HomeError, match=f"already runs on .*, as process {os.getpid()}"):
                second(home)
    up.refuse_running(home)


def test_a_taken_port_is_named(home, monkeypatch):
    monkeypatch.setattr(up, "PORT_GRACE_S", 0.0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for name in ("TXSTORE_WEB_PORT", "TXSTORE_NODE_PORT"):
            with pytest.raises(HomeError, match=f"{port} .*is taken .*{name}"):
                up.refuse_ports(up.wish_from({name: str(port)}, home))


def test_a_port_asked_for_twice_is_named(home):
    with pytest.raises(HomeError, match="7102 is asked for twice"):
        up.refuse_ports(up.wish_from({"TXSTORE_WEB_PORT": "7102"}, home))


def test_the_welcome_is_said_once_and_can_be_pasted(home):
    said: list[str] = []
    ready = [False, False, True, True]
    welcome = up.Welcome(home, up.wish_from({}, home), lambda: ready.pop(0), said.append)
    waits = [welcome.each_turn() for _ in range(4)]
    assert waits == [0.2, 0.2, 0.2, 3600.0]
    assert len(said) == 1
    assert f'curl -H "Authorization: Bearer $(cat {home.api_token_file})" http://127.0.0.1:8000/api/v1/' in said[0]
    assert str(home.admin_password_file) in said[0]


def test_a_web_server_that_does_not_answer_is_not_ready():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        assert not up.is_ready(port, timeout_s=0.1)
        silent.listen()
        assert not up.is_ready(port, timeout_s=0.1)


@pytest.fixture
def reset(home, monkeypatch):
    """`manage.py reset` on the home, answered with a line."""
    monkeypatch.setenv("TXSTORE_HOME", str(home.path))

    def run(answer: str) -> str:
        said = io.StringIO()
        monkeypatch.setattr("builtins.input", lambda _: answer)
        call_command("reset", stdout=said)
        return said.getvalue()

    return run


def test_reset_deletes_the_home_after_a_yes(home, reset):
    made(home)
    with pytest.raises(CommandError, match="Nothing was deleted"):
        reset("no")
    assert home.exists()
    assert "Deleted" in reset("yes")
    assert not home.path.exists()


def test_reset_touches_nothing_that_is_no_home_or_is_in_use(home, reset):
    home.path.mkdir()
    assert "There is no home" in reset("yes")
    made(home)
    with up.lock(home), pytest.raises(CommandError, match="already runs"):
        reset("yes")
    assert home.exists()


def test_a_program_that_is_started_alone_is_told_of_its_nodes_and_secrets(tmp_path, monkeypatch):
    (tmp_path / "api-token").write_text("token\n")
    monkeypatch.setenv("TXSTORE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TXSTORE_SECRETS", str(tmp_path))
    monkeypatch.setenv("TXSTORE_NODES_AT", "n1:7101, n2:7101,")
    lone = Home.from_env()
    assert (lone.api_token(), lone.node_addresses()) == ("token", ["n1:7101", "n2:7101"])
    assert lone.database_file.parent == tmp_path / "home"


@pytest.mark.parametrize("name", up.FOR_LONE_PROGRAMS)
def test_up_refuses_what_is_meant_for_programs_that_are_started_alone(home, name):
    with pytest.raises(HomeError, match=name):
        up.wish_from({name: "n1:7101"}, home)
