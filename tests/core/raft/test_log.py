"""The log's arithmetic against a dumb twin, and what the journal's marks mean for it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.core.raft.log import RaftLog
from nodes.core.raft.messages import LogSuffix
from nodes.core.replicated_log import Entry
from nodes.errors import Corrupt

rising_epochs = st.lists(st.integers(1, 6), max_size=12).map(sorted)
quick = settings(max_examples=100, deadline=None)


def entries_of(epochs: list[int], first: int = 1) -> list[Entry]:
    return [Entry(slot, epoch, b"x" * epoch) for slot, epoch in enumerate(epochs, first)]


def log_of(epochs: list[int]) -> RaftLog:
    log = RaftLog()
    if epochs:
        log.replay(LogSuffix(entries_of(epochs)))
    return log


def test_what_was_cut_counts_for_the_highest_slot_in_this_life_and_the_next() -> None:
    log = log_of([1] * 9)
    log.extend(entries_of([1, 1], first=10))
    log.truncate(5)
    assert (log.last_slot, log.highest_slot) == (4, 11)
    again = RaftLog()
    for suffix in (entries_of([1] * 11), entries_of([2], first=5)):
        again.replay(LogSuffix(suffix))
    assert (again.last_slot, again.highest_slot) == (5, 11)
    assert RaftLog(highest_slot=11).highest_slot == 11


@quick
@given(rising_epochs, st.integers(0, 14), st.integers(0, 7))
def test_the_hint_is_the_last_slot_that_could_match(epochs: list[int], slot: int, epoch: int) -> None:
    candidates = [entry.slot for entry in entries_of(epochs) if entry.slot <= slot and entry.epoch <= epoch]
    assert log_of(epochs).last_slot_below(slot, epoch) == max(candidates, default=0)


@quick
@given(rising_epochs.filter(bool), st.data())
def test_a_batch_is_the_longest_that_fits_but_never_empty(epochs: list[int], data: st.DataObject) -> None:
    first = data.draw(st.integers(1, len(epochs)))
    most = data.draw(st.integers(0, 30))
    batch, size = log_of(epochs).batch(first, most)
    rest = entries_of(epochs)[first - 1 :]
    fitting = [count for count in range(1, len(rest) + 1) if sum(len(entry.data) for entry in rest[:count]) <= most]
    assert batch == rest[: max(fitting, default=1)]
    assert size == sum(len(entry.data) for entry in batch)


@quick
@given(st.lists(st.tuples(st.sampled_from(["append", "cut", "record", "sync"]), st.integers(0, 5)), max_size=40))
def test_durable_is_what_a_replay_of_the_synced_records_would_give(steps: list[tuple[str, int]]) -> None:
    log, synced = RaftLog(), 0
    written: list[LogSuffix] = []
    epoch = 1
    for step, number in steps:
        if step == "append":
            log.append(Entry(log.last_slot + 1, epoch, b""))
        elif step == "cut" and log.last_slot > number:
            epoch += 1  # What replaces an entry is always of a later term.
            log.truncate(log.last_slot - number)
            log.append(Entry(log.last_slot + 1, epoch, b""))
        elif step == "record" and log.unrecorded_slot <= log.last_slot:
            written.append(log.take_unrecorded(len(written) + 1))
        elif step == "sync":
            synced = min(len(written), synced + number)
            log.on_durable(synced)
        durable = RaftLog()
        for record in written[:synced]:
            durable.replay(record)
        assert log.between(1, log.durable_slot) == durable.between(1, log.durable_slot)
        assert log.durable_slot <= durable.last_slot
        if synced == len(written):
            assert log.durable_slot == log.unrecorded_slot - 1


def test_a_slot_that_was_cut_is_durable_only_with_the_mark_of_its_new_entry() -> None:
    log = log_of([1])
    log.extend(entries_of([2, 2, 2], first=2))
    log.take_unrecorded(1)
    log.truncate(3)
    log.extend(entries_of([3, 3], first=3))
    log.take_unrecorded(2)
    log.on_durable(1)
    assert log.durable_slot == 2
    log.on_durable(2)
    assert log.durable_slot == 4


def test_a_record_replaces_everything_from_its_first_slot_on() -> None:
    log = log_of([1, 1, 1, 1])
    log.replay(LogSuffix(entries_of([2], first=2)))
    assert [entry.epoch for entry in log.between(1, log.last_slot)] == [1, 2]


@pytest.mark.parametrize(
    "entries",
    [[], entries_of([1], first=4), [Entry(2, 1, b""), Entry(4, 1, b"")], [Entry(3, 2, b""), Entry(4, 1, b"")]],
    ids=["empty", "a gap before it", "a gap inside", "epochs fall"],
)
def test_a_record_that_no_replica_wrote_is_refused(entries: list[Entry]) -> None:
    log = log_of([1, 1])
    with pytest.raises(Corrupt):
        log.replay(LogSuffix(entries))


def test_the_log_has_no_gaps_and_its_epochs_never_fall() -> None:
    log = log_of([1, 2])
    with pytest.raises(AssertionError):
        log.append(Entry(4, 2, b""))
    with pytest.raises(AssertionError):
        log.append(Entry(3, 1, b""))
