"""One attempt at its gateway: what it may say when, and what it tells whom (cases C02, C07, C09, C15, C17)."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.core.replicated_log import TICK_MS
from nodes.core.txn.attempt import (
    DECIDING,
    EXECUTING,
    OVER,
    SEND_AGAIN_TICKS,
    Aborted,
    Attempt,
    Committed,
    Unknown,
    Unsent,
)
from nodes.core.txn.messages import (
    COMMIT,
    ENDED,
    FAILED,
    NOT_LEADER,
    PREPARE,
    WOUNDED,
    Decide,
    Decided,
    Deciding,
    Execute,
    Finished,
    InDoubt,
    NotHome,
    Outcome,
    Refused,
    Voted,
    Wound,
)
from nodes.sql.schema import ShardRows
from tests.core.txn.scene import GATEWAY_NODE, new_id, update

TXN, ONE, OLD = new_id(2), new_id(2, "s1"), new_id(1)
ROWS = [ShardRows([], 1)]
DEADLINE = 100


class Gateway:
    """A Sender that remembers, around one attempt over s1 and s2, or over s1 alone."""

    def __init__(
        self, txn: bytes = TXN, refusal: Refused | None = None, leaders: tuple[int, int, int] = (1, 2, 3)
    ) -> None:
        self.node, self.now = GATEWAY_NODE, 0
        self.leaders = dict(zip(("s1", "s2", "c2"), leaders, strict=True))
        self.sent: list[tuple[str, int, Any]] = []
        self.ends: list[Any] = []
        self.noted: list[tuple[str, str, Any]] = []
        shards = ["s1"] if txn == ONE else ["s1", "s2"]
        parts = {shard: [update(1, 1)] for shard in shards}
        self.attempt = Attempt(txn, txn[:20], parts, DEADLINE, self, lambda rows: refusal, self.ends.append)
        self.attempt.start()

    def to_leader(self, group: str, message: Any) -> int:
        leader = self.leaders[group]
        if leader:
            self.sent.append((group, leader, message))
        return leader

    def leader_of(self, group: str) -> int:
        return self.leaders[group]

    def send(self, node: int, target: str, message: Any) -> None:
        self.sent.append((target, node, message))

    def note(self, step: str, txn: bytes, group: str, detail: Any = None) -> None:
        self.noted.append((step, group, detail))

    def said(self, kind: type) -> list[tuple[str, int, Any]]:
        """Messages of that kind since the last look."""
        found = [item for item in self.sent if isinstance(item[2], kind)]
        self.sent = [item for item in self.sent if not isinstance(item[2], kind)]
        return found

    def vote(self, *shards: str) -> None:
        for shard in shards:
            self.attempt.on_voted(Voted(TXN, shard, ROWS, True))

    def pass_ticks(self, count: int) -> None:
        for _ in range(count):
            self.now += 1
            if self.attempt.state != OVER:
                self.attempt.tick()

    @property
    def end(self) -> Any:
        assert len(self.ends) == 1, "an attempt ends once"
        return self.ends[0]


def aborts(gateway: Gateway) -> list[str]:
    told = gateway.said(Outcome)
    assert not any(outcome.commit for _, _, outcome in told)
    return [shard for shard, _, _ in told]


# -- several shards


def test_every_shard_gets_its_part_with_less_time_than_the_gateway_has() -> None:
    gateway = Gateway()
    sent = gateway.said(Execute)
    assert [(shard, node, message.finish) for shard, node, message in sent] == [("s1", 1, PREPARE), ("s2", 2, PREPARE)]
    assert all(0 < message.timeout_ms < DEADLINE * TICK_MS for _, _, message in sent)


def test_commit_is_proposed_with_all_votes_in_and_not_before() -> None:
    gateway = Gateway()
    gateway.vote("s1", "s1")
    assert gateway.said(Decide) == []
    gateway.vote("s2")
    assert gateway.said(Decide) == [("c2", 3, Decide(TXN, GATEWAY_NODE, ["s1", "s2"]))]
    assert (gateway.attempt.state, gateway.ends) == (DECIDING, [])


def test_c02_committed_is_the_homes_word() -> None:
    """C02: votes alone commit nothing."""
    gateway = Gateway()
    gateway.vote("s1", "s2")
    assert gateway.said(Outcome) == []
    gateway.attempt.on_decided(Decided(TXN, True, 50, ""))
    assert isinstance(gateway.end, Committed)
    assert (gateway.end.commit_ts, gateway.end.rows) == (50, {"s1": ROWS, "s2": ROWS})
    outcome = Outcome(TXN, True, 50, "c2")
    assert gateway.said(Outcome) == [("s1", 1, outcome), ("s2", 2, outcome)]


def test_an_abort_decided_by_the_home_is_told_to_all() -> None:
    gateway = Gateway()
    gateway.vote("s1", "s2")
    gateway.attempt.on_decided(Decided(TXN, False, 0, "in doubt"))
    assert gateway.end.refusal.cause == ENDED
    assert aborts(gateway) == ["s1", "s2"]


def test_a_decision_that_was_not_asked_for_is_not_believed() -> None:
    gateway = Gateway()
    gateway.attempt.on_decided(Decided(TXN, True, 50, ""))
    assert (gateway.attempt.state, gateway.said(Outcome)) == (EXECUTING, [])


def test_c07_a_vote_after_the_abort_proposes_nothing() -> None:
    """C07: s2 refused; the vote of s1 is late, and s1 was told."""
    gateway = Gateway()
    gateway.attempt.on_refused(Refused(TXN, "s2", FAILED))
    assert isinstance(gateway.end, Aborted)
    assert aborts(gateway) == ["s1", "s2"]
    gateway.vote("s1", "s2")
    assert (gateway.said(Decide), gateway.attempt.state) == ([], OVER)


def test_rows_that_are_not_accepted_abort_before_commit_is_proposed() -> None:
    gateway = Gateway(refusal=Refused(TXN, "s1", FAILED))
    gateway.vote("s1", "s2")
    assert isinstance(gateway.end, Aborted)
    assert (gateway.said(Decide), aborts(gateway)) == ([], ["s1", "s2"])


def test_c15_a_wounded_transaction_is_aborted_everywhere_unless_it_holds_all_votes() -> None:
    """C15: with all votes it waits for nothing, so it may go on."""
    gateway = Gateway()
    gateway.vote("s1")
    gateway.attempt.on_wound(Wound(TXN, "s1", OLD))
    assert (gateway.end.refusal.cause, gateway.end.refusal.winner) == (WOUNDED, OLD)
    assert aborts(gateway) == ["s1", "s2"]
    deciding = Gateway()
    deciding.vote("s1", "s2")
    deciding.attempt.on_wound(Wound(TXN, "s1", OLD))
    assert (deciding.attempt.state, deciding.ends, deciding.said(Outcome)) == (DECIDING, [], [])


def test_c09_repeated_answers_end_it_once() -> None:
    """C09: whatever comes after the end changes nothing."""
    gateway = Gateway()
    gateway.vote("s1", "s2")
    for commit in (True, True, False):
        gateway.attempt.on_decided(Decided(TXN, commit, 50, ""))
    gateway.said(Outcome)
    gateway.attempt.on_wound(Wound(TXN, "s1", OLD))
    gateway.attempt.on_refused(Refused(TXN, "s1", ENDED))
    gateway.attempt.on_not_home(NotHome(TXN, "c2", 1))
    assert isinstance(gateway.end, Committed)
    assert gateway.said(Outcome) == []


# -- again


def test_a_silent_shard_is_asked_again_and_one_that_voted_is_not() -> None:
    gateway = Gateway()
    gateway.vote("s1")
    gateway.said(Execute)
    gateway.pass_ticks(SEND_AGAIN_TICKS)
    assert [(shard, node) for shard, node, _ in gateway.said(Execute)] == [("s2", 2)]


def test_a_new_leader_is_asked_at_the_next_tick() -> None:
    gateway = Gateway()
    gateway.said(Execute)
    gateway.leaders["s2"] = 3
    gateway.pass_ticks(1)
    assert [(shard, node) for shard, node, _ in gateway.said(Execute)] == [("s2", 3)]


def test_a_shard_that_does_not_lead_is_followed_to_its_leader_under_the_same_id() -> None:
    gateway = Gateway()
    gateway.said(Execute)
    gateway.leaders["s1"] = 3
    gateway.attempt.on_refused(Refused(TXN, "s1", NOT_LEADER, leader=3))
    assert [(node, message.txn) for _, node, message in gateway.said(Execute)] == [(3, TXN)]


def test_a_leader_that_does_not_serve_yet_is_asked_again_only_at_the_next_tick() -> None:
    gateway = Gateway()
    gateway.said(Execute)
    gateway.attempt.on_refused(Refused(TXN, "s1", NOT_LEADER, leader=1))
    assert gateway.said(Execute) == []
    gateway.pass_ticks(1)
    assert [(shard, node) for shard, node, _ in gateway.said(Execute)] == [("s1", 1)]


def test_c17_the_home_is_asked_again_with_the_same_words() -> None:
    """C17: silent, or no longer the home's leader."""
    gateway = Gateway()
    gateway.vote("s1", "s2")
    first = gateway.said(Decide)
    gateway.pass_ticks(SEND_AGAIN_TICKS)
    assert gateway.said(Decide) == first
    gateway.leaders["c2"] = 1
    gateway.attempt.on_not_home(NotHome(TXN, "c2", 1))
    gateway.pass_ticks(1)
    assert [(node, message) for _, node, message in gateway.said(Decide)] == [(1, first[0][2])]


