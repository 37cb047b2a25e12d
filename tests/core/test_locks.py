"""The lock table of a shard leader: modes, waiting in order of age, wounds, and a random model (C15)."""

from __future__ import annotations

import random
from itertools import combinations, product

import pytest

from nodes.core.locks import CONFLICT, IS, IX, JOIN, MODES, NAMES, SIX, LockTable, Node, S, X

# Gray's compatibility matrix, rows and columns in the order IS IX S SIX X.
COMPATIBLE = ("yyyyn", "yynnn", "ynynn", "ynnnn", "nnnnn")
TABLE: Node = (2, b"")
ROW: Node = (2, b"a")
OTHER: Node = (2, b"b")


def ask(locks: LockTable, txn: bytes, *need: tuple[Node, int]) -> bool:
    """The name is the age too: `a` is older than `b`."""
    return locks.request(txn, txn, list(need))


# -- modes


@pytest.mark.parametrize(("a", "b"), list(product(range(5), repeat=2)))
def test_two_modes_conflict_as_gray_says(a: int, b: int) -> None:
    assert CONFLICT[a][b] == (COMPATIBLE[a][b] == "n")
    locks = LockTable()
    assert ask(locks, b"a", (ROW, a))
    assert ask(locks, b"b", (ROW, b)) == (COMPATIBLE[a][b] == "y")


@pytest.mark.parametrize(("a", "b"), list(product(range(5), repeat=2)))
def test_a_join_is_the_weakest_mode_that_forbids_what_both_forbid(a: int, b: int) -> None:
    def forbids(mode: int) -> set[int]:
        return {other for other in range(5) if COMPATIBLE[mode][other] == "n"}

    stronger = [mode for mode in range(5) if forbids(mode) >= forbids(a) | forbids(b)]
    assert len(forbids(JOIN[a][b])) == min(len(forbids(mode)) for mode in stronger)
    assert JOIN[a][b] in stronger
    assert JOIN[a][b] == JOIN[b][a]


def test_modes_are_known_by_name() -> None:
    assert [MODES[name] for name in NAMES] == [IS, IX, S, SIX, X]


def test_intention_to_write_and_a_read_of_the_whole_table_join_to_six() -> None:
    locks = LockTable()
    assert ask(locks, b"a", (TABLE, IX), (ROW, X))
    assert ask(locks, b"a", (TABLE, S))
    assert locks.held_by(b"a") == {TABLE: SIX, ROW: X}
    assert ask(locks, b"b", (TABLE, IS), (OTHER, S))
    assert not ask(locks, b"c", (TABLE, IX))


# -- all or nothing


def test_a_request_gets_all_its_nodes_or_waits_with_what_it_held_before() -> None:
    locks = LockTable()
    ask(locks, b"a", (ROW, X))
    ask(locks, b"b", (TABLE, IX))
    assert not ask(locks, b"b", (OTHER, X), (ROW, X))
    assert locks.held_by(b"b") == {TABLE: IX}
    assert locks.release(b"a") == [b"b"]
    assert locks.held_by(b"b") == {TABLE: IX, OTHER: X, ROW: X}


def test_what_is_held_already_is_granted_again_past_those_who_wait() -> None:
    locks = LockTable()
    ask(locks, b"b", (ROW, X))
    assert not ask(locks, b"a", (ROW, X))
    assert ask(locks, b"b", (ROW, S))
    assert locks.held_by(b"b") == {ROW: X}


# -- who waits for whom


def test_a_younger_request_stands_behind_an_older_conflicting_waiter() -> None:
    locks = LockTable()
    ask(locks, b"a", (ROW, S))
    assert not ask(locks, b"b", (ROW, X))
    assert not ask(locks, b"c", (ROW, S)), "an older writer waits"
    assert locks.release(b"a") == [b"b"]
    assert locks.release(b"b") == [b"c"]


def test_an_older_request_passes_a_younger_waiter() -> None:
    locks = LockTable()
    ask(locks, b"b", (ROW, S))
    assert not ask(locks, b"c", (ROW, X))
    assert ask(locks, b"a", (ROW, S))


