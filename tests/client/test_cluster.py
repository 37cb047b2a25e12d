"""The client against scripted nodes: what it answers, where it goes, and what it says when an answer is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from nodes import ids
from nodes.client import Cluster, exchange, pool, submission
from nodes.errors import (
    AuthenticationFailed,
    BadRequest,
    Conflict,
    ConstraintViolation,
    OutcomeUnknown,
    ResultsLost,
    StoreError,
    TooLarge,
    TransactionAborted,
    Unavailable,
)
from nodes.requests import EXPIRED, Fate, Request, Statement
from nodes.wire.protocol import AskFate, Call, Done, StatusIs
from tests.client.conftest import Still
from tests.client.fake_node import (
    FakeNode,
    Talk,
    aborted_fate,
    answered,
    failed,
    garbage_before_named,
    lost_after_named,
    lost_before_named,
    lost_within_named,
    named,
    reset_before_named,
    silent,
    silent_after_named,
    stopped,
    txn_id,
)

MakeNode = Callable[..., FakeNode]
MakeClient = Callable[..., Cluster]
SELECT = Request([Statement("SELECT 1")], 5_000, True)


def no_quorum(question: AskFate) -> StoreError:
    return Unavailable("no quorum")


def test_a_statement_gives_its_result(node: MakeNode, client: MakeClient) -> None:
    n1 = node(1)
    result = client(n1).execute("UPDATE a SET b = $1", [5], expect_rows=1)
    assert (result.rows, result.row_count) == ([[1, 5]], 1)
    (call,) = n1.calls
    assert call.request.statements == [Statement("UPDATE a SET b = $1", [5], 1)]
    assert (call.named, call.age, call.request.read_only) == (True, "", None)


def test_several_statements_are_one_call(node: MakeNode, client: MakeClient) -> None:
    n1 = node(1)
    reply = client(n1).execute_many([("A", [1]), ("B", {"x": 2}), ("C", (), 7)], expect_rows=1)
    assert len(reply.results) == 3
    (call,) = n1.calls
    assert [each.expect_rows for each in call.request.statements] == [1, 1, 7]


def test_a_query_reads_only_and_gives_rows(node: MakeNode, client: MakeClient) -> None:
    n1 = node(1)
    rows = client(n1).query("SELECT", [3])
    assert (list(rows), len(rows), rows[0], rows.columns) == ([[1, 3]], 1, [1, 3], ["node", "param"])
    assert n1.calls[0].request.read_only is True


def test_calls_one_after_the_other_share_a_connection(node: MakeNode, client: MakeClient) -> None:
    n1 = node(1)
    cluster = client(n1)
    for _ in range(5):
        cluster.execute("SELECT 1")
    assert n1.connections == 1


def test_calls_are_spread_over_the_nodes(node: MakeNode, client: MakeClient) -> None:
    n1, n2 = node(1), node(2)
    cluster = client(n1, n2)
    assert [cluster.execute("SELECT 1").rows[0][0] for _ in range(4)] == [1, 2, 1, 2]


def test_threads_get_their_own_answers(node: MakeNode, client: MakeClient) -> None:
    cluster = client(node(1), node(2))
    wrong: list[Any] = []

    def run(thread: int) -> None:
        for step in range(20):
            param = thread * 100 + step
            if cluster.execute("SELECT $1", [param]).rows[0][1] != param:
                wrong.append(param)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(10)
    assert wrong == []


def test_a_dead_node_is_passed_over(node: MakeNode, client: MakeClient, surroundings: Still) -> None:
    n1, n2 = node(1), node(2)
    n1.kill()
    assert client(n1, n2).execute("SELECT 1").rows[0][0] == 2
    assert surroundings.sleeps == []


def test_a_restarted_node_is_connected_to_again(node: MakeNode, client: MakeClient) -> None:
    n1 = node(1)
    cluster = client(n1)
    cluster.execute("SELECT 1")
    n1.drop_connections()
    assert cluster.execute("SELECT 2").rows == [[1, None]]
    assert n1.questions == []


def test_no_call_is_sent_to_a_node_that_stopped_while_idle(
    node: MakeNode, client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "PROBE_AFTER_S", -1.0)
    n1, n2 = node(1), node(2)
    cluster = client(n1, n2, connect_timeout=0.3)
    assert [cluster.execute("SELECT 1").rows[0][0] for _ in range(2)] == [1, 2]
    n1.running.clear()
    assert cluster.execute("SELECT 2").rows[0][0] == 2
    assert len(n1.calls) == 1


def test_a_call_lost_before_it_began_is_made_elsewhere(node: MakeNode, client: MakeClient) -> None:
    n1, n2 = node(1, lost_before_named), node(2)
    reply = client(n1, n2).submit(Request([Statement("UPDATE")], 5_000))
    assert reply.results[0].rows[0][0] == 2
    assert n2.questions == []


@pytest.mark.parametrize("step", [reset_before_named, lost_within_named, garbage_before_named])
def test_a_loss_before_the_name_proves_nothing_unless_the_stream_ended_cleanly(
    node: MakeNode, client: MakeClient, step: Any
) -> None:
    n1, n2 = node(1, step), node(2)
    with pytest.raises(OutcomeUnknown) as caught:
        client(n1, n2).execute("UPDATE")
    assert caught.value.info.transaction == ""
    assert (n2.calls, n2.questions) == ([], [])


def test_a_lost_answer_of_a_commit_is_known_by_its_fate(node: MakeNode, client: MakeClient) -> None:
    n1, n2 = node(1, lost_after_named), node(2)
    reply = client(n1, n2).submit(Request([Statement("UPDATE")], 5_000))
    assert (reply.id, reply.state, reply.commit_ts) == (txn_id(n1.calls[0].number), "committed", 99)
    assert (reply.results, reply.results_lost) == ([], True)
    assert [(each.id, each.fence) for each in n2.questions] == [(reply.id, True)]
    assert n2.calls == []


def test_a_caller_that_needs_the_result_hears_that_it_is_lost(node: MakeNode, client: MakeClient) -> None:
    n1, n2 = node(1, lost_after_named), node(2)
    with pytest.raises(ResultsLost) as caught:
        client(n1, n2).execute("UPDATE")
    assert caught.value.info.outcome == "happened"
    assert caught.value.info.transaction == txn_id(n1.calls[0].number)


def test_a_lost_attempt_that_is_aborted_is_made_again_with_its_age(node: MakeNode, client: MakeClient) -> None:
    n1, n2 = node(1, lost_after_named), node(2, fate=aborted_fate)
    reply = client(n1, n2).submit(Request([Statement("UPDATE")], 5_000))
    assert (reply.attempts, reply.results_lost) == (2, False)
    first = ids.from_text(txn_id(n1.calls[0].number))
    assert n2.calls[0].age == ids.age_of(first).hex()


def test_a_fence_is_asked_again_until_the_home_answers(node: MakeNode, client: MakeClient) -> None:
    answers = [Unavailable("no leader"), Unavailable("no leader"), Fate(txn_id(1), "committed", "happened", 5)]
    n1, n2 = node(1, lost_after_named), node(2, fate=lambda _: answers.pop(0))
    n1.fate = n2.fate
    assert client(n1, n2).submit(Request([Statement("UPDATE")], 5_000)).commit_ts == 5


@pytest.mark.parametrize("fate", [no_quorum, lambda question: Fate(question.id, EXPIRED, "unknown")])
def test_an_outcome_is_unknown_only_if_the_fate_is(node: MakeNode, client: MakeClient, fate: Any) -> None:
    n1, n2 = node(1, lost_after_named, fate=fate), node(2, fate=fate)
    with pytest.raises(OutcomeUnknown) as caught:
        client(n1, n2).execute("UPDATE")
    assert caught.value.info.transaction == txn_id(n1.calls[0].number)
    assert n2.calls == []


def test_a_gateway_that_does_not_know_is_not_the_last_word(node: MakeNode, client: MakeClient) -> None:
    n1, n2 = node(1, failed(OutcomeUnknown("stepped down", transaction=txn_id(1)))), node(2)
    assert client(n1, n2).submit(Request([Statement("UPDATE")], 5_000)).results_lost


def test_a_node_that_falls_silent_after_the_name_is_fenced_at_another(
    node: MakeNode, client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "RESERVE_S", 4.8)
    monkeypatch.setattr(submission, "RESERVE_SHARE", 1.0)
    n1, n2 = node(1, silent_after_named), node(2, fate=aborted_fate)
    with pytest.raises(Unavailable) as caught:
        client(n1, n2).execute("UPDATE")
    assert caught.value.info.outcome == "did_not_happen"
    assert [each.fence for each in n2.questions] == [True]


def test_a_node_that_says_nothing_at_all_leaves_the_outcome_unknown(node: MakeNode, client: MakeClient) -> None:
    n1, n2 = node(1, silent), node(2)
    with pytest.raises(OutcomeUnknown) as caught:
        client(n1, n2, timeout=0.3).execute("UPDATE")
    assert caught.value.info.transaction == ""
    assert n2.calls == []


def test_a_read_does_not_wait_for_a_silent_node(
    node: MakeNode, client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "SILENCE_S", 0.05)
    n1, n2 = node(1, stopped), node(2)
    assert client(n1, n2).submit(SELECT).results[0].rows[0][0] == 2


@pytest.mark.parametrize("step", [lost_before_named, reset_before_named, lost_after_named])
def test_a_lost_read_is_repeated_without_asking_for_its_fate(node: MakeNode, client: MakeClient, step: Any) -> None:
    n1, n2 = node(1, step), node(2)
    assert client(n1, n2).submit(SELECT).results[0].rows[0][0] == 2
    assert n2.questions == []


def test_selects_alone_read_only_unless_the_request_says_otherwise(node: MakeNode, client: MakeClient) -> None:
    n1, n2 = node(1, reset_before_named), node(2)
    cluster = client(n1, n2)
    assert cluster.execute("Select 1").rows[0][0] == 2
    cluster.submit(Request([Statement("SELECT 1"), Statement("DELETE")], 5_000))
    cluster.submit(Request([Statement("SELECT 1")], 5_000, False))
    cluster.execute("SELECT id FROM jobs For\nUpdate SKIP LOCKED")
    assert [call.request.read_only for call in n2.calls] == [True, None, False, None]


def test_a_conflict_is_retried_with_the_age_it_names(node: MakeNode, client: MakeClient, surroundings: Still) -> None:
    n1 = node(1, failed(Conflict("wounded", detail={"age": "00ff"})), failed(Conflict("wounded")), answered)
    reply = client(n1).execute_many([("UPDATE", [])])
    assert [call.age for call in n1.calls] == ["", "00ff", "00ff"]
    assert reply.attempts == 3
    assert len(surroundings.sleeps) == 2
    assert surroundings.sleeps[1] == 2 * surroundings.sleeps[0]


def test_each_attempt_is_given_less_time(node: MakeNode, client: MakeClient) -> None:
    n1 = node(1, *[failed(Unavailable("later"))] * 6, answered)
    client(n1).execute("UPDATE")
    times = [call.request.timeout_ms for call in n1.calls]
    assert times == sorted(times, reverse=True)
    assert 2_000 < times[0] <= 4_000
    assert times[-1] < times[0]


@pytest.mark.parametrize("error", [ConstraintViolation("twice"), TransactionAborted("fenced"), BadRequest("no")])
def test_what_a_retry_cannot_help_is_raised_at_once(node: MakeNode, client: MakeClient, error: StoreError) -> None:
    n1 = node(1, failed(error))
    with pytest.raises(type(error)) as caught:
        client(n1).execute("UPDATE")
    assert caught.value.info == error.info
    assert len(n1.calls) == 1


def test_the_last_error_is_raised_when_the_time_is_up(node: MakeNode, client: MakeClient) -> None:
    n1 = node(1, failed(Conflict("wounded", statement=3)))
    with pytest.raises(Conflict) as caught:
        client(n1).execute("UPDATE")
    assert caught.value.info.statement == 3
    assert len(n1.calls) > 1


def test_with_all_nodes_dead_it_is_unavailable_and_did_not_happen(node: MakeNode, client: MakeClient) -> None:
    n1, n2 = node(1), node(2)
    cluster = client(n1, n2)
    n1.kill()
    n2.kill()
    with pytest.raises(Unavailable) as caught:
        cluster.execute("UPDATE")
    assert caught.value.info.outcome == "did_not_happen"
    with pytest.raises(Unavailable):
        cluster.status()


def test_another_secret_is_told_at_once(node: MakeNode, client: MakeClient, surroundings: Still) -> None:
    with pytest.raises(AuthenticationFailed):
        client(node(1), secret=b"another").execute("SELECT 1")
    assert surroundings.sleeps == []


def test_answers_of_other_numbers_are_passed_over(node: MakeNode, client: MakeClient) -> None:
    def stray(talk: Talk, call: Call) -> None:
        talk.send(StatusIs(call.number - 1, {}))
        answered(talk, call)

    assert client(node(1, stray)).execute("SELECT 1").rows == [[1, None]]


def test_an_answer_of_another_kind_is_as_good_as_none(node: MakeNode, client: MakeClient) -> None:
    def confused(talk: Talk, call: Call) -> None:
        named(talk, call)
        talk.send(StatusIs(call.number, {}))

    def garbage(talk: Talk, call: Call) -> None:
        named(talk, call)
        talk.send_bytes(b"\xc1")

    for step in (confused, garbage):
        assert client(node(1, step), node(2)).submit(Request([Statement("UPDATE")], 5_000)).results_lost


@pytest.mark.parametrize("param", [object(), 2**70, "\ud800"])
def test_a_value_that_cannot_be_sent_is_refused(node: MakeNode, client: MakeClient, param: Any) -> None:
    n1 = node(1)
    cluster = client(n1)
    with pytest.raises(BadRequest):
        cluster.execute("SELECT $1", [param])
    assert n1.calls == []
    cluster.execute("SELECT 1")
    assert n1.connections == 1


@pytest.mark.parametrize("params", ["x", b"x"])
def test_parameters_that_are_one_text_are_refused(node: MakeNode, client: MakeClient, params: Any) -> None:
    n1 = node(1)
    with pytest.raises(BadRequest, match="put it in a list"):
        client(n1).execute("SELECT $1", params)
    assert n1.connections == 0


def test_a_request_over_the_limit_is_not_sent(node: MakeNode, client: MakeClient) -> None:
    n1 = node(1)
    with pytest.raises(TooLarge):
        client(n1).execute("SELECT $1", ["x" * (5 << 20)])
    assert n1.calls == []


def test_a_closed_client_opens_nothing(node: MakeNode, client: MakeClient) -> None:
    n1 = node(1)
    with client(n1) as cluster:
        cluster.execute("SELECT 1")
    with pytest.raises(Unavailable):
        cluster.execute("SELECT 1")


@pytest.mark.parametrize("addresses", ["", "n1", "n1:", ":7101", "n1:0", "n1:70000", "n1:7101,", "n1:x"])
def test_addresses_of_another_form_are_refused(addresses: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        Cluster.connect(addresses, secret="s")


def test_a_done_without_a_name_is_an_answer(node: MakeNode, client: MakeClient) -> None:
    def unnamed(talk: Talk, call: Call) -> None:
        from nodes.requests import Reply, Result

        talk.send(Done(call.number, Reply(txn_id(1), "committed", 1, 1, [], [Result()])))

    assert client(node(1, unnamed)).execute("SELECT 1").row_count == 0