# -- in doubt


def test_a_gateway_says_that_it_is_deciding_until_its_deadline_and_only_while_it_is() -> None:
    gateway = Gateway()
    question = InDoubt(TXN, "s1", 4)
    gateway.attempt.on_in_doubt(question)
    gateway.vote("s1", "s2")
    gateway.attempt.on_in_doubt(question)
    gateway.now = DEADLINE
    gateway.attempt.on_in_doubt(question)
    gateway.attempt.on_decided(Decided(TXN, True, 50, ""))
    gateway.now = 0
    gateway.attempt.on_in_doubt(question)
    answers = gateway.said(Deciding)
    assert {(target, node) for target, node, _ in answers} == {("s1", 4)}
    assert [answer.known for _, _, answer in answers] == [True, True, False, False]


# -- out of time


def test_out_of_time_before_commit_was_proposed_is_certain() -> None:
    gateway = Gateway()
    gateway.vote("s1")
    gateway.pass_ticks(DEADLINE)
    assert isinstance(gateway.end, Unsent)
    assert gateway.end.silent == ["s2"]
    assert aborts(gateway) == ["s1", "s2"]
    gateway.vote("s2")
    assert gateway.said(Decide) == []


def test_out_of_time_while_deciding_is_unknown_and_no_abort_is_told() -> None:
    gateway = Gateway()
    gateway.vote("s1", "s2")
    gateway.pass_ticks(DEADLINE)
    assert isinstance(gateway.end, Unknown)
    assert gateway.said(Outcome) == []


