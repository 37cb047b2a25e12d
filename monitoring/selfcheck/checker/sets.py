"""Sets: the rows that a predicate finds. Who finds a row came behind its insert; who does not came before it.

The second is Adya's predicate anti-dependency: the row was not there yet to be overwritten. Rows are inserted once and
stay.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

from monitoring.selfcheck.checker.graph import PREDICATE_RW, WR, Edge
from monitoring.selfcheck.checker.history import INSERT, SCAN, Transaction
from monitoring.selfcheck.checker.reads import Found, Read, Reads


def find(history: list[Transaction]) -> Found:
    return Sets(history).run()


class Sets(Reads):
    write, read = INSERT, SCAN

    def before_own(self, value: Any, own: list[Any]) -> Any:
        if not value.issuperset(own):
            raise ValueError
        return value.difference(own)

    def after(self, value: Any, written: Any) -> Any:
        return value | {written}

    def parts(self, value: Any) -> list[Any]:
        return sorted(value)

    def run(self) -> Found:
        rows: dict[Hashable, list[tuple[Any, Transaction]]] = {}
        for key, row, writer in self.writers.happened():
            rows.setdefault(key, []).append((row, writer))
        for read in self.reads:
            self.found.edges += self._of_read(read, rows.get(read.key, []))
        return self.found

    def _of_read(self, read: Read, rows: list[tuple[Any, Transaction]]) -> Iterator[Edge]:
        for row, writer in rows:
            if row in read.value:
                yield Edge(WR, writer, read.txn, "{0} inserted {3} into {2}, and {1} found it", (read.key, row))
            else:
                words = "{0} did not find {3} in {2}, which {1} inserted"
                yield Edge(PREDICATE_RW, read.txn, writer, words, (read.key, row))
