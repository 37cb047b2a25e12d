"""Lists: whoever reads one sees in which order its elements were appended (Elle, section 4.2).

All that is read of a list must be beginnings of the same one. An element that nobody read, of an append that certainly
happened, stands behind all that was read, for lists only grow.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from itertools import pairwise
from typing import Any

from monitoring.selfcheck.checker.anomalies import INCOMPATIBLE
from monitoring.selfcheck.checker.graph import RW, WR, WW, Edge
from monitoring.selfcheck.checker.history import APPEND, LIST, Transaction
from monitoring.selfcheck.checker.history import text as t
from monitoring.selfcheck.checker.reads import Found, Read, Reads


def find(history: list[Transaction]) -> Found:
    return Lists(history).run()


class Lists(Reads):
    write, read = APPEND, LIST

    def before_own(self, value: Any, own: list[Any]) -> Any:
        place = len(value) - len(own)
        if list(value[max(0, place) :]) != own:
            raise ValueError
        return value[:place]

    def after(self, value: Any, written: Any) -> Any:
        return (*value, written)

    def parts(self, value: Any) -> list[Any]:
        return list(value)

    def run(self) -> Found:
        self.longest: dict[Hashable, Read] = {}
        for read in self.reads:
            longest = self.longest.setdefault(read.key, read)
            if len(read.value) > len(longest.value):
                self.longest[read.key] = read
        fitting = [read for read in self.reads if self._fits(read)]
        unread = self._unread()
        for read in self.longest.values():
            self.found.edges += self._of_order(read)
        for read in fitting:
            self.found.edges += self._of_read(read, unread)
        self.tell_lost_updates()
        return self.found

    def _fits(self, read: Read) -> bool:
        longest = self.longest[read.key]
        if longest.value[: len(read.value)] == read.value:
            return True
        words = f"{read.key} was read as {t(read.value)} by {read.txn} and as {t(longest.value)} by {longest.txn}:"
        self.found.tell(INCOMPATIBLE, words, read.txn, longest.txn)
        return False

    def _unread(self) -> dict[Hashable, list[tuple[Any, Transaction]]]:
        """Elements behind all that was read, by key."""
        unread: dict[Hashable, list[tuple[Any, Transaction]]] = {}
        read = {(key, element) for key, longest in self.longest.items() for element in longest.value}
        for key, element, writer in self.writers.happened():
            if (key, element) not in read and (key, element) not in self.writers.seen:
                unread.setdefault(key, []).append((element, writer))
        return unread

    def _of_order(self, read: Read) -> Iterator[Edge]:
        """Who appended one element and who the next."""
        for one, other in pairwise(read.value):
            before, behind = self.writers.of(read.key, one), self.writers.of(read.key, other)
            assert before is not None and behind is not None, "what nobody wrote was sorted out"  # noqa: PT018
            yield Edge(WW, before, behind, "{0} appended {3} to {2}, and {1} then {4}", (read.key, one, other))

    def _of_read(self, read: Read, unread: dict[Hashable, list[tuple[Any, Transaction]]]) -> Iterator[Edge]:
        txn, key, value = read
        if value:
            writer = self.writers.of(key, value[-1])
            assert writer is not None, "what nobody wrote was sorted out"
            if self.is_intermediate(read, value[-1], writer):
                return
            yield Edge(WR, writer, txn, "{0} appended {3} to {2}, and {1} read it last", (key, value[-1]))
        whole = self.longest[key].value
        following = unread.get(key, [])
        if len(value) < len(whole):
            behind = self.writers.of(key, whole[len(value)])
            assert behind is not None, "what nobody wrote was sorted out"
            following = [(whole[len(value)], behind)]
        for element, behind in following:
            yield Edge(RW, txn, behind, "{0} read {3} of {2}, and {1} then appended {4}", (key, value, element))
