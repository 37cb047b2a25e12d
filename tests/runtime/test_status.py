"""What a wide status says of each node, put together from those that answered."""

from __future__ import annotations

import pytest

from nodes.core.membership import NodeFacts
from nodes.runtime import status

NEWCOMER = NodeFacts(4, b"\x05" * 16, "::1", 7104)
ADDRESSES = {1: ("127.0.0.1", 7101), 2: ("127.0.0.1", 7102)}


def answer(**facts: object) -> status.Status:
    told = {"boot": 3, "ready": True, "journal": {"free_bytes": 7}, "waiting": [], "leaving": [], "gone": []}
    return status.of_nothing() | told | facts


@pytest.mark.parametrize(
    ("sent_ms", "theirs_ms", "received_ms", "ahead_ms"),
    [(1_000, 1_000, 1_000, 0), (1_000, 1_010, 1_020, 0), (1_000, 1_510, 1_020, 500), (1_000, 10, 1_020, -1_000)],
)
def test_a_clock_is_compared_with_the_middle_of_the_way_there_and_back(sent_ms, theirs_ms, received_ms, ahead_ms):
    assert status.clock_ahead_ms(sent_ms, theirs_ms, received_ms) == ahead_ms


def test_what_a_node_alone_can_tell_is_null_while_it_is_silent():
    first, second = status.merged({1: answer()}, ADDRESSES, {1: 5, 2: 6}, {})["nodes"]
    assert (first["up"], first["boot"], first["free_bytes"], first["clock_ahead_ms"]) == (True, 3, 7, 0)
    assert (second["up"], second["boot"], second["free_bytes"], second["clock_ahead_ms"]) == (False, None, None, None)


def test_each_node_is_told_with_the_time_since_when_it_is_reached_or_silent():
    nodes = status.merged({1: answer()}, ADDRESSES, {1: 5, 2: 6}, {})["nodes"]
    assert [(node["up"], node["since_ms"]) for node in nodes] == [(True, 5), (False, 6)]


def test_the_clock_of_a_peer_is_told_as_it_was_measured():
    merged = status.merged({1: answer(), 2: answer(clock_ahead_ms=-40)}, ADDRESSES, {1: 5, 2: 6}, {})
    assert [node["clock_ahead_ms"] for node in merged["nodes"]] == [0, -40]


def test_aborts_are_added_up_by_cause():
    first, second = answer(aborts={"wounded": 2, "busy": 1}), answer(aborts={"wounded": 3})
    assert status.merged({1: first, 2: second}, ADDRESSES, {1: 5, 2: 6}, {})["aborts"] == {"busy": 1, "wounded": 5}


def system(leader: int | None) -> dict[str, object]:
    replica = {"node": leader or 2, "chosen_slot": 3, "applied_slot": 3}
    return {"group": "s0", "leader": leader, "epoch": 1, "replicas": [replica]}


def test_who_waits_leaves_or_is_gone_is_told_as_all_that_answered_know_it():
    first = answer(waiting=[[4, "n4:7104", "aa"], [5, "n5:7105", "bb"], [6, "n6:7106", "cc"]], leaving=[[2, 0], [3, 0]])
    second = answer(waiting=[[4, "n4:7104", "aa"]], leaving=[[2, 5]], gone=[3, 6], groups=[system(2)])
    merged = status.merged({1: second, 2: first}, ADDRESSES | {5: ("n5", 7105)}, {1: 5, 2: 6, 5: 7}, {})
    assert merged["waiting"] == [[4, "n4:7104", "aa"]]  # n5 was let in, n6 removed
    assert merged["leaving"] == [[2, 5]]  # the leader of s0 knows who takes its place
    assert merged["gone"] == [3, 6]


def test_a_newcomer_is_found_with_whomever_it_asked():
    facts = status.newcomer([answer(), answer(waiting=[list(status.told_of(NEWCOMER))])], 4)
    assert facts == NEWCOMER
    assert status.newcomer([answer()], 4) is None
