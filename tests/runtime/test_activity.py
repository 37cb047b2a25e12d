"""What a node counted in each second, and what changed; and how several nodes' are put together."""

from __future__ import annotations

from nodes.runtime.activity import (
    ABORTED,
    CHANGES_KEPT,
    COMMITTED,
    LEADS,
    LOST,
    READ,
    SECONDS_KEPT,
    STARTED,
    Changes,
    Counts,
    merged_changes,
    merged_series,
)


def test_a_second_is_told_when_it_is_complete() -> None:
    counts = Counts()
    counts.roll(10_000)
    for kind in (COMMITTED, COMMITTED, READ, ABORTED):
        counts.add(kind)
    counts.roll(10_950)
    assert counts.series() == []
    counts.roll(11_000)
    counts.add(COMMITTED)
    counts.roll(12_020)
    assert counts.series() == [[10, 2, 1, 1], [11, 1, 0, 0]]
    assert counts.totals == [3, 1, 1]


def test_an_abort_is_counted_by_its_cause_too() -> None:
    counts = Counts()
    counts.roll(10_000)
    for cause in ("wounded", "constraint", "wounded"):
        counts.abort(cause)
    counts.roll(11_000)
    assert (counts.series(), counts.causes) == ([[10, 0, 3, 0]], {"wounded": 2, "constraint": 1})


def test_the_seconds_are_bounded() -> None:
    counts = Counts()
    for second in range(1, 3 * SECONDS_KEPT):
        counts.roll(second * 1_000)
    assert len(counts.series()) == SECONDS_KEPT


def test_seconds_of_several_nodes_are_added_up_to_the_last_that_all_completed() -> None:
    one, two = [[10, 1, 0, 0], [11, 2, 0, 1], [12, 9, 9, 9]], [[11, 5, 1, 0]]
    assert merged_series([one, two]) == [[10, 1, 0, 0], [11, 7, 1, 1]]


def test_a_node_that_has_no_second_yet_holds_nobody_up() -> None:
    assert merged_series([[[10, 1, 0, 0]], []]) == [[10, 1, 0, 0]]
    assert merged_series([[], []]) == []
    assert merged_series([]) == []


def test_changes_are_kept_with_their_time_and_bounded() -> None:
    clock = iter(range(1_000_000))
    changes = Changes(2, 7, lambda: next(clock))
    assert changes.listed() == [{"at_ms": 0, "kind": STARTED, "node": 2, "group": "", "words": "life 7"}]
    for number in range(1, CHANGES_KEPT + 5):
        changes.note(LEADS, 1, f"s{number}")
    listed = changes.listed()
    assert len(listed) == CHANGES_KEPT
    assert listed[0] == {"at_ms": 5, "kind": LEADS, "node": 1, "group": "s5", "words": ""}


def change(at_ms: int, kind: str, node: int, group: str = "") -> dict[str, object]:
    return {"at_ms": at_ms, "kind": kind, "node": node, "group": group, "words": ""}


def test_what_several_nodes_saw_at_about_the_same_time_is_told_once() -> None:
    seen = {1: [change(100, LOST, 2)], 3: [change(90, LOST, 2), change(300, LEADS, 3, "s1")]}
    told = merged_changes(seen)  # type: ignore[arg-type]
    assert [(one["at_ms"], one["kind"], one["seen_by"]) for one in told] == [(300, LEADS, [3]), (90, LOST, [3, 1])]


def test_the_same_seen_again_later_or_by_the_same_node_is_another_change() -> None:
    twice = {1: [change(100, LOST, 2), change(200, LOST, 2)], 3: [change(60_000, LOST, 2)]}
    told = merged_changes(twice)  # type: ignore[arg-type]
    assert [one["at_ms"] for one in told] == [60_000, 200, 100]