def test_who_was_never_sent_anything_is_told_nothing() -> None:
    gateway = Gateway(leaders=(1, 0, 3))
    gateway.pass_ticks(DEADLINE)
    assert aborts(gateway) == ["s1"]


# -- one shard, its own home


def test_one_shard_commits_without_a_coordinator() -> None:
    gateway = Gateway(ONE)
    assert [message.finish for _, _, message in gateway.said(Execute)] == [COMMIT]
    gateway.attempt.on_finished(Finished(ONE, "s1", 50, ROWS, 50))
    assert isinstance(gateway.end, Committed)
    assert (gateway.end.commit_ts, gateway.sent) == (50, [])


def test_a_refusal_of_one_shard_is_its_homes_word() -> None:
    gateway = Gateway(ONE)
    gateway.attempt.on_refused(Refused(ONE, "s1", WOUNDED, winner=OLD))
    assert isinstance(gateway.end, Aborted)
    assert gateway.said(Outcome) == []


@pytest.mark.parametrize("refused", [False, True])
def test_one_shard_out_of_time_is_unknown_once_a_message_has_left(refused: bool) -> None:
    """A refusal as not the leader leaves open whether another copy runs elsewhere."""
    gateway = Gateway(ONE)
    if refused:
        gateway.leaders["s1"] = 0
        gateway.attempt.on_refused(Refused(ONE, "s1", NOT_LEADER))
    gateway.pass_ticks(DEADLINE)
    assert isinstance(gateway.end, Unknown)


def test_one_shard_that_was_never_reached_did_not_happen() -> None:
    gateway = Gateway(ONE, leaders=(0, 0, 0))
    gateway.pass_ticks(DEADLINE)
    assert isinstance(gateway.end, Unsent)
    assert gateway.sent == []
