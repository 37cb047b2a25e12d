"""Registers: a value shows who wrote it, and not what was there before (Elle, section 4.3).

One version came before another one for sure if somebody read the one and wrote the other, or if the one is the first of
all. In time: if who had to do with the one was answered before who had to do with the other asked. What rests on the
second is *timed*: a cycle with it is one of real time.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any, NamedTuple

from monitoring.selfcheck.checker.graph import RW, WR, WW, Edge, components
from monitoring.selfcheck.checker.history import NOT_TOLD, VALUE, WRITE, Transaction
from monitoring.selfcheck.checker.intervals import one_after_the_other
from monitoring.selfcheck.checker.reads import Found, Read, Reads

FIRST = None


class Order(NamedTuple):
    """`before` was replaced, sooner or later, by `behind`."""

    before: Any
    behind: Any
    is_timed: bool = False


def find(history: list[Transaction]) -> Found:
    return Registers(history).run()


class Registers(Reads):
    write, read = WRITE, VALUE

    def before_own(self, value: Any, own: list[Any]) -> Any:
        if own and value != own[-1]:
            raise ValueError
        return NOT_TOLD if own else value

    def after(self, value: Any, written: Any) -> Any:
        return written

    def parts(self, value: Any) -> list[Any]:
        return [] if value is FIRST else [value]

    def run(self) -> Found:
        by_key: dict[Hashable, list[Read]] = {}
        for read in self.reads:
            by_key.setdefault(read.key, []).append(read)
        finals: dict[Hashable, dict[Any, Transaction]] = {}
        for key, value, writer in self.writers.happened():
            if self.writers.written(writer, key)[-1] == value:
                finals.setdefault(key, {})[value] = writer
        for key in dict.fromkeys([*by_key, *finals]):
            self.found.edges += self._of_key(key, by_key.get(key, []), finals.get(key, {}))
        self.tell_lost_updates()
        return self.found

    def _of_key(self, key: Hashable, reads: list[Read], finals: dict[Any, Transaction]) -> Iterator[Edge]:
        readers: dict[Any, list[Transaction]] = {}
        for read in reads:
            readers.setdefault(read.value, []).append(read.txn)
            writer = self.writers.of(key, read.value)
            if writer is not None and not self.is_intermediate(read, read.value, writer):
                yield Edge(WR, writer, read.txn, "{0} wrote {3} to {2}, and {1} read it", (key, read.value))
        for before, behind, is_timed in self._orders(key, reads, finals):
            writer, versions = finals[behind], (key, before, behind)
            if before in finals:
                words = "{0} wrote {3} to {2} before {1} wrote {4}"
                yield Edge(WW, finals[before], writer, words, versions, is_timed)
            for reader in readers.get(before, []):
                yield Edge(RW, reader, writer, "{0} read {3} of {2} before {1} wrote {4}", versions, is_timed)

    # -- which version came before which

    def _orders(self, key: Hashable, reads: list[Read], finals: dict[Any, Transaction]) -> list[Order]:
        """As few as say it all. The first version came before all those of which nobody read what they replaced."""
        read = {each.txn: each.value for each in reads}
        orders = [Order(read[writer], value) for value, writer in finals.items() if read.get(writer) is not None]
        replacing = {order.behind for order in orders}
        orders += [Order(FIRST, value) for value in finals if value not in replacing]
        written, shown = self._by_time(read, finals)
        known = [*orders, *written]
        if _turns(known + shown):  # a stale read shows the wrong order: it proves nothing, and is itself what is wrong
            for order in shown:
                known += [order] if not _turns([*known, order]) else []
        else:
            known += shown
        return [order for order in known if order.behind in finals]

    def _by_time(self, read: dict[Transaction, Any], finals: dict[Any, Transaction]) -> tuple[list[Order], list[Order]]:
        """What later writes show, and what later reads show."""
        by = {writer: value for value, writer in finals.items()}
        written, shown = [], []
        for one, other in one_after_the_other(sorted({*read, *by}, key=lambda txn: txn.number)):
            last = by.get(one, read.get(one))
            if last is FIRST:
                continue
            if other in by:
                written.append(Order(last, by[other], True))
            elif read[other] not in (FIRST, last):
                shown.append(Order(last, read[other], True))
        return written, shown


def _turns(orders: list[Order]) -> bool:
    """Do they contradict each other?"""
    onward: dict[Any, list[Any]] = {}
    for before, behind, _ in orders:
        onward.setdefault(before, []).append(behind)
    return bool(components(list(onward), lambda value: onward.get(value, [])))
