"""The journal of one life of a counterfeit node: the journal's own code, its thread counterfeited by the timeline.

The thread takes what was submitted at one moment; writes and syncs happen at a later one, which is when the sync
returns. A crash between the two may come before or after each call to the disk.

What is checked at every step: that all is synced when the journal says so, that it ends at its first failure, that a
start finds all that was told durable and nothing else than was appended, bit for bit, and leaves zeros behind it, and
that what is left after segments went is enough for the next start.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

from nodes.core.replicated_log import Point, Timing
from nodes.errors import Corrupt
from nodes.runtime.compaction import read_records
from nodes.storage.journal import GONE_SEGMENTS, Journal
from nodes.storage.segments import Segment
from tests.sim.coverage import count
from tests.sim.disk import Died, SimDisk
from tests.sim.timeline import MS
from tests.sim.truth import Violation, demand

if TYPE_CHECKING:
    from tests.sim.cluster import Life

HOME = Path("journal")
AHEAD_BYTES = (256, 2_048)
LARGE_BYTES = 400  # of a batch
CALLS = 8  # to the disk, for a batch that begins a segment
NONE = -1  # of its calls


class Ledger:
    """What a node has had written, oldest first, as (segment, record); the first `told` of them were told durable."""

    def __init__(self) -> None:
        self.written: list[tuple[int, bytes]] = []
        self.told = 0

    def on_start(self, found: list[bytes], first: int) -> None:
        """A start found that, in the segments from `first` on."""
        kept = [(segment, record) for segment, record in self.written if segment >= first]
        told = self.told - (len(self.written) - len(kept))
        lost = told - len(found)
        demand(lost <= 0, "7 durable journal", f"{lost} records are lost that were told durable")
        is_same = found == [record for _, record in kept[: len(found)]]
        demand(is_same, "7 durable journal", "a start reads what was never written, or not in this order")
        self.written, self.told = kept[: len(found)], len(found)


class SimJournal(Journal):
    """`JournalWriter` of the driver. Corrupt and OSError from the constructor or `read`, as a node has them."""

    def __init__(self, life: Life, disk: SimDisk, ledger: Ledger, rng: random.Random) -> None:
        self._life, self._disk, self._ledger, self._rng = life, disk, ledger, rng
        self._waiting: tuple[list[bytes], int] | None = None  # what the thread has taken
        self._due: tuple[list[bytes], int] | None = None
        self._is_dying = False
        self._error: BaseException | None = None
        self._demanded = 0  # the oldest segment when what is left was last found readable
        super().__init__(
            HOME,
            on_durable=self._tell,
            on_failure=self._note_failure,
            segment_bytes=life.node.cluster.constants.segment_bytes,
            ahead_bytes=rng.choice(AHEAD_BYTES),
            files=disk,
        )

    def on_batch(self, calls: int) -> None:
        """A batch is about to be written, with so many calls to the disk at most."""

    def most_calls(self) -> int:
        return CALLS + self._may_go() if self._begins_segment() else 2

    def read(self) -> list[bytes]:
        """All records that a start finds."""
        found = list(self.replay())
        self._ledger.on_start(found, self._needed)
        rest = self._disk.read(self._path(self._number))[self._end :]
        demand(not any(rest), "7 readable journal", "a start leaves more than zeros behind the last batch")
        self._demanded = self._oldest
        return found

    def submit(self) -> int:
        ticket = super().submit()
        self._begin()
        return ticket

    # -- the thread

    def _begin(self) -> None:
        if self._waiting is None and not self._submitted.empty():
            self._waiting = super()._take()
            self.on_batch(self.most_calls())
            duration = self._sync_takes()
            self._life.later(duration, self._carry_out)
            if self._is_aimed_at():
                self._disk.aim, self._disk.is_hit = "", True
                self._life.later(self._rng.randrange(duration), self._cut_power)

    def _is_aimed_at(self) -> bool:
        aim = self._disk.aim
        if aim in ("", "batch"):
            return bool(aim)
        if aim == "large":
            return self._bytes_taken() > LARGE_BYTES
        return self._begins_segment() and (aim == "segment" or self._may_go() > 0)

    def _begins_segment(self) -> bool:
        """Will this batch, as far as can be told before it is written?"""
        return self._end + self._bytes_taken() > self._segment_bytes or self._may_go() >= GONE_SEGMENTS

    def _bytes_taken(self) -> int:
        assert self._waiting is not None, "a batch was taken"
        return sum(map(len, self._waiting[0]))

    def _cut_power(self) -> None:
        node = self._life.node
        if not self._disk.is_hit:
            return  # all was mended meanwhile
        self._disk.is_hit = False
        node.cluster.crash(node.number, power=True)
        node.cluster.start_later(node, self._rng.uniform(0.01, 1))

    def _sync_takes(self) -> int:
        rng = self._rng
        if self._disk.sluggish:
            count("slow sync")
            return rng.randint(200 * MS, max(200 * MS, self._disk.sluggish))
        slow = rng.random() < self._life.node.cluster.weather.slow_disk
        return rng.randint(20 * MS, 400 * MS) if slow else rng.randint(200, 2 * MS)

    def _take(self) -> tuple[list[bytes], int] | None:
        """What was taken, once."""
        work, self._due = self._due, None
        return work

    def _write_taken(self) -> list[bytes]:
        assert self._waiting is not None, "the thread has something to do"
        records, _ = self._due = self._waiting
        self._run()
        self._ledger.written += [(self._number, record) for record in records]
        self._waiting = None
        return records

    def _carry_out(self) -> None:
        """The sync returns, or fails."""
        records = self._write_taken()
        if self._error is not None:
            self._fail(self._error)
            return
        node = self._life.node
        node.cluster.say_synced(node.number, records)
        node.cluster.note(b"sync", node.number, b"".join(records))
        if self._oldest != self._demanded:
            self._demanded = self._oldest
            self._demand_readable()
        driver = self._life.driver
        assert driver is not None, "a journal belongs to a running driver"
        driver.on_durable(self.durable)
        self._begin()

    def _tell(self, ticket: int) -> None:
        """From `_run`, where whatever is raised is a failure of the journal."""
        demand(self._error is None, "2 durable before it is told", "the journal says so after it had failed")
        demand(self._disk.is_synced(), "2 durable before it is told", "the disk does not have it all yet")
        if not self._is_dying:
            self._ledger.told = len(self._ledger.written) + len(self._waiting[0] if self._waiting else ())

    def _note_failure(self, error: BaseException) -> None:
        self._error = self._error or error

    def _fail(self, error: BaseException) -> None:
        """As the node does (nodes/runtime/node.py): it ends at once."""
        if not isinstance(error, OSError):
            raise error
        self._life.node.cluster.end(self._life, f"the journal failed: {error}")

    def crash(self) -> None:
        """The batch that is being written may have come as far as any of its calls."""
        self._is_dying = True
        last = self.last_call() if self._waiting is not None else NONE
        if last == NONE:
            return
        self._disk.dies_in = last
        self._write_taken()
        self._disk.dies_in = -1
        if self._error is not None and not isinstance(self._error, Died | OSError):
            raise self._error

    def last_call(self) -> int:
        """Which call is the one that the process dies in, if there are so many: old segments go from the fourth on."""
        if self._rng.random() < 0.2:
            return NONE
        if not self._begins_segment():
            return self._rng.randint(0, 2)
        if self._may_go() and self._rng.random() < 0.6:
            return self._rng.randint(3, 5 + self._may_go())
        return self._rng.randint(0, CALLS)

    # -- checks

    def _demand_readable(self) -> None:
        """Segments went: each log must follow from what is left, or the next start would fail."""
        driver = self._life.driver
        assert driver is not None, "a journal belongs to a running driver"
        records = read_records(_read(self._disk.copy()))
        for code, group in driver.groups.items():
            applied = Point(group.store.applied, group.store.epoch)
            core, logs = type(group.log), records.get(code, [])
            try:
                known = driver.placement.configuration_of(group.group, group.store, logs)
                core(driver.node, known, logs, random.Random(0), Timing(), False, applied)
            except (Corrupt, AssertionError) as error:
                raise Violation("7 readable journal", f"n{driver.node}, {group.group}: {error}") from error


def _read(disk: SimDisk) -> list[bytes]:
    """As a start would."""
    try:
        return list(Journal(HOME, on_durable=print, on_failure=print, files=disk).replay())
    except Corrupt as error:
        raise Violation("7 readable journal", str(error)) from error


def draw_flip(disk: SimDisk, rng: random.Random) -> tuple[str, int] | None:
    """A place where damage can be told from a torn write: anywhere before the last batch, of a segment that is needed.
    None if there is no such place."""
    names = sorted(disk.names(HOME))
    if not names:
        return None
    last = names[-1]
    journal = Journal(HOME, on_durable=print, on_failure=print, files=disk.copy())
    try:
        for _ in journal.replay():
            pass
    except Corrupt:
        return None  # it has one already
    places = [(name, len(disk.read(HOME / name))) for name in names if name >= journal._path(journal._needed).name]
    segment = Segment(disk.read(HOME / last), journal._number, 0, is_last=True)
    for _ in segment.batches():
        pass
    places[-1] = (last, segment.last_start)
    name, size = rng.choice([place for place in places if place[1] > 0] or [("", 0)])
    return (name, rng.randrange(size)) if name else None
