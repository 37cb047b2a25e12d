"""Which nodes a call should turn to: each another first, those that failed last.

A node that failed or fell silent is suspect, and tried last. Each SUSPECT_S one call turns to it first, to see whether
it is back, while all others go on to avoid it; an answer clears it at once.

Nodes advise where a call does best; that node is turned to first while it is sound. If it has too much to do it says so
itself, and for SPREAD_S each call begins with another node again.

*Invariant*: a call gets each node once.
"""

from __future__ import annotations

import itertools
import threading

from nodes.client.surroundings import Surroundings

SUSPECT_S = 1.0
SPREAD_S = 1.0
ANY = -1  # no node in particular


class Candidates:
    """The nodes that one call may still try; false when none is left."""

    __slots__ = ("_sound", "_suspects")

    def __init__(self, sound: list[int], suspects: list[int]) -> None:
        self._sound, self._suspects = sound, suspects

    def __bool__(self) -> bool:
        return bool(self._sound or self._suspects)

    def next(self) -> list[int]:
        """Those to choose from now, the best first; who has tried one takes it out. Suspects only after all others."""
        return self._sound or self._suspects


class Health:
    """Of the nodes 0 to `count` - 1. Thread-safe."""

    def __init__(self, count: int, surroundings: Surroundings) -> None:
        self._now = surroundings.now
        self._count = count
        self._turns = itertools.count(int(surroundings.chance() * count))
        self._lock = threading.Lock()
        self._look_again_at = [0.0] * count  # 0: nothing is known against it
        self._preferred = ANY
        self._spread_until = 0.0

    def gateways(self) -> Candidates:
        """For a call: as the nodes advise."""
        return self.candidates(self._preferred)

    def advise(self, by: int, node: int) -> None:
        """The node `by` says where a call does best."""
        if node == self._preferred:
            return
        if node != ANY:
            if self._now() >= self._spread_until:
                self._preferred = node
        elif by == self._preferred:
            self._preferred, self._spread_until = ANY, self._now() + SPREAD_S

    def candidates(self, first: int = ANY) -> Candidates:
        """`first`: the node to turn to first, unless it is suspect."""
        turn, now = next(self._turns), self._now()
        sound: list[int] = []
        suspects: list[int] = []
        with self._lock:
            for node in ((turn + step) % self._count for step in range(self._count)):
                if not self._look_again_at[node]:
                    sound.append(node)
                elif self._look_again_at[node] > now:
                    suspects.append(node)
                else:
                    self._look_again_at[node] = now + SUSPECT_S
                    sound.insert(0, node)
        if first in sound:
            sound.remove(first)
            sound.insert(0, first)
        return Candidates(sound, suspects)

    def suspect(self, node: int) -> None:
        self._look_again_at[node] = self._now() + SUSPECT_S

    def clear(self, node: int) -> None:
        self._look_again_at[node] = 0.0

    def is_suspect(self, node: int) -> bool:
        return self._look_again_at[node] > 0.0
