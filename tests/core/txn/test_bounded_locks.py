"""A transaction that would hold too many locks of one table holds larger ones instead."""

from __future__ import annotations

import random

import pytest

from nodes.core.locks import IS, IX, JOIN, SIX, Node, S, X
from nodes.core.txn import evaluated
from nodes.core.txn.evaluated import bounded
from nodes.core.txn.messages import Voted
from tests.core.txn.scene import execute, new_id
from tests.core.txn.sql_shard import SqlShard
from tests.sim.lock_tree import holds

TXN, YOUNG = new_id(5), new_id(9)
BOUND = 6
TABLE: Node = (2, b"")


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluated, "MAX_LOCKS", BOUND)


def keys(count: int, prefix: bytes = b"", mode: int = X) -> dict[Node, int]:
    return {(2, prefix + b"%02d" % number): mode for number in range(count)}


def test_as_many_as_are_allowed_stay_as_they_are_and_what_is_held_is_not_asked_for_again() -> None:
    need = {TABLE: IX} | keys(BOUND - 1)
    assert dict(bounded({}, need)) == need
    assert bounded(need, need) == []
    assert dict(bounded({TABLE: IS, (2, b"00"): S}, {TABLE: IX, (2, b"00"): X})) == {TABLE: IX, (2, b"00"): X}


@pytest.mark.parametrize(("mode", "above", "whole"), [(X, IX, X), (S, IS, S)])
def test_one_more_takes_the_table(mode: int, above: int, whole: int) -> None:
    assert bounded({}, {TABLE: above} | keys(BOUND, mode=mode)) == [(TABLE, whole)]


def test_keys_of_few_prefixes_take_these_in_the_strongest_mode_of_each() -> None:
    need = {TABLE: IX, (2, b"a"): IX, (2, b"b"): IS} | keys(5, b"a") | keys(5, b"b", S) | {(2, b"c"): SIX}
    assert dict(bounded({}, need)) == {TABLE: IX, (2, b"a"): X, (2, b"b"): S, (2, b"c"): SIX}


def test_what_is_held_counts() -> None:
    held = {TABLE: IX} | keys(BOUND - 1)
    assert bounded(held, {TABLE: IX, (2, b"z"): X}) == [(TABLE, X)]


def test_other_tables_keep_their_own() -> None:
    need = {TABLE: IX} | keys(BOUND) | {(3, b""): IX, (3, b"z"): X}
    assert dict(bounded({}, need)) == {TABLE: X, (3, b""): IX, (3, b"z"): X}


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_asked_for_is_held_in_the_end_and_never_more_nodes_than_allowed(seed: int) -> None:
    rng, held = random.Random(seed), dict[Node, int]()
    for _ in range(12):
        need: dict[Node, int] = {}
        for _ in range(rng.randint(1, 5)):
            intention, mode = rng.choice(((IX, X), (IS, S), (IX, SIX)))
            path = [b"", *(b"%d" % rng.randint(0, 3) for _ in range(rng.randint(1, 3)))]
            for width in range(1, len(path) + 1):
                node = (2, b"".join(path[:width]))
                asked = mode if width == len(path) else intention
                need[node] = JOIN[need.get(node, asked)][asked]
        for node, mode in bounded(held, need):
            held[node] = JOIN[held.get(node, mode)][mode]
        assert holds(held, need.items())
        assert len(held) <= BOUND + 1  # the table comes on top of them


def test_a_large_statement_of_one_shard_locks_the_table_and_is_done() -> None:
    shard = SqlShard()
    shard.ask(TXN, "INSERT INTO lines VALUES " + ", ".join(f"({a}, 1, 'z', 0)" for a in range(10, 20)))
    assert shard.held(TXN) == "X"
    shard.ask(YOUNG, "SELECT * FROM lines WHERE a = 1 AND b = 1")
    assert shard.locks.is_waiting(YOUNG)
    shard.apply()
    assert [vote.txn for vote in shard.host.said(Voted)] == [TXN]


def test_a_large_statement_under_one_prefix_leaves_the_others_free() -> None:
    shard = SqlShard()
    shard.ask(TXN, "INSERT INTO lines VALUES " + ", ".join(f"(7, {b}, 'z', 0)" for b in range(10)))
    assert shard.held(TXN) == "IX, X 7"
    shard.ask(YOUNG, "UPDATE lines SET d = 1 WHERE a = 1 AND b = 1")
    assert [entry.txn for entry in shard.proposals] == [TXN, YOUNG]


def test_what_a_statement_changes_counts_as_what_it_names() -> None:
    shard = SqlShard()
    shard.ask(TXN, "UPDATE lines SET d = d + 1 WHERE d >= 0")
    assert shard.held(TXN) == "SIX, X 1, X 2"
    assert len(shard.apply()[0].images) == 6


def test_a_new_leader_holds_the_larger_lock_too() -> None:
    shard = SqlShard()
    shard.ask(TXN, "UPDATE lines SET d = d + 1 WHERE d >= 0")
    shard.apply()
    again = shard.restarted()
    again.receive(execute(YOUNG, shard.fragment("SELECT * FROM lines WHERE a = 1 AND b = 9")))
    assert again.locks.is_waiting(YOUNG)
