"""The whole history at the end of a run: what clients were told against a serial execution in order of timestamps.

*Invariants checked* (DESIGN.md §9): 3 and 4 (a decided transaction ended everywhere alike), 5 and 6 (strict
serializability: results, real time), 7 (acknowledged is committed, engines hold what the logs say), 10 (history
intervals touch).
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

from nodes import ids
from nodes.errors import DID_NOT_HAPPEN, UNKNOWN, Conflict, StoreError
from nodes.requests import ABORTED, COMMITTED, EXPIRED, Fate, Reply
from nodes.storage.sqlite import SqliteEngine
from tests.sim.coverage import count
from tests.sim.operations import Bank, Operation, Results
from tests.sim.timeline import MS
from tests.sim.truth import ShardTruth, Truth, demand

STRICT = "6 strict serializability"
FOREVER = 1 << 63
EXPLAINED = "19 told to whom it lost"
EARLY = 0.5  # of the time that a request had: before that nobody may give up


def check_answers(truth: Truth, operations: list[Operation], clocks_leapt: bool) -> None:
    """Each answer about whether it happened agrees with the logs, and nobody is told "unknown" before the deadline,
    unless clocks leapt past the time that outcomes are kept: ages rest on clocks."""
    for operation in operations:
        happened = [txn for txn in operation.txns if txn in truth.committed]
        name = f"operation {operation.number}"
        demand(len(happened) <= 1, "6 exactly once", f"{name} is committed {len(happened)} times")
        told = operation.told
        if isinstance(told, Reply) and told.repeated:
            demand(not happened, "6 exactly once", f"{name} is committed, and was told of an earlier one")
        elif isinstance(told, Reply) and told.commit_ts:
            txn = ids.from_text(told.id)
            demand(happened == [txn], "7 acknowledged", f"{name}: {txn.hex()} was acknowledged and is not committed")
            demand(truth.committed[txn] == told.commit_ts, "7 acknowledged", f"{name} was told another commit_ts")
            strict = truth.committed[txn] > operation.after
            demand(strict, STRICT, f"{name} is committed below what was answered before it began")
        elif isinstance(told, Reply):
            demand(not happened, "7 acknowledged", f"{name} was told that it only read, and is committed")
        elif isinstance(told, StoreError) and told.info.outcome == DID_NOT_HAPPEN:
            demand(not happened, "7 did not happen", f"{name} was told {told.info.code}, and is committed")
            _check_conflict(operation, told)
        elif isinstance(told, StoreError):
            demand(told.info.outcome == UNKNOWN, "7 acknowledged", f"{name} was told {told.info.outcome}")
            waited_ms = (operation.told_at - operation.begun_at) // MS
            in_time = waited_ms < operation.timeout_ms * EARLY
            demand(clocks_leapt or not in_time, "8 progress", f"{name} was told {told} after {waited_ms} ms")


def _check_conflict(operation: Operation, told: StoreError) -> None:
    """Who lost to another one is told to whom, where (but for a table that is gone meanwhile), and what would help."""
    lost = told.info.conflict
    if told.info.code != Conflict.code:
        return
    name = f"operation {operation.number} was told {told!r}"
    demand(lost is not None and lost.help in str(told), EXPLAINED, f"{name}, without what would help")
    assert lost is not None, "as was demanded"
    demand(lost.cause != "wounded" or lost.transaction != "", EXPLAINED, f"{name}, and not by whom")
    if lost.transaction:
        # An earlier attempt of its own may be in its way, whose end a shard has not heard of yet.
        demand(lost.transaction != told.info.transaction, EXPLAINED, f"{name}: that was itself")
        if lost.table:
            count("lost, and told to whom and where")


def check_fate(truth: Truth, txn: bytes, fate: Fate) -> None:
    if fate.state == COMMITTED:
        is_known = txn in truth.committed or txn in truth.unchanged or txn in truth.only_read
        right = is_known and truth.committed.get(txn, 0) == fate.commit_ts
        demand(right, "3 one decision", f"{txn.hex()} is said to be committed, the log says otherwise")
    elif fate.state == ABORTED:
        demand(txn not in truth.committed, "3 one decision", f"{txn.hex()} is said to be aborted, and is committed")
    elif fate.state == EXPIRED:
        home = truth.shards.get(ids.home_of(txn))
        passed = home.marks.home if home is not None else truth.forgotten.get(ids.home_of(txn), 0)
        right = ids.time_of(txn) <= passed
        demand(right, "3 one decision", f"{txn.hex()} is said to be expired, and nothing has passed it")


def check_ends(truth: Truth) -> None:
    """After the faults: whatever was decided has ended on all its shards, alike."""
    for txn, ts in truth.committed.items():
        for group in truth.participants[txn]:
            ended = truth.shards[group].outcomes.get(txn)
            demand(ended == (True, ts), "4 atomicity", f"{txn.hex()} is committed, but {ended} on {group}")


def check_existence(truth: Truth, operations: list[Operation]) -> None:
    """Who was told that a table is not there, or is there already: was it so at some time in between?"""
    lives = _lives(truth, operations)
    for operation in operations:
        told, (word, arguments) = operation.told, operation.steps[0]
        state = told.info.sqlstate if isinstance(told, StoreError) else ""
        is_there_already = state == "42P07" or (word == "ensure" and isinstance(told, Reply) and not told.commit_ts)
        if state != "42P01" and not is_there_already:
            continue
        begun, ended = operation.after, operation.newest
        known = lives.get(arguments[0], [])
        if is_there_already:
            holds = any(made <= ended and dropped > begun for made, dropped in known)
        else:
            holds = not any(made <= begun and dropped > ended for made, dropped in known)
        demand(holds, STRICT, f"operation {operation.number} {operation.steps} was told {told}, which never was so")


def _lives(truth: Truth, operations: list[Operation]) -> dict[str, list[tuple[int, int]]]:
    """For each name of a table from when to when there was one."""
    steps = []
    for operation in operations:
        word, arguments = operation.steps[0]
        if word in ("create", "ensure", "drop"):
            steps += [(truth.committed[txn], word, arguments[0]) for txn in operation.txns if txn in truth.committed]
    lives: dict[str, list[tuple[int, int]]] = {}
    for ts, word, name in sorted(steps):
        known = lives.setdefault(name, [])
        if word != "drop":
            if not known or known[-1][1] != FOREVER:  # under a client key an `ensure` that found one is committed, too
                known.append((ts, FOREVER))
        else:
            made, _ = lives[name].pop()
            lives[name].append((made, ts))
    return lives


class SerialRun:
    """Replays everything that happened in order of timestamps, and compares what was told."""

    def __init__(self, truth: Truth, operations: list[Operation], set_up_at: int) -> None:
        self.truth, self.set_up_at = truth, set_up_at
        self.bank = Bank()
        self.operations = operations

    def run(self) -> Bank:
        for ts, _, operation in sorted(self._steps(), key=lambda step: step[:2]):
            told = operation.told
            if any(txn in self.truth.committed for txn in operation.txns):
                results = self._replay(operation, self.bank)
            else:
                results = self._replay(operation, copy.deepcopy(self.bank))
            if isinstance(told, Reply):
                self._compare(operation, results, ts)
        return self.bank

    def _steps(self) -> list[tuple[int, int, Operation]]:
        """(timestamp, order, operation): writers at commit_ts, reads behind the writer of their timestamp."""
        steps = []
        for operation in self.operations:
            happened = [txn for txn in operation.txns if txn in self.truth.committed]
            if happened:
                steps.append((self.truth.committed[happened[0]], 0, operation))
            elif operation.reads_the_past and isinstance(operation.told, Reply) and operation.told.ts < self.set_up_at:
                continue  # of a time before there is anything to read
            elif isinstance(operation.told, Reply) and not operation.told.repeated:
                # A read under locks draws no timestamp: it stands behind all that was answered before it began.
                ts = operation.told.ts
                if operation.reads_a_snapshot:
                    demand(ts > operation.after, STRICT, f"operation {operation.number} reads below what was answered")
                steps.append((max(ts, operation.after), 1, operation))
        return steps

    def _replay(self, operation: Operation, bank: Bank) -> Results:
        try:
            return operation.replay(bank)
        except (AssertionError, KeyError) as error:
            demand(False, STRICT, f"operation {operation.number} {operation.steps}: {error!r}")
            raise

    def _compare(self, operation: Operation, results: Results, ts: int) -> None:
        assert isinstance(operation.told, Reply), "only who was told is compared"
        for number, (expected, result) in enumerate(zip(results, operation.told.results, strict=True)):
            found = (result.rows, result.row_count)
            words = f"operation {operation.number} {operation.steps} at {ts}, statement {number}: "
            demand(found == expected, STRICT, f"{words}told {found}, in the serial world {expected}")


def check_engine(shard: ShardTruth, engine: SqliteEngine, name: str) -> None:
    """A replica's tables hold what its log says, and history intervals touch."""
    execute = engine._main.execute
    for table in shard.tables.values():
        if 0 < shard.dropped.get(table.id, 0) <= engine.marks.horizon:
            continue  # it may go at any time
        key_at = table.primary_key
        rows = list(execute(f'SELECT * FROM "{table.physical}"'))
        current = {tuple(row[i + 1] for i in key_at): row for row in rows}
        expected = {key: (ts, *row) for key, (ts, _, row) in shard.current(table.id).items() if row is not None}
        demand(current == expected, "7 engines", f"{name}: rows of {table.name} are not what the log says")
        history = list(execute(f'SELECT * FROM "{table.physical}__history" ORDER BY _ts'))
        by_key: dict[tuple[Any, ...], list[tuple[int, int, Any]]] = {}
        horizon = engine.marks.horizon
        demand(horizon <= shard.marks.horizon, "10 history", f"{name}: its horizon is not the log's")
        for row in history:
            if row[1] <= horizon:
                continue  # it may go at any time
            key = tuple(row[i + 2] for i in key_at)
            by_key.setdefault(key, []).append((row[0], row[1], list(row[2:])))
        for (table_id, key), versions in shard.rows.items():
            if table_id == table.id:
                told = [(ts, end, row) for (ts, _, row), (end, _, _) in pairwise(versions) if row and end > horizon]
                found = by_key.get(key, [])
                # What ended before a column was added is shown with the column's default by SQLite.
                found = [(ts, end, row[: len(old)]) for (ts, end, row), (_, _, old) in zip(found, told, strict=False)]
                demand(
                    found == told and len(by_key.get(key, [])) == len(told),
                    "10 history",
                    f"{name}: history of {key} in {table.name}",
                )
