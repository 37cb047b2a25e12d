"""One interactive transaction at its gateway: which shards are asked what, and when it is over."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.core.txn.attempt import SEND_AGAIN_TICKS
from nodes.core.txn.messages import ENDED, HOLD, NOT_LEADER, WOUNDED, Deciding, Execute, Held, InDoubt, Outcome, Refused
from nodes.core.txn.session import OPEN, OVER, RUNNING, Rows, Session
from nodes.errors import ErrorInfo
from nodes.sql.schema import ShardRows
from tests.core.txn.scene import FakeSender, new_id, update

TXN = new_id(2, "c1")
DEADLINE = 100


class Gateway(FakeSender):
    """Around one session."""

    def __init__(self) -> None:
        super().__init__(s1=1, s2=2)
        self.told: list[tuple[Rows, Held | None]] = []
        self.lost: list[Refused] = []
        self.session = Session(TXN, b"age", "c1", self, self.lost.append)

    def run(self, *shards: str) -> None:
        parts = {shard: [update(1, 1)] for shard in shards}
        self.session.run(parts, self.now + DEADLINE, lambda rows, held: self.told.append((rows, held)))

    def asked(self) -> list[tuple[str, int, int, int]]:
        """(shard, number, keep, term) of each step that left since the last look."""
        found = [(shard, each.number, each.keep, each.term) for shard, each in self.sent if isinstance(each, Execute)]
        assert all(each.finish == HOLD for _, each in self.sent if isinstance(each, Execute))
        self.sent = [each for each in self.sent if not isinstance(each[1], Execute)]
        return found

    def hold(self, shard: str, number: int, term: int = 5, **fields: Any) -> None:
        self.session.on_held(self.leaders[shard], Held(TXN, shard, number, term, [ShardRows([], 1)], **fields))

    def pass_ticks(self, count: int) -> None:
        for _ in range(count):
            self.now += 1
            self.session.tick()


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


def test_a_step_is_told_when_all_its_shards_hold_it(gateway: Gateway) -> None:
    gateway.run("s1", "s2")
    assert gateway.asked() == [("s1", 1, 0, 0), ("s2", 1, 0, 0)]
    gateway.hold("s1", 1)
    assert (gateway.told, gateway.session.state) == ([], RUNNING)
    gateway.hold("s2", 1)
    ((rows, held),) = gateway.told
    assert (sorted(rows), held, gateway.session.state) == (["s1", "s2"], None, OPEN)


def test_what_stands_is_named_by_the_next_step_at_each_shard(gateway: Gateway) -> None:
    gateway.run("s1", "s2")
    gateway.hold("s1", 1)
    gateway.hold("s2", 1)
    gateway.session.keep()
    gateway.asked()
    gateway.run("s1")
    assert gateway.asked() == [("s1", 2, 1, 5)]
    gateway.hold("s1", 2)
    gateway.run("s1", "s2")  # that one was not kept
    assert gateway.asked() == [("s1", 3, 1, 5), ("s2", 2, 1, 5)]


def test_a_savepoint_knows_what_stood_at_each_shard(gateway: Gateway) -> None:
    gateway.run("s1")
    gateway.hold("s1", 1)
    gateway.session.keep()
    gateway.session.save("a")
    gateway.run("s1", "s2")
    gateway.hold("s1", 2)
    gateway.hold("s2", 1)
    gateway.session.keep()
    gateway.session.back_to("a")
    shards = gateway.session.end()
    assert {shard: (asked.number, asked.keep) for shard, asked in shards.items()} == {"s1": (2, 1), "s2": (1, 0)}


def test_what_failed_at_one_shard_failed(gateway: Gateway) -> None:
    gateway.run("s1", "s2")
    gateway.hold("s1", 1, error=ErrorInfo("constraint", "no", "23514"))
    gateway.hold("s2", 1)
    ((rows, held),) = gateway.told
    assert held is not None
    assert (rows, held.shard) == ({}, "s1")
    assert [asked.keep for asked in gateway.session.shards.values()] == [0, 0]


def test_a_step_that_is_not_answered_goes_again_and_to_who_leads_then(gateway: Gateway) -> None:
    gateway.run("s1")
    gateway.asked()
    gateway.pass_ticks(SEND_AGAIN_TICKS)
    assert gateway.asked() == [("s1", 1, 0, 0)]
    gateway.leaders["s1"] = 3
    gateway.pass_ticks(1)
    assert gateway.asked() == [("s1", 1, 0, 0)]
    gateway.session.on_refused(1, Refused(TXN, "s1", NOT_LEADER))
    gateway.pass_ticks(1)
    assert gateway.asked() == [("s1", 1, 0, 0)]
    assert gateway.lost == []


def test_the_first_answer_names_the_leader_for_good(gateway: Gateway) -> None:
    gateway.run("s1", "s2")
    gateway.hold("s1", 1, term=5)
    gateway.hold("s1", 1, term=6)
    gateway.hold("s2", 1)
    gateway.session.keep()
    gateway.asked()
    gateway.run("s1")
    assert gateway.asked() == [("s1", 2, 1, 5)]
    gateway.hold("s1", 2, term=6)
    assert gateway.session.state == RUNNING


@pytest.mark.parametrize("cause", [WOUNDED, ENDED, NOT_LEADER])
def test_a_shard_that_holds_it_no_more_ends_it_everywhere(gateway: Gateway, cause: int) -> None:
    gateway.run("s1", "s2")
    gateway.hold("s1", 1)
    gateway.hold("s2", 1)
    gateway.sent.clear()
    gateway.session.on_refused(1, Refused(TXN, "s1", cause))
    assert [refusal.shard for refusal in gateway.lost] == ["s1"]
    assert gateway.sent == [(shard, Outcome(TXN, False, 0, "c1")) for shard in ("s1", "s2")]
    assert gateway.session.state == OVER
    gateway.session.on_refused(2, Refused(TXN, "s2", cause))
    assert len(gateway.lost) == 1


def test_a_step_out_of_time_ends_it(gateway: Gateway) -> None:
    gateway.run("s1", "s2")
    gateway.hold("s1", 1)
    gateway.pass_ticks(DEADLINE)
    (refusal,) = gateway.lost
    assert refusal.error is not None
    assert refusal.error.message.startswith("s2 did not answer")
    assert gateway.told == []


def test_a_shard_that_asks_hears_whether_it_is_open(gateway: Gateway) -> None:
    gateway.run("s1")
    for shard, known in (("s1", True), ("s2", False)):
        gateway.session.on_in_doubt(InDoubt(TXN, shard, 9))
        assert gateway.sent[-1] == (shard, Deciding(TXN, shard, known))
    gateway.session.roll_back()
    gateway.session.on_in_doubt(InDoubt(TXN, "s1", 9))
    assert gateway.sent[-1] == ("s1", Deciding(TXN, "s1", False))


def test_who_led_before_the_holder_is_not_heard() -> None:
    gateway = Gateway()
    gateway.run("s1")
    gateway.leaders["s1"] = 3
    gateway.pass_ticks(1)
    gateway.hold("s1", 1)
    gateway.session.on_refused(1, Refused(TXN, "s1", NOT_LEADER))
    assert gateway.lost == []
    gateway.session.on_refused(3, Refused(TXN, "s1", NOT_LEADER))
    assert [refusal.cause for refusal in gateway.lost] == [ENDED]


def test_a_shard_is_told_which_steps_a_savepoint_names() -> None:
    gateway = Gateway()
    for number, name in enumerate(("a", "", "b"), start=1):
        gateway.run("s1")
        gateway.hold("s1", number)
        gateway.session.keep()
        if name:
            gateway.session.save(name)
    gateway.run("s1")
    assert [each.saved for _, each in gateway.sent if isinstance(each, Execute)] == [(), (1,), (1,), (1, 3)]
