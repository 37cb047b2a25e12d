"""The home of transactions: the first decision counts, is told until done; the oracle's rounds (C02-C06, O02-O05)."""

from __future__ import annotations

import pytest

from nodes import ids
from nodes.core.host import GATEWAY
from nodes.core.oracle import TimestampReply, TimestampRequest, at_ms
from nodes.core.replicated_log import TICK_MS
from nodes.core.txn.coordinator import TELL_AGAIN_TICKS
from nodes.core.txn.entries import DecideTxn, DoneTxns, ForgetDecisions, Reserve, encode
from nodes.core.txn.messages import Acknowledge, AskFate, Decide, Decided, FateKnown, InDoubt, NotHome, Outcome
from nodes.requests import ABORTED, COMMITTED, UNDECIDED
from tests.core.txn.scene import GATEWAY_NODE, CoordinatorReplica, new_id

TXN, OTHER = new_id(1), new_id(2)
DECIDE = Decide(TXN, GATEWAY_NODE, ["s1", "s2"])
COMMIT, ABORT = DecideTxn(TXN, True, 50, ["s1", "s2"], ""), DecideTxn(TXN, False, 0, [], "in doubt")
IN_DOUBT = InDoubt(TXN, "s1", 4)


def committed() -> CoordinatorReplica:
    home = CoordinatorReplica()
    home.receive(DECIDE)
    home.host.answer_timestamp(50)
    home.apply()
    assert home.host.said(Decided) == [Decided(TXN, True, 50, "")]
    return home


def oracle() -> CoordinatorReplica:
    """c1, its first reservation applied."""
    home = CoordinatorReplica("c1", has_oracle=True)
    home.apply()
    return home


def fate(home: CoordinatorReplica, fence: bool = False) -> list[FateKnown]:
    home.receive(AskFate(1, TXN, GATEWAY_NODE, fence))
    home.host.answer_confirm()
    return home.host.said(FateKnown)


# -- decisions


