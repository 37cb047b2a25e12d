"""A node that lost its data must not take part under its old name (DESIGN.md §1, membership; case P24)."""

from __future__ import annotations

import time
from pathlib import Path

from tests.e2e.cluster import LocalCluster


def test_an_emptied_node_is_refused_by_name_and_the_real_one_is_welcome_again(tmp_path: Path) -> None:
    cluster = LocalCluster(tmp_path, restart_s=None)
    try:
        cluster.start_all()
        cluster.wait_ready()
        with cluster.client() as client:
            client.execute("CREATE TABLE notes (id INT PRIMARY KEY, body TEXT NOT NULL)")
            client.execute("INSERT INTO notes VALUES (1, 'kept')")
        data = tmp_path / "nodes" / "n2" / "data"
        cluster.kill(2)
        data.rename(data.with_name("away"))
        cluster.start(2)
        _until_it_ends(cluster, 2)
        assert "was n2; replace it" in (tmp_path / "nodes" / "n2" / "log").read_text()
        with cluster.client(1, 3) as client:
            client.execute("INSERT INTO notes VALUES (2, 'without n2')")
        for path in sorted(data.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        data.rmdir()
        data.with_name("away").rename(data)
        cluster.start(2)
        cluster.wait_ready(caught_up=True)
        with cluster.client(2) as client:
            assert [list(row) for row in client.query("SELECT id FROM notes ORDER BY id")] == [[1], [2]]
    finally:
        cluster.terminate()


def _until_it_ends(cluster: LocalCluster, node: int) -> None:
    deadline = time.monotonic() + 30
    while cluster.alive(node):
        assert time.monotonic() < deadline, f"n{node} went on for 30 s with an empty data directory"
        time.sleep(0.1)
