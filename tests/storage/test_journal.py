"""The journal on real files: what is read back after a good end, a torn end and damage."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nodes.errors import Corrupt, Unavailable
from nodes.storage.journal import Journal
from nodes.storage.segments import encode_batch, encode_header

WAIT_S = 30


class Watch:
    """Waits for tickets and keeps failures."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.tickets: list[int] = []
        self.failures: list[BaseException] = []

    def on_durable(self, ticket: int) -> None:
        with self.changed:
            self.tickets.append(ticket)
            self.changed.notify_all()

    def on_failure(self, error: BaseException) -> None:
        with self.changed:
            self.failures.append(error)
            self.changed.notify_all()

    def wait_for(self, ticket: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: bool(self.tickets and self.tickets[-1] >= ticket), WAIT_S)


@contextmanager
def journal_in(directory: Path, segment_bytes: int = 1 << 20) -> Iterator[tuple[Journal, list[bytes], Watch]]:
    """An open journal, what it replayed, and its watch."""
    watch = Watch()
    journal = Journal(
        directory,
        on_durable=watch.on_durable,
        on_failure=watch.on_failure,
        segment_bytes=segment_bytes,
        ahead_bytes=512,
    )
    try:
        yield journal, list(journal.replay()), watch
    finally:
        journal.close()
    assert watch.failures == []


def write_batches(directory: Path, *batches: list[bytes], segment_bytes: int = 1 << 20) -> None:
    with journal_in(directory, segment_bytes) as (journal, _, watch):
        for batch in batches:
            journal.append(batch)
            watch.wait_for(journal.submit())


def read_all(directory: Path) -> list[bytes]:
    with journal_in(directory) as (_, records, _):
        return records


def segment(directory: Path, number: int) -> Path:
    return directory / f"segment-{number:012}"


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


def test_a_new_journal_is_empty(tmp_path: Path) -> None:
    assert read_all(tmp_path / "deep" / "journal") == []


def test_records_come_back_in_order_over_several_runs(tmp_path: Path) -> None:
    write_batches(tmp_path, [b"a", b"b"], [b"", b"c" * 3000])
    write_batches(tmp_path, [b"d"])
    assert read_all(tmp_path) == [b"a", b"b", b"", b"c" * 3000, b"d"]


def test_a_ticket_covers_everything_appended_before_it(tmp_path: Path) -> None:
    with journal_in(tmp_path) as (journal, _, watch):
        assert journal.submit() == 0 == journal.durable
        journal.append([b"a"])
        journal.append([b"b"])
        ticket = journal.submit()
        watch.wait_for(ticket)
        assert journal.durable == ticket == 1
        assert journal.submit() == ticket
    assert watch.tickets == [1]


def test_closing_finishes_what_was_submitted_and_only_that(tmp_path: Path) -> None:
    with journal_in(tmp_path) as (journal, _, _):
        journal.append([b"submitted"])
        journal.submit()
        journal.append([b"only appended"])
        journal.close()
    assert read_all(tmp_path) == [b"submitted"]


def test_segments_are_numbered_from_one_and_read_in_order(tmp_path: Path) -> None:
    batches = [[b"%d" % n * 100] for n in range(20)]
    write_batches(tmp_path, *batches, segment_bytes=1000)
    assert segment(tmp_path, 1).exists()
    assert segment(tmp_path, 4).exists()
    assert read_all(tmp_path) == [record for batch in batches for record in batch]


def test_a_batch_larger_than_a_segment_gets_one_for_itself(tmp_path: Path) -> None:
    write_batches(tmp_path, [b"a"], [b"b" * 5000], [b"c"], segment_bytes=1000)
    assert sorted(path.name for path in tmp_path.glob("segment-*")) == [segment(tmp_path, n).name for n in (1, 2, 3)]
    assert read_all(tmp_path) == [b"a", b"b" * 5000, b"c"]


def last_batch_bounds(records: list[bytes], before: list[bytes]) -> tuple[int, int]:
    start = len(encode_header(1, 1)) + len(encode_batch(before, 1, 1))
    return start, start + len(encode_batch(records, 2, 1))


