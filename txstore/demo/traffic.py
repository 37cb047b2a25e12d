"""The clients of the demo: threads that move money without a pause, and what each of them was told.

*Invariant*: a transfer's number belongs to one client and is used once, so the ledger can be compared with what was
told: the n-th of client k (from 0) of K has the number n * K + k + 1.
"""

from __future__ import annotations

import threading
import time
from random import Random
from typing import NamedTuple
from uuid import uuid4

from nodes.client import Cluster
from nodes.errors import HAPPENED, UNKNOWN, StoreError
from txstore.demo.bank import Transfer, draw

TIMEOUT_MS = 10_000
RETRY_S = 0.05


class Told(NamedTuple):
    """What a client was told of one transfer. `outcome` as in nodes.errors; times are seconds of time.monotonic();
    `key`: the transfer's idempotency key; `code` of the error, "" for a commit."""

    transfer: Transfer
    outcome: str
    key: str
    begun: float
    ended: float
    attempts: int = 1
    code: str = ""


class Traffic:
    """All clients; `told` grows while they run and is in order of the ends, but for a hair."""

    def __init__(self, cluster: Cluster, accounts: int, clients: int) -> None:
        self.told: list[Told] = []
        self._cluster, self._accounts = cluster, accounts
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(client, clients), name=f"client {client}", daemon=True)
            for client in range(clients)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Returns when every transfer that is under way has its answer; each has its own time-out."""
        self._over.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _run(self, client: int, clients: int) -> None:
        rng = Random()
        number = client + 1
        while not self._over.is_set():
            told = self._transfer(draw(number, self._accounts, rng))
            self.told.append(told)
            number += clients
            if told.code:
                self._over.wait(RETRY_S)

    def _transfer(self, transfer: Transfer) -> Told:
        begun, key = time.monotonic(), str(uuid4())
        try:
            reply = self._cluster.submit(transfer.request(TIMEOUT_MS, key))
        except StoreError as error:
            return Told(transfer, error.info.outcome, key, begun, time.monotonic(), code=error.info.code)
        return Told(transfer, HAPPENED, key, begun, time.monotonic(), reply.attempts)


def settle(cluster: Cluster, told: list[Told], seconds: float) -> list[Told]:
    """The same, with the outcome of each unknown one: its key is fenced, so it is committed or never will be. What
    could not be learnt within the seconds stays unknown."""
    deadline = time.monotonic() + seconds
    return [_settled(cluster, each, deadline) if each.outcome == UNKNOWN else each for each in told]


def _settled(cluster: Cluster, told: Told, deadline: float) -> Told:
    left = deadline - time.monotonic()
    if left <= 0:
        return told
    try:
        return told._replace(outcome=cluster.fence(told.key, timeout=left).outcome)
    except StoreError:
        return told
