"""Interactive transactions that wrote nowhere: each shard confirms their locks, and no entry is written."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from nodes import ids
from nodes.core.replicated_log import TICK_MS
from nodes.core.txn import steps
from nodes.core.txn.attempt import SEND_AGAIN_TICKS, Aborted, Attempt, Committed, Last, Unsent
from nodes.core.txn.entries import EndTxn, MoveMarks, PrepareTxn, encode
from nodes.core.txn.messages import (
    CONFIRM,
    ENDED,
    NOT_LEADER,
    WOUNDED,
    Decide,
    Execute,
    Finished,
    Held,
    Outcome,
    Refused,
)
from nodes.core.txn.session import Session
from nodes.sql.schema import Fragment
from tests.core.txn.scene import (
    GATEWAY_NODE,
    TERM,
    FakeSender,
    ShardReplica,
    execute,
    new_id,
    row,
    select,
    step_of,
    update,
)

TXN, OLDER, OTHER = new_id(5, "c1"), new_id(1, "c1"), new_id(9, "c1")
step = partial(step_of, TXN)

# -- at the shard


def confirm(number: int = 2, keep: int = -1, term: int = TERM) -> Execute:
    return step(number, finish=CONFIRM, keep=keep, term=term)


def reading(*fragments: Fragment) -> ShardReplica:
    """A leader that holds what TXN has read: account 1, unless others are named."""
    shard = ShardReplica()
    shard.receive(step(1, *(fragments or (select(1),))))
    assert len(shard.host.said(Held)) == 1
    return shard


def test_it_is_confirmed_by_a_round_begun_after_the_message_with_its_locks_held_and_writes_no_entry() -> None:
    shard = reading()
    assert shard.host.confirms == []
    shard.receive(confirm())
    assert len(shard.host.confirms) == 1
    assert shard.host.is_silent
    assert (2, row(1)) in shard.locks.held_by(TXN)
    shard.host.answer_confirm()
    assert shard.host.said(Finished) == [Finished(TXN, "s1", 0, [], shard.machine.state.largest_ts)]
    assert (len(shard.locks), shard.proposals) == (0, [])
    assert (steps.RELEASED, TXN, None) in shard.host.noted


def test_its_token_is_what_was_applied_when_its_last_step_was_done() -> None:
    """A later one, which it has not seen, may be in conflict with what it read elsewhere."""
    shard = reading()
    before = shard.machine.state.largest_ts
    shard.append(encode(PrepareTxn(OTHER, ids.age_of(OTHER), GATEWAY_NODE, [], [], [], 0)))
    shard.append(encode(EndTxn(OTHER, True, before + 50)))
    assert shard.machine.state.largest_ts == before + 50
    shard.receive(confirm())
    shard.host.answer_confirm()
    assert [answer.seen_ts for answer in shard.host.said(Finished)] == [before]


def test_a_repeat_is_answered_once_more_and_begins_no_other_round() -> None:
    shard = reading()
    shard.receive(confirm(), confirm())
    shard.host.answer_confirm()
    assert (len(shard.host.said(Finished)), shard.host.confirms) == (1, [])
    shard.receive(confirm())
    assert (len(shard.host.said(Finished)), shard.host.confirms) == (1, [])


def test_a_late_copy_of_its_first_step_opens_nothing_at_the_leader_that_released_it() -> None:
    shard = reading()
    shard.receive(confirm())
    shard.host.answer_confirm()
    shard.host.said(Finished)
    shard.receive(step(1, select(1)))
    assert (shard.host.said(Held), len(shard.locks)) == ([], 0)


def test_a_repeat_where_it_is_forgotten_is_refused() -> None:
    """Nobody was told anything yet, for its gateway still asks: it gives it up."""
    shard = reading()
    shard.receive(confirm())
    shard.host.answer_confirm()
    assert shard.machine.leading is not None
    shard.machine.leading.participant._answers.clear()
    shard.receive(confirm())
    assert [(each.cause, each.error.sqlstate) for each in shard.host.said(Refused) if each.error] == [(ENDED, "40001")]


@pytest.mark.parametrize("is_told", [True, False])
def test_a_leader_that_is_none_any_more_confirms_nothing(is_told: bool) -> None:
    """Whichever it learns first: that its round fails, or that it is over."""
    shard = reading()
    shard.receive(confirm())
    if is_told:
        shard.host.answer_confirm(False)
    shard.machine.unlead()
    if not is_told:
        shard.host.answer_confirm(True)
    assert shard.host.said(Finished) == []
    assert [each.cause for each in shard.host.said(Refused)] == [NOT_LEADER]


def test_another_leader_knows_nothing_of_it() -> None:
    successor = reading().restarted()
    successor.receive(confirm())
    assert [each.cause for each in successor.host.said(Refused)] == [ENDED]
    assert successor.host.confirms == []


@pytest.mark.parametrize("message", [confirm(term=TERM + 1), confirm(3, keep=2)])
def test_another_opening_or_step_is_not_what_it_holds(message: Execute) -> None:
    shard = reading()
    shard.receive(message)
    assert [each.cause for each in shard.host.said(Refused)] == [ENDED]
    assert (shard.host.confirms, len(shard.locks)) == ([], 0)


def test_what_has_written_is_not_released_as_if_it_had_not() -> None:
    shard = reading(update(1, -10))
    shard.receive(confirm())
    assert [each.cause for each in shard.host.said(Refused)] == [ENDED]
    assert (shard.host.confirms, shard.proposals) == ([], [])


def test_an_older_one_ends_it_before_the_message_and_waits_for_the_round_after_it() -> None:
    shard = reading()
    shard.receive(execute(OLDER, update(1, 1)))
    assert [each.cause for each in shard.host.said(Refused)] == [WOUNDED]
    shard.receive(confirm())
    assert [each.cause for each in shard.host.said(Refused)] == [WOUNDED]
    shard = reading()
    shard.receive(confirm(), execute(OLDER, update(1, 1)))
    assert shard.locks.is_waiting(OLDER)
    shard.host.answer_confirm()
    assert len(shard.host.said(Finished)) == 1
    assert [proposal.txn for proposal in shard.proposals] == [OLDER]


def test_an_abort_that_comes_first_ends_it_and_one_that_comes_meanwhile_leaves_nothing() -> None:
    for messages in ((Outcome(TXN, False, 0, "c1"), confirm()), (confirm(), Outcome(TXN, False, 0, "c1"))):
        shard = reading()
        shard.receive(*messages)
        while shard.host.confirms:
            shard.host.answer_confirm()
        assert (len(shard.locks), shard.proposals) == (0, [])
        shard.receive(step(1, select(1)))
        assert shard.host.said(Held) == []


def test_an_id_below_the_mark_has_nothing_to_confirm() -> None:
    shard = ShardReplica()
    shard.append(encode(MoveMarks(ids.time_of(TXN), 0, 0)))
    shard.receive(confirm())
    assert [each.cause for each in shard.host.said(Refused)] == [ENDED]


# -- at the gateway


class Gateway(FakeSender):
    """Around the end of one that read at s1 and s2."""

    def __init__(self) -> None:
        super().__init__(s1=1, s2=2, c1=3)
        self.ends: list[Any] = []
        last = {"s1": Last(3, 2, 7), "s2": Last(2, 1, 8)}
        parts: dict[str, list[Fragment]] = {"s1": [], "s2": []}
        self.attempt = Attempt(TXN, TXN[:20], parts, 100, self, lambda rows: None, self.ends.append, last, True)
        self.attempt.start()

    def said(self, kind: type) -> list[tuple[str, Any]]:
        found = [each for each in self.sent if isinstance(each[1], kind)]
        self.sent = [each for each in self.sent if not isinstance(each[1], kind)]
        return found

    def finish(self, shard: str, seen_ts: int) -> None:
        self.attempt.on_finished(Finished(TXN, shard, 0, [], seen_ts))

    def pass_ticks(self, count: int) -> None:
        for _ in range(count):
            self.now += 1
            if not self.ends:
                self.attempt.tick()


ABORTS = [("s1", Outcome(TXN, False, 0, "c1")), ("s2", Outcome(TXN, False, 0, "c1"))]


def test_every_shard_is_asked_to_confirm_its_last_step_and_the_home_is_asked_nothing() -> None:
    gateway = Gateway()
    asked = [(shard, each.finish, each.number, each.keep, each.term) for shard, each in gateway.said(Execute)]
    assert asked == [("s1", CONFIRM, 3, 2, 7), ("s2", CONFIRM, 2, 1, 8)]
    gateway.finish("s1", 40)
    gateway.finish("s1", 90)
    assert gateway.ends == []
    gateway.finish("s2", 30)
    (end,) = gateway.ends
    assert isinstance(end, Committed)
    assert (end.commit_ts, end.seen_ts) == (0, 40)
    assert (gateway.said(Decide), gateway.said(Outcome)) == ([], [])
    assert [shard for note, shard in gateway.noted if note == steps.CONFIRMED] == ["s1", "s2"]


def test_one_shard_that_lost_it_aborts_it_everywhere() -> None:
    gateway = Gateway()
    gateway.finish("s1", 40)
    gateway.attempt.on_refused(Refused(TXN, "s2", ENDED))
    assert isinstance(gateway.ends[0], Aborted)
    assert gateway.said(Outcome) == ABORTS
    gateway.finish("s2", 30)
    assert len(gateway.ends) == 1


def test_it_is_asked_again_until_its_time_is_up_and_then_certainly_did_not_happen() -> None:
    gateway = Gateway()
    gateway.finish("s2", 30)
    gateway.said(Execute)
    gateway.pass_ticks(SEND_AGAIN_TICKS)
    assert [shard for shard, _ in gateway.said(Execute)] == ["s1"]
    gateway.leaders["s1"] = 3
    gateway.attempt.on_refused(Refused(TXN, "s1", NOT_LEADER, leader=3))
    assert [(shard, each.term) for shard, each in gateway.said(Execute)] == [("s1", 7)]
    gateway.pass_ticks(100)
    (end,) = gateway.ends
    assert isinstance(end, Unsent)
    assert end.silent == ["s1"]
    assert gateway.said(Outcome) == ABORTS


def test_it_can_be_withdrawn_until_all_have_confirmed() -> None:
    gateway = Gateway()
    gateway.finish("s1", 40)
    assert gateway.attempt.may_be_withdrawn
    gateway.attempt.withdraw()
    gateway.finish("s2", 30)
    assert (gateway.ends, gateway.said(Outcome), gateway.attempt.may_be_withdrawn) == ([], ABORTS, False)
    gateway = Gateway()
    gateway.finish("s1", 40)
    gateway.finish("s2", 30)
    assert not gateway.attempt.may_be_withdrawn


@pytest.mark.parametrize(
    ("steps_of", "wrote"),
    [([select(1)], False), ([select(1), update(1, 0)], True), ([], False)],
    ids=["only read", "wrote, and undid it", "asked nothing"],
)
def test_what_may_have_written_is_known_whatever_was_undone(steps_of: list[Fragment], wrote: bool) -> None:
    sender = Gateway()
    session = Session(TXN, b"age", "c1", sender, lambda refusal: None)
    session.save("a")
    for number, fragment in enumerate(steps_of, start=1):
        session.run({"s1": [fragment]}, sender.now + 10_000 // TICK_MS, lambda rows, held: None)
        session.on_held(1, Held(TXN, "s1", number, 5, []))
        session.keep()
    session.back_to("a")
    assert session.may_have_written is wrote
