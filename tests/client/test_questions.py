"""What may be asked any number of times: fates, fences, the state of the cluster; in both forms."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nodes.client import Cluster
from nodes.errors import NotFound, OutcomeUnknown, StoreError, Unavailable
from nodes.wire.protocol import AskFate
from tests.client.fake_node import FakeNode, aborted_fate, txn_id

MakeNode = Callable[..., FakeNode]
MakeClient = Callable[..., Cluster]


def no_quorum(question: AskFate) -> StoreError:
    return Unavailable("no quorum")


def test_a_fate_is_asked_at_another_node_if_one_is_down(node: MakeNode, client: MakeClient) -> None:
    n1, n2 = node(1), node(2)
    n1.kill()
    fate = client(n1, n2).fate(txn_id(4))
    assert (fate.state, fate.outcome) == ("committed", "happened")
    assert [(each.id, each.fence) for each in n2.questions] == [(txn_id(4), False)]


def test_a_fence_is_told_as_one(node: MakeNode, client: MakeClient) -> None:
    n1 = node(1, fate=aborted_fate)
    assert client(n1).fence(txn_id(4)).state == "aborted"
    assert n1.questions[0].fence


def test_a_fence_that_nobody_confirms_may_stand(node: MakeNode, client: MakeClient) -> None:
    cluster = client(node(1, fate=no_quorum))
    with pytest.raises(OutcomeUnknown) as caught:
        cluster.fence(txn_id(4))
    assert caught.value.info.transaction == txn_id(4)


def test_a_fate_that_nobody_tells_is_unknown_and_no_refusal(node: MakeNode, client: MakeClient) -> None:
    """ "Did not happen" would be taken for the fate."""
    silent = node(1)
    silent.kill()
    for cluster in (client(node(2, fate=no_quorum)), client(silent)):
        with pytest.raises(OutcomeUnknown, match="could not be learnt") as caught:
            cluster.fate(txn_id(4), timeout=1.0)
        assert (caught.value.info.transaction, caught.value.info.retryable) == (txn_id(4), True)


def test_what_is_no_id_is_not_asked_for(node: MakeNode, client: MakeClient) -> None:
    n1 = node(1)
    for text in ("", "t1", "x" * 41, "é" * 41):
        with pytest.raises(NotFound):
            client(n1).fate(text)
    assert n1.questions == []


def test_the_status_is_what_a_node_tells(node: MakeNode, client: MakeClient) -> None:
    cluster = client(node(1))
    assert cluster.status() == {"node": 1, "wide": True}
    assert cluster.status(wide=False) == {"node": 1, "wide": False}
