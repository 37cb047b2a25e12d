"""The journal on a counterfeit disk: the order of its calls, failures, and crashes that lose what was not synced."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.errors import Corrupt
from nodes.storage.journal import Files, Journal

WAIT_S = 30
HOME = Path("journal")


class Disk(Files):
    """Files in memory: what is written is there, what is synced survives `crash`. Directory entries are synced apart.

    `calls` records (call, file name); `gate`, when cleared, holds every sync; `fail` holds what a call raises.
    """

    def __init__(self) -> None:
        self.now: dict[str, bytearray] = {}
        self.synced: dict[str, bytearray] = {}
        self.entries: set[str] = set()
        self.unsynced: dict[str, list[tuple[int, bytes]]] = {}
        self.calls: list[tuple[str, str]] = []
        self.names_of: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.in_sync = threading.Semaphore(0)
        self.fail: dict[str, OSError] = {}

    def _note(self, call: str, fd: int) -> str:
        name = self.names_of[fd]
        self.calls.append((call, name))
        if call in self.fail:
            raise self.fail[call]
        return name

    def lock(self, directory: Path) -> int:
        self.names_of.append("lock")
        return len(self.names_of) - 1

    def names(self, directory: Path) -> list[str]:
        return list(self.now)

    def read(self, path: Path) -> bytes:
        return bytes(self.now[path.name])

    def open(self, path: Path) -> int:
        self.now.setdefault(path.name, bytearray())
        self.names_of.append(path.name)
        return len(self.names_of) - 1

    def write(self, fd: int, data: bytes, offset: int) -> None:
        name = self._note("write", fd)
        content = self.now[name]
        content.extend(bytes(max(0, offset - len(content))))
        content[offset : offset + len(data)] = data
        self.unsynced.setdefault(name, []).append((offset, data))

    def remove(self, path: Path) -> None:
        """The entry is back after a crash, unless the directory was synced."""
        self.calls.append(("remove", path.name))
        del self.now[path.name]

    def truncate(self, fd: int, size: int) -> None:
        del self.now[self._note("truncate", fd)][size:]

    def _sync(self, call: str, fd: int) -> None:
        self.in_sync.release()
        assert self.gate.wait(WAIT_S)
        name = self._note(call, fd)
        self.synced[name] = bytearray(self.now[name])
        self.unsynced.pop(name, None)

    def sync_data(self, fd: int) -> None:
        self._sync("sync", fd)

    def sync_file(self, fd: int) -> None:
        self._sync("sync", fd)

    def sync_directory(self, directory: Path) -> None:
        self.calls.append(("sync directory", ""))
        self.entries = set(self.now)

    def close(self, fd: int) -> None:
        pass

    def free_bytes(self, directory: Path) -> int:
        return 1 << 30

    def after_crash(self, keep: Callable[[int], int]) -> Disk:
        """The disk that the next process finds: all that was synced; of other writes `keep(length)` bytes each."""
        disk = Disk()
        for name in sorted(self.entries):
            content = bytearray(self.synced.get(name, b""))
            for offset, data in self.unsynced.get(name, []):
                kept = keep(len(data))
                content.extend(bytes(max(0, offset + kept - len(content))))
                content[offset : offset + kept] = data[:kept]
            disk.now[name] = content
            disk.synced[name] = bytearray(content)
        disk.entries = set(disk.now)
        return disk


class Run:
    """A journal on a disk, with what it reported."""

    def __init__(self, disk: Disk, **options: Any) -> None:
        self.changed = threading.Condition()
        self.disk = disk
        self.tickets: list[int] = []
        self.failures: list[BaseException] = []
        options = {"segment_bytes": 2000, "ahead_bytes": 256, **options}
        self.journal = Journal(HOME, on_durable=self._on_durable, on_failure=self._on_failure, files=disk, **options)
        self.replayed = list(self.journal.replay())

    def _on_durable(self, ticket: int) -> None:
        assert not self.disk.unsynced, "durable was told of what is not synced"
        with self.changed:
            self.tickets.append(ticket)
            self.changed.notify_all()

    def _on_failure(self, error: BaseException) -> None:
        with self.changed:
            self.failures.append(error)
            self.changed.notify_all()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, WAIT_S)

    def put(self, *records: bytes) -> int:
        self.journal.append(list(records))
        return self.journal.submit()

    def put_durably(self, *records: bytes) -> None:
        ticket = self.put(*records)
        self.wait_until(lambda: self.journal.durable >= ticket and bool(self.tickets) and self.tickets[-1] >= ticket)


def replay_of(disk: Disk) -> list[bytes]:
    run = Run(disk)
    run.journal.close()
    return run.replayed


def hold_in_sync(run: Run, *records: bytes) -> int:
    """Submit a batch and return when its sync has begun and hangs."""
    run.disk.gate.clear()
    while run.disk.in_sync.acquire(blocking=False):
        pass
    ticket = run.put(*records)
    assert run.disk.in_sync.acquire(timeout=WAIT_S)
    return ticket


def test_while_a_batch_is_synced_the_next_gathers_and_leaves_as_one() -> None:
    run = Run(Disk())
    run.disk.calls.clear()
    first = hold_in_sync(run, b"a")
    later = [run.put(b"b"), run.put(b"c", b"d"), run.put(b"e")]
    assert run.journal.durable == 0
    assert run.tickets == []
    run.disk.gate.set()
    run.wait_until(lambda: run.tickets[-1:] == [later[-1]])
    assert run.tickets == [first, later[-1]]
    assert [call for call, _ in run.disk.calls] == ["write", "sync", "write", "sync"]
    run.journal.close()
    assert replay_of(run.disk) == [b"a", b"b", b"c", b"d", b"e"]


def test_nothing_is_written_between_a_write_and_its_sync_over_segments_too() -> None:
    run = Run(Disk())
    for number in range(40):
        run.put_durably(b"%d" % number * 100)
    run.journal.close()
    calls = [(call, name) for call, name in run.disk.calls if call != "sync directory"]
    assert len({name for _, name in calls}) > 2
    for (call, name), (next_call, next_name) in zip(calls[::2], calls[1::2], strict=True):
        assert (call, next_call) == ("write", "sync")
        assert name == next_name


def test_a_new_segment_syncs_itself_and_its_directory_before_its_first_batch() -> None:
    run = Run(Disk())
    for number in range(4):
        run.put_durably(b"%d" % number * 900)
    calls = run.disk.calls
    second = calls.index(("write", "segment-000000000002"))
    assert calls[second : second + 5] == [
        ("write", "segment-000000000002"),
        ("sync", "segment-000000000002"),
        ("sync directory", ""),
        ("write", "segment-000000000002"),
        ("sync", "segment-000000000002"),
    ]


@pytest.mark.parametrize("call", ["write", "sync"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_after_a_failed_write_or_sync_nothing_is_ever_written(call: str, number: int) -> None:
    """Case P03."""
    run = Run(Disk())
    run.put_durably(b"kept")
    run.disk.fail = {call: OSError(number, "planted")}
    lost = run.put(b"lost")
    run.wait_until(lambda: bool(run.failures))
    run.disk.fail = {}
    calls = list(run.disk.calls)
    run.put(b"never")
    run.journal.close()
    assert run.disk.calls == calls
    assert run.journal.durable < lost
    assert run.tickets == [1]
    assert [error.errno for error in run.failures if isinstance(error, OSError)] == [number]


def test_a_failed_new_segment_ends_all_writing() -> None:
    run = Run(Disk(), segment_bytes=1000)
    run.put_durably(b"a" * 900)
    run.disk.fail = {"sync": OSError(errno.EIO, "planted")}
    run.put(b"b" * 900)
    run.wait_until(lambda: bool(run.failures))
    run.journal.close()
    assert replay_of(run.disk.after_crash(lambda length: length)) == [b"a" * 900]


def test_a_batch_that_was_written_but_not_synced_is_synced_before_it_is_built_upon() -> None:
    run = Run(Disk())
    run.put_durably(b"a")
    hold_in_sync(run, b"b")
    # The process is killed here: the kernel has the bytes, the disk does not.
    killed = Disk()
    killed.now = {name: bytearray(content) for name, content in run.disk.now.items()}
    killed.synced = {name: bytearray(content) for name, content in run.disk.synced.items()}
    killed.entries = set(run.disk.entries)
    run.disk.gate.set()
    assert replay_of(killed) == [b"a", b"b"]
    # Written anew, for the kernel may hold pages that it failed to write and calls clean.
    assert [call for call, _ in killed.calls] == ["write", "sync", "sync directory"]
    assert replay_of(killed.after_crash(lambda _: 0)) == [b"a", b"b"]


batches = st.lists(st.lists(st.binary(max_size=200), min_size=1, max_size=5), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(batches, st.floats(0, 1)), min_size=1, max_size=4), batches)
def test_after_any_crash_what_was_told_durable_is_there_and_no_more_than_was_appended(
    runs: list[tuple[list[list[bytes]], float]], last: list[list[bytes]]
) -> None:
    disk, expected = Disk(), []
    for durable_batches, fraction in runs:
        run = Run(disk)
        assert run.replayed == expected
        for batch in durable_batches:
            run.put_durably(*batch)
            expected += batch
        hold_in_sync(run, b"in the air")
        disk = run.disk.after_crash(lambda length, part=fraction: int(length * part))  # type: ignore[misc]
        run.disk.gate.set()
        run.journal.close()
        # All of the batch may be there, when only zeros that were written along with it are lost.
        if len(replay_of(disk)) > len(expected):
            expected.append(b"in the air")
    run = Run(disk)
    for batch in last:
        run.put(*batch)
    run.journal.close()
    assert replay_of(run.disk) == expected + [record for batch in last for record in batch]


def test_old_segments_go_only_when_the_header_that_says_so_is_durable() -> None:
    run = Run(Disk(), segment_bytes=1000)
    for number in range(3):
        run.put_durably(b"%d" % number * 900)
    run.journal.release(3)
    run.disk.calls.clear()
    run.put_durably(b"3" * 900)
    new = "segment-000000000004"
    assert run.disk.calls[:6] == [
        ("write", new),
        ("sync", new),
        ("sync directory", ""),
        ("remove", "segment-000000000001"),
        ("remove", "segment-000000000002"),
        ("sync directory", ""),
    ]
    run.journal.close()


def test_what_is_released_while_a_header_is_written_stays_for_the_next_one() -> None:
    """The header says that segment 1 is needed: so it must be there, whatever was released since."""
    run = Run(Disk(), segment_bytes=1000)
    for number in range(3):
        run.put_durably(b"%d" % number * 900)
    sync_directory = run.disk.sync_directory

    def release_within(directory: Path) -> None:
        run.journal.release(3)
        sync_directory(directory)

    run.disk.sync_directory = release_within  # type: ignore[method-assign]
    run.put_durably(b"3" * 900)
    run.disk.sync_directory = sync_directory  # type: ignore[method-assign]
    run.journal.close()
    assert replay_of(run.disk) == [b"%d" % number * 900 for number in range(4)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(100, 900), st.booleans()), min_size=1, max_size=25), st.floats(0, 1))
def test_whatever_was_released_all_behind_it_is_there_after_a_crash(
    steps: list[tuple[int, bool]], fraction: float
) -> None:
    run = Run(Disk(), segment_bytes=1000)
    where: list[tuple[int, bytes]] = []
    needed = 1
    for number, (size, releases) in enumerate(steps):
        record = b"%03d" % number * (size // 3)
        run.put_durably(record)
        where.append((run.journal.segment, record))
        if releases:
            needed = run.journal.segment
            run.journal.release(needed)
    hold_in_sync(run, b"x" * 500)
    disk = run.disk.after_crash(lambda length: int(length * fraction))
    run.disk.gate.set()
    run.journal.close()
    found = replay_of(disk)
    wanted = [record for segment, record in where if segment >= needed]
    all_records = [record for _, record in where]
    found = [record for record in found if record != b"x" * 500]
    assert found == all_records[len(all_records) - len(found) :]
    assert len(found) >= len(wanted)
    assert replay_of(disk)[: len(found)] == found


@settings(max_examples=60, deadline=None)
@given(batches, st.data())
def test_damage_before_the_last_batch_never_goes_unnoticed(appended: list[list[bytes]], data: st.DataObject) -> None:
    run = Run(Disk())
    for batch in appended:
        run.put_durably(*batch)
    # Where the last batch begins: it is the only place at which damage cannot be told from a torn write.
    ends = len(run.disk.calls)
    before = {name: bytes(content) for name, content in run.disk.now.items()}
    run.put_durably(b"the last")
    run.journal.close()
    assert ends < len(run.disk.calls)
    name = data.draw(st.sampled_from(sorted(before)))
    written = len(before[name].rstrip(b"\0"))
    position = data.draw(st.integers(0, written - 1))
    run.disk.now[name][position] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Corrupt):
        replay_of(run.disk)
