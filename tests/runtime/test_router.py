"""Placement of groups over nodes, and guesses of who leads them."""

from __future__ import annotations

from itertools import product

import pytest

from nodes.runtime.router import Router, place

SIZES = [(n, s, r) for n, s, r in product(range(1, 8), (1, 3, 6), (1, 3, 5)) if r <= n]

# -- placement


def test_three_nodes_and_three_shards_share_the_preferred_leaders() -> None:
    assert place(3, 3, 3) == {
        "c1": (1, 2, 3),
        "c2": (2, 3, 1),
        "c3": (3, 1, 2),
        "s0": (1, 2, 3),
        "s1": (2, 3, 1),
        "s2": (3, 1, 2),
        "s3": (1, 2, 3),
    }


def test_one_node_has_one_coordinator_group() -> None:
    assert place(1, 2, 1) == {"c1": (1,), "s0": (1,), "s1": (1,), "s2": (1,)}


@pytest.mark.parametrize(("nodes", "shards", "replicas"), SIZES)
def test_every_group_has_its_replicas_on_as_many_nodes(nodes: int, shards: int, replicas: int) -> None:
    groups = place(nodes, shards, replicas)
    assert set(groups) == {f"s{i}" for i in range(shards + 1)} | {f"c{i + 1}" for i in range(min(3, nodes))}
    for group, members in groups.items():
        assert len(members) == (min(nodes, 5) if group == "s0" else replicas)
        assert len(set(members)) == len(members)
        assert set(members) <= set(range(1, nodes + 1))


@pytest.mark.parametrize(("nodes", "shards", "replicas"), SIZES)
def test_no_node_is_preferred_for_two_shards_more_than_another(nodes: int, shards: int, replicas: int) -> None:
    groups = place(nodes, shards, replicas)
    leaders = [groups[f"s{i}"][0] for i in range(1, shards + 1)]
    counts = [leaders.count(node) for node in range(1, nodes + 1)]
    assert max(counts) - min(counts) <= 1


def test_all_nodes_compute_the_same_placement() -> None:
    assert place(5, 6, 3) == place(5, 6, 3)


# -- guesses


def router() -> Router:
    return Router({"c1": (1, 2, 3), "s1": (2, 3, 1)})


def test_the_first_guess_is_the_preferred_leader() -> None:
    assert (router().leader_of("c1"), router().leader_of("s1")) == (1, 2)


def test_an_unknown_group_has_no_leader() -> None:
    guesses = router()
    guesses.on_hint("s9", 1, 2)
    assert guesses.leader_of("s9") == 0


def test_a_refusal_that_names_the_leader_is_believed() -> None:
    guesses = router()
    guesses.on_hint("s1", 2, 1)
    assert guesses.leader_of("s1") == 1


@pytest.mark.parametrize("hint", [0, 2, 9])
def test_a_refusal_without_a_usable_hint_moves_to_the_next_member(hint: int) -> None:
    """No leader known, the refusing node itself, or no member."""
    guesses = router()
    guesses.on_hint("s1", 2, hint)
    assert guesses.leader_of("s1") == 3


def test_refusals_of_all_members_come_round() -> None:
    guesses, asked = router(), []
    for _ in range(4):
        asked.append(guesses.leader_of("s1"))
        guesses.on_hint("s1", asked[-1], 0)
    assert asked == [2, 3, 1, 2]


def test_a_late_refusal_of_a_node_no_longer_asked_changes_nothing() -> None:
    guesses = router()
    guesses.on_hint("s1", 2, 3)
    guesses.on_hint("s1", 2, 1)
    assert guesses.leader_of("s1") == 3


def test_a_local_replica_knows_better_than_hints() -> None:
    guesses, led_by = router(), [3]
    guesses.add_local("s1", lambda: led_by[0])
    guesses.on_hint("s1", 3, 1)
    assert guesses.leader_of("s1") == 3
    led_by[0] = 0
    assert guesses.leader_of("s1") == 0


def test_a_lost_peer_is_no_longer_guessed() -> None:
    guesses = router()
    guesses.on_peer_lost(2)
    assert (guesses.leader_of("c1"), guesses.leader_of("s1")) == (1, 3)
