"""Requests under an idempotency key: a lost answer is asked for again, and nothing is told that may not be so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from nodes import ids
from nodes.client import Cluster
from nodes.errors import (
    BadRequest,
    Conflict,
    ConstraintViolation,
    KeyReused,
    NotFound,
    OutcomeUnknown,
    Unavailable,
)
from nodes.requests import COMMITTED, Reply, Request, Result, Statement
from nodes.wire.protocol import AskFate, Call, Done
from tests.client.fake_node import (
    FakeNode,
    Talk,
    aborted_fate,
    answered,
    failed,
    lost_after_named,
    lost_before_named,
    reset_before_named,
    silent,
    silent_after_named,
    stopped,
    txn_id,
)

MakeNode = Callable[..., FakeNode]
MakeClient = Callable[..., Cluster]
KEY = "0f1e2d3c-4b5a-4978-8697-a6b5c4d3e2f1"
INSERT = Request([Statement("INSERT")], 4_000, key=KEY)
FIRST = txn_id(1)


def repeated(id: str = FIRST) -> Callable[[Talk, Call], None]:
    """The home says that the key belongs to this id already."""

    def step(talk: Talk, call: Call) -> None:
        results = [Result([], [], 1)]
        talk.send(Done(call.number, Reply(id, COMMITTED, 77, 1, ["s1"], results, 77, repeated=True)))

    return step


def test_a_key_travels_with_its_request(node: MakeNode, client: MakeClient) -> None:
    n1 = node(1)
    cluster = client(n1)
    cluster.execute("INSERT", idempotency_key=UUID(KEY))
    cluster.execute_many([("INSERT", [])], idempotency_key=KEY)
    cluster.submit(INSERT)
    cluster.execute("INSERT")
    assert [call.request.key for call in n1.calls] == [KEY, KEY, KEY, ""]


def test_a_repeat_of_an_earlier_call_is_told_as_one(node: MakeNode, client: MakeClient) -> None:
    reply = client(node(1, repeated())).submit(INSERT)
    assert (reply.repeated, reply.id, reply.attempts, reply.results[0].row_count) == (True, FIRST, 1, 1)


@pytest.mark.parametrize("loss", [lost_after_named, reset_before_named, stopped])
def test_a_lost_answer_is_asked_for_again_and_comes_with_its_results(
    node: MakeNode, client: MakeClient, loss: Any
) -> None:
    n1, n2 = node(1, loss), node(2)
    reply = client(n1, n2).submit(INSERT)
    assert (reply.results[0].rows, reply.results_lost, reply.attempts) == ([[2, None]], False, 2)
    assert [call.request.key for call in (*n1.calls, *n2.calls)] == [KEY, KEY]
    assert n1.questions + n2.questions == []


def test_what_this_call_did_itself_is_no_repeat(node: MakeNode, client: MakeClient) -> None:
    n1 = node(1, lost_after_named)
    n2 = node(2, lambda talk, call: repeated(txn_id(n1.calls[0].number))(talk, call))
    reply = client(n1, n2).submit(INSERT)
    assert (reply.repeated, reply.results_lost) == (False, False)


def test_a_refusal_after_a_loss_is_told_when_the_lost_attempt_is_fenced(node: MakeNode, client: MakeClient) -> None:
    n1, n2 = node(1, lost_after_named), node(2, failed(ConstraintViolation("there is one")), fate=aborted_fate)
    with pytest.raises(ConstraintViolation):
        client(n1, n2).submit(INSERT)
    assert [(question.id, question.fence) for question in n2.questions] == [(txn_id(n1.calls[0].number), True)]


def test_a_refusal_after_a_loss_gives_way_to_the_commit_of_the_lost_attempt(node: MakeNode, client: MakeClient) -> None:
    """It met its own row: the first attempt committed while the second was refused."""
    n1, n2 = node(1, lost_after_named), node(2, failed(ConstraintViolation("there is one")))
    reply = client(n1, n2).submit(INSERT)
    assert (reply.id, reply.commit_ts, reply.results_lost) == (txn_id(n1.calls[0].number), 99, True)


def test_a_refusal_after_an_attempt_that_has_no_name_leaves_it_unknown(node: MakeNode, client: MakeClient) -> None:
    """It may still be on its way; its id was never heard, so that nobody can fence it."""
    n1, n2 = node(1, reset_before_named), node(2, failed(ConstraintViolation("there is one")))
    with pytest.raises(OutcomeUnknown) as caught:
        client(n1, n2).submit(INSERT)
    assert (caught.value.info.transaction, caught.value.info.retryable) == (KEY, True)


def test_an_attempt_that_never_began_leaves_nothing_open(node: MakeNode, client: MakeClient) -> None:
    n1, n2 = node(1, lost_before_named), node(2, failed(ConstraintViolation("there is one")))
    with pytest.raises(ConstraintViolation):
        client(n1, n2).submit(INSERT)


def test_a_key_of_another_request_says_all_about_the_attempts_before(node: MakeNode, client: MakeClient) -> None:
    n1, n2 = node(1, reset_before_named), node(2, failed(KeyReused("belongs to another")))
    with pytest.raises(KeyReused):
        client(n1, n2).submit(INSERT)


def test_an_unknown_outcome_of_the_gateway_is_asked_for_again(node: MakeNode, client: MakeClient) -> None:
    n1 = node(1, failed(OutcomeUnknown("too late", transaction=KEY)), answered)
    assert client(n1).submit(INSERT).attempts == 2


def test_a_time_out_without_any_answer_is_unknown_and_names_the_key(node: MakeNode, client: MakeClient) -> None:
    request = Request([Statement("INSERT")], 300, key=KEY)
    with pytest.raises(OutcomeUnknown) as caught:
        client(node(1, silent)).submit(request)
    assert caught.value.info.transaction == KEY


def test_a_time_out_of_named_attempts_is_settled_by_fencing_them(node: MakeNode, client: MakeClient) -> None:
    """Without using up the key: the caller may send it again."""
    n1 = node(1, silent_after_named, fate=aborted_fate)
    with pytest.raises(Unavailable):
        client(n1).submit(Request([Statement("INSERT")], 300, key=KEY))
    assert [question.id for question in n1.questions] == [txn_id(call.number) for call in n1.calls]


def test_a_conflict_is_tried_again_under_the_same_key(node: MakeNode, client: MakeClient) -> None:
    n1 = node(1, failed(Conflict("lost", detail={"age": "ab" * 20})), answered)
    client(n1).submit(INSERT)
    assert [(call.request.key, call.age) for call in n1.calls] == [(KEY, ""), (KEY, "ab" * 20)]


def test_a_select_under_a_key_is_made_again_like_any_other(node: MakeNode, client: MakeClient) -> None:
    n1, n2 = node(1, lost_after_named), node(2)
    client(n1, n2).submit(Request([Statement("SELECT 1")], 4_000, key=KEY))
    assert len(n2.calls) == 1


def test_fate_and_fence_take_a_key_and_a_time(node: MakeNode, client: MakeClient) -> None:
    n1 = node(1)
    cluster, when = client(n1), datetime(2026, 1, 2, tzinfo=UTC)
    cluster.fate(KEY)
    cluster.fence(KEY, since=12)
    cluster.fate(KEY, since=when)
    asked = [(question.id, question.fence, question.since) for question in n1.questions]
    assert asked == [(KEY, False, 0), (KEY, True, 12), (KEY, False, ids.timestamp_at(when))]


@pytest.mark.parametrize("since", [datetime(2026, 1, 2), -1])  # noqa: DTZ001 (the point of it)
def test_a_since_that_makes_no_sense_is_refused(node: MakeNode, client: MakeClient, since: Any) -> None:
    with pytest.raises(BadRequest):
        client(node(1)).fate(KEY, since=since)


@pytest.mark.parametrize("key", ["0f1e2d3c-4b5a-4978-8697-a6b5c4d3e2fz", KEY[:-1], "{" + KEY + "}", ""])
def test_what_is_neither_id_nor_key_is_found_nowhere(node: MakeNode, client: MakeClient, key: str) -> None:
    n1 = node(1)
    with pytest.raises(NotFound):
        client(n1).fate(key)
    assert [message for message in n1.received if isinstance(message, AskFate)] == []
