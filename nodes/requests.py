"""What a client asks and what it is answered: the value types that Django, the client and the nodes share.

Values are plain: int, float, str, bool, bytes, an aware datetime, None (docs/sql.md says which type gives which). Rows
are lists of values, in column order.
"""

from __future__ import annotations

from typing import Any

import msgspec

Value = Any
Params = list[Value] | dict[str, Value]

MOST_STALENESS_MS = 3_600_000

ACTIVE, UNDECIDED, COMMITTED, ABORTED, EXPIRED = "active", "undecided", "committed", "aborted", "expired"


class Statement(msgspec.Struct, array_like=True):
    """One SQL statement. `params` is a list (for `$1`, `?`) or a dict (for `:name`). `expect_rows` -1: not stated."""

    sql: str
    params: Params = []
    expect_rows: int = -1


class Request(msgspec.Struct, array_like=True):
    """A one-shot transaction. `read_only` None: read-only when all statements are SELECTs. `key`: a UUID as text, or
    "": under one key a request happens at most once. `as_of` "": reads see now; else the past that it names: a
    timestamp, "-5s", or a time in ISO 8601 (nodes/runtime/as_of.py). `max_staleness_ms` 0: reads see now;
    else, of SELECTs alone, what they see may be so old, and replicas near by answer. `session_token` 0: none; else that
    of a reply: what that one has seen and done is seen."""

    statements: list[Statement]
    timeout_ms: int = 10_000
    read_only: bool | None = None
    key: str = ""
    as_of: str = ""
    max_staleness_ms: int = 0
    session_token: int = 0


class Begun(msgspec.Struct, array_like=True, frozen=True):
    """An interactive transaction is open. It is rolled back when nothing is asked in it for `idle_ms` milliseconds, and
    `lives_ms` after its beginning."""

    id: str
    idle_ms: int
    lives_ms: int


class Column(msgspec.Struct, array_like=True, frozen=True):
    """A column of a result: its name and SQL type, by the names of docs/sql.md."""

    name: str
    type: str


class Result(msgspec.Struct, array_like=True):
    """What one statement gave. `row_count`: rows returned by a SELECT, rows changed by anything else."""

    columns: list[Column] = []
    rows: list[list[Value]] = []
    row_count: int = 0


class Reply(msgspec.Struct, array_like=True):
    """A committed (or read-only) request: `id` in text form, timestamps as integers (0: none was drawn).

    `results_lost`: it is known to have committed, but the answer was lost on the way: `results` and `shards` are empty.
    `repeated`: an earlier request with the same key was committed; this is its reply, perhaps without its results.
    """

    id: str
    state: str
    commit_ts: int
    attempts: int
    shards: list[str]
    results: list[Result]
    ts: int = 0
    results_lost: bool = False
    repeated: bool = False

    @property
    def session_token(self) -> int:
        """A request with it sees all that this one has seen and done; 0: nothing."""
        return max(self.commit_ts, self.ts)


class Fate(msgspec.Struct, array_like=True):
    """What became of a transaction id or a client key: `state` ACTIVE..EXPIRED, `outcome` as in nodes.errors.
    `transaction`: the id that was committed under a key. `known_since`: an answer without a record holds for what was
    first sent after this oracle timestamp."""

    id: str
    state: str
    outcome: str
    commit_ts: int = 0
    reason: str = ""
    transaction: str = ""
    known_since: int = 0


class TableColumn(msgspec.Struct, array_like=True, frozen=True):
    """A column of a table. If `has_default`, a new row takes the value `default`; with `default_is_now` the time of its
    transaction."""

    name: str
    type: str
    nullable: bool
    has_default: bool = False
    default: Value = None
    default_is_now: bool = False


class Table(msgspec.Struct, array_like=True, frozen=True):
    """A table as the catalog has it: `version` rises with its definition, keys are names of columns in the key's
    order, `checks` are the names of its CHECK constraints."""

    name: str
    version: int
    columns: list[TableColumn]
    primary_key: list[str]
    shard_by: list[str]
    checks: list[str] = []


class Shard(msgspec.Struct, array_like=True, frozen=True):
    """A shard: its slots as ranges [first, last] (none for `s0`, which holds the catalog), the nodes that have a
    replica, and the one that leads it as far as the node that was asked knows (0: none)."""

    name: str
    slots: list[tuple[int, int]]
    members: list[int]
    leader: int = 0


