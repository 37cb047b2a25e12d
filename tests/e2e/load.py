"""A little of everything on a small bank, for pages that show it: transfers, reads, a refusal now and then."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from typing import Any

from nodes.client import Cluster
from nodes.errors import StoreError
from tests.e2e.cluster import LocalCluster

ACCOUNTS = 8
TABLE = "CREATE TABLE accounts (id INT PRIMARY KEY, balance BIGINT NOT NULL CHECK (balance >= 0))"
DEBIT = "UPDATE accounts SET balance = balance - $1 WHERE id = $2"
CREDIT = "UPDATE accounts SET balance = balance + $1 WHERE id = $2"


def open_bank(client: Cluster) -> None:
    client.execute(TABLE)
    for account in range(1, ACCOUNTS + 1):
        client.execute("INSERT INTO accounts (id, balance) VALUES ($1, $2)", [account, 1_000_000])


def transfer(client: Cluster, source: int, target: int) -> Any:
    return client.execute_many([(DEBIT, [1, source]), (CREDIT, [1, target])])


class Load:
    """`threads` clients at work between `start` and `stop`; what fails on the way is no matter."""

    def __init__(self, cluster: LocalCluster, threads: int = 3) -> None:
        self._cluster = cluster
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(threads)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        rng = random.Random(number)
        with self._cluster.client() as client:
            while not self._is_over.is_set():
                with contextlib.suppress(StoreError):
                    self._step(client, rng)
                time.sleep(rng.random() * 0.05)

    def _step(self, client: Cluster, rng: random.Random) -> None:
        source, target = rng.sample(range(1, ACCOUNTS + 1), 2)
        transfer(client, source, target)
        if rng.random() < 0.3:
            client.query("SELECT sum(balance) FROM accounts")
        if rng.random() < 0.1:
            client.execute("UPDATE accounts SET balance = $1 WHERE id = $2", [-1, source])
