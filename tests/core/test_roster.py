"""What an operator may order of the nodes, and what `s0` says then: done before is no error, impossible is refused."""

from __future__ import annotations

import pytest

from nodes.core.membership import Members, NodeFacts, Roster
from nodes.core.roster import ADD, REMOVE, REPLACE, Order, carried_out
from nodes.errors import BadRequest, NotFound, StoreError

N4 = NodeFacts(4, b"4", "127.0.0.1", 7104)
FOUNDED = Members((1, 2, 3))
JOINED = Members((1, 2, 3), (4,), (), Roster((N4,)))


def ordered(members: Members, order: Order, replicas: int = 3) -> Members | None:
    joined = [facts.number for facts in members.roster.joined]
    nodes = [node for node in (1, 2, 3, *joined) if node not in members.roster.gone]
    return carried_out(members, order, nodes, replicas)


def roster(members: Members, order: Order) -> Roster:
    wanted = ordered(members, order)
    assert wanted is not None
    assert ordered(wanted, order) is None, "ordered again, it changes nothing"
    return wanted.roster


def test_a_node_is_let_in_as_a_learner_of_s0() -> None:
    assert ordered(FOUNDED, Order(ADD, 4, facts=N4)) == JOINED
    assert ordered(JOINED, Order(ADD, 4, facts=N4)) is None
    assert ordered(JOINED, Order(ADD, 4)) is None  # it asks no more, for it is in


def test_a_node_that_leaves_and_its_successor_are_written_down() -> None:
    assert roster(JOINED, Order(REPLACE, 2, 4)).leaving == {2: 4}
    assert roster(JOINED, Order(REMOVE, 2)).leaving == {2: 0}
    assert roster(FOUNDED, Order(REMOVE, 2, fewer=True)).leaving == {2: 0}


def test_another_successor_may_be_named_as_long_as_the_node_is_there() -> None:
    leaving = Members((1, 2, 3), (4,), (), Roster((N4,), {2: 0}))
    assert roster(leaving, Order(REPLACE, 2, 4)).leaving == {2: 4}


def test_a_node_that_is_gone_is_gone_whatever_is_ordered() -> None:
    gone = Members((1, 4, 3), (), (2,), Roster((N4,), {}, (2,)))
    for order in (Order(REMOVE, 2), Order(REPLACE, 2, 4), Order(REPLACE, 2, 9)):
        assert ordered(gone, order) is None


@pytest.mark.parametrize(
    ("members", "order", "error", "words"),
    [
        (FOUNDED, Order(ADD, 4), NotFound, "n4 does not ask to be let in"),
        (FOUNDED, Order(ADD, 2, facts=N4), BadRequest, "there is a node n2"),
        (JOINED, Order(ADD, 4, facts=NodeFacts(4, b"wiped", "n4", 7104)), BadRequest, "there is a node n4"),
        (Members((1, 3), (), (2,), Roster((), {}, (2,))), Order(ADD, 2), BadRequest, "a number is given once"),
        (FOUNDED, Order(REMOVE, 7), NotFound, "there is no node n7"),
        (FOUNDED, Order(REMOVE, 2), BadRequest, "without n2 there are 2 nodes for 3 replicas"),
        (Members((1,)), Order(REMOVE, 9), NotFound, "there is no node n9"),
        (FOUNDED, Order(REPLACE, 2, 1), BadRequest, "without n2 there are 2 nodes for 3 replicas"),
        (FOUNDED, Order(REPLACE, 2, 4), NotFound, "n4 cannot take the place of n2: add it first"),
        (JOINED, Order(REPLACE, 2, 2), NotFound, "n2 cannot take the place of n2"),
        (Members((1, 2, 3), (4,), (), Roster((N4,), {4: 0})), Order(REPLACE, 2, 4), NotFound, "add it first"),
        (FOUNDED, Order("promote", 2), BadRequest, "'promote' is no order"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    members: Members, order: Order, error: type[StoreError], words: str
) -> None:
    with pytest.raises(error, match=words):
        ordered(members, order)


def test_the_last_node_does_not_leave_even_with_fewer_replicas() -> None:
    with pytest.raises(BadRequest, match="there are 0 nodes"):
        carried_out(Members((1,)), Order(REMOVE, 1, fewer=True), [1], 1)
