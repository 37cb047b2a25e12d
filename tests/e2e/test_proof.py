"""The judge must see each kind of violation, or the kill tests prove nothing."""

from __future__ import annotations

from tests.e2e.proof import ABORTED, COMMITTED, REFUSED, UNKNOWN, UNNAMED, Entry, Transfer, judge

BEFORE = {1: 100, 2: 100}


def transfer(number: int, answer: str, fate: str = "", commit_ts: int = 0) -> Transfer:
    return Transfer(number, "client", 1, 2, 10, (1, 2, 3), 0.0, 1.0, answer, fate, commit_ts=commit_ts)


def after(count: int) -> dict[int, int]:
    return {1: 100 - 10 * count, 2: 100 + 10 * count}


def test_a_faithful_history_is_accepted() -> None:
    transfers = [transfer(1, COMMITTED), transfer(2, REFUSED), transfer(3, UNKNOWN, COMMITTED)]
    transfers += [transfer(4, UNKNOWN, ABORTED), transfer(5, UNKNOWN, UNNAMED), transfer(6, UNKNOWN, UNNAMED)]
    ledger = [Entry(number, 1, 2, 10) for number in (1, 3, 5)]
    assert judge(BEFORE, after(3), ledger, transfers) == []


def test_a_lost_acknowledged_transfer_is_seen() -> None:
    assert "not in the ledger" in judge(BEFORE, after(0), [], [transfer(1, COMMITTED)])[0]


def test_a_transfer_whose_fate_was_committed_and_that_is_missing_is_seen() -> None:
    assert "not in the ledger" in judge(BEFORE, after(0), [], [transfer(1, UNKNOWN, COMMITTED)])[0]


def test_a_refused_transfer_that_happened_is_seen() -> None:
    assert "did not happen" in judge(BEFORE, after(1), [Entry(1, 1, 2, 10)], [transfer(1, REFUSED)])[0]


def test_a_commit_past_a_fence_is_seen() -> None:
    assert "did not happen" in judge(BEFORE, after(1), [Entry(1, 1, 2, 10)], [transfer(1, UNKNOWN, ABORTED)])[0]


def test_an_entry_that_nobody_asked_for_is_seen() -> None:
    assert "belongs to no transfer" in judge(BEFORE, after(1), [Entry(9, 1, 2, 10)], [])[0]


def test_an_entry_that_differs_from_its_request_is_seen() -> None:
    found = judge(BEFORE, {1: 89, 2: 111}, [Entry(1, 1, 2, 11)], [transfer(1, COMMITTED)])
    assert "not what was asked" in found[0]


def test_a_half_applied_transfer_is_seen_in_the_balances() -> None:
    found = judge(BEFORE, {1: 90, 2: 100}, [Entry(1, 1, 2, 10)], [transfer(1, COMMITTED)])
    assert found == ["account 2 has 100, its ledger entries make 110"]


def test_a_transfer_applied_twice_is_seen_in_the_balances() -> None:
    assert len(judge(BEFORE, after(2), [Entry(1, 1, 2, 10)], [transfer(1, COMMITTED)])) == 2


def test_a_commit_timestamp_given_twice_is_seen() -> None:
    transfers = [transfer(1, COMMITTED, commit_ts=7), transfer(2, COMMITTED, commit_ts=7)]
    ledger = [Entry(1, 1, 2, 10), Entry(2, 1, 2, 10)]
    assert judge(BEFORE, after(2), ledger, transfers) == ["commit timestamp 7 was given 2 times"]
