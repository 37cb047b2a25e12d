"""The clients of the bank: transfers through the native client and through REST, probes, readers; each a thread.

Everything they see goes to the board: transfers with their answer (and the fate, asked for by id, where there was no
answer), probes with their times, and violations that only a live reader can see: a snapshot older than what was
acknowledged before it was asked for, or money that is not all there.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from nodes.client import Cluster
from nodes.errors import HAPPENED, UNKNOWN, StoreError
from nodes.requests import ABORTED, COMMITTED, Reply, Request, Statement
from tests.e2e import bank, proof
from tests.e2e.board import Board
from tests.e2e.web import RestClient, RestError

RESOLVE_S = 60.0
SHORT_TIMEOUT_MS, LONG_TIMEOUT_MS = 400, 10_000


@dataclass
class Crew:
    """Which workers one process runs; plain values, for they cross to another process.

    `natives`, `rests`: client numbers (each also its place in `board.running`); `probes`: shards; `readers`: nodes.
    `first_worker`: the first place in `board.idle` that is this process's. `rate`: transfers a second of one client.
    """

    addresses: dict[int, str]
    secret: bytes
    shards: int
    seed: int
    rate: float
    first_worker: int
    natives: list[int] = field(default_factory=list)
    rests: list[int] = field(default_factory=list)
    probes: list[int] = field(default_factory=list)
    readers: list[int] = field(default_factory=list)
    web: str = ""
    token: str = ""

    @property
    def workers(self) -> int:
        return len(self.natives) + len(self.rests) + len(self.probes) + len(self.readers)

    def client(self, *nodes: int) -> Cluster:
        chosen = [self.addresses[node] for node in nodes or self.addresses]
        return Cluster.connect(",".join(chosen), secret=self.secret)


class Worker(threading.Thread, ABC):
    """One thread that works while the board says so."""

    def __init__(self, crew: Crew, board: Board, place: int) -> None:
        super().__init__(name=f"{type(self).__name__}-{place}", daemon=True)
        self.crew, self.board, self.place = crew, board, place
        self.rng = Random(f"{crew.seed}/{place}")

    def run(self) -> None:
        while not self.board.ended:
            if not self.board.may_work(self.place):
                time.sleep(0.01)
                continue
            begun = time.monotonic()
            try:
                self.step()
            except Exception as error:  # whatever a client raises besides the store's errors is a finding
                self.board.violation(f"{self.name}: {type(error).__name__}: {error}")
            time.sleep(max(0.0, begun + self.interval() - time.monotonic()))

    @abstractmethod
    def step(self) -> None: ...

    @abstractmethod
    def interval(self) -> float:
        """Seconds from the beginning of one step to the next."""


class Transferer(Worker):
    """One client that moves money; what it gets no answer for it asks for by id, by fate or fence, until told."""

    def __init__(self, crew: Crew, board: Board, place: int, client: int) -> None:
        super().__init__(crew, board, place)
        self.client = client
        self.moves = bank.Moves(client, crew.shards, self.rng)
        self.cluster = crew.client()

    def interval(self) -> float:
        return self.rng.uniform(0.5, 1.5) / self.crew.rate

    def step(self) -> None:
        number, source, target, amount, shards = self.moves.draw()
        begun = time.monotonic()
        self.board.running[self.client] = shards[0]
        try:
            answer, fate, transaction, commit_ts, why = self.submit(number, source, target, amount)
        finally:
            self.board.running[self.client] = 0
        ended, asked = time.monotonic(), ""
        if answer == proof.UNKNOWN and not fate:
            fate, asked = self._resolve(transaction, number)
        self.board.was_told(commit_ts)
        moved = proof.Transfer(
            number, type(self).__name__, source, target, amount, shards, begun, ended, answer, fate, transaction,
            commit_ts, asked, why,
        )  # fmt: skip
        self.board.tell("transfer", moved)

    @abstractmethod
    def submit(self, number: int, source: int, target: int, amount: int) -> tuple[str, str, str, int, str]:
        """(answer, fate or "" to be asked for, transaction, commit_ts, why)."""

    @abstractmethod
    def ask(self, transaction: str, fence: bool) -> str:
        """The state of a transaction, in words of nodes.requests; StoreError or RestError: ask again."""

    def _resolve(self, transaction: str, number: int) -> tuple[str, str]:
        """(COMMITTED or ABORTED, "fate" or "fence"), checked against the ledger at once; or a violation."""
        fence = self.rng.random() < 0.5
        deadline, tries, why = time.monotonic() + RESOLVE_S, 0, ""
        while time.monotonic() < deadline:
            tries += 1
            fence = fence or tries > 5
            try:
                state = self.ask(transaction, fence)
                if state in (COMMITTED, ABORTED):
                    self._compare_ledger(transaction, number, state)
                    return (proof.COMMITTED if state == COMMITTED else proof.ABORTED), "fence" if fence else "fate"
                why = state
            except (StoreError, RestError) as error:
                why = str(error)
            time.sleep(0.1)
        self.board.violation(f"the fate of {transaction} (ledger {number}) was not told within {RESOLVE_S} s: {why}")
        return proof.UNNAMED, ""

    def _compare_ledger(self, transaction: str, number: int, state: str) -> None:
        """A read that begins after the fate was told must see it, however late the old leaders are."""
        try:
            reply = self.cluster.submit(bank.read_request((bank.READ_ENTRY, [number])))
        except StoreError:
            return
        if reply.results[0].rows[0][0] != (state == COMMITTED):
            self.board.violation(f"{transaction} is {state}, but ledger {number} says otherwise at {reply.ts}")


class NativeTransferer(Transferer):
    """Through the Python client. Every other transfer has little time, so that some lose their answer."""

    def submit(self, number: int, source: int, target: int, amount: int) -> tuple[str, str, str, int, str]:
        timeout_ms = SHORT_TIMEOUT_MS if number % 2 else LONG_TIMEOUT_MS
        try:
            reply = self.cluster.submit(bank.transfer_request(number, source, target, amount, timeout_ms))
        except StoreError as error:
            info = error.info
            if info.outcome == HAPPENED:
                return proof.COMMITTED, "", info.transaction, 0, str(error)
            if info.outcome != UNKNOWN:
                return proof.REFUSED, "", info.transaction, 0, str(error)
            return proof.UNKNOWN, "" if info.transaction else proof.UNNAMED, info.transaction, 0, str(error)
        return proof.COMMITTED, "", reply.id, reply.commit_ts, ""

    def ask(self, transaction: str, fence: bool) -> str:
        return (self.cluster.fence if fence else self.cluster.fate)(transaction, timeout=5).state


class RestTransferer(Transferer):
    """Through the web server."""

    def __init__(self, crew: Crew, board: Board, place: int, client: int) -> None:
        super().__init__(crew, board, place, client)
        self.rest = RestClient(crew.web, crew.token)

    def submit(self, number: int, source: int, target: int, amount: int) -> tuple[str, str, str, int, str]:
        timeout_ms = SHORT_TIMEOUT_MS if number % 2 else LONG_TIMEOUT_MS
        return self.rest.transact(bank.transfer_statements(number, source, target, amount), timeout_ms)

    def ask(self, transaction: str, fence: bool) -> str:
        return self.rest.fate(transaction, fence)


class Probe(Worker):
    """Raises one shard's counter: often while the board is eager, which is when the way back is measured."""

    def __init__(self, crew: Crew, board: Board, place: int, shard: int) -> None:
        super().__init__(crew, board, place)
        self.shard, self.row = shard, bank.counter_ids(crew.shards)[shard]
        self.cluster = crew.client()

    def interval(self) -> float:
        return 0.02 if self.board.eager.value else 0.5

    def step(self) -> None:
        begun = time.monotonic()
        try:
            reply = self.cluster.submit(Request([Statement(bank.COUNT_UP, [self.row], 1)], 3000))
        except StoreError as error:
            self.board.tell("probe", (self.shard, begun, time.monotonic(), error.info.outcome))
            return
        if not reply.results_lost:
            self.board.acknowledged[self.shard] = reply.results[0].rows[0][0]
        self.board.was_told(reply.commit_ts)
        self.board.tell("probe", (self.shard, begun, time.monotonic(), HAPPENED))


