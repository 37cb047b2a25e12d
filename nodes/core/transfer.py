"""How a copy of a store gets to a replica that is too far behind for the log: chunks, and how far they have come.

    leader                                              laggard
      │ Chunk(number, slot, size, offset, data) ...        writes what comes in order
      │ <───────────────────────── ChunkTaken(number, offset)
      │                                     the last one is answered when the store is installed

Messages may be lost, repeated, reordered and late: `number` names the transfer, offsets the place in it. A laggard that
has meanwhile come further than the copy, or leads, says that it has taken all of it; one that has not begun it, for it
died since or another transfer took its place, says so, and the copy goes on from where it says that it is. A
transfer older than the one under way is not heard.

*Invariants*: nothing is written out of order; a chunk of another transfer never joins this one.
*Left out*: files, threads, and who is behind (nodes/runtime/transfer.py). The Raft paper, section 7.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

NOT_BEGUN = -1  # as an offset
WINDOW = 4  # chunks under way
REPEAT_TICKS = 10


class Chunk(msgspec.Struct, array_like=True, tag=90):
    """Bytes of a store that has applied at least `slot`, copied by the leader of `epoch`; `size` is that of all."""

    number: int
    epoch: int
    slot: int
    size: int
    offset: int
    data: bytes


class ChunkTaken(msgspec.Struct, array_like=True, tag=91):
    """Everything before `offset` has come; with the size of the copy: it is installed, or not needed. NOT_BEGUN: this
    replica has nothing of that transfer, and was sent what is not its beginning."""

    number: int
    offset: int


Message = Chunk | ChunkTaken


class Sending:
    """The leader's side: which offsets leave when."""

    def __init__(self, number: int, size: int, chunk_bytes: int) -> None:
        self.number = number
        self.size = size
        self.chunk_bytes = chunk_bytes
        self.taken = 0
        self._heard = 0  # what the laggard said last: less than before, if it has begun anew
        self._sent = 0
        self._quiet_ticks = 0

    @property
    def is_done(self) -> bool:
        return self.taken >= self.size

    def due(self) -> Iterator[int]:
        """The offsets of the chunks to be sent now."""
        while self._sent < min(self.size, self.taken + WINDOW * self.chunk_bytes):
            yield self._sent
            self._sent += self.chunk_bytes

    def on_taken(self, message: ChunkTaken) -> None:
        if message.number != self.number:
            return
        self._heard = max(0, message.offset)
        if message.offset > self.taken:
            self.taken = message.offset
            self._sent = max(self._sent, self.taken)
            self._quiet_ticks = 0

    def tick(self) -> None:
        """What was sent and is not taken after a while is sent again, from where the laggard is by its last word."""
        self._quiet_ticks += 1
        if self._quiet_ticks >= REPEAT_TICKS:
            self._quiet_ticks = 0
            self._sent = self.taken = self._heard


class Receiving:
    """The laggard's side: what of one transfer has come."""

    def __init__(self, sender: int, first: Chunk) -> None:
        self.sender = sender
        self.number = first.number
        self.epoch = first.epoch
        self.slot = first.slot
        self.size = first.size
        self.have = 0

    def is_of(self, sender: int, message: Chunk) -> bool:
        return (self.sender, self.number) == (sender, message.number)

    def is_newer_than(self, message: Chunk) -> bool:
        """Is that chunk of a transfer before this one? An epoch has one leader, whose numbers rise."""
        return (message.epoch, message.number) < (self.epoch, self.number)

    def takes(self, message: Chunk) -> bool:
        """Is it the next piece? Then it is to be written at its offset."""
        if message.offset != self.have or not message.data or self.is_complete:
            return False
        self.have += len(message.data)
        return True

    @property
    def is_complete(self) -> bool:
        return self.have >= self.size
