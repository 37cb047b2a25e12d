"""From samples to places and words: nothing lies outside of its axis, nothing is left without words."""

from __future__ import annotations

import pytest

from monitoring import charts
from nodes.core.txn import steps
from nodes.requests import Step


def test_seconds_that_nobody_counted_are_zero_so_that_the_axis_has_no_gap() -> None:
    seconds, *counted = charts.columns([[10, 1, 2, 3], [13, 4, 5, 6]])
    assert seconds == [10, 11, 12, 13]
    assert counted == [[1, 0, 0, 4], [3, 0, 0, 6], [2, 0, 0, 5]]


def test_only_the_last_seconds_are_shown() -> None:
    seconds, *_ = charts.columns([[1, 0, 0, 0], [1_000, 0, 0, 0]])
    assert seconds == list(range(1_000 - charts.SHOWN_SECONDS + 1, 1_001))


def test_no_seconds_make_an_empty_chart_and_rates_of_nothing() -> None:
    assert charts.columns([]) == [[], [], [], []]
    assert charts.rates([]) == (0, 0, 0)


def test_a_rate_is_the_average_of_the_last_seconds() -> None:
    busy = [[second, 20, 2, 10] for second in range(100, 100 + charts.RATE_SECONDS)]
    assert charts.rates([[1, 999, 999, 999], *busy]) == (20, 10, 2)
    assert charts.rates([*busy, [200, 0, 0, 0]]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "0 µs"),
        (999, "999 µs"),
        (4_240, "4.2 ms"),
        (250_000, "250 ms"),
        (1_300_000, "1.3 s"),
        (61_000_000, "61 s"),
        (240_000_000, "4 min"),
    ],
)
def test_a_duration_is_told_in_the_unit_that_fits(us: int, text: str) -> None:
    assert charts.duration_text(us) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [(-5, "0.0 s"), (400, "0.4 s"), (14_000, "14 s"), (180_000, "3 min"), (18_000_000, "5 h"), (400_000_000, "5 days")],
)
def test_an_age_is_told_in_the_unit_that_fits(ms: int, text: str) -> None:
    assert charts.age_text(ms) == text


def test_a_timeline_has_a_lane_for_each_group_and_node_in_order_of_their_first_step() -> None:
    drawn = charts.timeline(
        [
            Step(1_900, 2, "", "answered"),
            Step(1_000, 2, "", "begun"),
            Step(1_100, 3, "s2", "arrived"),
            Step(1_500, 3, "s2", "evaluated"),
            Step(2_000, 3, "s2", "ended"),
        ]
    )
    assert [(lane["name"], lane["node"]) for lane in drawn["lanes"]] == [("gateway", "n2"), ("s2", "n3")]
    assert [point["left"] for point in drawn["lanes"][1]["points"]] == ["10.00", "50.00", "100.00"]
    assert [(span["phase"], span["left"], span["width"]) for span in drawn["lanes"][1]["spans"]] == [
        (charts.RUN, "10.00", "40.00"),
        (charts.LOG, "50.00", "50.00"),
    ]
    assert [tick["text"] for tick in drawn["ticks"]] == ["0 µs", "333 µs", "666 µs", "1.0 ms"]
    assert {one["phase"] for one in drawn["phases"]} == {charts.RUN, charts.LOG}


def test_of_a_decision_only_the_first_application_stretches_the_timeline() -> None:
    applied = [Step(at_us, node, "c1", "decision applied") for at_us, node in ((90_000, 3), (1_500, 1), (80_000, 2))]
    drawn = charts.timeline([Step(1_000, 1, "", "begun"), *applied, Step(2_000, 1, "", "answered")])
    assert drawn["total"] == "1.0 ms"
    assert [lane["name"] for lane in drawn["lanes"]] == ["gateway", "c1"]


def test_one_step_alone_lies_on_the_axis() -> None:
    (lane,) = charts.timeline([Step(5, 1, "", "begun")])["lanes"]
    assert (lane["points"][0]["left"], lane["spans"]) == ("0.00", [])


def test_no_steps_no_timeline() -> None:
    assert charts.timeline([]) == {}


def test_the_phases_begin_with_steps_that_there_are() -> None:
    assert set(charts._PHASE_FROM) <= set(steps.DETAILS)
    assert set(charts._PHASE_FROM.values()) == set(charts.PHASES)
