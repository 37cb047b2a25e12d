"""What state machines note for the trace of a transaction: each step as it happens, with its place in the log."""

from __future__ import annotations

from nodes.core.txn import steps
from nodes.core.txn.messages import FAILED, TIMED_OUT, WOUNDED, Decide, Decided, Finished, InDoubt, Outcome, Refused
from nodes.core.txn.recovery import FIRST_QUESTION_TICKS
from tests.core.txn.scene import (
    GATEWAY_NODE,
    CoordinatorReplica,
    ShardReplica,
    execute,
    new_id,
    one_shard,
    update,
)
from tests.core.txn.test_attempt import ONE, TXN, Gateway

OLD, YOUNG = new_id(1), new_id(3)


def noted(replica: ShardReplica | CoordinatorReplica, txn: bytes) -> list[tuple[str, object]]:
    return [(step, detail) for step, about, detail in replica.host.noted if about == txn]


def test_a_participant_notes_arrival_evaluation_vote_and_end_with_term_and_slot() -> None:
    shard = ShardReplica()
    shard.receive(execute(TXN, update(1, -10)))
    shard.apply()
    shard.receive(Outcome(TXN, True, 50, "c2"))
    shard.apply()
    slot = shard.slot
    assert noted(shard, TXN) == [
        (steps.ARRIVED, GATEWAY_NODE),
        (steps.EVALUATED, (1, "")),
        (steps.PREPARED, (1, slot - 1)),
        (steps.ENDED, (1, slot, True, 50)),
    ]


def test_who_waits_for_a_lock_notes_behind_whom() -> None:
    shard = ShardReplica()
    shard.receive(execute(OLD, update(1, -10)))
    shard.apply()
    shard.receive(execute(YOUNG, update(1, 5)))
    arrived, (step, (holder, _)) = noted(shard, YOUNG)  # type: ignore[misc]
    assert (arrived, step, holder) == ((steps.ARRIVED, GATEWAY_NODE), steps.WAITS, OLD)


def test_who_waited_too_long_notes_for_whom() -> None:
    shard = ShardReplica()
    shard.receive(execute(OLD, update(1, -10)))
    shard.apply()
    shard.receive(execute(YOUNG, update(1, 5), timeout_ms=100))
    shard.pass_ticks(5)
    assert noted(shard, YOUNG)[-1] == (steps.TURNED_DOWN, (TIMED_OUT, OLD))


def test_who_is_wounded_at_its_own_home_is_noted_as_aborted_there() -> None:
    shard = ShardReplica()
    shard.receive(one_shard(ONE, update(1, -10)), execute(OLD, update(1, 1)))
    shard.apply()
    assert noted(shard, ONE)[-1][0] == steps.ABORTED


def test_a_statement_that_fails_notes_why_and_the_refusal() -> None:
    shard = ShardReplica()
    shard.receive(execute(TXN, update(1, -1_000)))
    shard.host.answer_confirm()
    found = dict(noted(shard, TXN))
    assert "check" in found[steps.EVALUATED][1]  # type: ignore[index]
    assert found[steps.TURNED_DOWN] == (FAILED, b"")


def test_a_commit_of_one_shard_notes_the_decision_where_it_was_made() -> None:
    shard = ShardReplica()
    shard.receive(one_shard(ONE, update(1, -10)))
    shard.host.answer_timestamp(77)
    shard.apply()
    assert noted(shard, ONE)[-1] == (steps.COMMITTED, (1, shard.slot, 77))


def test_an_abort_of_one_shard_is_noted_with_its_reason() -> None:
    shard = ShardReplica()
    shard.receive(one_shard(ONE, update(1, -1_000)))
    shard.apply()
    step, detail = noted(shard, ONE)[-1]
    assert (step, detail[:2]) == (steps.ABORTED, (1, shard.slot))  # type: ignore[index]


def test_a_participant_in_doubt_notes_whom_it_asks() -> None:
    shard = ShardReplica()
    shard.receive(execute(TXN, update(1, -10)))
    shard.apply()
    shard.pass_ticks(FIRST_QUESTION_TICKS)
    assert noted(shard, TXN)[-1] == (steps.IN_DOUBT, "gateway")
    shard.pass_ticks(30)
    assert (steps.IN_DOUBT, "home") in noted(shard, TXN)


def test_a_replica_that_does_not_lead_notes_no_step_of_a_shard() -> None:
    shard = ShardReplica()
    shard.receive(execute(TXN, update(1, -10)))
    shard.apply()
    follower = ShardReplica(node=2, lead=False)
    follower.append(*(entry.data for entry in shard.log))
    assert follower.host.noted == []


def test_every_replica_of_the_home_notes_the_first_decision_and_no_later_one() -> None:
    home = CoordinatorReplica(has_oracle=True)
    home.apply()
    home.receive(Decide(TXN, GATEWAY_NODE, ["s1", "s2"]))
    home.receive(InDoubt(TXN, "s1", 1))
    home.apply()
    ((step, detail),) = noted(home, TXN)
    assert (step, detail[2], detail[4]) == (steps.DECISION, True, "")  # type: ignore[index]
    follower = CoordinatorReplica(log=home.log)
    assert [step for step, _ in noted(follower, TXN)] == [steps.DECISION]


def test_an_attempt_notes_what_it_sends_and_what_comes() -> None:
    gateway = Gateway()
    gateway.vote("s1", "s2")
    gateway.attempt.on_decided(Decided(TXN, True, 50, ""))
    assert gateway.noted == [
        (steps.SENT, "s1", 1),
        (steps.SENT, "s2", 2),
        (steps.VOTED, "s1", None),
        (steps.VOTED, "s2", None),
        (steps.ASKED, "c2", 3),
        (steps.DECIDED, "c2", (True, 50, "")),
    ]


def test_an_attempt_notes_a_refusal_and_who_won() -> None:
    gateway = Gateway()
    gateway.attempt.on_refused(Refused(TXN, "s2", WOUNDED, winner=OLD))
    assert gateway.noted[-1] == (steps.REFUSED, "s2", (WOUNDED, OLD))


def test_an_attempt_of_one_shard_notes_the_word_of_its_home() -> None:
    gateway = Gateway(ONE)
    gateway.attempt.on_finished(Finished(ONE, "s1", 60, [], 60))
    assert gateway.noted == [(steps.SENT, "s1", 1), (steps.FINISHED, "s1", 60)]


def test_each_step_says_what_its_detail_holds() -> None:
    names = {value for name, value in vars(steps).items() if name.isupper() and isinstance(value, str)}
    assert names == set(steps.DETAILS)
