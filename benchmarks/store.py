"""Ours: three node processes with one or three replicas a group, and transfers through the native client.

A client is a thread that has one transfer under way, as a client of the peer is. Both accounts lie on two shards.
`--multiplexed` puts all clients of a process on one connection to each node instead: what the store does when threads
and their switches cost nothing.
"""

from __future__ import annotations

import time
from itertools import count
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from benchmarks.contended import draw_hot
from nodes.client import Cluster
from nodes.client.connection import Connection
from nodes.client.threads import Threads, run
from nodes.client.transaction import Transaction
from nodes.requests import Request, Statement
from nodes.sql.keys import shard_of_slot, shard_slot
from nodes.wire.protocol import Call, Failed, ToClient
from tests.e2e.cluster import LocalCluster

if TYPE_CHECKING:
    from benchmarks.clients import Tally

NODES, SHARDS = 3, 6
ROWS_PER_INSERT = 500
TABLE = "CREATE TABLE accounts (id INT PRIMARY KEY, balance BIGINT NOT NULL)"
DEBIT = "UPDATE accounts SET balance = balance - $1 WHERE id = $2 AND balance >= $1"
CREDIT = "UPDATE accounts SET balance = balance + $1 WHERE id = $2"


def account_shard(account: int) -> int:
    return shard_of_slot(shard_slot(("INT",), (account,)), SHARDS)


def draw_transfer(rows: int, rng: Random) -> Request:
    """A transfer between accounts on two shards."""
    source = rng.randint(1, rows)
    home = account_shard(source)
    while account_shard(target := rng.randint(1, rows)) == home:
        pass
    return transfer(source, target)


def transfer(source: int, target: int) -> Request:
    return Request([Statement(DEBIT, [1, source], 1), Statement(CREDIT, [1, target], 1)])


def fill(client: Cluster, rows: int, balance: int) -> None:
    """Make the table and its accounts."""
    client.execute(TABLE)
    for first in range(1, rows + 1, ROWS_PER_INSERT):
        accounts = range(first, min(first + ROWS_PER_INSERT, rows + 1))
        values = ", ".join(f"(${2 * place + 1}, ${2 * place + 2})" for place in range(len(accounts)))
        params = [value for account in accounts for value in (account, balance)]
        client.execute(f"INSERT INTO accounts (id, balance) VALUES {values}", params, expect_rows=len(accounts))


class Store:
    """One cluster with its accounts: one subject of the benchmark."""

    is_durable = True

    def __init__(self, directory: Path, replicas: int, multiplexed: bool, kind: str = "txstore") -> None:
        """`kind` of clients: one of KINDS."""
        self.name, self.replicas, self.multiplexed = f"{kind}-{replicas}", replicas, multiplexed
        self.kind = kind
        self.cluster = LocalCluster(directory, NODES, SHARDS, replicas, restart_s=None)

    def start(self) -> None:
        self.cluster.start_all()
        self.cluster.wait_ready()

    def load(self, rows: int, balance: int) -> None:
        with self.cluster.client() as client:
            fill(client, rows, balance)

    def total(self) -> int:
        """The money on all shards, on one snapshot."""
        with self.cluster.client() as client:
            return int(client.query("SELECT SUM(balance) FROM accounts")[0][0])

    def facts(self) -> dict[str, Any]:
        """What the running nodes say: replicas of each group, and the journal's own words on syncing."""
        status = self.cluster.status()
        counted = {group["group"]: len(group["replicas"]) for group in status["groups"]}
        journals = {f"n{node}": self.cluster.statistics(node).get("journal") for node in self.cluster.numbers}
        # The system shard, with the catalog, is on every node; a transfer never touches it.
        if {count for group, count in counted.items() if group != "s0"} != {self.replicas}:
            raise RuntimeError(f"{self.name} was to have {self.replicas} replicas a group, its status says {counted}")
        return {"groups": counted, "replicas": self.replicas, "journals": journals}

    def counters(self) -> dict[str, int]:
        """fdatasyncs of all journals since their nodes started."""
        journals = [self.cluster.statistics(node)["journal"] for node in self.cluster.numbers]
        return {"fsyncs": sum(int(journal["fdatasync"]) for journal in journals)}

    def arguments(self) -> dict[str, Any]:
        """What a client process needs to connect."""
        told = {"endpoints": self.cluster.endpoints(), "secret": self.cluster.secret}
        return {"module": "store", "multiplexed": self.multiplexed, "kind": self.kind} | told

    def stop(self) -> None:
        self.cluster.terminate()
        if self.cluster.unexpected:
            raise RuntimeError(f"{self.name}: {self.cluster.unexpected}")


