"""What a leader believes of a follower, step by step."""

from __future__ import annotations

from nodes.core.raft.progress import Progress


def replicating() -> Progress:
    progress = Progress(next_slot=5, now=0)
    progress.sent(5, 0, now=0)
    progress.acknowledged(5, now=0)
    return progress


def test_a_probe_waits_for_its_answer() -> None:
    progress = Progress(next_slot=5, now=0)
    assert not progress.is_behind
    progress.sent(9, 100, now=1)
    assert progress.waits
    assert progress.is_behind
    assert progress.next_slot == 5
    assert progress.inflight_bytes == 0


def test_an_acknowledged_probe_begins_the_pipeline() -> None:
    progress = replicating()
    assert not progress.probing
    assert (progress.match_slot, progress.next_slot) == (5, 6)


def test_bytes_in_flight_are_freed_by_acknowledgements_of_whole_messages() -> None:
    progress = replicating()
    progress.sent(7, 10, now=1)
    progress.sent(9, 20, now=1)
    assert progress.room(100) == 70
    progress.acknowledged(8, now=2)
    assert progress.room(100) == 80
    progress.acknowledged(9, now=2)
    assert progress.room(100) == 100
    assert not progress.is_behind


def test_the_match_never_goes_back() -> None:
    progress = replicating()
    assert not progress.acknowledged(3, now=1)
    assert progress.match_slot == 5
    progress.probe(2)
    assert progress.next_slot == 6


def test_refusals_of_places_no_longer_asked_about_are_stale() -> None:
    progress = replicating()
    progress.sent(7, 10, now=1)
    progress.sent(9, 10, now=1)
    assert progress.is_stale_refusal(5)
    assert not progress.is_stale_refusal(7)
    assert not progress.is_stale_refusal(9)
    assert progress.is_stale_refusal(10)
    progress.probe(6)
    assert progress.is_stale_refusal(5)
    progress.sent(9, 10, now=2)
    assert not progress.is_stale_refusal(5)
    assert progress.is_stale_refusal(7)


def test_a_probe_forgets_what_was_in_flight() -> None:
    progress = replicating()
    progress.sent(9, 50, now=1)
    progress.probe(6)
    assert progress.room(100) == 100
    progress.acknowledged(9, now=3)
    assert (progress.match_slot, progress.next_slot, progress.room(100)) == (9, 10, 100)
