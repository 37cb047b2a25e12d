"""Real clusters for the tests of this folder; one per module, for starting one takes seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from nodes.client import Cluster
from tests.e2e.browser import chromium
from tests.e2e.cluster import LocalCluster, served


@pytest.fixture(scope="module")
def local_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Three nodes, six shards, three replicas; no node may have ended by itself when the module is done."""
    with served(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def client(local_cluster: LocalCluster) -> Iterator[Cluster]:
    with local_cluster.client() as connected:
        yield connected
