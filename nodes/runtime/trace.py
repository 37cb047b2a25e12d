"""What a node remembers of transactions, for people who ask later: a ring of events, and records of its own attempts.

State machines note events into the ring; an attempt's own steps are kept with the record of the attempt. The slow and
the aborted are remarkable: some of them, the survey asks all nodes about in good time, and their steps at the shards
are kept with the record too, for when the rings have moved on. Statements are kept as text, their parameters as
types only: values may be personal data.

*Invariants*: everything is bounded; nothing is decided by what is kept here, and no state machine reads it. A note on
the hot path is one tuple and one append (measured: 0.3 us; docs/operations.md has the table).
*Left out*: reads (a snapshot has no id), and anything durable: a restart forgets all.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any

from nodes import ids
from nodes.core.paxos.ballots import node_of
from nodes.core.txn import messages, steps
from nodes.requests import ABORTED, ACTIVE, SLOW, Statement, StatementText, Step, Transaction

RING_EVENTS = 10_000
NEWEST_KEPT, ABORTED_KEPT, SLOW_KEPT = 1_000, 500, 100
SLOW_KEPT_US = 3_600_000_000  # the slowest of an hour are kept for the next one, too
STATEMENTS_KEPT, STATEMENT_CHARACTERS, PARAMS_KEPT, STEPS_KEPT = 20, 2_000, 40, 200
REMARKABLE_KEPT = 16
REMARKABLE_AFTER_US = 1_000_000  # by then the shards have ended it, too

CAUSES = {
    messages.NOT_LEADER: "it does not lead",
    messages.WOUNDED: "wounded by an older transaction",
    messages.TIMED_OUT: "waited too long for a lock",
    messages.STALE: "planned with other versions of the tables",
    messages.FAILED: "the statement failed",
    messages.ENDED: "aborted",
    messages.BUSY: "too many transactions, or low disk space",
    messages.TOO_LATE: "its id is too old for this shard",
}
TYPES: dict[type, str] = {
    int: "integer", str: "text", bool: "boolean", float: "number", bytes: "bytes", type(None): "null",
    list: "list", dict: "object",
}  # fmt: skip

Event = tuple[int, str, bytes, str, Any]  # at_us, step, txn, group, detail
Rank = tuple[int, bytes]  # of a list's order: what it is ordered by, and the id


class Record:
    """One attempt of this node's gateway."""

    __slots__ = (
        "attempt", "begun_us", "cause", "code", "commit_ts", "ended_us", "elsewhere", "left_out", "retried_as",
        "shards", "state", "statements", "steps", "txn",
    )  # fmt: skip

    def __init__(self, txn: bytes, attempt: int, shards: list[str], begun_us: int) -> None:
        self.txn = txn
        self.attempt = attempt
        self.shards = shards
        self.begun_us = begun_us
        self.ended_us = self.commit_ts = self.left_out = 0
        self.state = ACTIVE
        self.code = self.cause = ""
        self.retried_as = b""
        self.statements: list[tuple[str, tuple[type, ...]]] = []
        self.steps: list[Event] = []
        self.elsewhere: list[Step] = []

    def add_statements(self, statements: Iterable[Statement]) -> None:
        """The texts that were run; also later, for a transaction that gets its statements one by one."""
        for statement in statements:
            if len(self.statements) >= STATEMENTS_KEPT:
                self.left_out += 1
                continue
            params = statement.params
            values = params.values() if isinstance(params, dict) else params
            self.statements.append((statement.sql[:STATEMENT_CHARACTERS], tuple(map(type, values))[:PARAMS_KEPT]))

    def rank(self, which: str) -> Rank:
        """Newest first, slowest first: the highest rank comes first."""
        return (self.ended_us - self.begun_us if which == SLOW else self.begun_us), self.txn

    def told(self) -> Transaction:
        statements = [
            StatementText(sql, [TYPES.get(kind, kind.__name__) for kind in kinds]) for sql, kinds in self.statements
        ]
        return Transaction(
            ids.to_text(self.txn), ids.node_of(self.txn), self.state, self.begun_us, self.ended_us, self.attempt,
            self.shards, statements, self.left_out, self.commit_ts, self.code, self.cause,
            ids.to_text(self.retried_as) if self.retried_as else "",
        )  # fmt: skip


