"""Reads that may be old, and session tokens, as the client asks for them."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from nodes.client import Cluster
from nodes.errors import BadRequest
from nodes.requests import Reply
from tests.client.fake_node import FakeNode

MakeNode = Callable[..., FakeNode]
MakeClient = Callable[..., Cluster]


@pytest.mark.parametrize("age", [2, 2.0, timedelta(seconds=2)])
def test_how_old_it_may_be_and_the_session_token_go_with_the_request(
    node: MakeNode, client: MakeClient, age: float | timedelta
) -> None:
    n1 = node(1)
    cluster = client(n1)
    cluster.query("SELECT", [3], max_staleness=age, session_token=2**63 - 1)
    cluster.execute_many([("SELECT", [3])], max_staleness=0.0001)
    cluster.query("SELECT", [3])
    stated = [(call.request.max_staleness_ms, call.request.session_token) for call in n1.calls]
    assert stated == [(2_000, 2**63 - 1), (1, 0), (0, 0)]


def test_a_session_token_is_the_newest_timestamp_of_a_reply(node: MakeNode, client: MakeClient) -> None:
    assert Reply("t", "committed", 7, 1, [], []).session_token == 7
    assert Reply("", "committed", 0, 1, [], [], 9).session_token == 9
    assert Reply("t", "committed", 0, 1, [], []).session_token == 0
    cluster = client(node(1))
    reply = cluster.execute_many([("SELECT", [3])])
    assert reply.session_token > 0
    assert cluster.query("SELECT", [3]).session_token == reply.session_token


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_staleness": -1},
        {"max_staleness": timedelta(seconds=-1)},
        {"max_staleness": math.inf},
        {"max_staleness": math.nan},
        {"session_token": -1},
        {"session_token": 2**63},
    ],
    ids=str,
)
def test_an_age_or_a_token_that_cannot_be_is_refused_before_anything_is_asked(
    node: MakeNode, client: MakeClient, wrong: dict[str, Any]
) -> None:
    n1 = node(1)
    with pytest.raises(BadRequest, match="nothing was asked"):
        client(n1).query("SELECT", [3], **wrong)
    assert n1.calls == []


def test_the_nodes_take_turns_whatever_they_advise(node: MakeNode, client: MakeClient) -> None:
    nodes = [node(number) for number in (1, 2, 3)]
    for each in nodes:
        each.gateway = 2
    cluster = client(*nodes)
    old = [cluster.query("SELECT", [3], max_staleness=5)[0][0] for _ in range(6)]
    assert sorted(old) == [1, 1, 2, 2, 3, 3]
    assert [cluster.query("SELECT", [3])[0][0] for _ in range(3)] == [2, 2, 2]