def test_an_older_waiter_that_does_not_conflict_is_passed() -> None:
    locks = LockTable()
    ask(locks, b"a", (ROW, X))
    assert not ask(locks, b"b", (ROW, S), (OTHER, S))
    assert ask(locks, b"c", (OTHER, S))
    assert not ask(locks, b"d", (OTHER, X)), "b stands at both of its nodes"


def test_an_upgrade_stands_in_order_of_age_and_not_in_front() -> None:
    """An upgrade that is put first deadlocks: its owner is not older than who waits for it."""
    locks = LockTable()
    for txn in (b"a", b"b", b"c"):
        ask(locks, txn, (ROW, S))
    assert not ask(locks, b"c", (ROW, X))
    assert not ask(locks, b"b", (ROW, X))
    assert locks.waiting() == [b"b", b"c"]
    assert list(locks.wounds_of(b"b")) == [b"c"]
    assert locks.release(b"c") == []
    assert locks.release(b"a") == [b"b"]
    assert locks.held_by(b"b") == {ROW: X}


def test_an_upgrade_of_a_younger_one_waits_behind_an_older_newcomer() -> None:
    locks = LockTable()
    ask(locks, b"c", (TABLE, IS))
    ask(locks, b"d", (TABLE, IX))
    assert not ask(locks, b"b", (TABLE, S))
    assert not ask(locks, b"c", (TABLE, IX)), "b is older and waits for S"
    assert list(locks.wounds_of(b"b")) == [b"d"]
    assert locks.release(b"d") == [b"b"]
    assert locks.is_waiting(b"c")


# -- wounds


def test_an_older_waiter_wounds_the_younger_holders_in_its_way_and_no_others() -> None:
    locks = LockTable()
    for txn in (b"a", b"c", b"d"):
        ask(locks, txn, (ROW, S))
    ask(locks, b"e", (OTHER, S))
    assert not ask(locks, b"b", (ROW, X))
    assert list(locks.wounds_of(b"b")) == [b"c", b"d"]


def test_a_younger_waiter_wounds_nobody() -> None:
    locks = LockTable()
    ask(locks, b"a", (ROW, X))
    assert not ask(locks, b"b", (ROW, X))
    assert list(locks.wounds_of(b"b")) == []
    assert locks.blocker_of(b"b") == (b"a", ROW)


def test_the_age_decides_and_not_the_id() -> None:
    locks = LockTable()
    assert locks.request(b"first id", b"9", [(ROW, X)])
    assert not locks.request(b"later id", b"1", [(ROW, X)])
    assert locks.wounds_of(b"later id") == {b"first id": ROW}


# -- release


def test_a_release_grants_in_order_of_age() -> None:
    locks = LockTable()
    ask(locks, b"a", (ROW, X))
    for txn in (b"d", b"b", b"c"):
        assert not ask(locks, txn, (ROW, S))
    assert locks.release(b"a") == [b"b", b"c", b"d"]


def test_who_goes_while_it_waits_lets_those_behind_it_through() -> None:
    locks = LockTable()
    ask(locks, b"a", (ROW, S))
    assert not ask(locks, b"b", (ROW, X))
    assert not ask(locks, b"c", (ROW, S))
    assert locks.release(b"b") == [b"c"]


def test_a_released_transaction_leaves_nothing() -> None:
    locks = LockTable()
    ask(locks, b"a", (ROW, X), (TABLE, IX))
    assert not ask(locks, b"b", (ROW, X), (TABLE, IX))
    locks.release(b"b")
    locks.release(b"a")
    assert (len(locks), locks.waiting(), locks.conflicting([(ROW, X)])) == (0, [], {})
    assert locks.release(b"a") == []


def test_one_transaction_waits_for_one_request_at_a_time() -> None:
    locks = LockTable()
    ask(locks, b"a", (ROW, X))
    assert not ask(locks, b"b", (ROW, X))
    with pytest.raises(AssertionError):
        ask(locks, b"b", (OTHER, X))


