"""What clients were told of lists, registers and sets, for the checker of histories of the product: it looks at no log
and no timestamp, so it is the twin of history.py.

*Invariant checked*: it finds no anomaly (monitoring/selfcheck/checker).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from monitoring.selfcheck.checker import check as judge
from monitoring.selfcheck.checker import history
from monitoring.selfcheck.checker.history import DID_NOT_HAPPEN, HAPPENED, NOT_TOLD, UNKNOWN
from nodes.errors import StoreError
from nodes.requests import Reply
from tests.sim.coverage import count
from tests.sim.lists import FIRST, WORDS
from tests.sim.operations import Operation
from tests.sim.truth import demand

CYCLES = "17 dependencies"
KINDS = {
    "append": history.APPEND, "write": history.WRITE, "enter": history.INSERT,
    "items": history.LIST, "value": history.VALUE, "inside": history.SCAN,
}  # fmt: skip


def check(operations: list[Operation]) -> None:
    of_lists = [operation for operation in operations if all(word in WORDS for word, _ in operation.steps)]
    verdict = judge(map(transaction, of_lists))
    demand(verdict.holds, CYCLES, "\n".join(map(str, verdict.anomalies)))
    for kind, edges in verdict.edges.items():
        for _ in range(edges):
            count(f"dependency: {kind}")


def transaction(operation: Operation) -> history.Transaction:
    """Each is of a client of its own: who asks in a run asks once. Who reads the past may stand before what was told
    when it asked."""
    steps = [step for number, _ in enumerate(operation.steps) for step in _operations(operation, number)]
    name, begun_at = operation.number, 0 if operation.reads_the_past else operation.begun_at
    return history.Transaction(name, name, steps, outcome_of(operation), begun_at, operation.told_at)


def outcome_of(operation: Operation) -> str:
    told = operation.told
    if isinstance(told, StoreError) and told.info.outcome == DID_NOT_HAPPEN:
        return DID_NOT_HAPPEN
    return HAPPENED if isinstance(told, Reply) else UNKNOWN


def _operations(operation: Operation, number: int) -> Iterator[history.Operation]:
    word, arguments = operation.steps[number]
    rows: list[list[Any]] | None = None
    if isinstance(operation.told, Reply):
        rows = operation.told.results[number].rows
    if word in ("append", "write", "enter"):
        yield history.Operation(KINDS[word], *arguments)
    elif word == "inside":
        found = NOT_TOLD if rows is None else frozenset(row[0] for row in rows)
        yield history.Operation(history.SCAN, arguments[0], found)
    elif word == "every":
        for row, items, value in rows or ():
            yield history.Operation(history.LIST, row, _elements(items))
            yield history.Operation(history.VALUE, row, _of_register(value))
    else:
        read = _elements if word == "items" else _of_register
        yield history.Operation(KINDS[word], arguments[0], NOT_TOLD if rows is None else read(rows[0][0]))


def _elements(items: str) -> tuple[int, ...]:
    return tuple(map(int, items.split()))


def _of_register(value: int) -> int | None:
    return None if value == FIRST else value