def connect(arguments: dict[str, Any], clients: int, rows: int, process: str) -> list[Any]:
    """The clients of one process."""
    endpoints, secret = arguments["endpoints"], arguments["secret"]
    if not arguments["multiplexed"]:
        cluster = Cluster.connect(endpoints, secret=secret)
        kind = KINDS[arguments["kind"]]
        return [kind(cluster, rows, Random(f"{process}-{client}")) for client in range(clients)]
    nodes = endpoints.split(",")
    start = Random(process).randrange(len(nodes))
    nodes = nodes[start:] + nodes[:start]
    shares = {node: len(range(place, clients, len(nodes))) for place, node in enumerate(nodes)}
    return [
        Multiplexed(node, secret, share, rows, Random(f"{process}-{node}")) for node, share in shares.items() if share
    ]


class Transfers:
    """One client: one transfer after the other through a client object that its process shares."""

    def __init__(self, cluster: Cluster, rows: int, rng: Random) -> None:
        self.cluster, self.rows, self.rng = cluster, rows, rng

    def transfer(self) -> None:
        """Raises what the client raises."""
        self.cluster.submit(draw_transfer(self.rows, self.rng))

    def close(self) -> None:
        """The client object belongs to the process."""


class Contended(Transfers):
    """All clients want the same ten accounts. Who lost is tried again by gateway and client."""

    most_attempts = 0

    def transfer(self) -> None:
        reply = self.cluster.submit(transfer(*draw_hot(self.rng)))
        self.most_attempts = max(self.most_attempts, reply.attempts)


class Interactive(Transfers):
    """Statement by statement: three round trips. Who loses a row to an older one does it again."""

    def transfer(self) -> None:
        debit, credit = draw_transfer(self.rows, self.rng).statements

        def move(txn: Transaction) -> None:
            txn.submit([debit])
            txn.submit([credit])

        self.cluster.run(move)


KINDS = {"txstore": Transfers, "contended": Contended, "interactive": Interactive}


class Multiplexed:
    """`clients` clients on one connection to one node: each answer sends its client's next transfer."""

    PATIENCE_S = 15.0

    def __init__(self, endpoint: str, secret: bytes, clients: int, rows: int, rng: Random) -> None:
        host, _, port = endpoint.rpartition(":")
        self.connection = run(Connection.open(Threads(), (host, int(port)), secret, self.PATIENCE_S))
        self.clients, self.rows, self.rng = clients, rows, rng
        self.encoder, self.decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(ToClient)
        self.numbers, self.begun = count(1), dict[int, float]()

    def work(self, tally: Tally) -> None:
        """Until the tally is over and every transfer under way is answered."""
        for _ in range(self.clients):
            self._send()
        while self.begun:
            answer = self.decoder.decode(run(self.connection.receive(self.PATIENCE_S)))
            ended, begun = time.monotonic(), self.begun.pop(answer.number)
            if isinstance(answer, Failed):
                tally.failures.append((ended, answer.error.code))
            else:
                tally.done.append((ended, ended - begun))
            if not tally.over.is_set():
                self._send()

    def _send(self) -> None:
        number = next(self.numbers)
        self.begun[number] = time.monotonic()
        call = Call(number, draw_transfer(self.rows, self.rng))
        run(self.connection.send(self.encoder.encode(call), self.PATIENCE_S))

    def close(self) -> None:
        self.connection.close()
