"""A node's configuration: a TOML file, or the environment (docs/operations.md has the table). Wrong ones are refused
with words; every setting but the constants is needed, and has no default.

node = 1                               its number among [nodes]
listen = "127.0.0.1:7101"
data = "…/nodes/n1/data"
secret_file = "…/cluster-secret"
shards = 6
replicas = 3
engine = "sqlite"
[nodes]                                the founders, number -> address; a node that is none of them asks to join
1 = "127.0.0.1:7101"
[joined]                               may be left out: members that joined since, whom a new node asks as well
4 = "127.0.0.1:7104"
[constants]                            what may be left out, as nodes/constants.py has it
outcomes_kept_ms = 3600000
advertise = "db4.example:7101"         may be left out: where a node that joins is dialled, if not at `listen`

In the environment a setting is named as in VARIABLES, and the founders stand in one list, `host:port,host:port`, the
first of them with number 1; constants other than the defaults need a file. A host is a name or an address; a name is
looked up at each dial.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from nodes.constants import Constants
from nodes.ids import MAX_NODE

MAX_NODES = 5  # founders
MAX_SHARDS = 999
NUMBERS = ("node", "shards", "replicas")
VARIABLES = {
    "node": "TXSTORE_NODE",
    "listen": "TXSTORE_LISTEN",
    "data": "TXSTORE_DATA",
    "secret_file": "TXSTORE_SECRET_FILE",
    "shards": "TXSTORE_SHARDS",
    "replicas": "TXSTORE_REPLICAS",
    "engine": "TXSTORE_ENGINE",
    "nodes": "TXSTORE_NODES_AT",
}
ADVERTISE = "TXSTORE_ADVERTISE"
# A name longer than DNS has them cannot be asked for: looking it up would not fail, but break.
HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?$|\[[0-9A-Fa-f:.]+\]$")


class ConfigError(ValueError):
    """The configuration cannot be used; the words say what to change."""


@dataclass(frozen=True)
class Config:
    node: int
    listen: tuple[str, int]
    data: Path
    secret: bytes = field(repr=False)
    shards: int
    replicas: int
    engine: str
    nodes: dict[int, tuple[str, int]]
    advertise: tuple[str, int]
    joined: dict[int, tuple[str, int]] = field(default_factory=dict)
    constants: Constants = field(default_factory=Constants)


def load(path: Path) -> Config:
    """The configuration of a file; ConfigError for anything that is missing, unknown or out of range."""
    try:
        raw = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    rest = {
        "constants": raw.pop("constants", {}),
        "joined": raw.pop("joined", {}),
        "advertise": raw.pop("advertise", None),
    }
    if raw.keys() != VARIABLES.keys():
        raise ConfigError(f"{path}: these settings are missing or unknown: {sorted(raw.keys() ^ VARIABLES.keys())}")
    return _checked(str(path), raw | rest)


def from_environment(environment: Mapping[str, str]) -> Config:
    """The configuration of the environment's variables; ConfigError as above. Other variables are nobody's business."""
    missing = [variable for variable in VARIABLES.values() if not environment.get(variable)]
    if missing:
        raise ConfigError(f"without --config, these variables must be set: {', '.join(missing)}")
    raw: dict[str, Any] = {name: environment[variable] for name, variable in VARIABLES.items()}
    for name in NUMBERS:
        raw[name] = int(raw[name]) if raw[name].isascii() and raw[name].isdecimal() else raw[name]
    listed = enumerate(raw["nodes"].split(","), start=1)
    nodes = {str(number): address.strip() for number, address in listed}
    return _checked("environment", raw | {"nodes": nodes, "advertise": environment.get(ADVERTISE)})


def _checked(path: str, raw: dict[str, Any]) -> Config:
    nodes = _addresses(path, "nodes", raw["nodes"])
    joined = _addresses(path, "joined", raw.get("joined", {}))
    if sorted(nodes) != list(range(1, len(nodes) + 1)) or len(nodes) > MAX_NODES:
        raise ConfigError(f"{path}: [nodes] must be numbered 1 to at most {MAX_NODES}, without gaps")
    if not all(len(nodes) < number <= MAX_NODE for number in joined):
        raise ConfigError(f"{path}: [joined] has numbers above those of [nodes], up to {MAX_NODE}")
    return Config(
        node=_number(path, raw, "node", MAX_NODE),
        listen=_address(path, raw["listen"]),
        advertise=_address(path, raw["advertise"] or raw["listen"]),
        data=Path(_text(path, raw, "data")),
        secret=_secret(Path(_text(path, raw, "secret_file"))),
        shards=_number(path, raw, "shards", MAX_SHARDS),
        replicas=_number(path, raw, "replicas", len(nodes)),
        engine=_engine(path, raw["engine"]),
        nodes=nodes,
        joined=joined,
        constants=_constants(path, raw.get("constants", {})),
    )


def _addresses(path: str, table: str, listed: Any) -> dict[int, tuple[str, int]]:
    if not isinstance(listed, dict) or not all(number.isdecimal() for number in listed):
        raise ConfigError(f'{path}: [{table}] must be a table of number = "host:port"')
    return {int(number): _address(path, address) for number, address in listed.items()}


def _number(path: str, raw: dict[str, Any], name: str, most: int) -> int:
    value = raw[name]
    if type(value) is not int or not 1 <= value <= most:
        raise ConfigError(f"{path}: {name} must be a number from 1 to {most}, not {value!r}")
    return value


def _text(path: str, raw: dict[str, Any], name: str) -> str:
    if not isinstance(raw[name], str):
        raise ConfigError(f"{path}: {name} must be a text, not {raw[name]!r}")
    return str(raw[name])


def _address(path: str, text: Any) -> tuple[str, int]:
    host, _, port = str(text).rpartition(":")
    if not HOST.match(host) or not port.isdecimal() or not 0 <= int(port) < 65536:
        raise ConfigError(f"{path}: {text!r} is not host:port")
    return host.strip("[]"), int(port)


def _engine(path: str, name: Any) -> str:
    if name != "sqlite":
        raise ConfigError(f"{path}: engine must be 'sqlite' (postgres comes later), not {name!r}")
    return "sqlite"


def _constants(path: str, raw: Any) -> Constants:
    try:
        return msgspec.convert(raw, Constants)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: [constants]: {error}") from error


def _secret(path: Path) -> bytes:
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"the cluster secret cannot be read: {error}") from error
    if len(secret) < 16:
        raise ConfigError(f"{path}: the cluster secret must have at least 16 bytes")
    return secret