class Reader(Worker):
    """Reads through one node alone, also right after it was stopped or started again."""

    def __init__(self, crew: Crew, board: Board, place: int, node: int) -> None:
        super().__init__(crew, board, place)
        self.node, self.cluster = node, crew.client(node)
        self.freshness = Freshness(crew.shards, board)

    def interval(self) -> float:
        return 0.05 if self.board.eager.value else 0.2

    def step(self) -> None:
        judge = self.freshness.note()
        try:
            reply = self.cluster.submit(bank.read_request(*Freshness.QUERIES, timeout_ms=5000))
        except StoreError:
            return
        for words in judge(reply):
            self.board.violation(f"n{self.node} served {words}")
        self.board.tell("read", self.node)


class Freshness:
    """What a snapshot must at least show: everything that was acknowledged before it was asked for."""

    QUERIES: tuple[tuple[str, list[int]], ...] = ((bank.READ_COUNTERS, []), (bank.READ_TOTAL, []))

    def __init__(self, shards: int, board: Board) -> None:
        self.counters, self.board = bank.counter_ids(shards), board

    def note(self) -> Callable[[Reply], list[str]]:
        """Call before asking; the function then judges the reply: violations in words."""
        newest, values = self.board.newest.value, list(self.board.acknowledged)
        return lambda reply: self._judge(reply, newest, values)

    def _judge(self, reply: Reply, newest: int, values: list[int]) -> list[str]:
        found = []
        if reply.ts < newest:
            found.append(f"a snapshot at {reply.ts}, older than {newest}, which had been acknowledged")
        shown: dict[int, int] = dict(map(tuple, reply.results[0].rows))
        for shard, row in self.counters.items():
            if shown.get(row, -1) < values[shard]:
                found.append(f"s{shard}'s counter as {shown.get(row)}, {values[shard]} had been acknowledged")
        total = [bank.ACCOUNTS * bank.START_BALANCE, bank.ACCOUNTS]
        if [int(value) for value in reply.results[1].rows[0]] != total:
            found.append(f"a total of {reply.results[1].rows[0]}, not {total}")
        return found


def run(crew: Crew, board: Board) -> None:
    """The main function of a client process: until the board ends."""
    jobs: list[tuple[Callable[[Crew, Board, int, int], Worker], int]] = [
        *((NativeTransferer, client) for client in crew.natives),
        *((RestTransferer, client) for client in crew.rests),
        *((Probe, shard) for shard in crew.probes),
        *((Reader, node) for node in crew.readers),
    ]
    workers = [kind(crew, board, crew.first_worker + index, job) for index, (kind, job) in enumerate(jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