def test_prepares_that_conflict_cannot_be_rebuilt() -> None:
    locks = LockTable()
    locks.rebuild(b"a", b"a", [(ROW, X)])
    with pytest.raises(AssertionError):
        locks.rebuild(b"b", b"b", [(ROW, S)])


# -- a model


class Model:
    """What every transaction holds and waits for, kept beside the table and checked against it by brute force."""

    def __init__(self) -> None:
        self.locks = LockTable()
        self.held: dict[bytes, dict[Node, int]] = {}
        self.needs: dict[bytes, dict[Node, int]] = {}

    def request(self, txn: bytes, need: dict[Node, int]) -> None:
        self.needs[txn] = need
        if self.locks.request(txn, txn, list(need.items())):
            self._granted(txn)

    def release(self, txn: bytes) -> None:
        self.held.pop(txn, None)
        self.needs.pop(txn, None)
        granted = self.locks.release(txn)
        assert granted == sorted(granted), "granted in order of age"
        for other in granted:
            self._granted(other)

    def _granted(self, txn: bytes) -> None:
        held = self.held.setdefault(txn, {})
        for node, mode in self.needs.pop(txn).items():
            held[node] = JOIN[held[node]][mode] if node in held else mode

    def target(self, txn: bytes, node: Node) -> int:
        now, mode = self.held.get(txn, {}).get(node), self.needs[txn][node]
        return mode if now is None else JOIN[now][mode]

    def blockers(self, txn: bytes) -> tuple[set[bytes], set[bytes]]:
        """(conflicting holders, older conflicting waiters)"""
        holders, waiters = set(), set()
        for node in self.needs[txn]:
            target = self.target(txn, node)
            if self.held.get(txn, {}).get(node) == target:
                continue
            holders |= {o for o, h in self.held.items() if o != txn and node in h and CONFLICT[h[node]][target]}
            older = [o for o, need in self.needs.items() if o < txn and node in need]
            waiters |= {o for o in older if CONFLICT[self.target(o, node)][target]}
        return holders, waiters

    def check(self) -> None:
        for a, b in combinations(self.held, 2):
            for node in self.held[a].keys() & self.held[b].keys():
                assert not CONFLICT[self.held[a][node]][self.held[b][node]], "two conflicting holders"
        assert {txn: self.locks.held_by(txn) for txn in self.held} == self.held
        assert self.locks.waiting() == sorted(self.needs)
        for txn in self.needs:
            holders, waiters = self.blockers(txn)
            assert holders | waiters, "who is blocked by nobody does not wait"
            # All that is waited for is older or wounded, so that waiting has no cycle.
            assert set(self.locks.wounds_of(txn)) == {other for other in holders if other > txn}


def some_need(rng: random.Random) -> dict[Node, int]:
    key = bytes([rng.randrange(97, 100)])
    return rng.choice(
        [
            {TABLE: IS, (2, key): S},
            {TABLE: IX, (2, key): X},
            {TABLE: IX, (2, key): X, (2, b"a"): X},
            {TABLE: rng.choice([S, SIX, X])},
        ]
    )


@pytest.mark.parametrize("seed", range(60))
def test_random_transactions_never_conflict_and_all_of_them_end(seed: int) -> None:
    rng, model = random.Random(seed), Model()
    txns = [b"%02d" % number for number in range(8)]
    for _ in range(80):
        txn = rng.choice(txns)
        if txn in model.needs or (txn in model.held and rng.random() < 0.3):
            model.release(txn)
        else:
            model.request(txn, some_need(rng))
        model.check()
    while model.held or model.needs:
        for txn in sorted(model.needs):
            for victim in model.locks.wounds_of(txn) if txn in model.needs else ():
                model.release(victim)
                model.check()
        oldest = min([*model.held, *model.needs])
        assert oldest not in model.needs, "the oldest waits for nobody once its wounds are carried out"
        model.release(oldest)
        model.check()
    assert len(model.locks) == 0
