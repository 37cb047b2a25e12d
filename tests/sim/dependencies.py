"""Who must have come before whom, from what clients were told alone: list-append and register histories.

The edges (Adya 1999; for lists Kingsbury and Alvaro, "Elle", 2020): who wrote what another read, who overwrote what
another read, who wrote before whom, and who was answered before another began. A cycle, whatever its edges, means that
no serial order explains the answers and agrees with real time. Nothing here looks at a log or a timestamp: it is the
dumb twin of history.py.

A list shows the order of its elements to whoever reads it; all that is read of one list must be beginnings of the same.
Of a register's values it is known which came first where somebody read the one and wrote the other, where the writer of
the one was answered before the other's began, and of the first value of all.

*Invariants checked*: no cycle; no element of what did not happen, none twice, none of half a request.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from nodes.errors import DID_NOT_HAPPEN, StoreError
from nodes.requests import Reply
from tests.sim.coverage import count
from tests.sim.graph import cycle_in
from tests.sim.lists import WORDS
from tests.sim.operations import Operation
from tests.sim.truth import demand

CYCLES = "17 dependencies"
Row = tuple[str, int]  # "items" or "value", and which
FIRST = 0  # the value of every register at the beginning
FOREVER = 1 << 63


@dataclass(eq=False)
class Seen:
    """One request: what it read from outside, per row, and what it wrote, in order. `told_at` FOREVER: nobody knows
    whether it happened."""

    operation: Operation
    begun_at: int
    told_at: int
    lists: list[tuple[Row, list[int]]] = field(default_factory=list)
    values: list[tuple[Row, int]] = field(default_factory=list)
    writes: dict[Row, list[int]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"operation {self.operation.number}"


def check(operations: list[Operation]) -> None:
    History([operation for operation in operations if _is_of_lists(operation)]).run()


def _is_of_lists(operation: Operation) -> bool:
    return all(word in WORDS for word, _ in operation.steps)


class History:
    def __init__(self, operations: list[Operation]) -> None:
        self.seen = list(map(_read, operations))
        self.writers: dict[tuple[Row, int], Seen] = {}
        for seen in self.seen:
            for row, written in seen.writes.items():
                for each in written:
                    demand((row, each) not in self.writers, CYCLES, f"{each} of {row} is written by two requests")
                    self.writers[row, each] = seen

    def run(self) -> None:
        edges: dict[tuple[Seen, Seen], str] = {}
        for kind, one, other in (*self._of_lists(), *self._of_values(), *self._of_time()):
            if one is not other:
                edges.setdefault((one, other), kind)
        cycle = cycle_in(edges)
        ways = [edges[pair] for pair in zip(cycle, cycle[1:] + cycle[:1], strict=True)]
        words = "; ".join(f"{each.name} {each.operation.steps} {way}" for each, way in zip(cycle, ways, strict=True))
        demand(not cycle, CYCLES, f"each came before the next, and the last before the first: {words}")
        for kind in edges.values():
            count(f"dependency: {kind}")

    def _writer(self, row: Row, what: int, reader: Seen) -> Seen:
        """Who wrote what was read: it must be there, and must not have been told that it did not happen."""
        writer = self.writers.get((row, what))
        demand(writer is not None, CYCLES, f"{reader.name} read {what} of {row}, which nobody wrote")
        assert writer is not None, "just demanded"
        told = writer.operation.told
        refused = isinstance(told, StoreError) and told.info.outcome == DID_NOT_HAPPEN
        demand(not refused, CYCLES, f"{reader.name} read {what} of {row}, and {writer.name} did not happen")
        return writer

    # -- lists

    def _of_lists(self) -> Iterator[tuple[str, Seen, Seen]]:
        whole: dict[Row, list[int]] = {}
        for seen in self.seen:
            for row, items in seen.lists:
                longest = max(whole.get(row, []), items, key=len)
                shorter = min(whole.get(row, []), items, key=len)
                demand(longest[: len(shorter)] == shorter, CYCLES, f"{row} was read as {longest} and as {shorter}")
                demand(len(set(items)) == len(items), CYCLES, f"{seen.name} read {items}: something came twice")
                whole[row] = longest
        for row, items in whole.items():
            for one, other in pairwise(items):
                before, behind = self.writers.get((row, one)), self.writers.get((row, other))
                if before is not None and behind is not None:
                    yield "wrote before", before, behind
        for seen in self.seen:
            for row, items in seen.lists:
                yield from self._of_reading(seen, row, items, whole[row])

    def _of_reading(self, seen: Seen, row: Row, items: list[int], whole: list[int]) -> Iterator[tuple[str, Seen, Seen]]:
        for each in items:
            self._writer(row, each, seen)
        if items:
            writer = self._writer(row, items[-1], seen)
            own = [each for each in items if self.writers[row, each] is writer]
            words = f"{seen.name} read {items} of {row}, half of what {writer.name} appended"
            demand(own == writer.writes[row], CYCLES, words)
            yield "was read by", writer, seen
        if len(items) < len(whole):
            if (row, whole[len(items)]) in self.writers:
                yield "read what was overwritten by", seen, self.writers[row, whole[len(items)]]
            return
        for (place, element), writer in self.writers.items():  # what nobody read stands behind all that was
            if place == row and element not in whole and isinstance(writer.operation.told, Reply):
                yield "read what was overwritten by", seen, writer

    # -- registers

    def _of_values(self) -> Iterator[tuple[str, Seen, Seen]]:
        writers: dict[Row, dict[int, Seen]] = {}
        for (row, what), seen in self.writers.items():
            if row[0] == "value" and seen.writes[row][-1] == what and self._happened(seen, row, what):
                writers.setdefault(row, {})[what] = seen
        for seen in self.seen:
            for row, value in seen.values:
                own = writers.get(row, {})
                writer = self._writer(row, value, seen) if value != FIRST else None
                if writer is not None:
                    half = writer.writes[row][-1] != value
                    demand(not half, CYCLES, f"{seen.name} read {value} of {row}, half of what {writer.name} wrote")
                    yield "was read by", writer, seen
                for other in own.values():
                    if other is not writer and self._is_later(writer, other, row, value):
                        yield "read what was overwritten by", seen, other

    def _happened(self, seen: Seen, row: Row, value: int) -> bool:
        """It is known to have: it was told so, or somebody read it."""
        if isinstance(seen.operation.told, Reply):
            return True
        return any((row, value) in reader.values for reader in self.seen)

    def _is_later(self, writer: Seen | None, other: Seen, row: Row, value: int) -> bool:
        """Did `other` surely write behind the writer of `value` (None: it is the first of all)?"""
        return writer is None or writer.told_at < other.begun_at or (row, value) in other.values

    # -- real time

    def _of_time(self) -> Iterator[tuple[str, Seen, Seen]]:
        told = [seen for seen in self.seen if isinstance(seen.operation.told, Reply)]
        for one in told:
            for other in self.seen:
                is_old = other.operation.reads_the_past  # it may stand before what was answered
                if one.told_at < other.begun_at and not is_old and self._is_sure(other):
                    yield "was answered before the beginning of", one, other

    def _is_sure(self, seen: Seen) -> bool:
        """Who was told that it did not happen stands nowhere. Of whom nobody knows, edges lead to it, none away,
        until somebody read what it wrote."""
        told = seen.operation.told
        return not isinstance(told, StoreError) or told.info.outcome != DID_NOT_HAPPEN


def _read(operation: Operation) -> Seen:
    """What it says of rows: what it read of them before it wrote them itself, and what it wrote."""
    told = operation.told
    happened = isinstance(told, Reply)
    seen = Seen(operation, operation.begun_at, operation.told_at if happened else FOREVER)
    for number, (word, arguments) in enumerate(operation.steps):
        if word in ("append", "write"):
            row = ("items" if word == "append" else "value", arguments[0])
            seen.writes.setdefault(row, []).append(arguments[1])
        elif isinstance(told, Reply):
            for row, text in _cells(word, arguments, told.results[number].rows):
                _note(seen, row, text)
    return seen


def _cells(word: str, arguments: list[int], rows: list[list[str | int]]) -> Iterator[tuple[Row, str | int]]:
    for found in rows:
        if word == "every":
            yield ("items", int(found[0])), found[1]
            yield ("value", int(found[0])), found[2]
        else:
            yield (word, arguments[0]), found[0]


def _note(seen: Seen, row: Row, cell: str | int) -> None:
    own = seen.writes.get(row, [])
    if isinstance(cell, str):
        items = [int(each) for each in cell.split()]
        mine = items[len(items) - len(own) :]
        demand(mine == own, CYCLES, f"{seen.name} read {items} of {row}, and had appended {own}")
        seen.lists.append((row, items[: len(items) - len(own)]))
    elif own:
        demand(cell == own[-1], CYCLES, f"{seen.name} read {cell} of {row}, and had written {own}")
    else:
        seen.values.append((row, cell))
