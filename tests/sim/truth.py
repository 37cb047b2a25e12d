"""What the chosen logs say: one log per group, and the state that a plain reading of it gives.

Every replica's applied entries are compared with it at every step; an entry that is new to it is read here, with the
invariants of DESIGN.md §9 in mind. The checks at the end of a run (history.py) take this for the truth.
"""

from __future__ import annotations

from typing import Any

from nodes import ids
from nodes.constants import Constants
from nodes.core.engine import Marks
from nodes.core.locks import CONFLICT
from nodes.core.membership import MARK
from nodes.core.oracle import at_ms
from nodes.core.replicated_log import Entry
from nodes.core.txn.entries import (
    AbortTxn,
    CommitTxn,
    DecideTxn,
    DoneTxns,
    EndTxn,
    FenceKey,
    ForgetDecisions,
    MoveMarks,
    PrepareTxn,
    Reserve,
    decode_coordinator_entry,
    decode_shard_entry,
)
from nodes.core.txn.messages import KeyBinding, KeyRecord
from nodes.sql.schema import CATALOG_TABLE, AddColumns, CreateTable, Ddl, Image, TableDef
from tests.sim.lock_tree import may_write, nodes_of


class Violation(Exception):
    """An invariant does not hold; `invariant` is its name."""

    def __init__(self, invariant: str, words: str) -> None:
        super().__init__(f"{invariant}: {words}")
        self.invariant = invariant


def demand(holds: bool, invariant: str, words: str) -> None:
    if not holds:
        raise Violation(invariant, words)


Version = tuple[int, bytes, list[Any] | None]  # commit_ts, txn, row (None: deleted)


