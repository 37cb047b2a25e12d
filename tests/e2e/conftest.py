"""Real clusters for the tests of this folder; one per module, for starting one takes seconds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.client import Cluster
from tests.e2e.cluster import LocalCluster


@pytest.fixture(scope="module")
def local_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Three nodes, six shards, three replicas; no node may have ended by itself when the module is done."""
    directory: Path = tmp_path_factory.mktemp("cluster")
    cluster = LocalCluster(directory)
    try:
        cluster.start_all()
        cluster.wait_ready()
        yield cluster
    finally:
        cluster.terminate()
    assert not cluster.unexpected, cluster.unexpected
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def client(local_cluster: LocalCluster) -> Iterator[Cluster]:
    with local_cluster.client() as connected:
        yield connected
