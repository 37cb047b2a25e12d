"""What the client needs of the world around it: a clock, chance, sleep, sockets, and a place to wait in a queue.

The logic of the client is written once, as coroutines over these. Each form brings its own: in the blocking one
(`threads.py`) nothing that is awaited ever suspends, so a coroutine runs to its end in one step of its caller's thread;
in the awaited one (`aio/`) it suspends on the loop. Whatever decides anything stands on this side of the line.

*Invariant*: every wait is given its seconds and ends by them.
"""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from typing import Protocol

Address = tuple[str, int]


class Socket(Protocol):
    """A connected stream of bytes, used by one call at a time. `close` may be called twice."""

    async def send(self, data: bytes, seconds: float) -> None:
        """All of it; OSError (TimeoutError too) when not all of it was handed over, and then the rest never is."""

    async def receive(self, seconds: float, least: int = 1) -> bytes:
        """What came, b"" at the clean end of the stream; TimeoutError, or another OSError when it broke. It may wait
        for `least` bytes, but no longer than the seconds: then it gives what there is."""

    def is_quiet(self) -> bool:
        """It is open, and nothing lies here to be read, not even an end."""

    def close(self) -> None: ...

    def abandon(self) -> None:
        """Let go of it without a word to the other side: in a process that was forked, where it belongs to the
        parent, or after its loop has ended."""


class Turn(Protocol):
    """One place in a queue."""

    async def wait(self, seconds: float) -> None:
        """Until `call` was called, or the time is up."""

    def call(self) -> None:
        """From any thread of the same client; at most once."""


class Surroundings(ABC):
    """One for each client; a test gives its own."""

    def now(self) -> float:
        """Seconds of a clock that never goes back."""
        return time.monotonic()

    def chance(self) -> float:
        """A random number in [0, 1)."""
        return random.random()

    @abstractmethod
    async def sleep(self, seconds: float) -> None: ...

    @abstractmethod
    async def dial(self, address: Address, seconds: float) -> Socket:
        """OSError if nobody is reached within the seconds, the look-up of the name included."""

    @abstractmethod
    def turn(self) -> Turn: ...

    def is_elsewhere(self) -> bool:
        """Is what was opened before of no use here, and to be abandoned? RuntimeError if it is still used there."""
        return False


class Deadline:
    """A time by which something is over, `seconds` from now."""

    __slots__ = ("_at", "_surroundings")

    def __init__(self, surroundings: Surroundings, seconds: float) -> None:
        self._surroundings = surroundings
        self._at = surroundings.now() + seconds

    def left(self) -> float:
        """Seconds, below 0 when it is past."""
        return self._at - self._surroundings.now()

    def earlier(self, seconds: float) -> Deadline:
        """The deadline that many seconds before this one."""
        return Deadline(self._surroundings, self.left() - seconds)


class Pauses:
    """The pauses between tries: random, each up to twice as long as the one before."""

    FIRST_S, LONGEST_S = 0.005, 0.25

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._most = self.FIRST_S

    async def pause(self, left: float) -> bool:
        """Sleep; False, without sleeping, if the pause would use up the time that is `left`."""
        seconds = self._most * (0.5 + self._surroundings.chance() / 2)
        self._most = min(self._most * 2, self.LONGEST_S)
        if seconds >= left:
            return False
        await self._surroundings.sleep(seconds)
        return True
