"""One replica's log, in memory, and how much of it the journal holds.

Slots rise by one from `first_slot`; epochs never fall along the log. The log knows three points:

    first_slot ........ durable_slot ........ unrecorded_slot ........ last_slot
        the journal has it │ handed to the journal │ not yet handed over │

*Invariants*: `durable_slot < unrecorded_slot <= last_slot + 1`; a slot counts as durable only while the very entry
that stands there is; the log is cut only above what is chosen (the caller asserts that, it knows the commit index).
Everything counts from `base`, the last place that the log has let go of; no record of this replica reaches above
`highest_slot`, of what was cut neither. The members of the group are those of the last entry that names any, chosen or
not, and again those of before when that is cut (case R18). The paper, sections 5.3 and 7; the dissertation, 4.1.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable

from nodes.core.membership import MARK, Configuration, decode_members, founded, newer
from nodes.core.raft.messages import LogSuffix
from nodes.core.replicated_log import START, Entry, Point
from nodes.errors import Corrupt

NOBODY_YET = founded()


def _epoch_of(entry: Entry) -> int:
    return entry.epoch


class RaftLog:
    """The entries of one group on one node."""

    __slots__ = (
        "_configurations", "_entries", "_handed", "base_epoch", "durable_slot", "first_slot", "highest_slot",
        "last_slot", "unrecorded_slot",
    )  # fmt: skip

    def __init__(self, base: Point = START, highest_slot: int = 0, known: Configuration = NOBODY_YET) -> None:
        """`highest_slot`: as far as the records reach that an earlier log of this replica left behind. `known`: the
        members as they are known without the entries."""
        self._configurations = [known]  # and those of the entries behind, in order of their slots
        self.highest_slot = max(base.slot, highest_slot)
        self.first_slot = base.slot + 1
        self.base_epoch = base.epoch
        self.last_slot = base.slot
        self.durable_slot = base.slot
        self.unrecorded_slot = base.slot + 1
        self._entries: list[Entry] = []
        self._handed: deque[tuple[int, int]] = deque()  # (mark, last slot that is durable with that mark)

    # -- building from the journal
    def replay(self, record: LogSuffix) -> None:
        """Take one record of the journal, as far as it lies above the base; Corrupt if it does not follow on what came
        before. What was cut later need not fit on the base: `check` is for when all records are taken."""
        entries = record.entries
        if not entries or entries[0].slot > self.last_slot + 1:
            raise Corrupt(f"a log record does not follow on slot {self.last_slot}")
        self.highest_slot = max(self.highest_slot, entries[-1].slot)
        if entries[-1].slot < self.first_slot and not self._entries:
            return
        if not is_contiguous(entries):
            raise Corrupt(f"a log record has a gap behind slot {entries[0].slot}")
        if entries[0].slot < self.first_slot:
            entries = entries[self.first_slot - entries[0].slot :]
        self.truncate(max(record.entries[0].slot, self.first_slot))
        self._entries += entries
        self._note_members(entries)
        self.last_slot += len(entries)
        self.durable_slot = self.last_slot
        self.unrecorded_slot = self.last_slot + 1

    def check(self) -> None:
        """Corrupt unless the epochs rise from the base on."""
        first = Entry(self.first_slot - 1, self.base_epoch, b"")
        if not is_contiguous([first, *self._entries]):
            raise Corrupt(f"the log behind slot {self.first_slot - 1} is none")

    # -- reading
    @property
    def last_epoch(self) -> int:
        return self._entries[-1].epoch if self._entries else self.base_epoch

    def epoch_at(self, slot: int) -> int:
        """The epoch of the entry at `slot`, which is in the log or directly before it."""
        if slot == self.first_slot - 1:
            return self.base_epoch
        return self._entries[slot - self.first_slot].epoch

    def size_at(self, slot: int) -> int:
        """The bytes of data of the entry at `slot`."""
        return len(self._entries[slot - self.first_slot].data)

    def has(self, slot: int, epoch: int) -> bool:
        """Is the entry at `slot` the one of `epoch`? By log matching all before it are then the same too."""
        return self.first_slot - 1 <= slot <= self.last_slot and self.epoch_at(slot) == epoch

    def between(self, first: int, last: int) -> list[Entry]:
        """The entries of the slots `first`..`last`, a new list."""
        return self._entries[first - self.first_slot : last - self.first_slot + 1]

    def batch(self, first: int, most_bytes: int) -> tuple[list[Entry], int]:
        """Entries from `first` on of together `most_bytes` of data at most, but at least one if there is one."""
        begin, size = first - self.first_slot, 0
        for index in range(begin, len(self._entries)):
            more = len(self._entries[index].data)
            if size + more > most_bytes and index > begin:
                return self._entries[begin:index], size
            size += more
        return self._entries[begin:], size

    def last_slot_below(self, slot: int, epoch: int) -> int:
        """The last slot at or below `slot` whose epoch is not above `epoch`: no later one can match there."""
        end = max(0, min(slot, self.last_slot) - self.first_slot + 1)
        return self.first_slot - 1 + bisect_right(self._entries, epoch, hi=end, key=_epoch_of)

    # -- changing
    def append(self, entry: Entry) -> None:
        """Put one entry behind the last."""
        assert entry.slot == self.last_slot + 1, "the log has no gaps"
        assert entry.epoch >= self.last_epoch, "epochs never fall along the log"
        self._entries.append(entry)
        if entry.data.startswith(MARK):
            self._note_members([entry])
        self.last_slot = entry.slot
        self.highest_slot = max(self.highest_slot, entry.slot)

    def extend(self, entries: list[Entry]) -> None:
        """Put entries, contiguous among themselves, behind the last."""
        assert entries[0].slot == self.last_slot + 1, "the log has no gaps"
        assert entries[0].epoch >= self.last_epoch, "epochs never fall along the log"
        self._entries += entries
        self._note_members(entries)
        self.last_slot = entries[-1].slot
        self.highest_slot = max(self.highest_slot, self.last_slot)

    def truncate(self, slot: int) -> None:
        """Drop `slot` and all behind it. What the journal has of it no longer counts, whatever mark comes back."""
        if slot > self.last_slot:
            return
        del self._entries[slot - self.first_slot :]
        while len(self._configurations) > 1 and self._configurations[-1].slot >= slot:
            self._configurations.pop()
        self.last_slot = slot - 1
        self.durable_slot = min(self.durable_slot, slot - 1)
        self.unrecorded_slot = min(self.unrecorded_slot, slot)
        self._handed = deque((mark, min(last, slot - 1)) for mark, last in self._handed)

    def _note_members(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.data.startswith(MARK) and entry.slot > self._configurations[-1].slot:
                self._configurations.append(Configuration(entry.slot, decode_members(entry.data)))

    @property
    def configuration(self) -> Configuration:
        """The members in use."""
        return self._configurations[-1]

    @property
    def chosen_configuration(self) -> Configuration:
        """The members as the store has them, whatever entries say that may never be chosen."""
        return self._configurations[0]

    def know(self, configuration: Configuration) -> None:
        """These were the members at some chosen slot, whatever the entries up to it said."""
        self._configurations = [
            newer(self._configurations[0], configuration),
            *(each for each in self._configurations[1:] if each.slot > configuration.slot),
        ]

    @property
    def base(self) -> Point:
        """The place directly before the first entry."""
        return Point(self.first_slot - 1, self.base_epoch)

    def compact(self, slot: int) -> None:
        """Let go of the entries up to `slot`, which the store holds durably."""
        assert self.first_slot <= slot <= self.last_slot, "only what is held is let go of"
        self.base_epoch = self.epoch_at(slot)
        del self._entries[: slot - self.first_slot + 1]
        self.first_slot = slot + 1
        self.durable_slot = max(self.durable_slot, slot)
        self.unrecorded_slot = max(self.unrecorded_slot, slot + 1)
        while len(self._configurations) > 1 and self._configurations[1].slot <= slot:
            del self._configurations[0]

    # -- the journal
    def take_unrecorded(self, mark: int) -> LogSuffix:
        """The record of everything not yet handed over; it will be durable with `mark`."""
        assert self.unrecorded_slot <= self.last_slot, "there is something to record"
        record = LogSuffix(self.between(self.unrecorded_slot, self.last_slot))
        self.unrecorded_slot = self.last_slot + 1
        self._handed.append((mark, self.last_slot))
        return record

    def on_durable(self, mark: int) -> None:
        """The journal holds all records up to `mark`."""
        while self._handed and self._handed[0][0] <= mark:
            self.durable_slot = max(self.durable_slot, self._handed.popleft()[1])


def is_contiguous(entries: Iterable[Entry]) -> bool:
    """Do the slots rise by one, while the epochs never fall?"""
    before: Entry | None = None
    for entry in entries:
        if before is not None and (entry.slot != before.slot + 1 or entry.epoch < before.epoch):
            return False
        before = entry
    return True
