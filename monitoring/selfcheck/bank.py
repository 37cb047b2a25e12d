"""The bank: money moves between the accounts of a book, and each transfer writes itself into the book's ledger.

The ledger is a set for the checker, so who saw which transfers must be in one order. Besides, whoever reads a book, on
one snapshot or under locks, must find on each account what it had at first and what the ledger that it read says.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from monitoring.selfcheck.checker.anomalies import BROKEN_INVARIANT, Anomaly
from monitoring.selfcheck.checker.history import INSERT, SCAN, Operation
from monitoring.selfcheck.scratch import Place, Scratch, Supply
from monitoring.selfcheck.session import Session
from monitoring.selfcheck.workloads import Workload
from nodes.requests import Result, Statement

ACCOUNTS, START, MOST_MOVED = 4, 100, 30


class Bank(Workload):
    """A reading transaction is of SELECTs alone, so on a snapshot, or has a transfer behind it, so under locks."""

    name, tables = "bank", {"accounts": "accounts", "ledger": "ledger"}
    turns = 30

    def __init__(self, scratch: Scratch) -> None:
        super().__init__(scratch)
        rows = ", ".join(f"({{0}}, {account}, {START})" for account in range(ACCOUNTS))
        self.books = Supply(scratch, "accounts", "book, id, balance", rows, 100)
        self.wrong: list[Anomaly] = []

    def reach(self, end: int) -> None:
        self.books.reach(end)

    def look(self, session: Session, group: int) -> bool:
        return self._ask(session, self._read(group)) is not None

    def draw(self, session: Session, group: int) -> None:
        if session.rng.random() < 0.5:
            self._ask(session, self._transfer(session, group))
            return
        more = self._transfer(session, group) if session.rng.random() < 0.3 else []
        self._ask(session, [*self._read(group), *more])

    def _ask(self, session: Session, steps: list[tuple[Operation | None, Statement]]) -> list[Result] | None:
        operations = [operation for operation, _ in steps if operation is not None]

        def told(results: list[Result]) -> list[Operation]:
            if operations[0].kind != SCAN:
                return operations
            balances = {row[0]: row[1] for row in results[0].rows}
            ledger = results[1].rows
            words = wrong_balances(balances, ledger)
            self.wrong += [Anomaly(BROKEN_INVARIANT, f"{operations[0].key}: {each}", ()) for each in words]
            return [operations[0]._replace(value=frozenset(row[0] for row in ledger)), *operations[1:]]

        return session.one_shot(operations, [statement for _, statement in steps], told)

    def _read(self, book: int) -> list[tuple[Operation | None, Statement]]:
        accounts, ledger = self.scratch.name("accounts"), self.scratch.name("ledger")
        return [
            (None, Statement(f"SELECT id, balance FROM {accounts} WHERE book = $1", [book], ACCOUNTS)),
            (
                Operation(SCAN, Place("ledger", book)),
                Statement(f"SELECT id, source, target, amount FROM {ledger} WHERE book = $1", [book]),
            ),
        ]

    def _transfer(self, session: Session, book: int) -> list[tuple[Operation | None, Statement]]:
        accounts, ledger = self.scratch.name("accounts"), self.scratch.name("ledger")
        source, target = session.rng.sample(range(ACCOUNTS), 2)
        amount, number = session.rng.randint(1, MOST_MOVED), session.value()
        add = f"UPDATE {accounts} SET balance = balance + $1 WHERE book = $2 AND id = $3"
        record = f"INSERT INTO {ledger} (book, id, source, target, amount) VALUES ($1, $2, $3, $4, $5)"
        return [
            (None, Statement(add, [-amount, book, source], 1)),
            (None, Statement(add, [amount, book, target], 1)),
            (
                Operation(INSERT, Place("ledger", book), number),
                Statement(record, [book, number, source, target, amount], 1),
            ),
        ]

    def broken(self) -> list[Anomaly]:
        return self.wrong


def wrong_balances(balances: dict[int, int], ledger: Iterable[list[Any]]) -> list[str]:
    """In words what accounts have other than the ledger says; rows of the ledger are (id, source, target, amount)."""
    expected = dict.fromkeys(range(ACCOUNTS), START)
    rows = sorted(ledger)
    for _, source, target, amount in rows:
        expected[source] -= amount
        expected[target] += amount
    return [
        f"account {account} has {balances.get(account)}, and the ledger that was read with it makes {amount}: {rows}"
        for account, amount in expected.items()
        if balances.get(account) != amount
    ]
