"""`as_of` in words, and which timestamp it means when the newest one is known."""

from __future__ import annotations

import pytest

from nodes.core.oracle import at_ms
from nodes.errors import BadRequest
from nodes.runtime.as_of import AsOf, parse

NOON_MS = 1_795_780_800_000  # 2026-11-27T12:00:00Z


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", None),
        ("115640483000000", AsOf(ts=115_640_483_000_000)),
        ("9223372036854775807", AsOf(ts=2**63 - 1)),
        ("-0ms", AsOf()),
        ("-1500ms", AsOf(ago_ms=1_500)),
        ("-5s", AsOf(ago_ms=5_000)),
        ("-2m", AsOf(ago_ms=120_000)),
        ("-1h", AsOf(ago_ms=3_600_000)),
        ("2026-11-27T12:00:00Z", AsOf(ts=at_ms(NOON_MS))),
        ("2026-11-27T14:00:00.250999+02:00", AsOf(ts=at_ms(NOON_MS + 250))),
        ("1969-07-20T20:17:40Z", AsOf(ts=1)),
    ],
)
def test_what_is_meant(text: str, meant: AsOf | None) -> None:
    assert parse(text) == meant


@pytest.mark.parametrize(
    "text",
    [
        "0", "-1", "5s", "+5s", "-5", "-5d", "-5 s", "- 5s", "-1.5s", "9223372036854775808", "12345678901234567890",
        "2026-11-27", "2026-11-27 12:00:00Z", "2026-11-27T12:00:00", "2026-13-27T12:00:00Z", "now", "T",
        "-\u0665s", "\u0665", "2026-11-27T12:00:00Z" + " " * 60, "\0",
    ],
)  # fmt: skip
def test_what_is_none_of_the_forms_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="as_of is") as refusal:
        parse(text)
    assert refusal.value.info.sqlstate == "22007"


def test_how_long_ago_counts_from_the_newest_timestamp() -> None:
    newest = at_ms(NOON_MS) + 7
    assert AsOf(ago_ms=5_000).at(newest) == at_ms(NOON_MS - 5_000) + 7
    assert AsOf().at(newest) == newest
    assert AsOf(ago_ms=2 * NOON_MS).at(newest) == 1


def test_what_comes_within_a_second_is_waited_for() -> None:
    newest = at_ms(NOON_MS)
    assert [AsOf(ts=newest + at_ms(ms)).comes_soon(newest) for ms in (-1, 0, 1, 1_000, 1_001)] == [
        False, False, True, True, False
    ]  # fmt: skip
    assert not AsOf(ago_ms=5).comes_soon(newest)


def test_what_lies_after_the_newest_timestamp_is_no_past() -> None:
    newest = at_ms(NOON_MS)
    assert AsOf(ts=newest).at(newest) == newest
    with pytest.raises(BadRequest, match="only the past") as refusal:
        AsOf(ts=newest + 1).at(newest)
    assert refusal.value.info.sqlstate == "22023"


def test_a_past_below_the_session_token_is_refused() -> None:
    newest = at_ms(10_000)
    assert AsOf(ts=7, session_token=7).at(newest) == 7
    assert AsOf(ago_ms=1_000, session_token=at_ms(9_000)).at(newest) == at_ms(9_000)
    for as_of in (AsOf(ts=6, session_token=7), AsOf(ago_ms=1_000, session_token=at_ms(9_000) + 1)):
        with pytest.raises(BadRequest, match="below the session token"):
            as_of.at(newest)
