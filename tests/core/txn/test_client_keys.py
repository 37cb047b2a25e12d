"""Client keys at their home: bound by a commit alone, once; fences that are dated and renewed; what a missing record
says (DESIGN.md §5; each rule stops a schedule of the model of keys)."""

from __future__ import annotations

import pytest

from nodes import ids
from nodes.core.txn.decisions import FLUSH_TICKS
from nodes.core.txn.entries import DecideTxn, DoneTxns, FenceKey, ForgetDecisions, encode
from nodes.core.txn.messages import (
    AskFate,
    AskKey,
    Decide,
    Decided,
    FateKnown,
    InDoubt,
    KeyBinding,
    KeyKnown,
    KeyRecord,
    Outcome,
)
from nodes.requests import ABORTED, EXPIRED, UNDECIDED
from tests.core.txn.scene import GATEWAY_NODE, CoordinatorReplica, new_id

TXN, OTHER, THIRD = new_id(1), new_id(2), new_id(3)  # all are dated 5
KEY, DIGEST, RESULT = b"k" * 16, b"d" * 16, b"rows"
BINDING = KeyBinding(KEY, DIGEST, RESULT)
BOUND = KeyRecord(TXN, 50, 50, DIGEST, RESULT)
FENCED = KeyRecord(b"", 0, 60)


def decide(home: CoordinatorReplica, txn: bytes, ts: int, binding: KeyBinding = BINDING) -> list[Decided]:
    home.receive(Decide(txn, GATEWAY_NODE, ["s1"], binding))
    home.host.answer_timestamp(ts)
    home.apply()
    return home.host.said(Decided)


def ask(home: CoordinatorReplica, fence: int = 0, since: int = 0) -> list[KeyKnown]:
    """A fence is dated by the value `fence`."""
    home.receive(AskKey(1, KEY, GATEWAY_NODE, fence > 0, since))
    home.host.answer_confirm()
    if home.host.askers:
        home.host.answer_timestamp(fence)
    home.apply()
    return home.host.said(KeyKnown)


def forget(home: CoordinatorReplica, until: int) -> None:
    home.append(encode(DoneTxns([TXN, OTHER, THIRD])), encode(ForgetDecisions(until)))


def bound() -> CoordinatorReplica:
    home = CoordinatorReplica()
    assert decide(home, TXN, 50) == [Decided(TXN, True, 50, "")]
    return home


# -- commits


def test_a_key_is_bound_with_the_commit_and_what_it_is_to_answer() -> None:
    home = bound()
    assert ask(home) == [KeyKnown(1, BOUND, 0)]
    assert ask(home.successor()) == [KeyKnown(1, BOUND, 0)]


def test_a_second_commit_under_a_key_hears_of_the_first() -> None:
    home = bound()
    assert [(d.commit, d.bound) for d in decide(home, OTHER, 60)] == [(False, BOUND)]


def test_two_commits_under_one_key_on_their_way_at_once_are_one_and_a_refusal() -> None:
    home = CoordinatorReplica()
    home.receive(Decide(TXN, GATEWAY_NODE, ["s1"], BINDING), Decide(OTHER, 8, ["s1"], BINDING))
    home.host.answer_timestamp(50)
    home.host.answer_timestamp(60)
    home.apply()
    assert [(d.txn, d.commit, d.bound) for d in home.host.said(Decided)] == [(TXN, True, None), (OTHER, False, BOUND)]


def test_the_refusal_is_the_decision_of_its_id_for_all_and_for_ever() -> None:
    home = bound()
    decide(home, OTHER, 60)
    forget(home, 50)  # the key is free again: the refused commit must not come through now
    home = home.successor()
    home.pass_ticks(2 * FLUSH_TICKS)
    home.receive(AskFate(2, OTHER, GATEWAY_NODE, False), InDoubt(OTHER, "s1", 4))
    home.host.answer_confirm()
    assert [known.state for known in home.host.said(FateKnown)] == [EXPIRED]
    assert home.host.said(Outcome) == [Outcome(OTHER, False, 0, "c2")]
    home.receive(Decide(OTHER, GATEWAY_NODE, ["s1"], BINDING))
    assert [(d.commit, d.expired) for d in home.host.said(Decided)] == [(False, True)]


def test_a_refused_commit_stays_refused_when_its_key_becomes_free_before_its_id_is_forgotten() -> None:
    """The key's date is passed and the id's is not: the record of the refusal alone keeps a late copy out."""
    home = bound()
    late = ids.mint(70, GATEWAY_NODE, 1, 4, "c2", b"cluster")
    assert [d.bound for d in decide(home, late, 80)] == [BOUND]
    forget(home, 60)
    assert ask(home) == [KeyKnown(1, None, 60)]
    home = home.successor()
    home.receive(Decide(late, GATEWAY_NODE, ["s1"], BINDING))
    assert [(d.commit, d.expired) for d in home.host.said(Decided)] == [(False, False)]
    assert (home.host.askers, home.proposals) == ([], [])