class Leadership(msgspec.Struct, array_like=True, frozen=True):
    """The node `leader` serves the group in `epoch`, the term or ballot."""

    group: str
    leader: int
    epoch: int


class Nodes(msgspec.Struct, array_like=True, frozen=True):
    """What is wanted of the cluster's nodes: `leaving` ones with who takes their place (0: whoever has room), and those
    that are `gone`."""

    leaving: dict[int, int]
    gone: list[int]


# -- what nodes remember of transactions for those who ask later (nodes/runtime/trace.py)

NEWEST, SLOW, IN_DOUBT = "newest", "slow", "in_doubt"  # and ABORTED
FILTERS = (NEWEST, SLOW, ABORTED, IN_DOUBT)
MOST_TRANSACTIONS = 200


class StatementText(msgspec.Struct, array_like=True):
    """A statement without the values of its parameters: of each only the type is told."""

    sql: str
    params: list[str] = []


class LocksOn(msgspec.Struct, array_like=True, frozen=True):
    """Locks in one `mode` (IS, IX, S, SIX, X): on that many keys of a table, or prefixes of keys; 0: on the table."""

    table: str
    mode: str
    keys: int


class Doubt(msgspec.Struct, array_like=True, frozen=True):
    """A shard that has prepared a transaction, so its vote was yes, and has not heard the outcome for `for_ms`: what
    its leader `node` says. `waiting`: ids that wait for its locks, at most twenty of `waiting_count`."""

    shard: str
    node: int
    for_ms: int
    locks: list[LocksOn]
    waiting: list[str]
    waiting_count: int = 0


class Decision(msgspec.Struct, array_like=True):
    """What a coordinator group has chosen, in `ballot` at `slot` of its log ("" and 0: no node remembers). `held_by`:
    the nodes that said that they have applied it, of the group's `members`."""

    home: str
    commit: bool
    commit_ts: int
    reason: str
    ballot: str
    slot: int
    held_by: list[int]
    members: list[int]
    participants: list[str] = []


class Transaction(msgspec.Struct, array_like=True):
    """What is remembered of one transaction id. Times are microseconds of its gateway's clock, 0: not yet.

    `state` ACTIVE, COMMITTED or ABORTED; UNDECIDED: nobody who was asked knows. `gateway` is a node number.
    `cause` says why it was aborted (`code` as in nodes.errors); `retried_as` is the id of the next attempt.
    `in_doubt`: shard -> milliseconds since it prepared, of the shards that have not heard the outcome.
    `left_out` counts statements that are not kept. From the filter in_doubt only id, gateway, times, `shards` (those
    that are known to take part), `in_doubt`, `doubts` and, if the home has one, `decision`.
    """

    id: str
    gateway: int
    state: str
    begun_us: int
    ended_us: int = 0
    attempt: int = 1
    shards: list[str] = []
    statements: list[StatementText] = []
    left_out: int = 0
    commit_ts: int = 0
    code: str = ""
    cause: str = ""
    retried_as: str = ""
    in_doubt: dict[str, int] = {}
    doubts: list[Doubt] = []
    decision: Decision | None = None

    @property
    def duration_us(self) -> int:
        """0 while it is under way."""
        return max(0, self.ended_us - self.begun_us) if self.ended_us else 0


class Transactions(msgspec.Struct, array_like=True):
    """One page. `next`: what `after` must be for the following page ("": there is none). `since_us`: node -> the time
    from which on it remembers everything; `silent`: the nodes that did not answer."""

    transactions: list[Transaction]
    next: str = ""
    since_us: dict[int, int] = {}
    silent: list[int] = []


class Step(msgspec.Struct, array_like=True):
    """One step of a transaction (nodes/core/txn/steps.py), on `node`, whose clock it is; `group` "": the gateway."""

    at_us: int
    node: int
    group: str
    step: str
    detail: dict[str, Any] = {}


class Trace(msgspec.Struct, array_like=True):
    """Everything that is still remembered of an id. `fate` None: its home did not answer. `since_us`, `silent` as in
    Transactions: an id without steps may be older than what is remembered, or known to a silent node alone."""

    id: str
    fate: Fate | None
    transaction: Transaction | None
    steps: list[Step]
    since_us: dict[int, int] = {}
    silent: list[int] = []
