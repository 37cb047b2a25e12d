"""The checker of histories: each anomaly, planted in a small history, is found by its name and nothing else is; sound
histories have none."""

from __future__ import annotations

from typing import Any

import pytest

from monitoring.selfcheck.checker import check
from monitoring.selfcheck.checker.anomalies import BROKEN_INVARIANT, MEANINGS, RULES_OUT
from monitoring.selfcheck.checker.history import NOT_TOLD, UNKNOWN, Operation
from tests.monitoring.selfcheck.histories import failed, has_a_serial_order, history, txn, unknown

SOUND = {
    "nothing at all": [],
    "one after the other": [txn("a x 1", 0, 1), txn("a x 2, l x [1 2]", 2, 3), txn("l x [1 2]", 4, 5)],
    "at the same time a read may come first": ["a x 1", "l x []"],
    "who ends when the other begins was there at the same time": [txn("a x 1", 0, 2), txn("l x []", 2, 3)],
    "whose outcome is unknown was read": [unknown("a x 1"), txn("l x [1]", 20, 30)],
    "whose outcome is unknown comes late": [
        unknown("w x 7"),
        txn("r x -", 20, 30),
        txn("r x 7", 40, 50),
    ],
    "whose outcome is unknown never came": [unknown("a x 1, i g 1"), txn("l x [], s g {}", 20, 30)],
    "a client goes on after an unknown outcome, which comes later": [
        txn("w x 1", 0, 1, UNKNOWN, "c"),
        txn("r x -", 2, 3, process="c"),
        txn("r x 1", 4, 5, process="c"),
    ],
    "its own writes, then again": ["w x 1, r x 1, w x 2, r x 2", "a y 1, a y 2, l y [1 2], a y 3, l y [1 2 3]"],
    "its own writes behind others": [txn("a x 1", 0, 1), txn("a x 2, l x [1 2]", 2, 3)],
    "its own row": ["i g 1, s g {1}", "i g 2, s g {1 2}"],
    "registers read and written by turns": ["r x -, w y 1", "r y 1, w x 2"],
    "what did not happen was not read": [failed("a x 1"), "l x []", failed("i g 1"), "s g {}"],
    "an answer that was lost": ["a x 1, l y ?", "l x [1]"],
    "a register that one read late and another replaced": [
        txn("w x 1", 0, 9),
        txn("r x 1", 0, 1),
        txn("w x 2", 2, 3),
        txn("r x 1", 0, 9),
        txn("r x 2", 4, 9),
    ],
    "blind writes in any order": ["w x 1", "w x 2", "r x 1", "r x 2"],
    "two readers of a set in one order": ["i g 1", "i g 2", "s g {1}", "s g {1 2}"],
}

