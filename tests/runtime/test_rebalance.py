"""When a leader gives its group back to the preferred one."""

from __future__ import annotations

from nodes.runtime.rebalance import MOST_DOUBLED, PATIENCE, Rebalance

AFTER = 10


def ticks_until_given(rebalance: Rebalance, most: int = 10_000) -> int:
    """Ticks of a near preferred leader until the group is given back."""
    return next(tick for tick in range(1, most + 1) if rebalance.tick(True, True, False))


def test_an_elected_leader_gives_the_group_back_to_one_that_has_been_near_for_a_while() -> None:
    rebalance = Rebalance(AFTER)
    rebalance.begin(handed_over=False)
    assert ticks_until_given(rebalance) == AFTER


def test_the_wait_begins_anew_when_the_preferred_leader_is_away_for_a_moment() -> None:
    rebalance = Rebalance(AFTER)
    rebalance.begin(handed_over=False)
    assert not any(rebalance.tick(True, True, False) for _ in range(AFTER - 1))
    assert not rebalance.tick(False, False, False)
    assert ticks_until_given(rebalance) == AFTER


def test_who_is_heard_and_behind_is_not_away_and_its_ticks_do_not_count() -> None:
    rebalance = Rebalance(AFTER)
    rebalance.begin(handed_over=True)
    assert not any(rebalance.tick(True, tick % 2 == 0, False) for tick in range(100 * AFTER))
    rebalance.begin(handed_over=False)
    assert [rebalance.tick(True, tick % 2 == 0, False) for tick in range(2 * AFTER)].index(True) == 2 * (AFTER - 1)


def test_a_connection_that_broke_is_enough_to_have_been_away() -> None:
    rebalance = Rebalance(AFTER)
    rebalance.begin(handed_over=True)
    rebalance.on_away()
    assert ticks_until_given(rebalance) == AFTER


def test_what_was_handed_over_stays_until_the_preferred_leader_was_away() -> None:
    rebalance = Rebalance(AFTER)
    rebalance.begin(handed_over=True)
    assert not any(rebalance.tick(True, True, False) for _ in range(100 * AFTER))
    rebalance.tick(False, False, False)
    assert ticks_until_given(rebalance) == AFTER


def test_each_wait_is_twice_as_long_up_to_a_bound() -> None:
    rebalance, waits = Rebalance(AFTER), []
    for _ in range(9):
        rebalance.begin(handed_over=False)
        waits.append(ticks_until_given(rebalance) // AFTER)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 64, MOST_DOUBLED]


def test_a_preferred_leader_that_does_not_take_it_is_asked_again_later() -> None:
    rebalance = Rebalance(AFTER)
    rebalance.begin(handed_over=False)
    assert [ticks_until_given(rebalance) for _ in range(3)] == [AFTER, 2 * AFTER, 4 * AFTER]


def test_open_transactions_are_waited_for_but_not_for_ever() -> None:
    rebalance = Rebalance(AFTER)
    rebalance.begin(handed_over=False)
    assert not any(rebalance.tick(True, True, True) for _ in range(3 * AFTER))
    assert rebalance.tick(True, True, False)
    rebalance.begin(handed_over=False)
    waited = next(tick for tick in range(1, 1_000) if rebalance.tick(True, True, True))
    assert waited == (2 + PATIENCE) * AFTER
