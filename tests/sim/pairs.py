"""Two or three transactions at the same time: told, and left behind, what a serial order of them gives.

Each has a statement or two. A case has tables of its own, drawn (schemas.py), and is played again and again from the
same rows; each time it is laid down which transaction comes first at which shard, and for two transactions every such
order comes in turn; outcomes and snapshots come to the shards sooner or later. What a client was told and what the
tables hold then must be what some order of the same statements gives, one after the other (serial.py), and one that has
those first who were answered before others began. Several cases are played at the same time in one cluster.

*Invariants checked*: 18, and all that the watch sees (DESIGN.md §9).
*Left out*: crashes and lost messages, which the other profiles have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import permutations, product
from typing import TYPE_CHECKING, Any

from nodes.core.txn import participant
from nodes.core.txn.messages import Execute, Outcome, SnapshotRead
from nodes.errors import UNKNOWN, SnapshotTooOld, StoreError
from nodes.requests import Reply, Statement
from nodes.runtime.driver import Driver
from tests.sim.cluster import Life
from tests.sim.coverage import count
from tests.sim.operations import READS, STATEMENTS, Operation, Steps
from tests.sim.schemas import Author, draw_table
from tests.sim.serial import SerialStore, Told, told_error, told_rows
from tests.sim.timeline import MS
from tests.sim.truth import demand

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

PAIRS = "18 serial order of a few"
CASES = (6, 9)
ROUNDS = 8  # two transactions meet on three shards in eight orders
TIMEOUT_MS = 8_000
MAX_ACTIVE = participant.MAX_ACTIVE

STATEMENTS["sql"] = lambda sql, expect_rows: (sql, [], expect_rows)
READS.add("sql")  # whether it only reads is for the gateway to see


Receive = Callable[[int, Any], None]


@dataclass
class Case:
    """`orders`: for each round and each shard, who comes there first, second and so on."""

    tables: list[str]
    first: list[Statement]  # makes the tables as they are at the beginning
    transactions: list[list[Statement]]
    last: list[Statement]  # reads them
    locked: list[bool]
    orders: list[dict[str, tuple[int, ...]]]
    round: dict[int, Operation] = field(default_factory=dict)  # of the round under way, by place in `transactions`


class Pairs:
    """The whole run of the profile "pairs"."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.rng = simulation.schedule.rng
        self.holds: dict[tuple[int, str], int] = {}  # (operation, shard) -> how long its message waits there

    def run(self) -> None:
        simulation = self.simulation
        participant.MAX_ACTIVE = MAX_ACTIVE  # nobody is refused for being one too many
        self._play()
        simulation.wait_for_rest()
        simulation.replays.check_at_end(simulation._run)
        simulation.check_logs()
        simulation.check_engines()

    def _play(self) -> None:
        simulation, weather = self.simulation, self.simulation.cluster.weather
        self.serial = SerialStore(simulation.shards)
        try:
            for node in simulation.cluster.nodes.values():
                assert node.life is not None, "all nodes run"
                self._hold_messages(node.life)
            cases = [self._draw_case(number) for number in range(self.rng.randint(*CASES))]
            weather.slow, weather.repeat = self.rng.choice((0, 0, 0.01)), self.rng.choice((0, 0, 0.05))
            for number in range(ROUNDS):
                self._play_round(cases, number)
            weather.clear()
        finally:
            self.serial.close()

    # -- what is played

    def _draw_case(self, number: int) -> Case:
        rng = self.rng
        shards = self.simulation.shards
        tables = [draw_table(rng, f"case{number}_{place}", shards) for place in range(rng.choice((1, 1, 2)))]
        for table in tables:
            made = [Statement(table.sql)]
            self.serial.run(made)
            self._wait_for([self._submit(made)])
        author = Author(rng, tables)
        first = [*(Statement(f"DELETE FROM {table.name}") for table in tables), *author.rows()]
        transactions = author.transactions(rng.choice((2, 2, 3)))
        last = [Statement(f"SELECT * FROM {table.name}") for table in tables]
        alike = rng.random() < 0.5
        locked = [alike if rng.random() < 0.8 else not alike for _ in transactions]
        return Case([table.sql for table in tables], first, transactions, last, locked, self._orders(len(transactions)))

    def _orders(self, count: int) -> list[dict[str, tuple[int, ...]]]:
        """One for each round: all that there are, if there are no more than rounds."""
        shards = range(1, self.simulation.shards + 1)
        every = list(product(permutations(range(count)), repeat=len(shards)))
        chosen = every * (ROUNDS // len(every)) if len(every) <= ROUNDS else self.rng.sample(every, ROUNDS)
        return [{f"s{shard}": order for shard, order in zip(shards, orders, strict=True)} for orders in chosen]

    def _play_round(self, cases: list[Case], number: int) -> None:
        self.simulation.schedule.begin(f"round {number}")
        self._wait_for([self._submit(case.first) for case in cases])
        for case in cases:
            case.round = {}
            gap = self.rng.choice((0, MS, 4 * MS, 12 * MS))
            for place in range(len(case.transactions)):
                delay = self.rng.choice((0, 0, 0, self.rng.randint(0, 15 * MS)))
                begin = partial(self._begin, case, place, case.orders[number], gap)
                self.simulation.schedule.at(delay, "one of a few at once", begin)
        self.simulation._run(20 * MS)
        self._wait_until_told([operation for case in cases for operation in case.round.values()])
        reads = [self._submit(case.last) for case in cases]
        self._wait_until_told(reads)
        for case, read in zip(cases, reads, strict=True):
            while isinstance(read.told, SnapshotTooOld):  # where history is kept for next to no time
                read = self._submit(case.last)
                self._wait_until_told([read])
            self._wait_for([read])
            self._judge(case, read)

    def _begin(self, case: Case, place: int, orders: dict[str, tuple[int, ...]], gap: int) -> None:
        number = len(self.simulation.operations)
        for shard, order in orders.items():
            self.holds[number, shard] = order.index(place) * gap
        named = self.rng.random() < 0.15  # not tried again when it loses
        case.round[place] = self._submit(case.transactions[place], case.locked[place], named)

    def _submit(self, statements: list[Statement], locked: bool = False, named: bool = False) -> Operation:
        steps: Steps = [("sql", [each.sql, each.expect_rows]) for each in statements]
        return self.simulation.submit(
            steps, self.rng.choice(self.simulation.cluster.here()), named, TIMEOUT_MS, locked=locked
        )

    def _wait_until_told(self, operations: list[Operation]) -> None:
        for _ in range(400):
            if all(operation.told is not None for operation in operations):
                return
            self.simulation._run(25 * MS)
        demand(False, "8 progress", "a request was never answered")

    def _wait_for(self, operations: list[Operation]) -> None:
        """What prepares and reads the cases: nothing is in its way."""
        self._wait_until_told(operations)
        for operation in operations:
            words = f"{operation.steps} was told {operation.told!r}"
            demand(isinstance(operation.told, Reply), "8 progress", words)

    # -- who comes first

    def _hold_messages(self, life: Life) -> None:
        driver = life.driver
        assert driver is not None, "a running node has a driver"
        for group in driver.groups.values():
            if group.group[0] == "s" and group.group != "s0":
                machine: Any = group.machine
                machine.receive = partial(self._receive, life, driver, group.group, machine.receive)

    def _receive(self, life: Life, driver: Driver, name: str, receive: Receive, sender: int, message: Any) -> None:
        delay = 0
        if isinstance(message, Execute):
            operation = self.simulation.watch.of_txn.get(message.txn)
            delay = self.holds.pop((operation.number, name), 0) if operation is not None else 0
        elif isinstance(message, SnapshotRead | Outcome):
            rng = life.node.cluster.chance(life.node.number)
            delay = rng.choice((0, 0, rng.randint(0, 6 * MS)))
        if not delay:
            receive(sender, message)
            return

        def deliver() -> None:
            receive(sender, message)
            driver.wake()

        life.later(delay, deliver)

    # -- what must hold

    def _judge(self, case: Case, read: Operation) -> None:
        assert isinstance(read.told, Reply), "a read in peace is answered"
        left = told_rows(read.told.results)
        told = {place: self._told(operation) for place, operation in sorted(case.round.items())}
        if len(told) > 1:  # else one was left out
            count(f"{len(told)} transactions at once")
        serial = []
        for order in permutations(told):
            if self._is_allowed(case, order):
                for chosen in self._choices(case, order):
                    ways, rows = self._serial(case, chosen)
                    if rows == left and all(told[i] is None or told[i] in ways[i] for i in chosen):
                        self._count(told, order)
                        return
                    serial.append(f"in the order {chosen} {[sorted(ways[i]) for i in chosen]}, left {rows}")
        asked = [[each.sql for each in statements] for statements in (case.first, *case.transactions)]
        words = f"{case.tables}, {asked[0]}, then at once {asked[1:]} were told {told}, left {left}"
        demand(False, PAIRS, f"{words}; one after the other: {'; '.join(serial)}")

    def _count(self, told: dict[int, Told | None], order: tuple[int, ...]) -> None:
        if list(order) != sorted(order):
            count("at once, and only another order fits")
        for each in told.values():
            if each is None:
                count("at once, lost to another")
            elif each[0] == "error":
                count("at once, an error of its own")

    def _told(self, operation: Operation) -> Told | None:
        """None: it lost to another and did not happen, or nobody knows."""
        told = operation.told
        if isinstance(told, Reply):
            return told_rows(told.results)
        assert isinstance(told, StoreError), "it was waited for"
        return None if told.info.outcome == UNKNOWN or told.info.retryable else told_error(told)

    def _choices(self, case: Case, order: tuple[int, ...]) -> list[tuple[int, ...]]:
        """The order without those that did not happen; of whom nobody knows, with and without."""
        found: list[tuple[int, ...]] = [()]
        for place in order:
            told = case.round[place].told
            if isinstance(told, Reply) or self._told(case.round[place]) is not None:
                found = [(*chosen, place) for chosen in found]
            elif isinstance(told, StoreError) and told.info.outcome == UNKNOWN:
                found += [(*chosen, place) for chosen in found]
        return found

    def _is_allowed(self, case: Case, order: tuple[int, ...]) -> bool:
        """Nobody stands before one who had been answered when it began."""
        for place, behind in enumerate(order):
            if any(case.round[behind].told_at < case.round[before].begun_at for before in order[:place]):
                return False
        return True

    def _serial(self, case: Case, order: tuple[int, ...]) -> tuple[dict[int, frozenset[Told]], Told]:
        """What each may be told, and what is left, if they come one after the other."""
        made = self.serial.run(case.first)
        assert all(way[0] == "rows" for way in made), f"the serial world refuses {case.first}: {made}"
        ways = {place: self.serial.run(case.transactions[place]) for place in order}
        (left,) = self.serial.run(case.last)
        return ways, left
