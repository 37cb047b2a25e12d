"""Transfers between ten hot accounts, and beside them the same on one PostgreSQL server, SERIALIZABLE and with retries.

Everybody is in everybody's way: what counts is that nobody starves, so the most attempts that one transfer took are
told. The peer works on the two accounts in the order of their ids, as who knows deadlocks would do it, and begins anew
at once when it lost.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import psycopg
from psycopg.errors import DeadlockDetected, SerializationFailure

from benchmarks import report
from benchmarks.postgres import CREDIT, DEBIT, Server, count_money, fill, settings_of, syncs_of

HOT = 10


def draw_hot(rng: Random) -> tuple[int, int]:
    """(source, target)"""
    source, target = rng.sample(range(1, HOT + 1), 2)
    return source, target


class Serializable:
    """One server with all accounts: one subject of the benchmark."""

    name, replicas, is_durable = report.HOT_PEER, 1, True

    def __init__(self, directory: Path) -> None:
        self.server = Server(directory / "p1")

    def start(self) -> None:
        self.server.start()

    def load(self, rows: int, balance: int) -> None:
        fill(self.server, range(1, rows + 1), balance)

    def total(self) -> int:
        return count_money([self.server])

    def facts(self) -> dict[str, Any]:
        return settings_of([self.server]) | {"isolation": "serializable"}

    def counters(self) -> dict[str, int]:
        return syncs_of([self.server])

    def arguments(self) -> dict[str, Any]:
        """What a client process needs to connect."""
        return {"module": "contended", "dsn": self.server.dsn}

    def stop(self) -> None:
        self.server.stop()


class Transfers:
    """One client: one transfer after the other, each until it is committed."""

    def __init__(self, dsn: str, rng: Random) -> None:
        self.connection = psycopg.connect(dsn)
        self.connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        self.rng, self.most_attempts = rng, 0

    def transfer(self) -> None:
        source, target = draw_hot(self.rng)
        attempts = 1
        while not self._moved(source, target):
            attempts += 1
        self.most_attempts = max(self.most_attempts, attempts)

    def _moved(self, source: int, target: int) -> bool:
        try:
            with self.connection.transaction():
                for account in sorted((source, target)):
                    parameters = (1, account, 1) if account == source else (1, account)
                    cursor = self.connection.execute(DEBIT if account == source else CREDIT, parameters)
                    if cursor.rowcount != 1:
                        raise RuntimeError(f"account {account} was not there or empty")
        except (SerializationFailure, DeadlockDetected):
            return False
        return True

    def close(self) -> None:
        self.connection.close()


def connect(arguments: dict[str, Any], clients: int, rows: int, process: str) -> list[Transfers]:
    """The clients of one process."""
    return [Transfers(arguments["dsn"], Random(f"{process}-{client}")) for client in range(clients)]
