"""Nodes say where a call does best: the client turns there first, in both forms, while that node is sound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nodes.client.health import SPREAD_S
from tests.client.conftest import Still
from tests.client.fake_node import FakeNode

MakeNode = Callable[..., FakeNode]
MakeClient = Callable[..., Any]


def asked(cluster: Any, count: int) -> list[int]:
    """The nodes that answered so many calls."""
    return [cluster.execute("UPDATE").rows[0][0] for _ in range(count)]


def advising(node: MakeNode, *gateways: int) -> list[FakeNode]:
    nodes = [node(number) for number in range(1, len(gateways) + 1)]
    for each, gateway in zip(nodes, gateways, strict=True):
        each.gateway = gateway
    return nodes


def test_calls_turn_to_the_node_that_the_others_advise(node: MakeNode, client: MakeClient) -> None:
    cluster = client(*advising(node, 2, 2, 2))
    assert asked(cluster, 6) == [1, 2, 2, 2, 2, 2]


def test_without_advice_each_call_begins_with_another_node(node: MakeNode, client: MakeClient) -> None:
    cluster = client(*advising(node, 0, 0, 0))
    assert asked(cluster, 6) == [1, 2, 3, 1, 2, 3]


def test_a_node_that_the_client_has_not_met_is_turned_to_when_it_has(node: MakeNode, client: MakeClient) -> None:
    cluster = client(*advising(node, 3, 3, 3))
    assert asked(cluster, 6) == [1, 2, 3, 3, 3, 3]


def test_one_that_has_too_much_to_do_is_left_for_a_while(
    node: MakeNode, client: MakeClient, surroundings: Still
) -> None:
    nodes = advising(node, 1, 1, 1)
    cluster = client(*nodes)
    assert asked(cluster, 3) == [1, 1, 1]
    nodes[0].gateway = 0
    assert sorted(asked(cluster, 7)[1:]) == [1, 1, 2, 2, 3, 3]
    nodes[0].gateway = 1
    assert sorted(asked(cluster, 3)) == [1, 2, 3]
    surroundings.sleeps.append(SPREAD_S)
    assert asked(cluster, 4)[1:] == [1, 1, 1]


def test_one_that_is_gone_is_not_waited_for(node: MakeNode, client: MakeClient) -> None:
    nodes = advising(node, 1, 1, 1)
    cluster = client(*nodes)
    asked(cluster, 2)
    nodes[0].kill()
    cluster.query("SELECT 1")
    assert set(asked(cluster, 4)) == {2, 3}
