"""What is done to the nodes, and to which: kill -9, or SIGSTOP and ten seconds later SIGCONT.

Four aims, in turn: a random node, the leader of `c1`, the leader of a shard that takes part in a running transfer,
and all nodes at once. Right before a SIGCONT a read is sent over a connection that was open before the stop: it is
the first thing that the node, which still believes what it believed, can answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from random import Random
from typing import NamedTuple

import msgspec

from nodes.client.connection import Connection
from nodes.client.threads import Threads, run
from nodes.errors import StoreError
from nodes.requests import Reply
from nodes.wire.protocol import Call, Done, ToClient
from tests.e2e import bank
from tests.e2e.board import Board
from tests.e2e.clients import Freshness
from tests.e2e.cluster import LocalCluster

KILL, STOP = "kill -9", "stop 10 s"
RANDOM, ORACLE, TWO_PHASE, ALL = "random node", "c1's leader", "2PC leader", "all nodes"
STOP_S = 10.0


class Fault(NamedTuple):
    action: str
    aim: str

    def __str__(self) -> str:
        return f"{self.action}, {self.aim}"


# In an order whose first three are the most different, for those who run only three.
TURNS = (
    Fault(KILL, TWO_PHASE),
    Fault(STOP, ORACLE),
    Fault(KILL, ALL),
    Fault(STOP, TWO_PHASE),
    Fault(KILL, RANDOM),
    Fault(STOP, ALL),
    Fault(KILL, ORACLE),
    Fault(STOP, RANDOM),
)


class Strike:
    """Carries faults out on one cluster. `leader(group)`: the node that leads it now, as far as is known, or 0."""

    def __init__(self, cluster: LocalCluster, board: Board, rng: Random, leader: Callable[[str], int]) -> None:
        self.cluster, self.board, self.rng, self.leader = cluster, board, rng, leader

    def targets(self, aim: str) -> list[int]:
        """The nodes that are hit; for a 2PC leader it waits for a transfer to be under way."""
        if aim == ALL:
            return list(self.cluster.numbers)
        if aim == RANDOM:
            return [self.rng.choice(self.cluster.numbers)]
        if aim == ORACLE:
            return [self.leader("c1") or self.rng.choice(self.cluster.numbers)]
        return [self._leader_of_running()]

    def _leader_of_running(self) -> int:
        """The leader of the debited shard of a transfer that began within the last millisecond or so."""
        deadline = time.monotonic() + 5
        before = list(self.board.running)
        while time.monotonic() < deadline:
            now = list(self.board.running)
            for old, shard in zip(before, now, strict=True):
                if shard and not old and self.leader(f"s{shard}"):
                    time.sleep(self.rng.uniform(0, 0.004))
                    return self.leader(f"s{shard}")
            before = now
            time.sleep(0.0005)
        return self.rng.choice(self.cluster.numbers)

    def kill(self, nodes: list[int]) -> float:
        """kill -9; returns when (monotonic seconds)."""
        at = time.monotonic()
        for node in nodes:
            self.cluster.kill(node)
        return at

    def stop(self, nodes: list[int]) -> list[ReadyRead]:
        """SIGSTOP; the connections for the reads at SIGCONT are opened before."""
        reads = [ReadyRead(self.cluster, self.board, node) for node in nodes]
        for node in nodes:
            self.cluster.pause(node)
        return reads

    def go_on(self, nodes: list[int], reads: list[ReadyRead]) -> None:
        """SIGCONT, with a read in the socket of each node just before."""
        for read in reads:
            read.send()
        for node in nodes:
            self.cluster.resume(node)


class ReadyRead:
    """A connection to one node over which a snapshot read goes out in the moment before SIGCONT."""

    def __init__(self, cluster: LocalCluster, board: Board, node: int) -> None:
        host, _, port = cluster.addresses[node].rpartition(":")
        self.node, self.board = node, board
        self.freshness = Freshness(cluster.shards, board)
        self.connection = run(Connection.open(Threads(), (host, int(port)), cluster.secret, 2.0))

    def send(self) -> None:
        """Ask now, judge in a thread when the answer comes (an error or silence shows nothing old)."""
        judge = self.freshness.note()
        call = Call(1, bank.read_request(*Freshness.QUERIES, timeout_ms=5000))
        run(self.connection.send(msgspec.msgpack.encode(call), 2.0))
        threading.Thread(target=self._await, args=(judge,), daemon=True).start()

    def _await(self, judge: Callable[[Reply], list[str]]) -> None:
        try:
            answer = msgspec.msgpack.decode(run(self.connection.receive(8.0)), type=ToClient)
        except (StoreError, OSError):
            return
        finally:
            self.connection.close()
        if isinstance(answer, Done):
            for words in judge(answer.reply):
                self.board.violation(f"n{self.node}, right after SIGCONT, served {words}")
        self.board.tell("standby", isinstance(answer, Done))
