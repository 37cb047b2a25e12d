"""The bank: its tables, which shard each row is on, and the three statements of one transfer.

A transfer debits an account on one shard, credits one on a second, and writes its number into the ledger on a third.
`counters` holds one row per shard, raised by the probes that measure when a shard serves again.
"""

from __future__ import annotations

from random import Random

from nodes.client import Cluster
from nodes.requests import Request, Statement
from nodes.sql.keys import shard_of_slot, shard_slot

ACCOUNTS, START_BALANCE, MOST_MOVED = 300, 1000, 5
NUMBERS_PER_CLIENT = 1_000_000_000
TABLES = (
    "CREATE TABLE accounts (id INT PRIMARY KEY, balance BIGINT NOT NULL, CHECK (balance >= 0))",
    "CREATE TABLE ledger (id BIGINT PRIMARY KEY, source INT NOT NULL, target INT NOT NULL, amount BIGINT NOT NULL)",
    "CREATE TABLE counters (id INT PRIMARY KEY, value BIGINT NOT NULL)",
)
DEBIT = "UPDATE accounts SET balance = balance - $1 WHERE id = $2 AND balance >= $1"
CREDIT = "UPDATE accounts SET balance = balance + $1 WHERE id = $2"
RECORD = "INSERT INTO ledger (id, source, target, amount) VALUES ($1, $2, $3, $4)"
COUNT_UP = "UPDATE counters SET value = value + 1 WHERE id = $1 RETURNING value"
READ_ACCOUNTS = "SELECT id, balance FROM accounts"
READ_LEDGER = "SELECT id, source, target, amount FROM ledger WHERE id >= $1 AND id < $2"
READ_ENTRY = "SELECT COUNT(*) FROM ledger WHERE id = $1"
READ_SIZE = "SELECT COUNT(*) FROM ledger"
READ_TOTAL = "SELECT SUM(balance), COUNT(*) FROM accounts"
CLEAR_LEDGER = "DELETE FROM ledger"
READ_COUNTERS = "SELECT id, value FROM counters"


def shard(types: tuple[str, ...], key: int, shards: int) -> int:
    """The number of the user shard that holds the row with this primary key."""
    return shard_of_slot(shard_slot(types, (key,)), shards)


def account_shard(account: int, shards: int) -> int:
    return shard(("INT",), account, shards)


def counter_ids(shards: int) -> dict[int, int]:
    """Shard -> the id of its row in `counters`."""
    found: dict[int, int] = {}
    candidate = 0
    while len(found) < shards:
        candidate += 1
        found.setdefault(account_shard(candidate, shards), candidate)
    return found


def create(cluster: Cluster, shards: int) -> None:
    """The tables with their rows, all accounts at START_BALANCE."""
    for table in TABLES:
        cluster.execute(table)
    accounts = ", ".join(f"({account}, {START_BALANCE})" for account in range(1, ACCOUNTS + 1))
    cluster.execute(f"INSERT INTO accounts (id, balance) VALUES {accounts}")
    counters = ", ".join(f"({row}, 0)" for row in sorted(counter_ids(shards).values()))
    cluster.execute(f"INSERT INTO counters (id, value) VALUES {counters}")


class Moves:
    """Draws the transfers of one client: two accounts on two shards, a ledger number of its own on a third.

    A client's numbers rise and lie in [client * NUMBERS_PER_CLIENT, (client + 1) * NUMBERS_PER_CLIENT)."""

    def __init__(self, client: int, shards: int, rng: Random) -> None:
        self.next_number, self.shards, self.rng = client * NUMBERS_PER_CLIENT, shards, rng

    def draw(self) -> tuple[int, int, int, int, tuple[int, ...]]:
        """(number, source, target, amount, the three shards)."""
        while True:
            source, target = self.rng.sample(range(1, ACCOUNTS + 1), 2)
            pair = account_shard(source, self.shards), account_shard(target, self.shards)
            if pair[0] != pair[1]:
                break
        while (third := shard(("BIGINT",), self.next_number, self.shards)) in pair:
            self.next_number += 1
        self.next_number += 1
        return self.next_number - 1, source, target, self.rng.randint(1, MOST_MOVED), (*pair, third)


def transfer_statements(number: int, source: int, target: int, amount: int) -> list[tuple[str, list[int]]]:
    """(sql, params) of one transfer; each has to change exactly one row."""
    return [
        (DEBIT, [amount, source]),
        (CREDIT, [amount, target]),
        (RECORD, [number, source, target, amount]),
    ]


def transfer_request(number: int, source: int, target: int, amount: int, timeout_ms: int) -> Request:
    statements = [Statement(sql, params, 1) for sql, params in transfer_statements(number, source, target, amount)]
    return Request(statements, timeout_ms)


def read_request(*queries: tuple[str, list[int]], timeout_ms: int = 10_000) -> Request:
    """SELECTs on one snapshot."""
    return Request([Statement(sql, params) for sql, params in queries], timeout_ms, True)
