"""The counterfeit disk of one node: files in memory, on which the journal's own code works (nodes/storage/journal.py).

Of each file there is what the kernel shows, what the disk holds, and the writes between the two; of the directory, the
names that the kernel shows and those that the disk holds. When only the process dies, the next one finds what the
kernel shows. When the power goes, any part of the writes between is lost, even out of their middle, new names may be
gone and removed ones back. A sync that fails drops what it could not write, while the kernel goes on showing it, and
the next sync succeeds without it.

*Invariants*: what a sync confirmed is there after any crash, but for a bit that was flipped on purpose, of which the
journal must tell. After a call that failed, the process makes no other that changes anything.
"""

from __future__ import annotations

import errno
import random
import threading
from collections.abc import Callable
from pathlib import Path

from nodes.storage.journal import Files
from tests.sim.coverage import count
from tests.sim.truth import Violation

PLENTY = 1 << 40

# How much of what was not synced survives: nothing, everything, all up to some byte, any pieces.
LOSSES = ("nothing", "everything", "prefix", "prefix", "pieces", "pieces")


class Died(BaseException):
    """The process, or the machine, is gone in the middle of a call."""


class SimFile:
    """`shown` by the kernel, `held` by the disk; `between` are writes (offset, bytes) and cuts (size, None) that are in
    the one only."""

    def __init__(self, content: bytes = b"") -> None:
        self.shown = bytearray(content)
        self.held = bytearray(content)
        self.between: list[tuple[int, bytes | None]] = []

    def write(self, offset: int, data: bytes) -> None:
        _put(self.shown, offset, data)
        self.between.append((offset, data))

    def cut(self, size: int) -> None:
        del self.shown[size:]
        self.between.append((size, None))

    def sync(self) -> None:
        """Of what an earlier one could not write the kernel knows nothing any more."""
        for change in self.between:
            self._hold(*change)
        self.between.clear()

    def misses(self) -> bool:
        """Does the kernel show what no later sync would bring to the disk?"""
        whole = SimFile(self.held)
        for change in self.between:
            whole._hold(*change)
        return whole.held != self.shown

    def lose(self, rng: random.Random, how: str) -> None:
        """The disk gets a part of what is between; the rest is forgotten. What is shown stays."""
        pieces = _pieces(self.between, rng.choice((1, 8, 64, 512, 1 << 20)))
        last = rng.randint(0, len(pieces)) if how == "prefix" else len(pieces)
        for number, change in enumerate(pieces):
            if how != "nothing" and number < last and not (how == "pieces" and rng.random() < 0.5):
                self._hold(*change)
        self.between.clear()

    def _hold(self, offset: int, data: bytes | None) -> None:
        if data is None:
            del self.held[offset:]
        else:
            _put(self.held, offset, data)


def _put(content: bytearray, offset: int, data: bytes) -> None:
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


def _pieces(between: list[tuple[int, bytes | None]], size: int) -> list[tuple[int, bytes | None]]:
    """Each a thing that reaches the disk as a whole or not at all; the zeros behind a batch are one."""
    found: list[tuple[int, bytes | None]] = []
    for offset, data in between:
        if data is None:
            found.append((offset, None))
            continue
        filled = len(data.rstrip(b"\0"))
        found += [(offset + at, data[at : min(at + size, filled)]) for at in range(0, filled, size)]
        if filled < len(data):
            found.append((offset + filled, data[filled:]))
    return found