class Trace:
    """One node's memory of this life. `clock_us` is the node's wall clock in microseconds."""

    def __init__(self, node: int, clock_us: Callable[[], int]) -> None:
        self.node = node
        self._clock_us = clock_us
        self._started_us = clock_us()
        self._events: deque[Event] = deque(maxlen=RING_EVENTS)
        self._records: dict[bytes, Record] = {}
        self._newest: deque[Record] = deque()
        self._aborted: deque[Record] = deque(maxlen=ABORTED_KEPT)
        self._slow = Slowest()
        self._remarkable: deque[Record] = deque(maxlen=REMARKABLE_KEPT)

    # -- what is noted

    def note(self, step: str, txn: bytes, group: str, detail: Any = None) -> None:
        """By a state machine of `group` on this node."""
        self._events.append((self._clock_us(), step, txn, group, detail))

    def note_at_gateway(self, step: str, txn: bytes, group: str, detail: Any = None) -> None:
        """By an attempt of this node's gateway."""
        record = self._records.get(txn)
        if record is not None and len(record.steps) < STEPS_KEPT:
            record.steps.append((self._clock_us(), step, txn, group, detail))

    def begin(
        self, txn: bytes, attempt: int, shards: list[str], statements: Iterable[Statement], before: Record | None
    ) -> Record:
        """An attempt has its id; `before` is the request's last one."""
        if len(self._newest) >= NEWEST_KEPT:
            del self._records[self._newest.popleft().txn]
        record = self._records[txn] = Record(txn, attempt, shards, self._clock_us())
        self._newest.append(record)
        record.add_statements(statements)
        record.steps.append((record.begun_us, steps.BEGUN, txn, "", (attempt, ids.home_of(txn))))
        if before is not None:
            before.retried_as = txn
        return record

    def end(self, record: Record, state: str, commit_ts: int = 0, code: str = "", cause: str = "") -> None:
        """`state` as in `Transaction`; the client is answered, or another attempt begins."""
        now = record.ended_us = self._clock_us()
        record.state, record.commit_ts, record.code, record.cause = state, commit_ts, code, cause
        record.steps.append((now, steps.ANSWERED, record.txn, "", state))
        is_slow = self._slow.offer(now, now - record.begun_us, record)
        if state == ABORTED:
            self._aborted.append(record)
        if is_slow or state == ABORTED:
            self._remarkable.append(record)

    def take_remarkable(self) -> Record | None:
        """The oldest attempt whose steps elsewhere should be asked for now, each once; None: there is none."""
        if not self._remarkable or self._clock_us() - self._remarkable[0].ended_us < REMARKABLE_AFTER_US:
            return None
        return self._remarkable.popleft()

    # -- what is asked

    @property
    def since_us(self) -> int:
        """From then on this node remembers every event and every attempt."""
        events = self._events[0][0] if len(self._events) == RING_EVENTS else self._started_us
        records = self._newest[0].begun_us if len(self._newest) == NEWEST_KEPT else self._started_us
        return max(events, records)

    def transactions(self, which: str, most: int, after: Rank) -> list[Transaction]:
        """Of this gateway's attempts (newest, slow or aborted): the first ones behind the rank `after`."""
        found: Iterable[Record] = self._newest
        if which == SLOW:
            found = self._slow.records()
        elif which == ABORTED:
            found = self._aborted
        ranked = ((record.rank(which), record) for record in found)
        first = heapq.nlargest(most, (one for one in ranked if one[0] < after), key=itemgetter(0))
        return [record.told() for _, record in first]  # telling costs: only those that are asked for

    def shards_of(self, txn: bytes) -> list[str]:
        """Of an attempt of this gateway; [] for what is not remembered."""
        record = self._records.get(txn)
        return list(record.shards) if record is not None else []

    def decisions(self, txns: Iterable[bytes]) -> dict[bytes, tuple[str, int]]:
        """The ballot and slot of each decision that was applied here and is still in the ring."""
        wanted, found = set(txns), dict[bytes, tuple[str, int]]()
        for _, step, txn, _, detail in self._events:
            if step == steps.DECISION and txn in wanted:
                found[txn] = (ballot_text(detail[0]), detail[1])
        return found

    def find(self, txn: bytes) -> tuple[Transaction | None, list[Step]]:
        """The attempt, if it was this gateway's, and every step that is known here."""
        record = self._records.get(txn)
        if record is None:
            kept = [*self._aborted, *self._slow.records()]
            record = next((one for one in kept if one.txn == txn), None)
        events = [event for event in self._events if event[2] == txn]
        own = [self._told(event, "") for event in (record.steps if record else [])]
        elsewhere = record.elsewhere if record else []
        return record.told() if record else None, own + [self._told(event, event[3]) for event in events] + elsewhere

    def _told(self, event: Event, role: str) -> Step:
        at_us, step, _, group, detail = event
        values = detail if isinstance(detail, tuple) else (detail,)
        named = dict(zip(steps.DETAILS[step], values, strict=False))
        if not role and group:
            named["group"] = group
        if "epoch" in named:
            epoch = named.pop("epoch")
            named = {"ballot": ballot_text(epoch)} | named if role[0] == "c" else {"term": epoch} | named
        return Step(at_us, self.node, role, step, {name: _plain(name, value) for name, value in named.items()})


def ballot_text(ballot: int) -> str:
    """`3.n2`: the third ballot, of n2."""
    return f"{ballot >> 8}.{ids.node_name(node_of(ballot))}"


def _plain(name: str, value: Any) -> Any:
    """Ids and causes in words."""
    if isinstance(value, bytes):
        return ids.to_text(value) if value else ""
    return CAUSES.get(value, value) if name == "cause" else value


class Slowest:
    """The slowest of this hour of work and of the one before."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Record]] = []
        self._before: list[tuple[int, int, Record]] = []
        self._turns_us = 0
        self._count = 0

    def offer(self, now_us: int, duration_us: int, record: Record) -> bool:
        """Is it one of the slowest?"""
        if now_us >= self._turns_us:
            self._before, self._heap, self._turns_us = self._heap, [], now_us + SLOW_KEPT_US
        if len(self._heap) == SLOW_KEPT and duration_us <= self._heap[0][0]:
            return False
        self._count += 1  # so that records are never compared
        item = (duration_us, self._count, record)
        if len(self._heap) < SLOW_KEPT:
            heapq.heappush(self._heap, item)
        else:
            heapq.heapreplace(self._heap, item)
        return True

    def records(self) -> list[Record]:
        return [record for _, _, record in (*self._before, *self._heap)]
