"""Where the examples find the cluster that `make up` started: its home has the addresses and the secret."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path


def addresses_and_secret() -> tuple[str, str]:
    """What `Cluster.connect` needs."""
    home = Path(os.environ.get("TXSTORE_HOME", "var"))
    nodes = tomllib.loads((home / "nodes" / "n1" / "config.toml").read_text())["nodes"]
    return ",".join(nodes.values()), (home / "cluster-secret").read_text().strip()