def test_a_decision_is_kept_until_all_participants_have_it_however_old() -> None:
    home = committed()
    kept_ms = home.host.constants.outcomes_kept_ms

    def forgotten() -> list[ForgetDecisions]:
        home.pass_ticks(home.host.constants.watermark_every_ms // TICK_MS)
        for ask in range(len(home.host.askers)):
            home.host.answer_timestamp(at_ms(2 * kept_ms + ask))
        return [entry for entry in home.apply() if isinstance(entry, ForgetDecisions)]

    assert all(entry.until < ids.time_of(TXN) for entry in forgotten())
    home.receive(Acknowledge([TXN], "s1"), Acknowledge([TXN], "s2"))
    home.pass_ticks(1)
    assert [type(entry) for entry in home.apply()] == [DoneTxns]
    assert max(entry.until for entry in forgotten()) > ids.time_of(TXN)


def test_c02_committed_is_said_when_the_decision_is_applied_and_not_before() -> None:
    """C02: neither while the oracle is asked, nor while the entry is proposed."""
    home = CoordinatorReplica()
    home.receive(DECIDE)
    assert (home.proposals, home.host.is_silent) == ([], True)
    home.host.answer_timestamp(50)
    assert home.proposals == [COMMIT]
    assert home.host.is_silent
    home.apply()
    assert home.host.sent == [(GATEWAY_NODE, GATEWAY, Decided(TXN, True, 50, ""))]


def test_c02_a_commit_that_was_not_chosen_is_aborted_by_the_next_leader_for_all() -> None:
    """C02: both participants end alike, and the gateway that asks again hears the same."""
    home = CoordinatorReplica()
    home.receive(DECIDE)
    home.host.answer_timestamp(50)
    home = home.successor()
    home.receive(IN_DOUBT, InDoubt(TXN, "s2", 5), DECIDE)
    home.host.answer_timestamp(60)
    home.apply()
    assert [(outcome.commit, outcome.commit_ts) for outcome in home.host.said(Outcome)] == 2 * [(False, 0)]
    assert [decided.commit for decided in home.host.said(Decided)] == [False]


def test_c03_a_chosen_decision_that_nobody_heard_is_told_by_the_next_leader() -> None:
    """C03: to the participants without being asked, to the gateway when it asks again."""
    home = CoordinatorReplica()
    home.append(encode(COMMIT))
    home = home.successor()
    home.pass_ticks(1)
    outcome = Outcome(TXN, True, 50, "c2")
    assert home.host.to_leaders == [("s1", outcome), ("s2", outcome)]
    home.receive(DECIDE)
    assert home.host.said(Decided) == [Decided(TXN, True, 50, "")]
    assert fate(home) == [FateKnown(1, TXN, COMMITTED, 50, "")]


def test_c04_who_was_not_told_is_told_until_it_acknowledges() -> None:
    """C04: s1 has the outcome, the old leader died before s2 had it."""
    home = committed().successor()
    home.receive(Acknowledge([TXN], "s1"))
    home.pass_ticks(1 + 2 * TELL_AGAIN_TICKS)
    assert [group for group, _ in home.host.to_leaders] == ["s2", "s2", "s2"]
    assert home.proposals == []
    home.receive(Acknowledge([TXN], "s2"))
    home.pass_ticks(1)
    assert home.apply() == [DoneTxns([TXN])]
    home.host.said(Outcome)
    home.pass_ticks(2 * TELL_AGAIN_TICKS)
    home.successor().pass_ticks(1)
    assert home.host.is_silent


def test_c04_who_asks_in_doubt_is_answered_at_once() -> None:
    """C04: the question names the replica that asks."""
    home = committed()
    home.receive(IN_DOUBT)
    assert home.host.sent == [(4, "s1", Outcome(TXN, True, 50, "c2"))]


def test_what_is_done_is_not_told_by_the_next_leader() -> None:
    home = committed()
    home.append(encode(DoneTxns([TXN])))
    home = home.successor()
    home.pass_ticks(2 * TELL_AGAIN_TICKS)
    assert home.host.is_silent
    assert fate(home) == [FateKnown(1, TXN, COMMITTED, 50, "")]


def test_a_second_decision_between_the_last_acknowledgement_and_done_has_nothing_told_after_it() -> None:
    """Else a leader would ask its state for what is done: it ended by that (found by the simulator)."""
    home = committed()
    home.receive(Acknowledge([TXN], "s1"), Acknowledge([TXN], "s2"))
    home.append(encode(ABORT))
    home.pass_ticks(1)
    assert home.apply() == [DoneTxns([TXN])]
    home.host.said(Outcome)
    home.pass_ticks(2 * TELL_AGAIN_TICKS)
    assert home.host.said(Outcome) == []
    assert home.proposals == []


@pytest.mark.parametrize("first", [COMMIT, ABORT])
def test_c05_of_two_decisions_the_first_counts_and_the_second_is_answered_with_it(first: DecideTxn) -> None:
    """C05: two recoverers with different views; every replica of the log comes to the same."""
    second = ABORT if first is COMMIT else COMMIT
    home = CoordinatorReplica()
    home.receive(DECIDE, IN_DOUBT)
    home.append(encode(first), encode(second))
    assert [decided.commit for decided in home.host.said(Decided)] == [first.commit]
    assert [outcome.commit for outcome in home.host.said(Outcome)] == [first.commit]
    assert home.successor().machine.state.decision(TXN) == first


def test_c06_an_abort_is_written_before_it_is_answered() -> None:
    """C06: so that a slow gateway cannot commit later."""
    home = CoordinatorReplica()
    home.receive(IN_DOUBT)
    assert [(entry.txn, entry.commit) for entry in home.proposals] == [(TXN, False)]
    assert home.host.is_silent
    home.apply()
    assert home.host.sent == [(4, "s1", Outcome(TXN, False, 0, "c2"))]
    home.receive(DECIDE)
    assert [decided.commit for decided in home.host.said(Decided)] == [False]
    assert (home.host.askers, home.proposals) == ([], [])


def test_a_question_while_the_commit_is_under_way_waits_for_it() -> None:
    home = CoordinatorReplica()
    home.receive(DECIDE, IN_DOUBT)
    assert home.proposals == []
    home.host.answer_timestamp(50)
    home.apply()
    assert home.host.said(Outcome) == [Outcome(TXN, True, 50, "c2")]


def test_an_abort_needs_no_done() -> None:
    home = CoordinatorReplica()
    home.receive(IN_DOUBT)
    home.apply()
    home.host.said(Outcome)
    home.pass_ticks(2 * TELL_AGAIN_TICKS)
    assert (home.host.is_silent, home.proposals) == (True, [])


def test_c09_a_repeated_decide_is_proposed_once_and_answered_every_time() -> None:
    """C09, C17: before and after the decision."""
    home = CoordinatorReplica()
    home.receive(DECIDE, DECIDE)
    home.host.answer_timestamp(50)
    home.receive(DECIDE)
    assert (home.host.askers, len(home.proposals)) == ([], 1)
    home.apply()
    home.receive(DECIDE)
    assert home.host.said(Decided) == 2 * [Decided(TXN, True, 50, "")]


def test_c09_a_repeated_acknowledgement_is_no_second_one() -> None:
    """C09: one participant twice is not two."""
    home = committed()
    home.receive(Acknowledge([TXN], "s1"), Acknowledge([TXN], "s1"), Acknowledge([OTHER], "s2"))
    home.pass_ticks(1)
    assert home.proposals == []


def test_a_timestamp_that_comes_after_the_leadership_proposes_nothing() -> None:
    home = CoordinatorReplica()
    home.receive(DECIDE)
    home.machine.unlead()
    home.lead()
    home.host.answer_timestamp(50)
    assert home.proposals == []


def test_who_does_not_lead_says_so_and_answers_nothing_else() -> None:
    home = committed()
    home.machine.unlead()
    home.host.leader = 3
    home.receive(DECIDE, IN_DOUBT, AskFate(1, TXN, GATEWAY_NODE, True))
    hint = NotHome(b"", "c2", 3)
    told = [NotHome(TXN, "c2", 3), hint, FateKnown(1, TXN, "", 0, "", 3)]
    assert [message for _, _, message in home.host.sent] == told
    assert home.proposals == []


# -- fate and fence


def test_a_question_without_fence_decides_nothing() -> None:
    home = CoordinatorReplica()
    assert [known.state for known in fate(home)] == [UNDECIDED]
    assert home.proposals == []


def test_a_fence_is_written_before_it_is_answered() -> None:
    home = CoordinatorReplica()
    assert fate(home, fence=True) == []
    home.apply()
    assert home.host.said(FateKnown) == [FateKnown(1, TXN, ABORTED, 0, "fenced")]
    home.receive(DECIDE)
    assert home.host.said(Decided) == [Decided(TXN, False, 0, "fenced")]


def test_a_fence_behind_a_commit_hears_of_the_commit() -> None:
    home = CoordinatorReplica()
    home.receive(DECIDE)
    home.host.answer_timestamp(50)
    fate(home, fence=True)
    home.apply()
    assert home.host.said(FateKnown) == [FateKnown(1, TXN, COMMITTED, 50, "")]


def test_a_fate_is_told_only_after_a_round_that_proves_the_leadership() -> None:
    home = committed()
    home.receive(AskFate(1, TXN, GATEWAY_NODE, False))
    assert home.host.is_silent
    home.host.answer_confirm(False)
    assert [known.state for known in home.host.said(FateKnown)] == [""]


# -- the oracle


def test_o03_o04_a_value_leaves_only_after_a_round_begun_after_the_question() -> None:
    """O03, O04: a deposed leader is mute."""
    home = oracle()
    home.receive(TimestampRequest(4, 1, 9, 3))
    assert home.host.is_silent
    home.host.answer_confirm()
    assert home.host.sent == [(4, GATEWAY, TimestampReply(1, 9, at_ms(home.host.clock_ms)))]
    home.host.said(TimestampReply)
    home.receive(TimestampRequest(4, 1, 10, 3))
    home.host.answer_confirm(False)
    assert home.host.is_silent


def test_o04_a_round_of_an_earlier_time_of_leadership_answers_nothing() -> None:
    """O04: the same node leads again."""
    home = oracle()
    home.receive(TimestampRequest(4, 1, 9, 1))
    home.machine.unlead()
    home.lead()
    home.apply()
    home.host.answer_confirm()
    assert home.host.is_silent


def test_o02_the_next_leader_gives_above_everything_reserved() -> None:
    """O02: its clock is five seconds behind."""
    home = oracle()
    reserved = home.machine.state.reserved
    following = home.successor()
    following.host.clock_ms -= 5_000
    following.receive(TimestampRequest(4, 1, 9, 1))
    following.host.answer_confirm()
    following.apply()
    assert following.host.said(TimestampReply)[0].first > reserved


def test_o05_who_asks_above_the_reservation_waits_until_one_is_applied() -> None:
    """O05: a proposed reservation is no permission."""
    home = CoordinatorReplica("c1", has_oracle=True)
    home.receive(TimestampRequest(4, 1, 9, 1))
    home.host.answer_confirm()
    assert [type(entry) for entry in home.proposals] == [Reserve]
    assert home.host.is_silent
    home.apply()
    assert len(home.host.said(TimestampReply)) == 1


def test_o05_a_commit_stamped_here_waits_for_the_reservation_too() -> None:
    """O05: where the oracle lives in the home's group its leader stamps the entry itself."""
    home = CoordinatorReplica("c1", has_oracle=True)
    home.receive(DECIDE)
    assert [type(entry) for entry in home.proposals] == [Reserve]
    home.apply()
    (decided,) = home.host.said(Decided)
    assert decided.commit_ts >= at_ms(home.host.clock_ms)
    assert home.host.askers == []


def test_no_value_is_given_to_a_commit_and_to_an_asker() -> None:
    home = oracle()
    home.receive(TimestampRequest(4, 1, 9, 5), DECIDE)
    home.host.answer_confirm()
    home.apply()
    first = home.host.said(TimestampReply)[0].first
    assert home.host.said(Decided)[0].commit_ts not in range(first, first + 5)


def test_a_group_without_the_oracle_gives_no_values() -> None:
    home = CoordinatorReplica()
    home.receive(TimestampRequest(4, 1, 9, 1))
    assert (home.host.confirms, home.host.is_silent) == ([], True)
