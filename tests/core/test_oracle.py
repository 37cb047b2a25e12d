"""The oracle and the desk that asks it (cases O01, O02, O05, O06, O07; the quorum round is the coordinator's)."""

from __future__ import annotations

import random

import pytest

from nodes.core.oracle import SHIFT, Oracle, TimestampDesk, TimestampReply, TimestampRequest, at_ms

CLOCK_MS = 1_700_000_000_000
AHEAD_MS = 3_000


def leading(reserved: int = 0, clock_ms: int = CLOCK_MS) -> Oracle:
    """A leader whose first reservation is applied."""
    oracle = Oracle()
    oracle.lead(reserved)
    oracle.on_reserved(oracle.reserve(AHEAD_MS, clock_ms))
    return oracle


# -- the oracle


def test_o01_values_rise_when_the_clock_steps_back() -> None:
    """O01: the leader's wall clock steps back by ten seconds."""
    oracle = leading()
    values = [oracle.take(1, CLOCK_MS + step) for step in (0, 5, -10_000, -10_000, -9_000, 6)]
    assert values == sorted(set(values))
    assert min(values) > 0


def test_o02_a_new_leader_starts_above_the_highest_reservation_in_the_log() -> None:
    """O02: A gave up to its reservation; B's clock is five seconds behind."""
    a = Oracle()
    a.lead(0)
    reserved = a.reserve(AHEAD_MS, CLOCK_MS)
    a.on_reserved(reserved)
    last = a.take(reserved - at_ms(CLOCK_MS) + 1, CLOCK_MS) + reserved - at_ms(CLOCK_MS)
    assert last == reserved
    b = leading(reserved, CLOCK_MS - 5_000)
    assert b.take(1, CLOCK_MS - 5_000) == last + 1


def test_o02_a_new_leader_gives_nothing_before_a_reservation_of_its_own() -> None:
    """O02: what an older leader had reserved is no permission."""
    oracle = Oracle()
    oracle.lead(at_ms(CLOCK_MS + 60_000))
    assert oracle.take(1, CLOCK_MS) == 0


def test_o05_nothing_is_given_above_the_applied_reservation() -> None:
    """O05: a reservation that is proposed and not applied does not count."""
    oracle = leading()
    limit = oracle.limit
    assert oracle.reserve(AHEAD_MS, CLOCK_MS + AHEAD_MS) > limit
    room = limit - at_ms(CLOCK_MS) + 1
    assert oracle.take(room, CLOCK_MS) == at_ms(CLOCK_MS)
    assert oracle.take(1, CLOCK_MS) == 0
    oracle.on_reserved(oracle.proposed)
    assert oracle.take(1, CLOCK_MS) == limit + 1


def test_o05_a_clock_beyond_the_reservation_takes_what_is_left_of_it() -> None:
    """O05: the reservation bounds, the clock only suggests."""
    oracle = leading()
    assert oracle.take(1, CLOCK_MS + 2 * AHEAD_MS) <= oracle.limit


def test_a_refused_take_uses_nothing_up() -> None:
    oracle = leading()
    given = oracle.given
    assert oracle.take(oracle.limit + 1, CLOCK_MS) == 0
    assert oracle.given == given


