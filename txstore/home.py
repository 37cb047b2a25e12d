"""The home: one directory with everything that a cluster started by `up` keeps on this machine.

It decides where each thing lies and what a new home is filled with. No Django here: settings, `up`, the Celery worker
and tests read the same paths. Where programs are started one by one (containers, services), the secrets may lie
elsewhere and the nodes on other machines: then the environment says where.

*Invariants*: `home.toml` is the first file of a home, so that a directory without it is nobody's home and is not
touched; a secret is written once, mode 0600, and never replaced; every file appears whole or not at all.
*Left out*: the files below `nodes/nK/data/`, which belong to the node.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

FORMAT = 1
NODE_MAX = 255
PROJECT = Path(__file__).resolve().parent.parent
BROKER_FOLDERS = ("queue", "control")


class HomeError(Exception):
    """The home does not fit what was asked; the words are meant for the person who asked. Nothing was changed."""


@dataclass(frozen=True)
class Shape:
    """What can not change from one `up` to the next: counts of nodes, user shards and replicas, and the engine."""

    nodes: int = 3
    shards: int = 6
    replicas: int = 3
    engine: str = "sqlite"

    def as_toml(self) -> str:
        counts = f"nodes = {self.nodes}\nshards = {self.shards}\nreplicas = {self.replicas}\n"
        return f'format = {FORMAT}\n{counts}engine = "{self.engine}"\n'


class Home:
    """The paths of one home, and its small files. Building a `Home` touches nothing.

    `secrets_in`: the folder of the four secrets, if not the home itself; `nodes_at`: `host:port` of every node, by
    number, if no `up` wrote their configurations here.
    """

    def __init__(self, path: Path | str, secrets_in: Path | str = "", nodes_at: Sequence[str] = ()) -> None:
        self.path = Path(path).absolute()
        self.nodes_at = list(nodes_at)
        folder = Path(secrets_in or path).absolute()
        self.shape_file = self.path / "home.toml"
        self.constants_file = self.path / "constants.toml"
        self.pid_file = self.path / "up.pid"
        self.api_token_file = folder / "api-token"
        self.admin_password_file = folder / "admin-password"
        self.cluster_secret_file = folder / "cluster-secret"
        self.django_secret_file = folder / "django-secret-key"
        self.database_file = self.path / "django.sqlite3"
        self.broker = self.path / "broker"

    @classmethod
    def from_env(cls) -> Home:
        """The home that `TXSTORE_HOME` names, `var` beside manage.py when it names none; secrets in `TXSTORE_SECRETS`
        and nodes at `TXSTORE_NODES_AT`, if these are set."""
        nodes_at = filter(None, (part.strip() for part in os.environ.get("TXSTORE_NODES_AT", "").split(",")))
        path = os.environ.get("TXSTORE_HOME") or PROJECT / "var"
        return cls(path, os.environ.get("TXSTORE_SECRETS", ""), tuple(nodes_at))

    def node_folder(self, node: int) -> Path:
        return self.path / "nodes" / f"n{node}"

    def node_config(self, node: int) -> Path:
        return self.node_folder(node) / "config.toml"

    def log_file(self, program: str) -> Path:
        """The log of `web`, `worker` or `beat`; a node's lies in its own folder."""
        return self.path / "logs" / program

    def exists(self) -> bool:
        return self.shape_file.exists()

    def shape(self) -> Shape:
        """The shape this home was made with; HomeError when the file is of another format."""
        try:
            kept = tomllib.loads(self.shape_file.read_text())
            known = kept.pop("format") == FORMAT
            shape = Shape(**kept)
        except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
            raise HomeError(f"{self.shape_file} is not what an `up` wrote: {error!r}") from error
        if not known:
            raise HomeError(f"{self.shape_file} has a format that this version does not know.")
        return shape

    def node_addresses(self) -> list[str]:
        """`host:port` of every node, by number, as told or as the last `up` gave them; [] before the first. Nodes that
        joined since are among them, those that ended because they were removed are not."""
        if self.nodes_at:
            return self.nodes_at
        if not self.exists() or not self.node_config(1).exists():
            return []
        known = self._founders() | self.joined_addresses()
        return [address for node, address in known.items() if not self.was_removed(node)]

    def api_token(self) -> str:
        return self.api_token_file.read_text().strip()

    def admin_password(self) -> str:
        return self.admin_password_file.read_text().strip()

    def cluster_secret(self) -> str:
        return self.cluster_secret_file.read_text().strip()

    def django_secret_key(self) -> str:
        """The kept key; before the first `up` one that holds for this process, so that `manage.py` always loads."""
        if self.django_secret_file.exists():
            return self.django_secret_file.read_text().strip()
        return secrets.token_urlsafe(48)

    def refuse_foreign(self) -> None:
        """HomeError when the directory holds something and is no home: its files are somebody else's."""
        if not self.path.exists() or self.exists():
            return
        # A first `up` that was killed in its first moments may have left these.
        own = {self.pid_file, self.shape_file.with_name("home.toml.new")}
        if not self.path.is_dir() or any(file not in own for file in self.path.iterdir()):
            raise HomeError(f"{self.path} is not empty and not a txstore home: name another one in TXSTORE_HOME.")

    def create(self, shape: Shape, addresses: dict[int, str]) -> None:
        """Make what is missing, and each node's configuration anew: the ports may be others than last time."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)
        if not self.exists():
            write_whole(self.shape_file, shape.as_toml())
        for file in (self.api_token_file, self.admin_password_file, self.cluster_secret_file, self.django_secret_file):
            if not file.exists():
                write_whole(file, secrets.token_urlsafe(32))
        for folder in (self.path / "logs", *(self.broker / name for name in BROKER_FOLDERS)):
            folder.mkdir(parents=True, exist_ok=True)
        for node in addresses:
            (self.node_folder(node) / "data").mkdir(parents=True, exist_ok=True)
            write_whole(self.node_config(node), self._node_config_text(node, shape, addresses))
        for node, address in self.joined_addresses().items():
            write_whole(self.node_config(node), self._node_config_text(node, shape, addresses, address))

    def refuse_joining(self, node: int) -> None:
        """HomeError if it cannot be a new node of this home's cluster, as far as the home knows."""
        if not self.exists() or not self.node_config(1).exists():
            raise HomeError(f"{self.path} holds no cluster that a node could join: run `make up` first.")
        founders = self._founders()
        if node in founders:
            raise HomeError(f"n{node} is a node of this cluster from its founding; a new one has a number of its own.")
        if not len(founders) < node <= NODE_MAX:
            raise HomeError(f"A new node has a number from {len(founders) + 1} to {NODE_MAX}, not {node}.")
        if self.was_removed(node):
            raise HomeError(f"n{node} was removed from this cluster, and a number is given once: take another one.")

    def create_joining(self, node: int, address: str) -> None:
        """What a node needs that asks this home's cluster to be let in; HomeError if it cannot be one."""
        self.refuse_joining(node)
        (self.node_folder(node) / "data").mkdir(parents=True, exist_ok=True)
        write_whole(self.node_config(node), self._node_config_text(node, self.shape(), self._founders(), address))

    def joining_nodes(self) -> list[int]:
        """Numbers of this home's nodes that were no founders, without those that ended because they were removed."""
        found = (self.path / "nodes").glob("n*/config.toml")
        numbers = sorted(int(file.parent.name[1:]) for file in found if file.parent.name[1:].isdecimal())
        return [number for number in numbers if number > self.shape().nodes and not self.was_removed(number)]

    def joined_addresses(self) -> dict[int, str]:
        """`host:port` of each of these."""
        configs = {node: tomllib.loads(self.node_config(node).read_text()) for node in self.joining_nodes()}
        return {node: str(config["listen"]) for node, config in configs.items()}

    def was_removed(self, node: int) -> bool:
        """Did the node end, for it was removed from its cluster?"""
        return (self.node_folder(node) / "data" / "removed").exists()

    def _founders(self) -> dict[int, str]:
        nodes: dict[str, str] = tomllib.loads(self.node_config(1).read_text())["nodes"]
        return {int(number): nodes[number] for number in sorted(nodes, key=int)}

    def _node_config_text(self, node: int, shape: Shape, addresses: dict[int, str], listen: str = "") -> str:
        others = {other: at for other, at in self.joined_addresses().items() if other != node} if listen else {}
        joined = f"\n[joined]\n{_table(others)}" if others else ""
        return (
            f"node = {node}\n"
            f'listen = "{listen or addresses[node]}"\n'
            f"data = {_quoted(self.node_folder(node) / 'data')}\n"
            f"secret_file = {_quoted(self.cluster_secret_file)}\n"
            f"shards = {shape.shards}\n"
            f"replicas = {shape.replicas}\n"
            f'engine = "{shape.engine}"\n\n'
            f"[nodes]\n{_table(addresses)}{joined}"
            f"{self._constants_text()}"
        )

    def _constants_text(self) -> str:
        """What somebody wrote down to be other than its default, for the nodes to check."""
        return f"\n[constants]\n{self.constants_file.read_text()}" if self.constants_file.exists() else ""


@contextlib.contextmanager
def for_the_owner_alone() -> Iterator[None]:
    """What this process and its children write meanwhile is for the owner alone, like the home."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def write_whole(path: Path, text: str) -> None:
    """Write a file that only its owner reads, in one step: a crash leaves the old one, or none."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)


def _table(addresses: dict[int, str]) -> str:
    return "".join(f'{number} = "{address}"\n' for number, address in addresses.items())


def _quoted(path: Path) -> str:
    """A TOML basic string."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