class ShardTruth:
    """One shard's log, read entry by entry."""

    def __init__(self, truth: Truth, group: str) -> None:
        self.truth = truth
        self.group = group
        self.prepared: dict[bytes, PrepareTxn] = {}
        self.outcomes: dict[bytes, tuple[bool, int]] = {}
        self.tables: dict[int, TableDef] = {}
        self.dropped: dict[int, int] = {}  # when, by table
        self.rows: dict[tuple[int, tuple[Any, ...]], list[Version]] = {}
        self.marks = Marks()

    def read(self, data: bytes) -> None:
        entry = decode_shard_entry(data)
        if isinstance(entry, PrepareTxn):
            self._prepare(entry)
        elif isinstance(entry, CommitTxn):
            self._commit(entry)
        elif isinstance(entry, EndTxn):
            self._end(entry)
        elif isinstance(entry, MoveMarks):
            self._move(entry)
        elif isinstance(entry, AbortTxn) and entry.txn not in self.outcomes and entry.txn not in self.prepared:
            self.outcomes[entry.txn] = (False, 0)

    def _move(self, entry: MoveMarks) -> None:
        """Outcomes stay known here: this remembers what the shards forget."""
        old = self.marks
        new = Marks(max(old.late, entry.late), max(old.home, entry.home), max(old.horizon, entry.horizon))
        demand(new.home <= new.late, "forgetting", f"{self.group} forgets as a home what it would still take: {new}")
        kept, newest = self.truth.constants, max(self.truth.given, default=0)
        ages = (kept.txn_age_max_ms, kept.outcomes_kept_ms, kept.history_kept_ms)
        for mark, age_ms in zip((entry.late, entry.home, entry.horizon), ages, strict=True):
            words = f"{self.group} lets go of what is younger than promised"
            demand(mark <= newest - at_ms(age_ms), "forgetting", words)
        for txn in self.prepared:
            demand(ids.time_of(txn) > new.late, "forgetting", f"{self.group} passes {txn.hex()}, which is prepared")
        self.marks = new

    def _is_late(self, txn: bytes) -> bool:
        """It takes no effect: a record of it may be gone. (Here it is not, so what did take effect is found out.)"""
        return ids.time_of(txn) <= self.marks.late

    def _prepare(self, entry: PrepareTxn) -> None:
        if entry.txn in self.prepared or entry.txn in self.outcomes or self._is_late(entry.txn):
            return
        self._check_locks(entry)
        self.prepared[entry.txn] = entry

    def _commit(self, entry: CommitTxn) -> None:
        if entry.txn in self.outcomes or self._is_late(entry.txn):
            return
        demand(
            ids.home_of(entry.txn) == self.group, "3 one decision", f"{self.group} is not the home of what it commits"
        )
        self._check_locks(entry)
        if entry.commit_ts:
            self.truth.on_committed(entry.txn, entry.commit_ts, [self.group])
        else:
            self.truth.unchanged.add(entry.txn)
        self.outcomes[entry.txn] = (True, entry.commit_ts)
        self._install(entry.txn, entry.images, entry.commit_ts)

    def _end(self, entry: EndTxn) -> None:
        prepared = self.prepared.pop(entry.txn, None)
        if prepared is None:
            known = self.outcomes.setdefault(entry.txn, (False, 0))
            demand(
                known[0] == entry.commit, "3 one decision", f"{self.group} ends {entry.txn.hex()} twice, differently"
            )
            return
        decided = self.truth.decisions.get(entry.txn)
        if entry.commit:
            demand(
                decided is not None and decided.commit, "3 one decision", f"{self.group} commits what was not decided"
            )
            assert decided is not None, "just demanded"
            demand(decided.commit_ts == entry.commit_ts, "4 atomicity", f"{self.group} commits at another timestamp")
            demand(
                self.group in decided.participants, "4 atomicity", f"{self.group} is no participant of what it commits"
            )
        else:
            demand(decided is None or not decided.commit, "3 one decision", f"{self.group} aborts what is committed")
            self.truth.aborted_at_shard.add(entry.txn)
        self.outcomes[entry.txn] = (entry.commit, entry.commit_ts)
        if entry.commit:
            if prepared.ddl is not None:
                self._define(prepared.ddl, entry.commit_ts)
            self._install(entry.txn, prepared.images, entry.commit_ts)

    def _define(self, ddl: Ddl, ts: int) -> None:
        if isinstance(ddl, CreateTable):
            demand(ddl.table.id not in self.tables, "15 tables", f"{self.group}: table {ddl.table.id} is made twice")
            self.tables[ddl.table.id] = ddl.table
        elif isinstance(ddl, AddColumns):
            self.tables[ddl.table.id] = ddl.table
            more = [column.default for column in ddl.table.columns[-ddl.added :]]
            for (table, _), versions in self.rows.items():
                if table == ddl.table.id and versions[-1][2] is not None:
                    ts, txn, row = versions[-1]
                    versions[-1] = (ts, txn, [*row, *more])
        else:
            demand(ddl.table_id not in self.dropped, "15 tables", f"{self.group}: table {ddl.table_id} ends twice")
            self.dropped[ddl.table_id] = ts

    def _check_locks(self, entry: PrepareTxn | CommitTxn) -> None:
        mine = {(table, key): mode for table, key, mode in entry.locks}
        for other in self.prepared.values():
            for table, key, mode in other.locks:
                held = mine.get((table, key))
                free = held is None or not CONFLICT[held][mode]
                demand(free, "11 locks", f"{self.group}: {entry.txn.hex()} and {other.txn.hex()} hold {table} {key!r}")
        for image in entry.images:
            if image.table == CATALOG_TABLE:
                continue
            for path in nodes_of(image, self.tables[image.table]):
                words = f"{self.group}: an image of table {image.table} is not covered by its entry's locks"
                demand(may_write(mine, image.table, path), "11 locks", words)

    def _key_at(self, image: Image) -> tuple[int, ...]:
        return self.tables[image.table].primary_key

    def _install(self, txn: bytes, images: list[Image], ts: int) -> None:
        images = [image for image in images if image.table != CATALOG_TABLE]
        for image in images:
            is_there = image.table in self.tables and image.table not in self.dropped
            demand(is_there, "15 tables", f"{self.group}: {txn.hex()} writes table {image.table}, which is not there")
            fits = image.row is None or len(image.row) == len(self.tables[image.table].columns)
            demand(fits, "15 tables", f"{self.group}: {txn.hex()} writes a row of another shape: {image.row}")
            if image.old_key is not None:
                versions = self.rows.get((image.table, tuple(image.old_key)), [])
                known = versions[-1] if versions else (0, b"", None)
                exact = known[2] is not None and known[0] == image.old_ts
                demand(exact, "10 images", f"{self.group}: {txn.hex()} replaces a version that is not there")
                versions.append((ts, txn, None))
                demand(known[0] < ts, "10 images", f"{self.group}: _ts does not rise at {image.old_key}")
        for image in images:
            if image.row is not None:
                self._insert(txn, image, ts)

    def _insert(self, txn: bytes, image: Image, ts: int) -> None:
        assert image.row is not None, "a delete inserts nothing"
        key = tuple(image.row[i] for i in self._key_at(image))
        versions = self.rows.setdefault((image.table, key), [])
        if versions and versions[-1][1] == txn:
            versions[-1] = (ts, txn, image.row)
            return
        free = not versions or versions[-1][2] is None
        demand(free, "10 images", f"{self.group}: {txn.hex()} inserts {key} over a version")
        demand(not versions or versions[-1][0] < ts, "10 images", f"{self.group}: _ts does not rise at {key}")
        versions.append((ts, txn, image.row))

    def current(self, table: int) -> dict[tuple[Any, ...], Version]:
        return {key: v[-1] for (t, key), v in self.rows.items() if t == table and v[-1][2] is not None}