@pytest.mark.parametrize("is_cut_to_zeros", [False, True])
def test_a_last_batch_torn_at_any_byte_is_cut(tmp_path: Path, is_cut_to_zeros: bool) -> None:
    """Case P26."""
    write_batches(tmp_path, [b"first"], [b"second", b"third"])
    whole = segment(tmp_path, 1).read_bytes()
    start, end = last_batch_bounds([b"second", b"third"], [b"first"])
    for position in range(start, end):
        tail = bytes(len(whole) - position) if is_cut_to_zeros else b""
        segment(tmp_path, 1).write_bytes(whole[:position] + tail)
        write_batches(tmp_path, [b"after"])
        assert read_all(tmp_path) == [b"first", b"after"]


def test_a_bit_flip_anywhere_in_the_last_batch_cuts_it(tmp_path: Path) -> None:
    write_batches(tmp_path, [b"first"], [b"second", b"third"])
    whole = segment(tmp_path, 1).read_bytes()
    for position in range(*last_batch_bounds([b"second", b"third"], [b"first"])):
        segment(tmp_path, 1).write_bytes(whole)
        flip(segment(tmp_path, 1), position)
        assert read_all(tmp_path) == [b"first"]


def test_a_bit_flip_anywhere_before_the_last_batch_is_corrupt(tmp_path: Path) -> None:
    """Case P25."""
    write_batches(tmp_path, [b"first"], [b"second"], [b"third"])
    whole = segment(tmp_path, 1).read_bytes()
    _, end = last_batch_bounds([b"second"], [b"first"])
    for position in range(end):
        segment(tmp_path, 1).write_bytes(whole)
        flip(segment(tmp_path, 1), position)
        with pytest.raises(Corrupt):
            read_all(tmp_path)


def test_a_bad_batch_with_a_valid_one_in_a_later_segment_is_corrupt(tmp_path: Path) -> None:
    write_batches(tmp_path, [b"a" * 600], [b"b" * 600], segment_bytes=1000)
    flip(segment(tmp_path, 1), 300)
    with pytest.raises(Corrupt, match="segment 1: batch 1 at byte 40 is bad"):
        read_all(tmp_path)


def test_an_earlier_segment_that_lost_its_end_is_corrupt(tmp_path: Path) -> None:
    write_batches(tmp_path, [b"a" * 600], [b"b" * 600], segment_bytes=1000)
    segment(tmp_path, 1).write_bytes(segment(tmp_path, 1).read_bytes()[:40])
    with pytest.raises(Corrupt, match="from batch 2, expected is segment 2 from batch 1"):
        read_all(tmp_path)


@pytest.mark.parametrize("missing", [1, 2])
def test_a_missing_segment_is_corrupt(tmp_path: Path, missing: int) -> None:
    write_batches(tmp_path, *[[b"x" * 600]] * 3, segment_bytes=1000)
    segment(tmp_path, missing).unlink()
    with pytest.raises(Corrupt, match=f"segment {missing} is missing"):
        read_all(tmp_path)


def test_a_segment_under_another_number_is_corrupt(tmp_path: Path) -> None:
    write_batches(tmp_path, *[[b"x" * 600]] * 3, segment_bytes=1000)
    segment(tmp_path, 3).rename(segment(tmp_path, 2))
    with pytest.raises(Corrupt, match="its header says segment 3"):
        read_all(tmp_path)


def test_a_batch_out_of_sequence_is_corrupt(tmp_path: Path) -> None:
    write_batches(tmp_path, [b"first"])
    data = encode_header(1, 1) + encode_batch([b"first"], 1, 1) + encode_batch([b"third"], 3, 1)
    segment(tmp_path, 1).write_bytes(data)
    with pytest.raises(Corrupt, match="batch 3 stands at byte"):
        read_all(tmp_path)


def test_another_format_number_is_refused_by_name(tmp_path: Path) -> None:
    write_batches(tmp_path, [b"a"])
    data = bytearray(segment(tmp_path, 1).read_bytes())
    data[8:12] = (7).to_bytes(4, "big")
    segment(tmp_path, 1).write_bytes(data)
    with pytest.raises(Corrupt, match="format number 7, this program reads 2"):
        read_all(tmp_path)


