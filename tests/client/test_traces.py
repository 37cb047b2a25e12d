"""What the client asks of the nodes' memory, and that it asks another node when one is gone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nodes.client import Cluster
from nodes.errors import NotFound, Unavailable
from tests.client.fake_node import FakeNode, txn_id

MakeNode = Callable[..., FakeNode]
MakeClient = Callable[..., Cluster]


def test_a_page_of_transactions_is_asked_with_filter_limit_and_cursor(node: MakeNode, client: MakeClient) -> None:
    cluster = client(node(1))
    assert cluster.transactions().next == "newest 50 "
    assert cluster.transactions("slow", 3, after="x").next == "slow 3 x"


def test_a_trace_is_asked_by_id(node: MakeNode, client: MakeClient) -> None:
    trace = client(node(1)).trace(txn_id(4))
    assert (trace.id, trace.since_us) == (txn_id(4), {1: 5})


def test_another_node_is_asked_when_one_is_gone(node: MakeNode, client: MakeClient) -> None:
    n1, n2 = node(1), node(2)
    n1.kill()
    cluster = client(n1, n2)
    assert cluster.transactions().since_us == {2: 5}
    assert cluster.trace(txn_id(4)).since_us == {2: 5}


def test_what_is_no_id_is_not_found_and_nobody_is_asked(node: MakeNode, client: MakeClient) -> None:
    n1 = node(1)
    with pytest.raises(NotFound):
        client(n1).trace("nonsense")
    assert n1.received == []


def test_no_node_no_page(node: MakeNode, client: MakeClient) -> None:
    n1 = node(1)
    n1.kill()
    with pytest.raises(Unavailable):
        client(n1, timeout=0.2).transactions()
