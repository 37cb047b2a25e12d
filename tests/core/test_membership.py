"""The next step of a group towards what an operator wants: whatever happens between, it gets there, and loses nothing
on the way."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.core.membership import (
    ChangeRefused,
    Members,
    NodeFacts,
    Roster,
    check_change,
    decode_members,
    encode_members,
    next_roster_step,
    next_step,
    promoted,
    with_learner,
    without,
)

CALM_STEPS = 200


def step(members: Members, leaving: dict[int, int], near: bool = True, chosen: int = 0) -> Members | None:
    return next_step(members, leaving, 3, lambda: chosen, lambda node: near)


def test_a_node_is_replaced_in_three_steps() -> None:
    learning = step(Members((2, 3, 1)), {2: 4})
    assert learning == Members((2, 3, 1), (4,))
    assert step(learning, {2: 4}, near=False) is None
    voting = step(learning, {2: 4})
    assert voting == Members((4, 2, 3, 1))  # in front of whom it replaces: the preferred leader is replaced by it
    done = step(voting, {2: 4})
    assert done == Members((4, 3, 1), (), (2,))
    assert step(done, {2: 4}) is None


def test_who_is_removed_is_replaced_by_whom_the_leader_chooses_and_by_nobody_when_there_is_nobody() -> None:
    assert step(Members((1, 2, 3)), {3: 0}, chosen=5) == Members((1, 2, 3), (5,))
    assert step(Members((1, 2, 3), (5,)), {3: 0}, chosen=6) == Members((1, 2, 5, 3))
    assert step(Members((1, 2, 3)), {3: 0}) == Members((1, 2), (), (3,))
    assert step(Members((3,)), {3: 0}) is None  # a group without members would be a group that is lost


def test_a_successor_that_is_to_leave_itself_or_votes_already_is_passed_over() -> None:
    assert step(Members((1, 2, 3)), {3: 4, 4: 0}, chosen=5) == Members((1, 2, 3), (5,))
    assert step(Members((1, 2, 3)), {3: 2}, chosen=5) == Members((1, 2, 3), (5,))
    assert step(Members((1, 2, 3), (), (4,)), {3: 4}, chosen=5) == Members((1, 2, 3), (5,), (4,))
    assert step(Members((1, 2, 3), (4,)), {3: 4, 4: 0}) == Members((1, 2, 3), (), (4,))
    assert step(Members((1, 2, 3), (4,)), {}) == Members((1, 2, 3), (), (4,))  # nobody is to be replaced any more


def test_while_all_voters_are_leaving_one_who_stays_comes_first() -> None:
    everybody = {1: 0, 2: 0, 3: 0, 4: 0}
    assert step(Members((4, 1, 2, 3)), everybody, chosen=5) == Members((4, 1, 2, 3), (5,))
    assert step(Members((4, 1, 2, 3), (5,)), everybody) == Members((5, 4, 1, 2, 3))
    assert step(Members((5, 4, 1, 2, 3)), everybody) == Members((5, 1, 2, 3), (), (4,))


def test_the_last_step_of_a_node_is_out_of_s0_and_it_is_gone_then() -> None:
    facts = (NodeFacts(4, b"4", "n4", 7104), NodeFacts(5, b"5", "n5", 7105))
    members = Members((1, 2, 3), (4, 5), (), Roster(facts, {4: 0}))
    held: list[bool] = [True]

    def roster_step(each: Members) -> Members | None:
        return next_roster_step(each, 3, lambda node: True, lambda node: not held[0])

    assert roster_step(members) is None  # other groups still have a replica on it
    held[0] = False
    left = roster_step(members)
    assert left == Members((1, 2, 3), (5,), (4,), Roster(facts[1:], {}, (4,)))
    assert roster_step(left) is None


def test_a_voter_of_s0_is_replaced_before_it_leaves() -> None:
    members = Members((1, 2, 3), (4,), (), Roster((NodeFacts(4, b"4", "n4", 7104),), {2: 4}))
    voting = next_roster_step(members, 3, lambda node: True, lambda node: False)
    assert voting is not None
    assert voting.voters == (1, 4, 2, 3)
    assert next_roster_step(voting, 3, lambda node: True, lambda node: False) is None
    left = next_roster_step(voting, 3, lambda node: True, lambda node: True)
    assert left is not None
    assert (left.voters, left.roster.gone, left.roster.leaving) == ((1, 4, 3), (2,), {})


@pytest.mark.parametrize(
    ("new", "leader", "words"),
    [
        (Members((1, 3), (), (2,)), 2, "n2 leads, and has to hand over"),
        (Members((1, 2, 3, 3)), 1, "these are no members"),
        (Members((1, 4, 2), (), (3,)), 1, "more than one step"),
        (with_learner(Members((1, 2, 3), (), (9,)), 9), 1, "does not come back"),
        (Members((1, 2)), 1, "former member from then on"),
    ],
)
def test_what_is_no_step_is_refused(new: Members, leader: int, words: str) -> None:
    with pytest.raises(ChangeRefused, match=words):
        check_change(Members((1, 2, 3), (), (9,)), new, leader)


def test_members_survive_the_journal() -> None:
    members = Members((1, 2), (4,), (3,), Roster((NodeFacts(4, b"4", "n4", 7104),), {2: 4}, (3,)))
    assert decode_members(encode_members(members)) == members
    assert (members.quorum, members.others(1)) == (2, (2, 4))
    assert promoted(members, 4, 1).all == (4, 1, 2)
    assert without(members, 4).former == (3, 4)


class Leaders:
    """A group under changing leaders: any voter may lead, a step may be lost, who is near changes, and orders come."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        count = rng.choice((1, 2, 3, 3, 5))
        self.nodes = list(range(1, rng.randint(count, 8) + 1))
        self.members = Members(tuple(rng.sample(self.nodes, count)))
        self.most = self.fewest = count
        self.leaving: dict[int, int] = {}
        self.near: set[int] = set()
        self.leader = self.members.voters[0]

    def order(self) -> None:
        going = self.rng.choice(self.nodes)
        staying = [node for node in self.nodes if node not in self.leaving and node != going]
        if staying:
            self.leaving[going] = self.rng.choice((0, *staying))

    def choose(self) -> int:
        taken = {*self.members.all, *self.members.former, *self.leaving}
        return next((node for node in self.nodes if node not in taken), 0)

    def elect(self) -> None:
        self.leader = self.rng.choice(self.members.voters)

    def hand_over(self) -> None:
        """What the driver does for a leader that is to leave."""
        heirs = [node for node in self.members.voters if node not in self.leaving and node in self.near]
        if self.leader in self.leaving and heirs:
            self.leader = heirs[0]

    def step(self, is_lost: bool) -> bool:
        """One turn of the leader; False when it has nothing to do."""
        self.hand_over()
        new = next_step(self.members, self.leaving, self.most, self.choose, lambda node: node in self.near)
        if new is None or self.leader not in new.voters:
            return False
        check_change(self.members, new, self.leader)
        had_nobody = not self.choose() and not any(node not in self.leaving for node in self.members.learners)
        assert len(new.voters) >= min(len(self.members.voters), self.most) or had_nobody, "a replica too few"
        assert new.voters, "a group needs a member"
        if not is_lost:
            self.members = new
            self.fewest = min(self.fewest, len(new.voters))
        return True

    def trouble(self) -> None:
        for node in self.nodes:
            (self.near.add if self.rng.random() < 0.5 else self.near.discard)(node)
        if self.rng.random() < 0.3:
            self.elect()
        if self.rng.random() < 0.1:
            self.order()
        self.step(is_lost=self.rng.random() < 0.3)


@given(seed=st.integers(0, 1 << 32))
def test_from_any_state_and_whatever_happens_between_nobody_who_is_to_leave_remains(seed: int) -> None:
    rng = random.Random(seed)
    group = Leaders(rng)
    for _ in range(rng.randint(0, 60)):
        group.trouble()
    group.near = set(group.nodes)
    for _ in range(CALM_STEPS):
        if not group.step(is_lost=False):
            break
    else:
        raise AssertionError(f"still going on: {group.members}, {group.leaving}")
    left = [node for node in group.members.all if node in group.leaving]
    nobody_could_stay = left == list(group.members.voters) and group.choose() == 0
    assert not left or nobody_could_stay, (group.members, group.leaving)
    assert not group.members.learners
    if not left and group.fewest == group.most:
        assert len(group.members.voters) == group.most
