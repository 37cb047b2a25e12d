"""Histories written by hand, for the checker to judge: each transaction is one line.

    "a x 1, l x [1 2]"     appends 1 to the list x, then reads it
    "w x 1, r y -, r x 1"  writes the register x, reads y as it was at first, reads x
    "i g 1, s g {1 2}"     inserts the row 1 into the set g, then scans it

`txn` gives it a time, an outcome and a client; without a time all are there at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any, NamedTuple

from monitoring.selfcheck.checker.history import (
    APPEND,
    DID_NOT_HAPPEN,
    HAPPENED,
    INSERT,
    LIST,
    NOT_TOLD,
    SCAN,
    UNKNOWN,
    VALUE,
    WRITE,
    Operation,
    Transaction,
)

KINDS = {"a": APPEND, "l": LIST, "w": WRITE, "r": VALUE, "i": INSERT, "s": SCAN}


class Line(NamedTuple):
    text: str
    begun: int
    ended: int
    outcome: str
    process: str


def txn(text: str, begun: int = 0, ended: int = 9, outcome: str = HAPPENED, process: str = "") -> Line:
    return Line(text, begun, ended, outcome, process)


def failed(text: str) -> Line:
    return txn(text, outcome=DID_NOT_HAPPEN)


def unknown(text: str, begun: int = 0) -> Line:
    return txn(text, begun, begun + 1, UNKNOWN)


def history(*lines: Line | str) -> list[Transaction]:
    """Numbered from 0; who names no client has one of its own."""
    listed = [txn(line) if isinstance(line, str) else line for line in lines]
    return [
        Transaction(number, line.process or f"p{number}", _operations(line.text), line.outcome, line.begun, line.ended)
        for number, line in enumerate(listed)
    ]


def _operations(text: str) -> list[Operation]:
    made = []
    for part in text.split(","):
        letter, key, value = part.split(maxsplit=2)
        made.append(Operation(KINDS[letter], key, _value(value)))
    return made


def _value(text: str) -> Any:
    if text == "?":
        return NOT_TOLD
    if text == "-":
        return None
    if text[0] in "[{":
        numbers = tuple(map(int, text[1:-1].split()))
        return numbers if text[0] == "[" else frozenset(numbers)
    return int(text)


# -- the dumb twin: every order is tried


def has_a_serial_order(transactions: Sequence[Transaction]) -> bool:
    """Does some order of those that happened, with some of those that may have, explain all that was read, and agree
    with sessions and real time? For a handful of transactions."""
    sure = [each for each in transactions if each.outcome == HAPPENED]
    perhaps = [each for each in transactions if each.outcome == UNKNOWN]
    for chosen in range(1 << len(perhaps)):
        some = sure + [each for place, each in enumerate(perhaps) if chosen >> place & 1]
        if any(_explains(order) for order in permutations(some)):
            return True
    return False


def _explains(order: Sequence[Transaction]) -> bool:
    store: dict[tuple[str, Any], Any] = {}
    for place, each in enumerate(order):
        if any(_is_over_before(later, each) for later in order[place + 1 :]):
            return False
        if not _run(store, each):
            return False
    return True


def _is_over_before(one: Transaction, other: Transaction) -> bool:
    """In time, or by the order in which one client asked."""
    if one.outcome != HAPPENED:
        return False
    return one.ended < other.begun or (one.process == other.process and one.ended <= other.begun)


def _run(store: dict[tuple[str, Any], Any], each: Transaction) -> bool:
    """Apply it to the store; False if it read something else than is there."""
    firsts = {LIST: (), VALUE: None, SCAN: frozenset()}
    for kind, key, value in each.operations:
        if kind == APPEND:
            store[LIST, key] = (*store.get((LIST, key), ()), value)
        elif kind == WRITE:
            store[VALUE, key] = value
        elif kind == INSERT:
            store[SCAN, key] = store.get((SCAN, key), frozenset()) | {value}
        elif each.outcome == HAPPENED and value is not NOT_TOLD and store.get((kind, key), firsts[kind]) != value:
            return False
    return True