def test_a_repeated_decide_of_the_owner_hears_of_its_own_commit() -> None:
    home = bound().successor()
    home.receive(Decide(TXN, GATEWAY_NODE, ["s1"], BINDING))
    assert home.host.said(Decided) == [Decided(TXN, True, 50, "")]


def test_a_repeated_decide_of_a_refused_one_hears_of_the_owner_from_the_next_leader_too() -> None:
    home = bound()
    decide(home, OTHER, 60)
    home = home.successor()
    home.receive(Decide(OTHER, GATEWAY_NODE, ["s1"], BINDING))
    assert [d.bound for d in home.host.said(Decided)] == [BOUND]


def test_an_abort_binds_nothing() -> None:
    home = CoordinatorReplica()
    home.receive(InDoubt(TXN, "s1", 4))
    home.apply()
    assert [(d.commit, d.bound) for d in decide_again(home)] == [(False, None)]
    assert ask(home) == [KeyKnown(1, None, 0)]
    assert [d.commit for d in decide(home, OTHER, 60)] == [True]


def decide_again(home: CoordinatorReplica) -> list[Decided]:
    home.receive(Decide(TXN, GATEWAY_NODE, ["s1"], BINDING))
    return home.host.said(Decided)


def test_a_refused_commit_is_told_to_no_participant_and_needs_no_done() -> None:
    home = bound()
    decide(home, OTHER, 60)
    assert list(home.machine.state.undone) == [TXN]


def test_keys_do_not_meet_one_another() -> None:
    home = bound()
    other = KeyBinding(b"o" * 16, DIGEST, b"")
    assert [d.commit for d in decide(home, OTHER, 60, other)] == [True]


# -- how long


def test_a_key_is_dated_by_its_commit_and_not_by_its_id() -> None:
    """The id was minted long before: dated by that, the record would go while repeats still come."""
    home = bound()
    forget(home, 49)
    assert ask(home) == [KeyKnown(1, BOUND, 49)]
    forget(home, 50)
    assert ask(home) == [KeyKnown(1, None, 50)]


def test_after_its_record_has_gone_a_key_is_free_and_bound_anew() -> None:
    home = bound()
    forget(home, 55)
    late = ids.mint(70, GATEWAY_NODE, 1, 4, "c2", b"cluster")
    assert [d.commit for d in decide(home, late, 80)] == [True]
    assert ask(home.successor()) == [KeyKnown(1, KeyRecord(late, 80, 80, DIGEST, RESULT), 55)]


def test_a_group_that_remembers_nothing_but_a_fence_moves_its_mark_for_it() -> None:
    home = CoordinatorReplica()
    ask(home, fence=60)
    home.pass_ticks(1)
    assert len(home.host.askers) == 1


# -- questions


def test_a_key_is_told_of_only_after_a_round_that_proves_the_leadership() -> None:
    home = bound()
    home.receive(AskKey(1, KEY, GATEWAY_NODE, False))
    assert home.host.is_silent
    home.host.answer_confirm(False)
    assert [known.leads for known in home.host.said(KeyKnown)] == [False]


def test_a_round_of_an_earlier_time_of_leadership_tells_of_no_key() -> None:
    home = CoordinatorReplica()
    home.receive(AskKey(1, KEY, GATEWAY_NODE, True))
    home.machine.unlead()
    home.lead()
    home.host.answer_confirm()
    assert [known.leads for known in home.host.said(KeyKnown)] == [False]
    assert home.host.askers == []


def test_who_does_not_lead_says_whom_to_ask() -> None:
    home = bound()
    home.machine.unlead()
    home.host.leader = 3
    home.receive(AskKey(1, KEY, GATEWAY_NODE, True))
    assert home.host.said(KeyKnown) == [KeyKnown(1, None, 0, leads=False, leader=3)]


# -- fences


def test_a_fence_is_dated_after_the_round_and_written_before_it_is_answered() -> None:
    home = CoordinatorReplica()
    home.receive(AskKey(1, KEY, GATEWAY_NODE, True))
    assert home.host.askers == []
    home.host.answer_confirm()
    home.host.answer_timestamp(60)
    assert (home.proposals, home.host.is_silent) == ([FenceKey(KEY, 60)], True)
    home.apply()
    assert home.host.said(KeyKnown) == [KeyKnown(1, FENCED, 0)]


def test_nothing_is_committed_under_a_fenced_key() -> None:
    home = CoordinatorReplica()
    ask(home, fence=60)
    assert [(d.commit, d.bound) for d in decide(home, TXN, 70)] == [(False, FENCED)]
    assert [(d.commit, d.bound) for d in decide(home.successor(), OTHER, 80)] == [(False, FENCED)]


