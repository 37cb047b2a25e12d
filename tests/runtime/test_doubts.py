"""What is in doubt: what a shard's leader tells of it, and what gateways and homes add."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from nodes import ids
from nodes.core.locks import IX, LockTable, X
from nodes.core.replicated_log import TICK_MS
from nodes.core.txn.coordinator import Coordinator
from nodes.core.txn.entries import DecideTxn
from nodes.core.txn.shard import Shard
from nodes.requests import Decision, Doubt, LocksOn
from nodes.runtime import doubts
from nodes.runtime.messages import DoubtFacts, NodeDoubtsAre

HELD, WAITS, LATER = (ids.mint(n << 16, n, 1, n, "c1", b"abc") for n in (1, 2, 3))


def shard(doubted: dict[bytes, int], locks: LockTable) -> Any:
    machine: Any = Shard.__new__(Shard)
    participant = SimpleNamespace(locks=locks)
    machine.leading = SimpleNamespace(doubts=SimpleNamespace(waiting=lambda: doubted), participant=participant)
    return SimpleNamespace(group="s1", machine=machine)


def home(*decided: DecideTxn) -> Any:
    machine: Any = Coordinator.__new__(Coordinator)
    known = {each.txn: each for each in decided}
    machine.state = SimpleNamespace(decision=known.get)
    voters = SimpleNamespace(members=SimpleNamespace(voters=(1, 2, 3)))
    return SimpleNamespace(group="c1", machine=machine, configuration=voters)


def driver(*groups: Any, shards: list[str] | None = None, slots: Any = None) -> Any:
    trace = SimpleNamespace(decisions=lambda txns: slots or {}, shards_of=lambda txn: shards or [])
    by_code = {ids.group_code(group.group): group for group in groups}
    world, catalog = (
        SimpleNamespace(clock_us=lambda: 9_000_000),
        SimpleNamespace(table_of=lambda table: SimpleNamespace(name=f"table {table}")),
    )
    return SimpleNamespace(node=2, groups=by_code, trace=trace, world=world, catalog=catalog)


def test_a_leader_tells_locks_by_table_and_mode_and_who_waits_for_them() -> None:
    locks = LockTable()
    keys = [(7, b"a"), (7, b"b")]
    assert locks.request(HELD, HELD, [((7, b""), IX), *((key, X) for key in keys)])
    assert not locks.request(LATER, LATER, [((7, b""), IX), (keys[0], X)])
    assert not locks.request(WAITS, WAITS, [((7, b""), IX), (keys[1], X)])
    (told,) = doubts.of_node(driver(shard({HELD: 4}, locks)))
    assert (told.id, told.in_doubt, told.begun_us) == (
        ids.to_text(HELD), {"s1": 4 * TICK_MS}, 9_000_000 - 4_000 * TICK_MS
    )  # fmt: skip
    waiting = [ids.to_text(WAITS), ids.to_text(LATER)]
    held = [LocksOn("table 7", "IX", 0), LocksOn("table 7", "X", 2)]
    assert told.doubts == [Doubt("s1", 2, 4 * TICK_MS, held, waiting, 2)]


def test_who_does_not_lead_tells_nothing() -> None:
    follower = shard({HELD: 4}, LockTable())
    follower.machine.leading = None
    assert doubts.of_node(driver(follower, home())) == []


def test_a_replica_of_the_home_tells_the_decision_and_a_gateway_the_shards() -> None:
    decided = DecideTxn(HELD, True, 77, ["s1", "s2"], "")
    at_home, lost = doubts.facts_of(driver(home(decided), slots={HELD: ("3.n2", 41)}), [HELD, WAITS])
    assert at_home.decision == Decision("c1", True, 77, "", "3.n2", 41, [2], [1, 2, 3], ["s1", "s2"])
    assert lost == DoubtFacts(WAITS, [], None)
    assert doubts.facts_of(driver(shards=["s1", "s2"]), [HELD]) == [DoubtFacts(HELD, ["s1", "s2"], None)]


def decision(node: int, slot: int = 0) -> Decision:
    return Decision("c1", True, 77, "", "3.n2" if slot else "", slot, [node], [1, 2, 3], ["s1", "s2"])


def test_what_several_nodes_know_is_one_transaction() -> None:
    found = doubts.of_node(driver(shard({HELD: 4, WAITS: 1}, LockTable())))
    complete = {
        3: NodeDoubtsAre(0, [DoubtFacts(HELD, [], decision(3)), DoubtFacts(WAITS, ["s4", "s1"], None)]),
        1: NodeDoubtsAre(0, [DoubtFacts(HELD, [], decision(1, 41)), DoubtFacts(LATER, ["s9"], None)]),
    }
    doubts.complete(found, complete)
    first, second = found
    assert first.decision is not None
    assert (first.decision.held_by, first.decision.ballot, first.decision.slot) == ([1, 3], "3.n2", 41)
    assert (first.shards, second.shards, second.decision) == (["s1", "s2"], ["s1", "s4"], None)
