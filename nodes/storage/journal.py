"""The journal: makes records durable, one batch and one sync at a time, for all groups of a node (DESIGN.md §3).

The caller appends records to the batch that gathers and submits it. A thread of its own writes and syncs what was
submitted; meanwhile the next batch gathers (group commit). `segments.py` says how the batches lie on disk.

*Invariants*: a batch is written only after the sync of the one before it returned; `on_durable(ticket)` is called only
after the sync of everything that the ticket covers; after a failed write or sync nothing is written again, because the
kernel may have dropped the pages that it could not write and a second sync would succeed without them. For the same
reason the last batch is written and synced afresh at start: the process that wrote it may have ended before its sync.

Whoever knows what the records mean says from which segment on they are needed (`release`). The header of the next
segment to be begun holds that, and when it is durable the older segments go. It is begun before its time when several
can go by that: a start reads all that is there.

*Left out*: what a record means.
"""

from __future__ import annotations

import fcntl
import os
import queue
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from nodes.errors import Corrupt, Unavailable
from nodes.storage.segments import Segment, encode_batch, encode_header, oldest_needed

SEGMENT_BYTES = 64 << 20
# Space is written with zeros ahead of its use, this much at a time. Measured on ext4, 16 kB batches: a fdatasync
# inside the file takes 0.2-0.3 ms, one that moves its end (or fills space from posix_fallocate) 0.4-0.65 ms.
AHEAD_BYTES = 1 << 20

GONE_SEGMENTS = 2  # as soon as so many can go, a new segment is begun

_CLOSE: tuple[list[bytes], int] = ([], 0)

_NAME = re.compile(r"segment-([0-9]{12})")


class Files:
    """The calls to the operating system that the journal makes; tests and the simulator give others. All that touch
    the disk may raise OSError."""

    def start(self, run: Callable[[], None]) -> threading.Thread:
        """The thread that writes: `run` is all that it does."""
        thread = threading.Thread(target=run, name="journal", daemon=True)
        thread.start()
        return thread

    def lock(self, directory: Path) -> int:
        """Create the directory if need be and hold it alone; `close` the result. BlockingIOError: another does."""
        if not directory.is_dir():
            directory.mkdir(parents=True)
            self.sync_directory(directory.parent)
        fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise
        return fd

    def names(self, directory: Path) -> list[str]:
        return os.listdir(directory)

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def open(self, path: Path) -> int:
        """For writing; created empty if it is not there."""
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def write(self, fd: int, data: bytes, offset: int) -> None:
        """All of `data`, at `offset`."""
        rest = memoryview(data)
        while rest:
            written = os.pwrite(fd, rest, offset)
            rest, offset = rest[written:], offset + written

    def remove(self, path: Path) -> None:
        path.unlink()

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def sync_data(self, fd: int) -> None:
        os.fdatasync(fd)

    def sync_file(self, fd: int) -> None:
        os.fsync(fd)

    def sync_directory(self, directory: Path) -> None:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def close(self, fd: int) -> None:
        os.close(fd)

    def free_bytes(self, directory: Path) -> int:
        state = os.statvfs(directory)
        return state.f_bavail * state.f_frsize