class Truth:
    """All groups. `committed`: id -> commit_ts; `unchanged`: those that a record keeps from changing anything;
    `only_read`: those of which their gateway says that they changed nothing and are committed;
    `decisions`: the first for each id of a coordinator home."""

    def __init__(self) -> None:
        self.changes_of_members = 0
        self.logs: dict[str, list[Entry]] = {}
        self.shards: dict[str, ShardTruth] = {}
        self.decisions: dict[bytes, DecideTxn] = {}
        self.committed: dict[bytes, int] = {}
        self.unchanged: set[bytes] = set()
        self.only_read: set[bytes] = set()
        self.participants: dict[bytes, list[str]] = {}
        self.aborted_at_shard: set[bytes] = set()
        self.given: dict[int, int] = {}
        self.forgotten: dict[str, int] = {}
        self.undone: set[bytes] = set()
        self.keys: dict[bytes, KeyRecord] = {}
        self.newest = 0  # the largest commit_ts in any log
        self.constants = Constants()  # of the run
        self._stamps: dict[int, bytes] = {}

    def on_entries(self, group: str, position: int, entries: list[Entry]) -> int:
        """Entries applied by a replica that has applied `position` slots in its life; the new position."""
        log = self.logs.setdefault(group, [])
        for entry in entries:
            position += 1
            demand(entry.slot == position, "1 agreement", f"{group}: slot {entry.slot} comes where {position} is due")
            if position <= len(log):
                known = log[position - 1]
                demand(known == entry, "1 agreement", f"{group}: slot {position} is {known} and {entry}")
            else:
                newest = log[-1].epoch if log else 0
                demand(entry.epoch >= newest or not entry.data, "1 agreement", f"{group}: an old epoch behind a newer")
                log.append(entry)
                self._read(group, entry)
        return position

    def _read(self, group: str, entry: Entry) -> None:
        if entry.data.startswith(MARK):
            self.changes_of_members += 1
        elif group[0] == "s":
            shard = self.shards.setdefault(group, ShardTruth(self, group))
            if entry.data:
                shard.read(entry.data)
        elif entry.data:
            decoded = decode_coordinator_entry(entry.data)
            if isinstance(decoded, DecideTxn):
                self._decide(group, decoded)
            elif isinstance(decoded, ForgetDecisions):
                self._forget(group, decoded)
            elif isinstance(decoded, DoneTxns):
                self._done(decoded)
            elif isinstance(decoded, FenceKey):
                self._fence_key(group, decoded)
            elif isinstance(decoded, Reserve):
                demand(group == "c1", "14 oracle", "a reservation outside the oracle's group")

    def _forget(self, group: str, entry: ForgetDecisions) -> None:
        """Decisions stay known here: this remembers what the homes forget."""
        for txn in self.undone:
            passes = ids.home_of(txn) == group and ids.time_of(txn) <= entry.until
            demand(not passes, "forgetting", f"{group} forgets {txn.hex()}, which is committed and not done")
        self.forgotten[group] = max(self.forgotten.get(group, 0), entry.until)

    def _key(self, group: str, key: bytes) -> KeyRecord | None:
        known = self.keys.get(key)
        return known if known is not None and known.date > self.forgotten.get(group, 0) else None

    def _binds(self, group: str, decision: DecideTxn, binding: KeyBinding) -> bool:
        if self._key(group, binding.key) is not None:
            return False
        self.keys[binding.key] = KeyRecord(decision.txn, decision.commit_ts, decision.commit_ts)
        return True

    def _fence_key(self, group: str, entry: FenceKey) -> None:
        known = self._key(group, entry.key)
        if 0 < entry.since <= self.forgotten.get(group, 0):
            return
        if known is None or not known.txn:
            self.keys[entry.key] = KeyRecord(b"", 0, max(entry.date, known.date if known is not None else 0))

    def _done(self, entry: DoneTxns) -> None:
        for txn in entry.txns:
            for group in self.participants.get(txn, ()):
                ended = txn in self.shards[group].outcomes
                demand(ended, "forgetting", f"{txn.hex()} is done, and has not ended at {group}")
            self.undone.discard(txn)

    def _decide(self, group: str, decision: DecideTxn) -> None:
        if decision.txn in self.decisions or ids.time_of(decision.txn) <= self.forgotten.get(group, 0):
            return
        if decision.commit and decision.binding is not None and not self._binds(group, decision, decision.binding):
            decision = DecideTxn(decision.txn, False, 0, [], "its key is taken")
        if decision.commit:
            self.undone.add(decision.txn)
        self.decisions[decision.txn] = decision
        if decision.commit:
            right = decision.txn not in self.aborted_at_shard
            demand(right, "3 one decision", f"{decision.txn.hex()} is committed and was aborted at a shard before")
            self.on_committed(decision.txn, decision.commit_ts, decision.participants)

    def on_committed(self, txn: bytes, ts: int, participants: list[str]) -> None:
        demand(ts not in self._stamps, "14 oracle", f"{txn.hex()} and another are committed at the same {ts}")
        self._stamps[ts] = txn
        self.newest = max(self.newest, ts)
        self.committed[txn] = ts
        self.participants[txn] = participants

    def on_given(self, node: int, ts: int, after: int) -> None:
        """The oracle gave `ts` to one who asked when `after` was the largest value given."""
        demand(ts not in self.given, "14 oracle", f"{ts} is given twice")
        demand(ts > after, "14 oracle", f"{ts} is given although {after} was given before it was asked for")
        self.given[ts] = node
