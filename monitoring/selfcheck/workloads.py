"""What the clients of a self-check do: Jepsen's workloads, each on tables of its own.

A workload draws transactions on a few rows at a time, so that they meet, and goes on to other rows after a while, so
that lists and groups stay short. All that is to be judged is in the history.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import count

from monitoring.selfcheck.checker.anomalies import Anomaly
from monitoring.selfcheck.checker.history import APPEND, INSERT, LIST, SCAN, VALUE, WRITE, Operation
from monitoring.selfcheck.scratch import Place, Scratch, Supply
from monitoring.selfcheck.session import Open, Session


class Workload(ABC):
    """`tables`: name and form (scratch.FORMS). `turns`: transactions until it goes on to the next group of rows."""

    name: str
    tables: dict[str, str]
    turns = 40

    def __init__(self, scratch: Scratch) -> None:
        self.scratch = scratch
        self.group = -1  # the newest that has its rows
        self._drawn = count()

    def step(self, session: Session) -> None:
        """One transaction, or a few; StoreError: the rows for it are not there yet, ask again."""
        group = next(self._drawn) // self.turns
        self.reach(group + 1)
        self.group = max(self.group, group)
        self.draw(session, group)

    @abstractmethod
    def reach(self, end: int) -> None:
        """Have the rows of all groups below `end`; StoreError: not yet."""

    @abstractmethod
    def draw(self, session: Session, group: int) -> None:
        """Draw a transaction and carry it out."""

    @abstractmethod
    def look(self, session: Session, group: int) -> bool:
        """Read all of a group, which shows what is not read yet; False: there was no answer."""

    def broken(self) -> list[Anomaly]:
        """What is wrong besides what the checker finds."""
        return []


class OfRows(Workload):
    """On lists or registers, `size` to a group."""

    size = 3
    columns, first = "id, value", "({0}, NULL)"
    READ, WRITE = VALUE, WRITE

    def __init__(self, scratch: Scratch) -> None:
        super().__init__(scratch)
        (self.table,) = self.tables
        self.rows = Supply(scratch, self.table, self.columns, self.first)

    def reach(self, end: int) -> None:
        self.rows.reach(end * self.size)

    def places(self, group: int) -> list[Place]:
        return [Place(self.table, group * self.size + number) for number in range(self.size)]

    def look(self, session: Session, group: int) -> bool:
        return session.one_shot([Operation(self.READ, place) for place in self.places(group)]) is not None


class OfSets(Workload):
    """On sets, one of each table to a group."""

    def reach(self, end: int) -> None:
        """Rows come with the transactions."""

    def places(self, group: int) -> list[Place]:
        return [Place(table, group) for table in self.tables]

    def look(self, session: Session, group: int) -> bool:
        return session.one_shot([Operation(SCAN, place) for place in self.places(group)]) is not None


class ListAppend(OfRows):
    """Transactions of up to four appends and reads, in one request or interactive."""

    name, tables = "list-append", {"lists": "lists"}
    columns, first = "id, items", "({0}, '')"
    READ, WRITE = LIST, APPEND

    def draw(self, session: Session, group: int) -> None:
        kinds = (self.READ,) if session.rng.random() < 0.2 else (self.READ, self.WRITE, self.WRITE)
        places = session.rng.choices(self.places(group), k=session.rng.randint(1, 4))
        drawn = [(session.rng.choice(kinds), place) for place in places]

        def operations() -> list[Operation]:
            return [Operation(kind, place, session.value()) if kind == self.WRITE else Operation(kind, place)
                    for kind, place in drawn]  # fmt: skip

        def one_by_one(txn: Open) -> None:
            for operation in operations():
                txn.do(operation)

        if session.rng.random() < 0.3:
            session.interactive(one_by_one)
        else:
            session.one_shot(operations())


class Register(ListAppend):
    """The same with registers, and writes of a value on the condition of another one."""

    name, tables = "register", {"registers": "registers"}
    columns, first = OfRows.columns, OfRows.first
    READ, WRITE = OfRows.READ, OfRows.WRITE

    def draw(self, session: Session, group: int) -> None:
        if session.rng.random() < 0.7:
            super().draw(session, group)
            return
        place = session.rng.choice(self.places(group))
        results = session.one_shot([Operation(VALUE, place)])
        old = results[0].rows[0][0] if results else None
        if old is not None:
            new = session.value()
            exchange = [self.scratch.exchange(place, old, new)]
            session.one_shot([Operation(VALUE, place, old), Operation(WRITE, place, new)], exchange)


class LongFork(OfRows):
    """Each register is written once; readers of all of a group must agree on who was first."""

    name, tables = "long-fork", {"fork": "registers"}
    turns = 8

    def draw(self, session: Session, group: int) -> None:
        places = self.places(group)
        if session.rng.random() < 0.4:
            session.one_shot([Operation(WRITE, session.rng.choice(places), session.value())])
        else:
            session.one_shot([Operation(VALUE, place) for place in session.rng.sample(places, len(places))])


class WriteSkew(OfRows):
    """Two registers: each transaction reads both and writes one."""

    name, tables = "write-skew", {"skew": "registers"}
    size, turns = 2, 6

    def draw(self, session: Session, group: int) -> None:
        places = self.places(group)

        def both_then_one(txn: Open) -> None:
            txn.do(*(Operation(VALUE, place) for place in places))
            txn.do(Operation(WRITE, session.rng.choice(places), session.value()))

        session.interactive(both_then_one)


class CausalReverse(OfSets):
    """Blind inserts into two tables, and reads of both: whoever sees a later row must see an earlier one."""

    name, tables = "causal-reverse", {"reverse_a": "sets", "reverse_b": "sets"}
    turns = 30

    def draw(self, session: Session, group: int) -> None:
        places = self.places(group)
        if session.rng.random() < 0.6:
            session.one_shot([Operation(INSERT, session.rng.choice(places), session.value())])
        else:
            session.one_shot([Operation(SCAN, place) for place in places])


class Predicate(OfSets):
    """Adya's G2: whoever finds no row of its group in two tables inserts one, so no group ever has two. Of one table a
    group lies on many shards, of the other on one."""

    name, tables = "predicate", {"predicate_a": "sets", "predicate_b": "sets of one shard"}
    turns = 6

    def draw(self, session: Session, group: int) -> None:
        places = self.places(group)

        def insert_if_none(txn: Open) -> None:
            found = txn.do(*(Operation(SCAN, place) for place in places))
            if not any(found):
                txn.do(Operation(INSERT, session.rng.choice(places), session.value()))

        session.interactive(insert_if_none)
