"""What clients asked and were told: the only thing that the checker knows.

Three kinds of data tell their own history, because no value is written to the same key twice:

- a *list* grows at its end: `append` an element, read the `list` as a tuple of elements, () at first;
- a *register* has a value: `write` it, read the `value`, None at first;
- a *set* is what a predicate finds: `insert` a row that matches it, `scan` for all rows that match as a frozenset.

Keys of different kinds have nothing to do with each other.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

APPEND, LIST, WRITE, VALUE, INSERT, SCAN = "append", "list", "write", "value", "insert", "scan"
WRITES = (APPEND, WRITE, INSERT)
HAPPENED, DID_NOT_HAPPEN, UNKNOWN = "happened", "did_not_happen", "unknown"
NOT_TOLD: Any = object()
"""What was read, where the answer was lost or never came."""


class Operation(NamedTuple):
    """One read or write. `value`: what was written, or what was read."""

    kind: str
    key: Hashable
    value: Any = NOT_TOLD

    def __str__(self) -> str:
        if self.kind in WRITES:
            return f"{self.kind} {text(self.value)} to {self.key}"
        return f"{self.kind} of {self.key}: {text(self.value)}"


@dataclass(eq=False, slots=True)
class Transaction:
    """`begun`, `ended`: when it was asked for and when its outcome was known, by one clock in any unit; what ends and
    begins at the same time was there at the same time. Of an UNKNOWN one `ended` counts for nothing."""

    number: int
    process: Hashable
    operations: list[Operation]
    outcome: str
    begun: int
    ended: int

    def __str__(self) -> str:
        return f"T{self.number}"

    def described(self) -> str:
        """With whose it is, what it did, and whether it happened where that is not clear."""
        outcome = "" if self.outcome == HAPPENED else f" ({self.outcome.replace('_', ' ')})"
        return f"{self} of {self.process}{outcome}: {'; '.join(map(str, self.operations))}"


class Writers:
    """Who wrote each value of one kind: at most one transaction each, or the history cannot be judged (ValueError).

    `seen` are values that a transaction read which happened: whoever wrote them has happened as well."""

    def __init__(self, history: Iterable[Transaction], kind: str) -> None:
        self._of: dict[tuple[Hashable, Any], Transaction] = {}
        self._written: dict[tuple[Transaction, Hashable], list[Any]] = {}
        self.seen: set[tuple[Hashable, Any]] = set()
        for txn in history:
            for operation in txn.operations:
                if operation.kind == kind:
                    place = (operation.key, operation.value)
                    if place in self._of:
                        raise ValueError(f"{text(operation.value)} is written to {operation.key} twice: by {txn} too")
                    self._of[place] = txn
                    self._written.setdefault((txn, operation.key), []).append(operation.value)

    def of(self, key: Hashable, value: Any) -> Transaction | None:
        return self._of.get((key, value))

    def written(self, txn: Transaction, key: Hashable) -> list[Any]:
        """What the transaction wrote to the key, in order."""
        return self._written.get((txn, key), [])

    def happened(self) -> Iterator[tuple[Hashable, Any, Transaction]]:
        """(key, value, writer) of all that is known to have happened; of registers also what was overwritten at once"""
        for (key, value), txn in self._of.items():
            if txn.outcome == HAPPENED or (txn.outcome == UNKNOWN and (key, value) in self.seen):
                yield key, value, txn


def told(history: Iterable[Transaction]) -> Iterator[Transaction]:
    """Those whose reads count."""
    return (txn for txn in history if txn.outcome == HAPPENED)


def text(value: Any) -> str:
    """A value as a person reads it; long ones are cut in the middle."""
    if value is NOT_TOLD:
        return "not told"
    if value is None:
        return "nothing"
    if isinstance(value, frozenset):
        return "{" + _joined(sorted(value), str) + "}"
    if type(value) is tuple:
        return "[" + _joined(list(value), str) + "]"
    return str(value)


def _joined(values: list[Any], form: Callable[[Any], str], most: int = 24) -> str:
    if len(values) > most:
        return " ".join([*map(form, values[: most // 4]), "...", *map(form, values[-3 * most // 4 :])])
    return " ".join(map(form, values))
