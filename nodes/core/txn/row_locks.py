"""Rows that a SELECT … FOR UPDATE or FOR SHARE locks at a shard's leader.

What must be free at once (NOWAIT, SKIP LOCKED) is asked for by itself, before anything that may be waited for, so it
stands in no line and wounds nobody. What SKIP LOCKED leaves out is looked at by nobody: it holds no lock but on the
rows that it gives, and on the table that it is there.

A prepared transaction may be committed, and its client told, while its locks stand here still, and its rows are not yet
to be seen. So first those that were prepared on arrival are waited for, as by a snapshot: what was answered before is
then found. That wait has an end (FLIGHT_TICKS): a prepared one may be waiting for us at another shard.

*Invariants*: each row that is given is locked, and is as it was committed last, or as this transaction wrote it.
*Left out*: rows that a plan locks by their full keys before they are looked for, as of any other statement.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import NamedTuple

import msgspec

from nodes import ids
from nodes.core.engine import Evaluation
from nodes.core.locks import IS, IX, MODES, LockTable, X
from nodes.core.txn.shard_state import ShardState
from nodes.core.txn.states import Active, LockNeed
from nodes.errors import ConflictInfo, ErrorInfo, ExpectationFailed, LockNotAvailable
from nodes.sql import keys
from nodes.sql.schema import NOWAIT, SKIP_LOCKED, WAIT, Fragment, RowLocks, ShardRows

NOT_AVAILABLE, HELP = "not_available", "try again when that one has ended, or without NOWAIT"
FLIGHT_TICKS = 10  # half a second
SPARE_ROWS = 64  # looked at beyond a LIMIT, for those that are left out; four times as many when that is not enough


class _Arrived(NamedTuple):
    """Who waits until these have ended, or until a tick."""

    active: Active
    prepared: dict[bytes, None]
    until: int


class RowLocking:
    """The part of a participant that takes them; `locks` is the table of its leadership."""

    def __init__(self, state: ShardState, locks: LockTable) -> None:
        self._state = state
        self._locks = locks
        self._arrived: dict[bytes, _Arrived] = {}

    # -- those that are being committed

    def arrive(self, active: Active, prepared: Container[bytes], now: int) -> bytes:
        """One of those prepared that it has to wait for, b"": it need not. When it may go on, `ready` gives it."""
        found: dict[bytes, None] = {}
        for fragment in active.fragments if active.locks_rows else ():
            if fragment.rows is not None and fragment.rows.wait != WAIT:
                need = _planned(fragment)
                if fragment.rows.keys:
                    need = [(node, MODES[fragment.rows.mode]) for node, _ in need if not node[1]]
                found |= {txn: None for txn in self._locks.conflicting(need) if txn in prepared}
        if not found:
            return b""
        self._arrived[active.txn] = _Arrived(active, found, now + FLIGHT_TICKS)
        return next(iter(found))

    @property
    def is_any_waiting(self) -> bool:
        return bool(self._arrived)

    def on_released(self, txn: bytes) -> None:
        """It has ended here, in whatever way."""
        self._arrived.pop(txn, None)
        for arrived in self._arrived.values():
            arrived.prepared.pop(txn, None)

    def ready(self, now: int) -> list[Active]:
        """Those that have waited enough, each once."""
        if not self._arrived:
            return []
        found = [each.active for each in self._arrived.values() if not each.prepared or each.until <= now]
        for active in found:
            del self._arrived[active.txn]
        return found

    # -- before and with the evaluation

    def take_planned(self, active: Active) -> ErrorInfo | None:
        """What NOWAIT needs before anything is looked for; or what the client is told."""
        for fragment in active.fragments if active.locks_rows else ():
            if fragment.rows is not None and fragment.rows.wait == NOWAIT:
                need = _planned(fragment)
                if not self._take(active, need):
                    return self._not_available(active, fragment, need)
        return None

    def evaluate(self, active: Active, budget_ms: float) -> tuple[Evaluation, LockNeed]:
        """The evaluation, without rows that were left out, and locks on rows that may have to be waited for."""
        if not active.locks_rows:
            return self._state.evaluate(active.fragments, budget_ms, active.earlier), []
        skipping = {place: self._may_look(active, f) for place, f in enumerate(active.fragments) if _skips(f)}
        spare = SPARE_ROWS
        while True:
            asked = [_asked(f, skipping.get(place), spare) for place, f in enumerate(active.fragments)]
            found = self._state.evaluate(asked, budget_ms, active.earlier)
            if found.error is not None:
                return found, []
            free = {place: self._free(active, active.fragments[place], found.rows[place].rows) for place in skipping}
            short = [place for place in free if _may_find_more(asked[place], found.rows[place], free[place])]
            if not short:
                return self._settled(active, found, free)
            spare *= 4

    # -- rows

    def _settled(
        self, active: Active, found: Evaluation, free: dict[int, list[list[object]]]
    ) -> tuple[Evaluation, LockNeed]:
        """Rows get their locks, and lose their keys."""
        waited: LockNeed = []
        for place, fragment in enumerate(active.fragments):
            rows = fragment.rows
            if rows is None or not rows.keys:
                continue
            given = free[place] if place in free else found.rows[place].rows
            if 0 <= fragment.expect_rows != len(given):
                error = ExpectationFailed.of_rows(fragment.expect_rows, len(given), statement=fragment.statement)
                return Evaluation([], [], error.info), []
            need = [one for row in given for one in self._need(fragment, rows, row)]
            if rows.wait == WAIT:
                waited += need
            elif not self._take(active, need):
                return Evaluation([], [], self._not_available(active, fragment, need)), []
            found.rows[place] = ShardRows([row[: -rows.keys] for row in given], len(given))
        return found, waited

    def _free(self, active: Active, fragment: Fragment, rows: Sequence[list[object]]) -> list[list[object]]:
        """Of what was found the rows that can be locked at once, as many as are wanted."""
        assert fragment.rows is not None, "only who locks rows leaves some out"
        limit = fragment.rows.limit
        found: list[list[object]] = []
        for row in rows:
            if len(found) == limit:
                break
            if self._locks.is_free(active.txn, active.age, self._need(fragment, fragment.rows, row)):
                found.append(row)
        return found

    def _need(self, fragment: Fragment, rows: RowLocks, row: Sequence[object]) -> LockNeed:
        """The lock on a row, and those above it."""
        ((table_id, _),) = fragment.tables
        table = self._state.engine.table(table_id)
        assert table is not None, "rows of a table that this shard does not hold"
        *prefixes, key = keys.path_encoder(tuple([table.columns[i].type for i in table.primary_key]))(row[-rows.keys :])
        mode = MODES[rows.mode]
        intention = IX if mode == X else IS
        return [*(((table_id, above), intention) for above in (b"", *prefixes)), ((table_id, key), mode)]

    # -- locks

    def _may_look(self, active: Active, fragment: Fragment) -> bool:
        return self._take(active, _planned(fragment))

    def _take(self, active: Active, need: LockNeed) -> bool:
        """All of it, if it is free at once."""
        return self._locks.is_free(active.txn, active.age, need) and self._locks.request(active.txn, active.age, need)

    def _not_available(self, active: Active, fragment: Fragment, need: LockNeed) -> ErrorInfo:
        ((table_id, _),) = fragment.tables
        table = self._state.engine.table(table_id)
        name = "" if table is None else table.name
        holders = [txn for txn in self._locks.conflicting(need) if txn != active.txn]
        winner = ids.to_text(holders[0]) if holders else ""
        conflict = ConflictInfo(winner, name, [], 0, NOT_AVAILABLE, HELP)
        words = f'could not obtain lock on row in relation "{name}"'
        return LockNotAvailable(words, statement=fragment.statement, conflict=conflict).info


def _planned(fragment: Fragment) -> LockNeed:
    return [((lock.table, lock.key), MODES[lock.mode]) for lock in fragment.locks]


def _skips(fragment: Fragment) -> bool:
    return fragment.rows is not None and fragment.rows.wait == SKIP_LOCKED


def _asked(fragment: Fragment, may_look: bool | None, spare: int) -> Fragment:
    """What the engine is asked for one: of SKIP LOCKED some rows more, or nothing, where its table is locked."""
    if may_look is None or fragment.rows is None:
        return fragment
    if not may_look:
        return msgspec.structs.replace(fragment, sql="")
    params, limit = fragment.params, fragment.rows.limit
    if limit >= 0:
        params = [*params[:-2], limit + spare, 0]
    return msgspec.structs.replace(fragment, params=params, expect_rows=-1)


def _may_find_more(asked: Fragment, found: ShardRows, free: Sequence[object]) -> bool:
    """Fewer rows are free than are wanted, and there were as many as were asked for."""
    limit = asked.rows.limit if asked.rows is not None else -1
    return bool(asked.sql) and 0 <= len(free) < limit and len(found.rows) == asked.params[-2]