class SimDisk(Files):
    """`Files` of the journal; it outlives the node's lives. The faults set what is to go wrong.

    `fails`: the next "write" or "sync" does; `room`: so many bytes the files may grow by; `dies_in`: so many calls
    from now, this one is the process's last; `start_dies_in`: the same for the next process; `sluggish`: microseconds,
    at most, that a sync takes; `aim`: the power goes while the next "batch" is written, or the next "large" one, or the
    next that begins a "segment", or that also lets old ones go ("release").
    """

    def __init__(self, rng: random.Random) -> None:
        self.fails = ""
        self.room = PLENTY
        self.free = PLENTY
        self.sluggish = 0
        self.dies_in = self.start_dies_in = -1
        self.aim = ""
        self.is_hit = False  # it was aimed at, and the power goes before the sync under way returns
        self.flipped: list[tuple[SimFile, int, int]] = []  # file, byte, bit
        self._rng = rng
        self._shown: dict[str, SimFile] = {}
        self._held: dict[str, SimFile] = {}
        self._open: dict[int, SimFile] = {}
        self._next_fd = 3
        self._failed = ""

    # -- Files

    def start(self, run: Callable[[], None]) -> threading.Thread:
        """None is: the timeline does what the thread would (SimJournal)."""
        return threading.Thread(target=run)

    def lock(self, directory: Path) -> int:
        """A new process."""
        self._open.clear()
        self._failed = ""
        self.dies_in, self.start_dies_in = self.start_dies_in, -1
        return 0

    def names(self, directory: Path) -> list[str]:
        return list(self._shown)

    def read(self, path: Path) -> bytes:
        return bytes(self._shown[path.name].shown)

    def open(self, path: Path) -> int:
        if path.name not in self._shown:
            self._change(f"create {path.name}")
            if self.room <= 0:
                self._fail(errno.ENOSPC, f"create {path.name}")
            self._shown[path.name] = SimFile()
        self._next_fd += 1
        self._open[self._next_fd] = self._shown[path.name]
        return self._next_fd

    def write(self, fd: int, data: bytes, offset: int) -> None:
        file = self._open[fd]
        try:
            self._change("write")
        except Died:
            file.write(offset, data[: self._rng.randint(0, len(data))])
            raise
        growth = max(0, offset + len(data) - len(file.shown))
        if self.fails == "write" or growth > self.room:
            count("write failed for lack of space" if growth > self.room else "write failed")
            most = len(data) - growth + max(0, self.room) if growth > self.room else self._rng.randint(0, len(data))
            file.write(offset, data[:most])
            self._fail(errno.ENOSPC if growth > self.room else errno.EIO, "write")
        self.room -= growth if self.room < PLENTY else 0
        file.write(offset, data)

    def remove(self, path: Path) -> None:
        self._change(f"remove {path.name}")
        del self._shown[path.name]

    def truncate(self, fd: int, size: int) -> None:
        self._change("truncate")
        count("torn tail cut")
        self._open[fd].cut(size)

    def sync_data(self, fd: int) -> None:
        self._change("sync")
        file = self._open[fd]
        if self.fails == "sync":
            count("sync failed")
            file.lose(self._rng, "pieces")
            self._fail(errno.EIO, "sync")
        file.sync()

    def sync_file(self, fd: int) -> None:
        self.sync_data(fd)

    def sync_directory(self, directory: Path) -> None:
        self._change("sync directory")
        self._held = dict(self._shown)

    def close(self, fd: int) -> None:
        self._open.pop(fd, None)

    def free_bytes(self, directory: Path) -> int:
        return self.free

    def _change(self, what: str) -> None:
        if self._failed:
            raise Violation("2 nothing is written after a failure", f"{what}, although {self._failed} had failed")
        if self.dies_in == 0:
            raise Died(what)
        self.dies_in -= 1

    def _fail(self, number: int, what: str) -> None:
        self.fails = ""
        self._failed = what
        raise OSError(number, f"counterfeit failure of {what}")

    # -- what the simulator asks and does

    def is_synced(self) -> bool:
        """Nothing that the process wrote is only in the kernel."""
        return not self._failed and self._held == self._shown and not any(file.between for file in self._shown.values())

    def copy(self) -> SimDisk:
        """What a new process would find now."""
        disk = SimDisk(random.Random(0))
        disk._shown = {name: SimFile(file.shown) for name, file in self._shown.items()}
        disk._held = dict(disk._shown)
        return disk

    def lose_power(self) -> None:
        rng, how = self._rng, self._rng.choice(LOSSES)
        left: dict[str, SimFile] = {}
        for name in sorted({*self._held, *self._shown}):
            shown, held = self._shown.get(name), self._held.get(name)
            if shown is None or held is None:
                count("new directory entry at risk" if held is None else "removed directory entry at risk")
                if rng.random() < 0.5:
                    count("directory entry lost" if held is None else "removed segment back")
                    shown = held
            file = shown or held
            if shown is not None and file is not None:
                left[name] = file
        for file in left.values():
            if file.misses():
                count("what a failed sync lost is missed")
            if file.between:
                self._tear(file, how)
            file.shown[:] = file.held
        self._shown, self._held = left, dict(left)

    def _tear(self, file: SimFile, how: str) -> None:
        before, wanted = file.held.rstrip(b"\0"), file.shown.rstrip(b"\0")
        start = file.between[0][0]
        is_new = not any(file.held[start:])  # else what was written there before is written anew
        file.lose(self._rng, how)
        found = file.held.rstrip(b"\0")
        count(f"unsynced write {'lost' if found == before else 'kept' if found == wanted else 'torn'}")
        if is_new and start < len(found) and found != wanted and self._rng.random() < 0.3:
            count("flip in a torn tail")
            _flip(file, self._rng.randrange(start, len(found)), self._rng.randrange(8))

    def flip(self, name: str, position: int) -> None:
        """At rest; `restore` takes it back."""
        file, bit = self._shown[name], self._rng.randrange(8)
        _flip(file, position, bit)
        self.flipped.append((file, position, bit))

    def restore(self) -> None:
        while self.flipped:
            _flip(*self.flipped.pop())

    def make_room(self) -> None:
        self.room = self.free = PLENTY

    def be_quick(self) -> None:
        self.sluggish = 0

    def is_well(self) -> bool:
        return self.room == self.free == PLENTY and not self.sluggish and not self.flipped

    def heal(self) -> None:
        self.restore()
        self.make_room()
        self.be_quick()
        self.fails, self.start_dies_in, self.aim, self.is_hit = "", -1, "", False


def _flip(file: SimFile, position: int, bit: int) -> None:
    for content in (file.shown, file.held):
        if position < len(content):
            content[position] ^= 1 << bit