PLANTED: dict[str, tuple[list[Any], set[str]]] = {
    "write cycle": (["a x 1, a y 1", "a x 2, a y 2", "l x [1 2]", "l y [2 1]"], {"G0"}),
    "write cycle with real time": ([txn("a x 1", 0, 1), txn("a x 2", 2, 3), txn("l x [2 1]")], {"G0-realtime"}),
    "write cycle of one client": (
        [txn("a x 1", 0, 2, process="c"), txn("a x 2", 2, 3, process="c"), txn("l x [2 1]")],
        {"G0-process"},
    ),
    "aborted read of a list": ([failed("a x 1"), "l x [1]"], {"G1a"}),
    "aborted read of a register": ([failed("w x 1"), "r x 1"], {"G1a"}),
    "aborted read of a set": ([failed("i g 1"), "s g {1}"], {"G1a"}),
    "intermediate read of a list": (["a x 1, a x 2", "l x [1]"], {"G1b"}),
    "intermediate read of a register": (["w x 1, w x 2", "r x 1"], {"G1b"}),
    "circular flow in lists": (["a x 1, l y [1]", "a y 1, l x [1]"], {"G1c"}),
    "circular flow in registers": (["w x 1, r y 1", "w y 1, r x 1"], {"G1c"}),
    "circular flow in sets": (["i g 1, s h {1}", "i h 1, s g {1}"], {"G1c"}),
    "read of the future": (
        [txn("l x [1]", 0, 1, process="a"), txn("a x 1", 2, 3, process="b")],
        {"G1c-realtime"},
    ),
    "read of the future of one client": (
        [txn("r x 1", 0, 2, process="c"), txn("w x 1", 2, 3, process="c")],
        {"G1c-process"},
    ),
    "fractured read of lists": (["a x 1, a y 1", "l x [1], l y []"], {"G-single"}),
    "fractured read of registers": (["w x 1, w y 1", "r x 1, r y -"], {"G-single"}),
    "half of a set": (["i g 1, i g 2", "s g {1}"], {"G-single"}),
    "stale read of a list": ([txn("a x 1", 0, 1), txn("l x []", 2, 3), txn("l x [1]")], {"G-single-realtime"}),
    "stale read of a list that nobody read since": (
        [txn("a x 1", 0, 1), txn("l x []", 2, 3)],
        {"G-single-realtime"},
    ),
    "stale read of a register": (
        [txn("w x 1", 0, 1), txn("w x 2", 2, 3), txn("r x 1", 4, 5)],
        {"G-single-realtime"},
    ),
    "stale read of a register whose writes were there at the same time": (
        [txn("w x 1", 0, 9), txn("w x 2", 0, 9), txn("r x 1", 10, 11), txn("r x 2", 12, 13), txn("r x 1", 14, 15)],
        {"G-single-realtime"},
    ),
    "stale read of a set": ([txn("i g 1", 0, 1), txn("s g {}", 2, 3)], {"G-single-realtime"}),
    "stale read of one client": (
        [txn("w x 1", 0, 2, process="c"), txn("r x -", 2, 3, process="c")],
        {"G-single-process"},
    ),
    "causal reverse": (
        [txn("i g 1", 0, 1), txn("i h 2", 2, 3), txn("s g {}, s h {2}", 0, 9)],
        {"G-single-realtime"},
    ),
    "an unknown one that was read and then was not": (
        [unknown("a x 1"), txn("l x [1]", 2, 3), txn("l x []", 4, 5)],
        {"G-single-realtime"},
    ),
    "long fork of lists": (["a x 1", "a y 1", "l x [1], l y []", "l x [], l y [1]"], {"G-nonadjacent"}),
    "long fork of registers": (["w x 1", "w y 1", "r x 1, r y -", "r x -, r y 1"], {"G-nonadjacent"}),
    "two readers of a set in two orders": (["i g 1", "i g 2", "s g {1}", "s g {2}"], {"G-nonadjacent"}),
    "write skew of lists": (["l x [], a y 1", "l y [], a x 1", "l x [1], l y [1]"], {"G2-item"}),
    "write skew of registers": (["r x -, r y -, w x 1", "r x -, r y -, w y 2"], {"G2-item"}),
    "read-only anomaly": (
        [
            txn("r x -, r y -, w x 1", 0, 30),
            txn("r y -, w y 2", 1, 2),
            txn("r x -, r y 2", 3, 4),
            txn("r x 1", 40, 50),
        ],
        {"G2-item"},
    ),
    "predicate write skew": (["s g {}, i h 1", "s h {}, i g 1"], {"G2"}),
    "predicate and item": (["s g {}, w x 1", "r x -, i g 1"], {"G2"}),
    "predicate write skew that only a reader shows": (["s g {}, i h 1", "s g {1}, s h {}", "i g 1"], {"G2"}),
    "predicate write skew with time": (
        [txn("i k 1", 0, 1), txn("s g {}", 2, 3), txn("i g 1, s k {}", 0, 9)],
        {"G2-realtime"},
    ),
    "lost update of lists": (
        ["l x [], a x 1", "l x [], a x 2", "l x [1 2]"],
        {"lost-update", "G-single"},
    ),
    "lost update of registers": (["r x -, w x 1", "r x -, w x 2"], {"lost-update", "G2-item"}),
    "own append not read": (["a x 1, l x []"], {"internal"}),
    "own write not read": (["w x 1, r x -"], {"internal"}),
    "own row not found": (["i g 1, s g {}"], {"internal"}),
    "read twice, differently": (["a x 1", "l x [], l x [1]", "r y -, r y 1", "w y 1"], {"internal"}),
    "own append in the wrong place": (["a x 1", "a x 2, l x [2 1]"], {"internal"}),
    "an element twice": (["a x 1", "l x [1 1]"], {"duplicate-elements"}),
    "two orders": (["a x 1", "a x 2", "l x [1 2]", "l x [2]"], {"incompatible-order"}),
    "what nobody wrote": (["l x [7]"], {"garbage-read"}),
    "a value that nobody wrote": (["r x 7"], {"garbage-read"}),
    "a row that nobody inserted": (["s g {7}"], {"garbage-read"}),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_history_has_no_anomaly(name: str) -> None:
    found = history(*SOUND[name])
    assert check(found).names == []
    assert has_a_serial_order(found), "so says the twin"


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_anomaly_is_found_and_nothing_else(name: str) -> None:
    lines, names = PLANTED[name]
    found = history(*lines)
    assert set(check(found).names) == names
    assert not has_a_serial_order(found), "so says the twin"


def test_every_anomaly_is_planted_and_has_its_words() -> None:
    planted = {name for _, names in PLANTED.values() for name in names}
    assert {name.removesuffix("-realtime").removesuffix("-process") for name in planted} == set(MEANINGS) - {
        BROKEN_INVARIANT
    }
    assert set(MEANINGS) == set(RULES_OUT)


@pytest.mark.parametrize("lines", [["a x 1", "a x 1"], ["w x 1, w x 1"], ["i g 1", "i g 1"]])
def test_a_history_that_cannot_be_judged_is_refused(lines: list[str]) -> None:
    with pytest.raises(ValueError, match="twice"):
        check(history(*lines))


def test_a_cycle_is_told_with_its_transactions_and_why_each_came_before_the_next() -> None:
    (anomaly,) = check(history("l x [], a y 1", "l y [], a x 1", "l x [1], l y [1]")).anomalies
    assert str(anomaly).splitlines() == [
        "G2-item: transactions did not see each other's writes, as in write skew; so it is not repeatable read.",
        "Each came before the next, and the last before the first:",
        "  T0 of p0: list of x: []; append 1 to y",
        "    rw: T0 read [] of x, and T1 then appended 1",
        "  T1 of p1: list of y: []; append 1 to x",
        "    rw: T1 read [] of y, and T0 then appended 1",
    ]


def test_a_cycle_of_real_time_says_so() -> None:
    (anomaly,) = check(history(txn("w x 1", 0, 1), txn("r x -", 2, 3))).anomalies
    assert anomaly.rules_out == "strict serializable"
    assert "    real time: T0 was answered before T1 was asked for" in str(anomaly)
    assert "    rw: T1 read nothing of x before T0 wrote 1" in str(anomaly)


def test_each_knot_is_told_by_one_cycle_and_only_the_first_of_many() -> None:
    knots = [line for n in range(30) for line in (f"r x{n} -, w y{n} 1", f"r y{n} -, w x{n} 1")]
    assert [anomaly.name for anomaly in check(history(*knots)).anomalies] == ["G2-item"] * 10


def test_long_values_are_cut() -> None:
    long = " ".join(map(str, range(100)))
    (anomaly,) = check(history(*(f"a x {n}" for n in range(100)), f"l x [{long} 99]")).anomalies
    assert "[0 1 2 3 4 5 ... 83 84" in str(anomaly)


def test_what_was_not_told_is_no_read() -> None:
    assert str(Operation("list", "x", NOT_TOLD)) == "list of x: not told"
