"""A node's configuration, from a file or the environment: the same settings, the same refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.runtime.config import VARIABLES, Config, ConfigError, from_environment, load

FILE = """\
node = 2
listen = "0.0.0.0:7101"
data = "data"
secret_file = "{secret}"
shards = 6
replicas = 3
engine = "sqlite"
[nodes]
1 = "n1:7101"
2 = "n2.example.org:7101"
3 = "[::1]:7103"
"""
VALUES = {
    "TXSTORE_NODE": "2",
    "TXSTORE_LISTEN": "0.0.0.0:7101",
    "TXSTORE_DATA": "data",
    "TXSTORE_SHARDS": "6",
    "TXSTORE_REPLICAS": "3",
    "TXSTORE_ENGINE": "sqlite",
    "TXSTORE_NODES_AT": "n1:7101, n2.example.org:7101,[::1]:7103",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("sixteen bytes and more\n")
    path = tmp_path / "config.toml"
    path.write_text(FILE.format(secret=tmp_path / "secret"))
    return path


@pytest.fixture
def environment(file: Path) -> dict[str, str]:
    return {**VALUES, "TXSTORE_SECRET_FILE": str(file.with_name("secret")), "PATH": "/bin"}


def test_a_file_and_the_environment_say_the_same(file: Path, environment: dict[str, str]) -> None:
    config = load(file)
    assert from_environment(environment) == config
    assert config == Config(
        node=2, listen=("0.0.0.0", 7101), advertise=("0.0.0.0", 7101), data=Path("data"),
        secret=b"sixteen bytes and more", shards=6, replicas=3,
        engine="sqlite", nodes={1: ("n1", 7101), 2: ("n2.example.org", 7101), 3: ("::1", 7103)},
    )  # fmt: skip


def test_the_secret_is_not_repeated(file: Path) -> None:
    assert "sixteen" not in repr(load(file))


@pytest.mark.parametrize("variable", VARIABLES.values())
def test_a_variable_that_is_missing_is_named(environment: dict[str, str], variable: str) -> None:
    for missing in ({variable: ""}, {}):
        given = {name: value for name, value in environment.items() if name != variable} | missing
        with pytest.raises(ConfigError, match=f"must be set: {variable}$"):
            from_environment(given)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("TXSTORE_NODE", "256", "node must be a number from 1 to 255, not 256"),
        ("TXSTORE_NODE", "two", "node must be a number from 1 to 255, not 'two'"),
        ("TXSTORE_ADVERTISE", "here", "'here' is not host:port"),
        ("TXSTORE_SHARDS", "-1", "shards must be a number from 1 to 999, not '-1'"),
        ("TXSTORE_REPLICAS", "4", "replicas must be a number from 1 to 3"),
        ("TXSTORE_ENGINE", "paper", "engine must be"),
        ("TXSTORE_LISTEN", "7101", "'7101' is not host:port"),
        ("TXSTORE_NODES_AT", "n1:7101,,n3:7101", "'' is not host:port"),
        ("TXSTORE_NODES_AT", "n1:70000", "'n1:70000' is not host:port"),
        ("TXSTORE_NODES_AT", f"{'n' * 64}:7101", "is not host:port"),
        ("TXSTORE_NODES_AT", "n1/:7101", "is not host:port"),
        ("TXSTORE_NODES_AT", ",".join(["n:1"] * 6), "numbered 1 to at most 5"),
        ("TXSTORE_SECRET_FILE", "nowhere", "the cluster secret cannot be read"),
    ],
)
def test_a_variable_that_does_not_fit_is_refused(
    environment: dict[str, str], variable: str, value: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        from_environment({**environment, variable: value})


@pytest.mark.parametrize(
    ("line", "instead", "words"),
    [
        ("shards = 6", "", "missing or unknown: \\['shards'\\]"),
        ("shards = 6", "shards = 6\ncolour = 1", "missing or unknown: \\['colour'\\]"),
        ("shards = 6", 'shards = "6"', "shards must be a number"),
        ("[nodes]", "[[nodes]]", "must be a table"),
        ("3 = ", "4 = ", "without gaps"),
        ("3 = ", '"²" = ', "must be a table"),
        ("[nodes]", "[nodes", "config.toml"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(file: Path, line: str, instead: str, words: str) -> None:
    file.write_text(file.read_text().replace(line, instead))
    with pytest.raises(ConfigError, match=words):
        load(file)


def test_who_joins_may_be_told_of_members_that_joined_before_it(file: Path) -> None:
    assert load(file).joined == {}
    plain = file.read_text()
    file.write_text(plain + '[joined]\n5 = "n5:7101"\n')
    assert load(file).joined == {5: ("n5", 7101)}
    for wrong in ('2 = "n2:7101"', '256 = "n256:7101"', 'n5 = "n5:7101"'):
        file.write_text(f"{plain}[joined]\n{wrong}\n")
        with pytest.raises(ConfigError, match="joined"):
            load(file)