def test_a_fence_of_a_bound_key_hears_of_its_commit_and_writes_nothing() -> None:
    home = bound()
    home.receive(AskKey(1, KEY, GATEWAY_NODE, True))
    home.host.answer_confirm()
    assert (home.host.said(KeyKnown), home.proposals) == ([KeyKnown(1, BOUND, 0)], [])


@pytest.mark.parametrize("fence_first", [True, False])
def test_a_fence_and_a_commit_on_their_way_at_once_agree(fence_first: bool) -> None:
    home = CoordinatorReplica()
    home.receive(Decide(TXN, GATEWAY_NODE, ["s1"], BINDING), AskKey(1, KEY, GATEWAY_NODE, True))
    home.host.answer_confirm()
    commit, fence = encode(DecideTxn(TXN, True, 50, ["s1"], "", BINDING)), encode(FenceKey(KEY, 60))
    home.host.answer_timestamp(50)
    home.host.answer_timestamp(60)
    home.host.proposed = [fence, commit] if fence_first else [commit, fence]
    home.apply()
    assert [d.commit for d in home.host.said(Decided)] == [not fence_first]
    assert home.host.said(KeyKnown) == [KeyKnown(1, FENCED if fence_first else BOUND, 0)]


def test_who_hears_of_a_fence_that_stands_can_rely_on_it_for_as_long_as_who_made_it() -> None:
    home = CoordinatorReplica()
    ask(home, fence=60)
    assert ask(home, fence=90) == [KeyKnown(1, KeyRecord(b"", 0, 90), 0)]
    forget(home, 80)
    assert [d.bound for d in decide(home.successor(), ids.mint(85, 7, 1, 4, "c2", b"cluster"), 100)] == [
        KeyRecord(b"", 0, 90)
    ]


def test_a_fence_is_not_dated_back() -> None:
    home = CoordinatorReplica()
    ask(home, fence=90)
    assert ask(home, fence=60) == [KeyKnown(1, KeyRecord(b"", 0, 90), 0)]


def test_a_fence_that_the_mark_has_passed_on_its_way_is_asked_for_again() -> None:
    home = CoordinatorReplica()
    home.receive(AskKey(1, KEY, GATEWAY_NODE, True))
    home.host.answer_confirm()
    home.host.answer_timestamp(60)
    home.host.proposed.insert(0, encode(ForgetDecisions(70)))
    home.apply()
    assert home.host.said(KeyKnown) == []
    home.host.answer_timestamp(80)
    home.apply()
    assert home.host.said(KeyKnown) == [KeyKnown(1, KeyRecord(b"", 0, 80), 70)]


def test_a_fence_whose_leader_was_replaced_while_the_oracle_was_asked_is_told_so() -> None:
    home = CoordinatorReplica()
    home.receive(AskKey(1, KEY, GATEWAY_NODE, True))
    home.host.answer_confirm()
    home.machine.unlead()
    home.host.answer_timestamp(60)
    assert [known.leads for known in home.host.said(KeyKnown)] == [False]
    assert home.proposals == []


def test_a_fence_from_before_the_mark_binds_nothing_if_it_says_so() -> None:
    """A commit under the key may be forgotten: "never" would be untrue."""
    home = bound()
    forget(home, 50)
    assert ask(home, fence=60, since=50) == [KeyKnown(1, None, 50)]
    assert ask(home, fence=60, since=51) == [KeyKnown(1, FENCED, 50)]
    assert ask(home, fence=90, since=50) == [KeyKnown(1, FENCED, 50)]  # that one hears "expired", and relies on nothing


def test_a_fence_binds_nothing_where_the_mark_passes_its_since_before_it_is_applied() -> None:
    home = bound()
    home.append(encode(DoneTxns([TXN])))
    home.receive(AskKey(1, KEY, GATEWAY_NODE, True))  # hears of the commit below, or expired
    home.host.answer_confirm()
    assert home.host.said(KeyKnown) == [KeyKnown(1, BOUND, 0)]
    home.append(encode(ForgetDecisions(50)), encode(FenceKey(KEY, 60, since=40)))
    assert ask(home) == [KeyKnown(1, None, 50)]


# -- ids name what is known of them


def test_answers_without_a_record_name_the_mark() -> None:
    home = bound()
    forget(home, 4)
    home.receive(AskFate(2, OTHER, GATEWAY_NODE, False))
    home.host.answer_confirm()
    assert home.host.said(FateKnown) == [FateKnown(2, OTHER, UNDECIDED, 0, "", known_since=4)]
    home.receive(AskFate(3, OTHER, GATEWAY_NODE, True))
    home.host.answer_confirm()
    home.apply()
    assert home.host.said(FateKnown) == [FateKnown(3, OTHER, ABORTED, 0, "fenced")]
