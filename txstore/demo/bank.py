"""The bank of the demo: two tables of its own, how they are filled, and what one transfer is.

Accounts are numbered from 1 and begin with START each. A transfer debits one, credits another and writes its number
into the ledger, so the ledger tells what every balance must be. It is asked for under an idempotency key, so that a
lost answer can be asked for again. A run begins with an empty ledger and full accounts: what an earlier run left is
cleared, accounts that are there already are kept, missing ones are added.

*Invariant*: every step may be repeated, so a run that was interrupted leaves nothing that the next one cannot mend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

from nodes.client import Cluster
from nodes.requests import Request, Statement

START, MOST_MOVED = 1000, 5
LOAD_ROWS, CLEAR_ROWS = 500, 2_000
COUNTS_A_REQUEST = 500
DDL_S = 60.0
TABLES = (
    "CREATE TABLE IF NOT EXISTS demo_accounts (id INT PRIMARY KEY, balance BIGINT NOT NULL, CHECK (balance >= 0))",
    "DROP TABLE IF EXISTS demo_ledger",
    "CREATE TABLE demo_ledger (id BIGINT PRIMARY KEY, source INT NOT NULL, target INT NOT NULL,"
    " amount BIGINT NOT NULL)",
)
DEBIT = "UPDATE demo_accounts SET balance = balance - $1 WHERE id = $2 AND balance >= $1"
CREDIT = "UPDATE demo_accounts SET balance = balance + $1 WHERE id = $2"
RECORD = "INSERT INTO demo_ledger (id, source, target, amount) VALUES ($1, $2, $3, $4)"

Tell = Callable[[str, int, int], None]
"""Told (what is being done, done, of how many) while the bank is prepared."""


class Transfer(NamedTuple):
    """What a client asks for; also a row of the ledger."""

    number: int
    source: int
    target: int
    amount: int

    def request(self, timeout_ms: int, key: str) -> Request:
        statements = [
            Statement(DEBIT, [self.amount, self.source], 1),
            Statement(CREDIT, [self.amount, self.target], 1),
            Statement(RECORD, list(self), 1),
        ]
        return Request(statements, timeout_ms, key=key)


def draw(number: int, accounts: int, rng: Random) -> Transfer:
    source, target = rng.sample(range(1, accounts + 1), 2)
    return Transfer(number, source, target, rng.randint(1, MOST_MOVED))


def windows(last: int, size: int) -> Iterator[tuple[int, int]]:
    """[first, end) over 1..last."""
    return ((first, min(first + size, last + 1)) for first in range(1, last + 1, size))


def prepare(cluster: Cluster, accounts: int, tell: Tell) -> None:
    """The tables as a run begins with them."""
    for statement in TABLES:
        cluster.execute(statement, timeout=DDL_S)
    _remove(cluster, accounts, tell)
    _fill(cluster, accounts, tell)


def _remove(cluster: Cluster, above: int, tell: Tell) -> None:
    """The accounts of a larger run."""
    last = cluster.query("SELECT MAX(id) FROM demo_accounts")[0][0] or 0
    for first, end in windows(last - above, CLEAR_ROWS):
        cluster.execute("DELETE FROM demo_accounts WHERE id >= $1 AND id < $2", [above + first, above + end])
        tell("removing accounts of a larger run", end - 1, last - above)


def _fill(cluster: Cluster, accounts: int, tell: Tell) -> None:
    """Every account with START."""
    parts = list(windows(accounts, LOAD_ROWS))
    for place in range(0, len(parts), COUNTS_A_REQUEST):
        some = parts[place : place + COUNTS_A_REQUEST]
        for (first, end), (there, full) in zip(some, _counts(cluster, some), strict=True):
            if there and full < end - first:
                _mend(cluster, first, end, there)
            elif not there:
                _insert(cluster, list(range(first, end)))
            tell("loading accounts", end - 1, accounts)


def _counts(cluster: Cluster, parts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Of each window: how many accounts there are, and how many of them have START."""
    count = "SELECT COUNT(*) FROM demo_accounts WHERE id >= $1 AND id < $2"
    listed = [
        statement
        for first, end in parts
        for statement in (
            Statement(count, [first, end]),
            Statement(f"{count} AND balance = $3", [first, end, START]),
        )
    ]
    results = cluster.submit(Request(listed, 60_000, True)).results
    counts = [result.rows[0][0] for result in results]
    return list(zip(counts[::2], counts[1::2], strict=True))


def _mend(cluster: Cluster, first: int, end: int, there: int) -> None:
    cluster.execute(
        "UPDATE demo_accounts SET balance = $1 WHERE id >= $2 AND id < $3 AND balance <> $1", [START, first, end]
    )
    if there < end - first:
        found = cluster.query("SELECT id FROM demo_accounts WHERE id >= $1 AND id < $2", [first, end])
        _insert(cluster, sorted(set(range(first, end)) - {row[0] for row in found}))


def _insert(cluster: Cluster, numbers: list[int]) -> None:
    values = ", ".join(f"(${place}, {START})" for place in range(1, len(numbers) + 1))
    cluster.execute(f"INSERT INTO demo_accounts (id, balance) VALUES {values}", numbers, expect_rows=len(numbers))
