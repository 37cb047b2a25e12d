"""Both protocols pass the same contract."""

from __future__ import annotations

import pytest

from nodes.core.paxos.replica import PaxosReplica
from nodes.core.raft.replica import RaftReplica
from nodes.core.replicated_log import ReplicatedLog
from tests.contract.log_cluster import LogCluster

Core = type[ReplicatedLog]


@pytest.fixture(params=[PaxosReplica, RaftReplica], ids=["paxos", "raft"])
def core(request: pytest.FixtureRequest) -> Core:
    return request.param


@pytest.fixture
def cluster(core: Core) -> LogCluster:
    """Three nodes; n1 serves."""
    cluster = LogCluster(core)
    assert cluster.elect() == 1
    cluster.run(3)
    return cluster
