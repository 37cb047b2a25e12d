"""The timestamp oracle (DESIGN.md §4): 64 bits, 48 of milliseconds of a majority's clock and 16 of counter.

`Oracle` lives at the leader of `c1`. It hands out only below its *reservation*, an applied entry of its own epoch; a
new leader starts at the highest reservation in the log. `TimestampDesk` lives on every node: it gathers who asks in
one loop turn into one numbered message, and an answer serves only those who waited when that message first left.

*Invariants*: no value is given twice, and if one was answered before another was asked for, it is the smaller.
*Left out*: the quorum round that proves the leadership (the log's read index), and leases.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

SHIFT = 16
COUNTED_MS = 100  # milliseconds' worth of values, to be counted through: some six million


def at_ms(clock_ms: int) -> int:
    """The first timestamp of a millisecond."""
    return clock_ms << SHIFT


class TimestampRequest(msgspec.Struct, array_like=True, tag=17):
    """`count` oracle values for `node`; (boot, number) names the message, a repeat carries the same."""

    node: int
    boot: int
    number: int
    count: int


class TimestampReply(msgspec.Struct, array_like=True, tag=18):
    """first, first+1 … are the values."""

    boot: int
    number: int
    first: int


class Oracle:
    """What the leader of `c1` has given (`given`) and may give (`limit`)."""

    def __init__(self) -> None:
        self.given = 0
        self.limit = 0
        self.proposed = 0

    def lead(self, reserved: int) -> None:
        """A new leader: nothing may be given before a reservation of its own epoch is applied."""
        self.given = self.limit = self.proposed = reserved

    def on_reserved(self, until: int) -> None:
        """An own reservation was applied."""
        self.limit = max(self.limit, until)

    def take(self, count: int, clock_ms: int) -> int:
        """The first of `count` consecutive values; 0 when the reservation does not reach that far."""
        first = max(self.given + 1, at_ms(clock_ms))
        if first + count - 1 > self.limit:
            first = self.given + 1
        if first + count - 1 > self.limit:
            return 0
        self.given = first + count - 1
        return first

    def reserve(self, ahead_ms: int, clock_ms: int, room: int = 0) -> int:
        """The reservation to propose now, 0 for none: a new one when less than half of the old is left. Values that
        are ahead of the clock already are only counted up, so they need little: else each new leader, who starts
        behind what the one before had reserved, would drive them `ahead_ms` further away from it."""

        def reach(part: int) -> int:
            return max(at_ms(clock_ms) + at_ms(ahead_ms) // part, self.given + at_ms(COUNTED_MS) // part) + room

        if max(self.limit, self.proposed) >= reach(2):
            return 0
        self.proposed = reach(1)
        return self.proposed


class TimestampDesk:
    """The asking side, one per node. `ask` gathers; `flush` yields the message of this turn; `repeat` the old ones."""

    def __init__(self, node: int, boot: int) -> None:
        self._node = node
        self._boot = boot
        self._number = 0
        self._gathered: list[Callable[[int], None]] = []
        self._waiting: dict[int, tuple[int, list[Callable[[int], None]]]] = {}

    def ask(self, then: Callable[[int], None]) -> None:
        self._gathered.append(then)

    def flush(self, tick: int) -> TimestampRequest | None:
        """One message for all that asked since the last flush."""
        if not self._gathered:
            return None
        self._number += 1
        self._waiting[self._number] = (tick, self._gathered)
        self._gathered = []
        return self._request(self._number)

    def repeat(self, tick: int, after_ticks: int) -> list[TimestampRequest]:
        """The oldest message that was unanswered for that long, again, with the set it first carried. Who waits for
        the others joins the next new message: a later drawing is always right, and one question in the network does."""
        due = [number for number, (sent, _) in self._waiting.items() if tick - sent >= after_ticks]
        for number in due[1:]:
            self._gathered.extend(self._waiting.pop(number)[1])
        for number in due[:1]:
            self._waiting[number] = (tick, self._waiting[number][1])
        return [self._request(number) for number in due[:1]]

    def on_reply(self, message: TimestampReply) -> None:
        if message.boot != self._boot or message.number not in self._waiting:
            return  # a repeat, or for an earlier life of this node
        _, waiting = self._waiting.pop(message.number)
        for offset, then in enumerate(waiting):
            then(message.first + offset)

    @property
    def is_gathering(self) -> bool:
        return bool(self._gathered)

    def _request(self, number: int) -> TimestampRequest:
        return TimestampRequest(self._node, self._boot, number, len(self._waiting[number][1]))