def test_a_segment_whose_header_was_torn_is_begun_again(tmp_path: Path) -> None:
    write_batches(tmp_path, [b"a" * 600], [b"b" * 600], segment_bytes=1000)
    header = encode_header(3, 3)
    for size in range(len(header)):
        for tail in (b"", bytes(512 - size)):
            segment(tmp_path, 3).write_bytes(header[:size] + tail)
            assert read_all(tmp_path) == [b"a" * 600, b"b" * 600]
    for position in range(len(header)):
        wrong = bytearray(header + bytes(512))
        wrong[position] ^= 0x41
        segment(tmp_path, 3).write_bytes(wrong)
        assert read_all(tmp_path) == [b"a" * 600, b"b" * 600]
    write_batches(tmp_path, [b"c"])
    assert read_all(tmp_path) == [b"a" * 600, b"b" * 600, b"c"]


def test_what_is_released_goes_when_the_next_segment_is_begun(tmp_path: Path) -> None:
    names = [segment(tmp_path, number).name for number in range(1, 6)]
    with journal_in(tmp_path, 1000) as (journal, _, watch):
        for record in (b"a", b"b", b"c"):
            journal.append([record * 600])
            watch.wait_for(journal.submit())
        assert journal.segment == 3
        journal.release(3)
        assert sorted(path.name for path in tmp_path.glob("segment-*")) == names[:3]
        journal.append([b"d" * 600])
        watch.wait_for(journal.submit())
        assert sorted(path.name for path in tmp_path.glob("segment-*")) == names[2:4]
    assert read_all(tmp_path) == [b"c" * 600, b"d" * 600]
    write_batches(tmp_path, [b"e" * 600], segment_bytes=1000)
    assert read_all(tmp_path) == [b"c" * 600, b"d" * 600, b"e" * 600]


def test_several_segments_that_may_go_do_not_wait_for_a_full_one(tmp_path: Path) -> None:
    with journal_in(tmp_path, 1000) as (journal, _, watch):
        for record in (b"a" * 600, b"b" * 600, b"c" * 600, b"d"):
            journal.append([record])
            watch.wait_for(journal.submit())
        assert journal.segment == 3
        journal.release(2)
        for record in (b"e", b"f"):  # only one can go: they fit in
            journal.append([record])
            watch.wait_for(journal.submit())
        assert journal.segment == 3
        journal.release(3)
        journal.append([b"g"])
        watch.wait_for(journal.submit())
        assert journal.segment == 4
        assert sorted(path.name for path in tmp_path.glob("segment-*")) == [segment(tmp_path, n).name for n in (3, 4)]
    assert read_all(tmp_path) == [b"c" * 600, b"d", b"e", b"f", b"g"]


def released(directory: Path) -> None:
    """Segments 3 and 4 are all that is left."""
    with journal_in(directory, 1000) as (journal, _, watch):
        for record in (b"a", b"b", b"c", b"d"):
            if record == b"d":
                journal.release(3)
            journal.append([record * 600])
            watch.wait_for(journal.submit())


def test_a_missing_first_segment_is_missed_although_older_ones_are_rightly_gone(tmp_path: Path) -> None:
    released(tmp_path)
    segment(tmp_path, 3).unlink()
    with pytest.raises(Corrupt, match="segment 3 is missing"):
        read_all(tmp_path)


def test_a_removal_that_broke_off_is_finished(tmp_path: Path) -> None:
    released(tmp_path)
    segment(tmp_path, 2).write_bytes(b"half gone")
    assert read_all(tmp_path) == [b"c" * 600, b"d" * 600]
    assert not segment(tmp_path, 2).exists()


def test_two_processes_never_share_a_journal(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from nodes.storage.journal import Journal\n"
        "Journal(pathlib.Path(sys.argv[1]), on_durable=print, on_failure=print)"
    )
    with journal_in(tmp_path):
        with pytest.raises(Unavailable, match="another process uses the journal"):
            read_all(tmp_path)
        root = Path(__file__).parents[2]
        other = subprocess.run([sys.executable, "-c", program, tmp_path], cwd=root, capture_output=True, text=True)
    assert other.returncode == 1
    assert "another process uses the journal" in other.stderr
    assert read_all(tmp_path) == []


def test_free_space_is_told(tmp_path: Path) -> None:
    with journal_in(tmp_path) as (journal, _, _):
        assert journal.free_bytes() > 0