class Journal:
    """One node's journal, in a directory that no other process may use meanwhile (Unavailable if one does).

    `replay` comes first and is consumed to its end; then `append` and `submit`, from one thread. `on_durable(ticket)`
    and `on_failure(error)` are called from the writer thread; after `on_failure` the process must end.
    """

    def __init__(
        self,
        directory: Path,
        *,
        on_durable: Callable[[int], None],
        on_failure: Callable[[BaseException], None],
        segment_bytes: int = SEGMENT_BYTES,
        ahead_bytes: int = AHEAD_BYTES,
        files: Files | None = None,
    ) -> None:
        self.durable = 0  # the highest ticket that is durable
        self.syncs = 0  # how many batches were synced
        self._directory = directory
        self._on_durable = on_durable
        self._on_failure = on_failure
        self._segment_bytes = segment_bytes
        self._ahead_bytes = ahead_bytes
        self._files = files or Files()
        # Owned by the thread that calls `append` and `submit`.
        self._gathering: list[bytes] = []
        self._ticket = 0
        # What passes from that thread to the writer: records and the ticket that covers them; ticket 0 closes.
        self._submitted: queue.SimpleQueue[tuple[list[bytes], int]] = queue.SimpleQueue()
        # Owned by the writer: where the next batch goes.
        self._number = 0
        self._oldest = 1  # the first segment on the disk
        self._needed = 1  # the first that must stay
        self._sequence = 0
        self._fd = -1
        self._end = 0
        self._written = 0  # up to here the file is written, with batches or with zeros
        self._writer: threading.Thread | None = None
        self._lock_fd = self._hold()

    def replay(self) -> Iterator[bytes]:
        """All records, oldest first. A torn last batch is cut; Corrupt when anything else is not as it was written."""
        assert self._number == 0, "a journal is replayed once"
        numbers = self._segment_numbers()
        segment = None
        for number in numbers:
            data = self._files.read(self._path(number))
            segment = Segment(data, number, self._sequence, is_last=number == numbers[-1])
            del data  # The segment keeps it, until the next one is read.
            for records in segment.batches():
                yield from records
            self._sequence = segment.next_sequence
        self._sequence = self._sequence or 1
        if segment is None or segment.is_blank:
            self._begin_segment(numbers[-1] if numbers else 1)
        else:
            self._carry_on(segment)
        self._remove_old(self._needed)
        self._writer = self._files.start(self._run)

    def append(self, records: list[bytes]) -> None:
        """Into the batch that gathers."""
        assert self._writer is not None, "the journal must be replayed before it is appended to"
        self._gathering.extend(records)

    def submit(self) -> int:
        """Hand over all that was appended; returns the ticket that covers it. If nothing is new, it is the last one's
        ticket, and `on_durable` may have been called for it already (see `durable`)."""
        if not self._gathering:
            return self._ticket
        self._ticket += 1
        self._submitted.put((self._gathering, self._ticket))
        self._gathering = []
        return self._ticket

    @property
    def ticket(self) -> int:
        """The last that was given out."""
        return self._ticket

    @property
    def segment(self) -> int:
        """The segment that is being written. What was submitted before it was seen here lies in it or in older ones."""
        return self._number

    def release(self, first: int) -> None:
        """No record in a segment before `first` is needed any more; those that replace them are durable."""
        assert first <= self._number, "what is still to be written is needed"
        self._needed = max(self._needed, first)

    def close(self) -> None:
        """Finish what was submitted, stop the writer and let go of the directory. May be called twice."""
        self._submitted.put(_CLOSE)
        if self._writer is not None:
            self._writer.join()
        for fd in (self._fd, self._lock_fd):
            if fd >= 0:
                self._files.close(fd)
        self._fd = self._lock_fd = -1

    def free_bytes(self) -> int:
        """What the file system of the journal still has for us."""
        return self._files.free_bytes(self._directory)

    # -- at start
    def _hold(self) -> int:
        try:
            return self._files.lock(self._directory)
        except BlockingIOError as error:
            raise Unavailable(f"another process uses the journal in {self._directory}") from error

    def _segment_numbers(self) -> list[int]:
        """The segments that are needed, all of which must be there; older ones were on their way out."""
        matches = (_NAME.fullmatch(name) for name in self._files.names(self._directory))
        numbers = sorted(int(match[1]) for match in matches if match)
        self._needed = self._find_needed(numbers)
        self._oldest = min([*numbers, self._needed])
        last = numbers[-1] if numbers else 0
        for number in range(self._needed, last + 1):
            if number not in numbers:
                raise Corrupt(f"journal segment {number} is missing in {self._directory}")
        return list(range(self._needed, last + 1))

    def _find_needed(self, numbers: list[int]) -> int:
        """As the newest segment with a whole header says."""
        for number in reversed(numbers):
            if oldest := oldest_needed(self._files.read(self._path(number))):
                return oldest
        return 1

    def _carry_on(self, segment: Segment) -> None:
        """Go on behind the last batch. It is written again, so that its sync means something (see above)."""
        self._number, self._end, self._written = segment.number, segment.end, segment.size
        self._fd = self._files.open(self._path(segment.number))
        if segment.is_torn:
            self._files.truncate(self._fd, segment.end)
            self._written = segment.end
        self._files.write(self._fd, segment.last_written(), segment.last_start)
        self._files.sync_file(self._fd)
        self._files.sync_directory(self._directory)

    # -- the writer
    def _run(self) -> None:
        try:
            while work := self._take():
                records, ticket = work
                self._write_batch(records)
                self.durable = ticket
                self._on_durable(ticket)
        except BaseException as error:  # Whatever it was, this thread never writes again, and the node must hear of it.
            self._on_failure(error)

    def _take(self) -> tuple[list[bytes], int] | None:
        """Wait for records, and take all that there are; None when closing and nothing is left."""
        records, ticket = self._submitted.get()
        while ticket and not self._submitted.empty():
            more, newer = self._submitted.get()
            if not newer:
                self._submitted.put(_CLOSE)  # next time
                break
            records, ticket = records + more, newer
        return (records, ticket) if ticket else None

    def _write_batch(self, records: list[bytes]) -> None:
        batch = encode_batch(records, self._sequence, self._number)
        if self._has_batches() and (self._end + len(batch) > self._segment_bytes or self._may_go() >= GONE_SEGMENTS):
            self._files.close(self._fd)
            self._fd = -1
            self._begin_segment(self._number + 1)
            batch = encode_batch(records, self._sequence, self._number)
        self._write(batch)
        self._files.sync_data(self._fd)
        self.syncs += 1
        self._sequence += 1

    def _may_go(self) -> int:
        """How many segments the next header would let go."""
        return self._needed - self._oldest

    def _has_batches(self) -> bool:
        return self._end > len(encode_header(self._number, self._sequence))

    def _begin_segment(self, number: int) -> None:
        self._end, self._written = 0, 0
        self._fd = self._files.open(self._path(number))
        needed = self._needed  # `release` may raise it at any time, and no more may go than the header says
        self._write(encode_header(number, self._sequence, needed))
        self._files.sync_file(self._fd)
        self._files.sync_directory(self._directory)
        self._number = number
        self._remove_old(needed)

    def _remove_old(self, needed: int) -> None:
        """The newest header says durably that those before `needed` are not."""
        if self._oldest < needed:
            while self._oldest < needed:
                if self._path(self._oldest).name in self._files.names(self._directory):
                    self._files.remove(self._path(self._oldest))
                self._oldest += 1
            self._files.sync_directory(self._directory)

    def _write(self, data: bytes) -> None:
        """At the end; if that goes past what is written of the file, zeros are written along, up to a full step."""
        end = self._end + len(data)
        if end > self._written:
            self._written = -(-end // self._ahead_bytes) * self._ahead_bytes
            data += bytes(self._written - end)
        self._files.write(self._fd, data, self._end)
        self._end = end

    def _path(self, number: int) -> Path:
        return self._directory / f"segment-{number:012}"
