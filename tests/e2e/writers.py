"""The clients of the failover runs: a load on all shards, and probes of what the lost node led; each a thread.

A probe writes through the nodes that survive the round: one row of a shard that the victim leads, or a transfer of two
shards, one of them that one, under a key whose home the victim leads. Other probes of that shard know all nodes, the
lost one too: `keyed` ones write under a key, `bare` ones without.

*Invariants*: nobody asks for the same write again: what has no answer is fenced, and asked for until its fate is told.
So what every row must be is known to the last one, but for writes of which not even an id was heard (`unnamed`).
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.context import SpawnContext
from typing import NamedTuple

from nodes import ids
from nodes.client import Cluster
from nodes.errors import DID_NOT_HAPPEN, HAPPENED, UNKNOWN, StoreError
from nodes.requests import ABORTED, COMMITTED, Request, Statement
from tests.e2e import bank
from tests.e2e.board import Board
from tests.e2e.clients import RESOLVE_S, Crew, Worker
from tests.e2e.observer import Collector

LOAD, SHARD, TRANSFER, KEYED, BARE = "load", "shard", "transfer", "keyed", "bare"
PROBES = {SHARD: 4, TRANSFER: 4, KEYED: 3, BARE: 3}
ROWS = 8  # of each table and shard: few, so that what a lost node leaves locked is met
START_BALANCE = 1_000_000_000
TABLES = (
    "CREATE TABLE accounts (id INT PRIMARY KEY, balance BIGINT NOT NULL CHECK (balance >= 0))",
    "CREATE TABLE counters (id INT PRIMARY KEY, value BIGINT NOT NULL)",
)


class Aim(NamedTuple):
    """What a round measures: a shard and a coordinator group that `victim` leads, and a shard that another one leads.
    `round` 0: nothing yet."""

    round: int = 0
    victim: int = 0
    shard: int = 0
    coordinator: int = 0
    other: int = 0


class AimedBoard(Board):
    """`rate`: writes a second of one client of the load; above 100,000 as many as it gets answered."""

    def __init__(self, context: SpawnContext, workers: int, shards: int) -> None:
        super().__init__(context, 1, workers, shards)
        self._aim = context.Array("i", list(Aim()))
        self.rate = context.Value("d", 1.0, lock=False)

    @property
    def aim(self) -> Aim:
        with self._aim.get_lock():
            return Aim(*self._aim)

    @aim.setter
    def aim(self, aim: Aim) -> None:
        with self._aim.get_lock():
            self._aim[:] = list(aim)


class Write(NamedTuple):
    """One write that is over, of the client at `place`. `outcome` as in nodes.errors, `answered` without having to ask
    for the fate; `id`: of its transaction; `changes`: (table, row, by how much) if it happened."""

    kind: str
    place: int
    begun: float
    ended: float
    outcome: str
    answered: bool
    id: str
    changes: list[tuple[str, int, int]]
    why: str


@dataclass
class Party(Crew):
    """Which workers one process runs: `load` clients, and the probes if `probing`."""

    load: int = 0
    probing: bool = False
    rows: dict[int, list[int]] = field(default_factory=dict)


def rows_of(shards: int) -> dict[int, list[int]]:
    """Shard -> the ids of its rows, in both tables."""
    found: dict[int, list[int]] = {shard: [] for shard in range(1, shards + 1)}
    row = 0
    while any(len(known) < ROWS for known in found.values()):
        row += 1
        known = found[bank.account_shard(row, shards)]
        if len(known) < ROWS:
            known.append(row)
    return found


def create(cluster: Cluster, rows: dict[int, list[int]]) -> None:
    """The tables with their rows."""
    every = sorted(row for known in rows.values() for row in known)
    for table in TABLES:
        cluster.execute(table)
    cluster.execute(f"INSERT INTO accounts (id, balance) VALUES {', '.join(f'({r}, {START_BALANCE})' for r in every)}")
    cluster.execute(f"INSERT INTO counters (id, value) VALUES {', '.join(f'({row}, 0)' for row in every)}")


class Writer(Worker):
    """A client that writes; `through(lost)` is its cluster without that node."""

    kind = LOAD

    def __init__(self, party: Party, board: AimedBoard, place: int) -> None:
        super().__init__(party, board, place)
        self.party, self.aimed = party, board
        self._clusters: dict[int, Cluster] = {}

    def through(self, lost: int) -> Cluster:
        if lost not in self._clusters:
            self._clusters[lost] = self.party.client(*(node for node in self.party.addresses if node != lost))
        return self._clusters[lost]

    def any_key(self) -> uuid.UUID:
        return uuid.UUID(int=self.rng.getrandbits(128), version=4)

    def count_up(self, lost: int, shard: int, key: str = "") -> None:
        row = self.rng.choice(self.party.rows[shard])
        request = Request([Statement(bank.COUNT_UP, [row], 1)], key=key)
        self._write(self.through(lost), request, [("counters", row, 1)])

    def transfer(self, lost: int, shards: tuple[int, int], key: str) -> None:
        amount = self.rng.randint(1, bank.MOST_MOVED)
        source, target = (self.rng.choice(self.party.rows[shard]) for shard in shards)
        debit, credit = Statement(bank.DEBIT, [amount, source], 1), Statement(bank.CREDIT, [amount, target], 1)
        changes = [("accounts", source, -amount), ("accounts", target, amount)]
        self._write(self.through(lost), Request([debit, credit], key=key), changes)

    def _write(self, cluster: Cluster, request: Request, changes: list[tuple[str, int, int]]) -> None:
        begun = time.monotonic()
        outcome, id, why = HAPPENED, "", ""
        try:
            reply = cluster.submit(request)
            id = reply.id
            self.board.was_told(reply.commit_ts)
        except StoreError as error:
            id = request.key or error.info.transaction
            outcome, why = error.info.outcome, f"{error.code}: {error}"
        ended, answered = time.monotonic(), outcome != UNKNOWN
        if not answered and id:
            outcome = self._fate(cluster, id)
        self.board.tell("write", Write(self.kind, self.place, begun, ended, outcome, answered, id, changes, why))

    def _fate(self, cluster: Cluster, id: str) -> str:
        """HAPPENED or DID_NOT_HAPPEN, for good; or a violation."""
        deadline, why = time.monotonic() + RESOLVE_S, ""
        while time.monotonic() < deadline:
            try:
                why = cluster.fence(id, timeout=5).state
            except StoreError as error:
                why = str(error)
            if why in (COMMITTED, ABORTED):
                return HAPPENED if why == COMMITTED else DID_NOT_HAPPEN
            time.sleep(0.1)
        self.board.violation(f"the fate of {id} was not told within {RESOLVE_S} s: {why}")
        return UNKNOWN


class Load(Writer):
    """Writes anywhere, through any node."""

    def interval(self) -> float:
        return self.rng.uniform(0.5, 1.5) / self.aimed.rate.value

    def step(self) -> None:
        shards = self.rng.sample(sorted(self.party.rows), 2)
        if self.rng.random() < 0.5:
            self.count_up(0, shards[0])
        else:
            self.transfer(0, (shards[0], shards[1]), str(self.any_key()))


class Probe(Writer):
    """Writes where the aim is: often while the board is eager, which is when the way back is measured."""

    def __init__(self, party: Party, board: AimedBoard, place: int, kind: str) -> None:
        super().__init__(party, board, place)
        self.kind = kind

    def interval(self) -> float:
        return 0.02 if self.board.eager.value else 0.2

    def step(self) -> None:
        aim = self.aimed.aim
        if not aim.round:
            return
        if self.kind == TRANSFER:
            pair = (aim.shard, aim.other) if self.rng.random() < 0.5 else (aim.other, aim.shard)
            self.transfer(aim.victim, pair, self._key(aim.coordinator))
        else:
            key = str(self.any_key()) if self.kind == KEYED else ""
            self.count_up(aim.victim if self.kind == SHARD else 0, aim.shard, key)

    def _key(self, coordinator: int) -> str:
        """A new key whose home is that coordinator group."""
        while True:
            key = self.any_key()
            if ids.key_home(key.bytes, min(3, len(self.party.addresses))) == f"c{coordinator}":
                return str(key)


def run(party: Party, board: AimedBoard) -> None:
    """The main function of a client process: until the board ends."""
    kinds = [LOAD] * party.load
    if party.probing:
        kinds += [kind for kind, count in PROBES.items() for _ in range(count)]
    workers: list[Writer] = []
    for place, kind in enumerate(kinds, party.first_worker):
        workers.append(Load(party, board, place) if kind == LOAD else Probe(party, board, place, kind))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


class Told(Collector):
    """What the writers told: which writes were acknowledged when, and what every row must be."""

    def __init__(self, board: AimedBoard) -> None:
        super().__init__(board)
        self.acknowledged: list[Write] = []  # of probes, since `forget`
        self.sums: Counter[tuple[str, int]] = Counter()  # (table, row): changed by so much
        self.unnamed: Counter[tuple[str, int]] = Counter()  # or by so much more
        self.happened = 0  # writes of all kinds, since `forget`
        self.refused: Counter[str] = Counter()  # kind and why, of what did not happen or had no answer

    def forget(self) -> None:
        self.acknowledged, self.happened = [], 0

    def _on_write(self, write: Write) -> None:
        self.counted[f"{write.kind}, {write.outcome}"] += 1
        self.happened += write.outcome == HAPPENED
        if write.why:
            self.refused[f"{write.kind}, {write.why[:90]}"] += 1
        if write.kind != LOAD and write.answered and write.outcome == HAPPENED:
            self.acknowledged.append(write)
        if write.outcome in (HAPPENED, UNKNOWN):
            sums = self.sums if write.outcome == HAPPENED else self.unnamed
            for table, row, change in write.changes:
                sums[table, row] += change

    def first(self, kind: str, since: float) -> Write | None:
        """The write of this kind, begun after `since`, that was acknowledged first."""
        after = [write for write in list(self.acknowledged) if write.kind == kind and write.begun >= since]
        return min(after, key=lambda write: write.ended, default=None)

    def slowest(self, kind: str, since: float) -> Write | None:
        """Of each client's first such write the one that was acknowledged last; None while a client has none."""
        first: dict[int, Write] = {}
        for write in list(self.acknowledged):  # of one client in their order
            if write.kind == kind and write.begun >= since:
                first.setdefault(write.place, write)
        return max(first.values(), key=lambda write: write.ended) if len(first) == PROBES[kind] else None

    def judge(self, table: str, values: dict[int, int], start: int) -> list[str]:
        """What is not as it was told, in words. Only writes without a key stay unnamed, and those add."""
        wrong = []
        for row, value in values.items():
            told, extra = start + self.sums[table, row], self.unnamed[table, row]
            if not told <= value <= told + extra:
                wrong.append(f"{table} {row} is {value}, {told} was told, {extra} more are unknown")
        return wrong