def test_a_reservation_is_renewed_when_less_than_half_is_left_and_proposed_once() -> None:
    oracle = leading()
    assert oracle.reserve(AHEAD_MS, CLOCK_MS + AHEAD_MS // 2) == 0
    proposed = oracle.reserve(AHEAD_MS, CLOCK_MS + AHEAD_MS // 2 + 1)
    assert proposed == at_ms(CLOCK_MS + AHEAD_MS // 2 + 1 + AHEAD_MS)
    assert oracle.reserve(AHEAD_MS, CLOCK_MS + AHEAD_MS // 2 + 1) == 0


def test_leaders_in_a_row_do_not_drive_time_away_from_the_clock() -> None:
    """Each starts behind what the one before had reserved; only the first of that is the clock's."""
    oracle = leading()
    for _ in range(20):
        oracle = leading(oracle.limit)
        assert oracle.take(1_000, CLOCK_MS) > 0
    assert oracle.given < at_ms(CLOCK_MS + 2 * AHEAD_MS)


def test_values_ahead_of_the_clock_are_counted_up_without_end() -> None:
    oracle = leading(at_ms(CLOCK_MS + 60_000))
    last = 0
    for _ in range(200):
        oracle.on_reserved(oracle.reserve(AHEAD_MS, CLOCK_MS))
        first = oracle.take(100_000, CLOCK_MS)
        assert first > last
        last = first + 99_999


def test_an_older_reservation_applied_later_takes_nothing_back() -> None:
    oracle = leading()
    limit = oracle.limit
    oracle.on_reserved(limit - 5)
    assert oracle.limit == limit


def test_o07_the_counter_carries_into_the_milliseconds() -> None:
    """O07: more than 2^16 values in one millisecond."""
    oracle = leading()
    first = oracle.take(1, CLOCK_MS)
    assert first == at_ms(CLOCK_MS)
    assert oracle.take(1 << SHIFT, CLOCK_MS) == first + 1
    following = oracle.take(1, CLOCK_MS)
    assert following == first + 1 + (1 << SHIFT)
    assert following >> SHIFT == CLOCK_MS + 1
    assert oracle.take(1, CLOCK_MS + 1) == following + 1


@pytest.mark.parametrize("seed", range(20))
def test_no_value_is_given_twice_whoever_leads(seed: int) -> None:
    """O01, O02, O05 at random: clocks jump, leaders change, reservations are applied late or get lost."""
    rng = random.Random(seed)
    oracle, reserved, last, in_log = Oracle(), 0, 0, [0]
    oracle.lead(0)
    for _ in range(300):
        clock = CLOCK_MS + rng.randrange(-8_000, 8_000)
        action = rng.random()
        if action < 0.05:
            in_log.clear()  # what the old leader had not applied comes to nothing
            oracle = Oracle()
            oracle.lead(reserved)
        elif action < 0.4 and (until := oracle.reserve(AHEAD_MS, clock)):
            in_log.append(until)
        elif action < 0.6 and in_log:
            reserved = max(reserved, in_log[0])
            oracle.on_reserved(in_log.pop(0))
        else:
            count = rng.choice([1, 3, 70_000])
            first = oracle.take(count, clock)
            assert first == 0 or first > last
            assert first == 0 or first + count - 1 <= reserved
            last = first + count - 1 if first else last


# -- the desk


class Desk:
    """A desk on n3 in its second life, and the values that it handed out, by asker."""

    def __init__(self, boot: int = 2) -> None:
        self.desk = TimestampDesk(3, boot)
        self.got: dict[str, int] = {}

    def ask(self, *names: str) -> None:
        for name in names:
            self.desk.ask(lambda ts, name=name: self._take(name, ts))  # type: ignore[misc]

    def _take(self, name: str, ts: int) -> None:
        assert name not in self.got, "one asker, one value"
        self.got[name] = ts


def test_who_asks_in_one_turn_shares_a_message() -> None:
    node = Desk()
    assert node.desk.flush(0) is None
    node.ask("a", "b", "c")
    assert node.desk.is_gathering
    assert node.desk.flush(0) == TimestampRequest(3, 2, 1, 3)
    assert not node.desk.is_gathering
    node.desk.on_reply(TimestampReply(2, 1, 700))
    assert node.got == {"a": 700, "b": 701, "c": 702}


def test_an_answer_serves_only_who_waited_when_the_message_first_left() -> None:
    node = Desk()
    node.ask("a")
    node.desk.flush(0)
    node.ask("late")
    node.desk.on_reply(TimestampReply(2, 1, 700))
    assert node.got == {"a": 700}
    assert node.desk.flush(1) == TimestampRequest(3, 2, 2, 1)
    node.desk.on_reply(TimestampReply(2, 2, 800))
    assert node.got == {"a": 700, "late": 800}


def test_o06_answers_that_cross_go_to_their_own_askers() -> None:
    """O06: the answers of two batches arrive in the other order, and again."""
    node = Desk()
    node.ask("a", "b")
    node.desk.flush(0)
    node.ask("c")
    node.desk.flush(1)
    for reply in (TimestampReply(2, 2, 900), TimestampReply(2, 1, 500), TimestampReply(2, 2, 950)):
        node.desk.on_reply(reply)
    assert node.got == {"a": 500, "b": 501, "c": 900}


def test_o06_a_lost_message_is_repeated_with_the_set_it_first_carried() -> None:
    """O06: the repeat has the same number and count; of two answers the first one counts."""
    node = Desk()
    node.ask("a", "b")
    sent = node.desk.flush(0)
    node.ask("late")
    assert node.desk.repeat(3, 4) == []
    assert node.desk.repeat(4, 4) == [sent]
    assert node.desk.repeat(5, 4) == [], "the wait begins anew"
    assert node.desk.repeat(8, 4) == [sent]
    node.desk.on_reply(TimestampReply(2, 1, 600))
    node.desk.on_reply(TimestampReply(2, 1, 650))
    assert node.got == {"a": 600, "b": 601}
    assert node.desk.repeat(99, 4) == []


def test_o06_an_answer_for_an_earlier_life_of_the_node_is_dropped() -> None:
    """O06: numbers begin anew with every boot, so the boot is part of the name."""
    node = Desk(boot=3)
    node.ask("a")
    node.desk.flush(0)
    node.desk.on_reply(TimestampReply(2, 1, 500))
    assert node.got == {}
    node.desk.on_reply(TimestampReply(3, 1, 501))
    assert node.got == {"a": 501}
