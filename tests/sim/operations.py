"""What clients do, and what each thing means in a serial world.

An operation's `replay(bank)` gives the results that its statements have when it runs alone on that bank; the history
check compares them with what the client was told.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from nodes.errors import StoreError
from nodes.requests import Reply, Request, Statement
from nodes.sql import keys

ACCOUNTS = 8
START = 100
EXTRAS = ("extra1", "extra2")  # tables that are made, changed and dropped
EXTRA_KEYS = 6
MARKERS = 6  # ids in the ledger below this are fought for
SCHEMA = (
    "CREATE TABLE accounts (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL CHECK (balance >= 0))",
    "CREATE TABLE ledger (id BIGINT PRIMARY KEY, source BIGINT, target BIGINT, amount BIGINT)",
)

READS = {"sum", "count", "look", "see", "group"}  # words that only read; lists.py adds its own

Steps = list[tuple[str, list[Any]]]
Results = list[tuple[list[list[Any]], int]]  # rows and row count of each statement


class Bank:
    """The serial world: tables of rows by id; `added` are the defaults of the columns that a table got later."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[int, list[Any]]] = {}
        self.added: dict[str, list[int]] = {}

    @property
    def accounts(self) -> dict[int, list[Any]]:
        return self.tables.setdefault("accounts", {})

    @property
    def ledger(self) -> dict[int, list[Any]]:
        return self.tables.setdefault("ledger", {})


@dataclass(eq=False)
class Operation:
    """`steps` are (word, arguments); `told` is what the client heard (None: nothing)."""

    number: int
    steps: Steps
    node: int
    named: bool = False
    locked: bool = False  # reads under locks, without a timestamp of its own, if it only reads
    timeout_ms: int = 4_000
    txns: list[bytes] = field(default_factory=list)
    after: int = 0  # the largest timestamp that anybody had been told when it began
    newest: int = 0  # the largest commit_ts in any log when it ended
    told: Reply | StoreError | None = None
    key: str = ""  # under which it happens at most once, together with all that have the same
    begun_at: int = 0
    told_at: int = 0
    as_of: str = ""  # the past that it reads
    staleness_ms: int = 0  # what it reads may be so old
    session_token: int = 0

    def __post_init__(self) -> None:
        statements = [statement(word, arguments) for word, arguments in self.steps]
        read_only = False if self.locked else None
        # One object: the watch knows it by identity.
        self.request = Request(
            statements, self.timeout_ms, read_only, self.key, self.as_of, self.staleness_ms, self.session_token
        )

    @property
    def title(self) -> str:
        """What it asks, in words."""
        steps = "; ".join(" ".join([word, *map(str, arguments)]) for word, arguments in self.steps)
        under = f" under key {self.key}" if self.key else f" as of {self.as_of}" if self.as_of else ""
        under += f", may be {self.staleness_ms} ms old" if self.staleness_ms else ""
        return f"request {self.number} ({self.timeout_ms} ms{under}): {steps}"

    @property
    def reads_a_snapshot(self) -> bool:
        return not self.locked and not self.key and all(word in READS for word, _ in self.steps)

    @property
    def reads_the_past(self) -> bool:
        return bool(self.as_of or self.staleness_ms)

    def replay(self, bank: Bank) -> Results:
        return [REPLAYS[word](bank, *arguments) for word, arguments in self.steps]


def statement(word: str, arguments: list[Any]) -> Statement:
    sql, params, expect = STATEMENTS[word](*arguments)
    return Statement(sql, params, expect)


def _add(account: int, amount: int) -> tuple[str, list[Any], int]:
    return "UPDATE accounts SET balance = balance + $1 WHERE id = $2 RETURNING balance", [amount, account], 1


def _mark(marker: int, source: int, target: int, amount: int) -> tuple[str, list[Any], int]:
    return (
        "INSERT INTO ledger (id, source, target, amount) VALUES ($1, $2, $3, $4)",
        [marker, source, target, amount],
        1,
    )


CLAIM = "SELECT id, balance FROM accounts ORDER BY balance, id LIMIT $1 FOR UPDATE SKIP LOCKED"

STATEMENTS: dict[str, Any] = {
    "add": _add,
    "mark": _mark,
    "set": lambda account, balance: ("UPDATE accounts SET balance = $1 WHERE id = $2", [balance, account], 1),
    "look": lambda account: ("SELECT balance FROM accounts WHERE id = $1", [account], -1),
    "hold": lambda account: ("SELECT balance FROM accounts WHERE id = $1 FOR UPDATE", [account], -1),
    "grab": lambda account: ("SELECT balance FROM accounts WHERE id = $1 FOR UPDATE NOWAIT", [account], -1),
    "share": lambda limit: ("SELECT id, balance FROM accounts WHERE balance < $1 ORDER BY id FOR SHARE", [limit], -1),
    "pick": lambda limit: ("SELECT id, balance FROM accounts WHERE balance < $1 ORDER BY id FOR UPDATE", [limit], -1),
    "claim": lambda most: (CLAIM, [most], -1),
    "claimed": lambda *accounts: (CLAIM, [len(accounts)], -1),
    "lift": lambda limit: ("UPDATE accounts SET balance = balance + 1 WHERE balance < $1", [limit], -1),
    "sum": lambda: ("SELECT SUM(balance), COUNT(*) FROM accounts", [], -1),
    "count": lambda: ("SELECT COUNT(*) FROM ledger", [], -1),
    "unmark": lambda marker: ("DELETE FROM ledger WHERE id = $1", [marker], -1),
    "open": lambda *accounts: (
        "INSERT INTO accounts (id, balance) VALUES " + ", ".join(f"({a}, {START})" for a in accounts), [], -1
    ),
    "create": lambda name: (f"CREATE TABLE {name} (id BIGINT PRIMARY KEY, amount BIGINT)", [], -1),
    "ensure": lambda name: (f"CREATE TABLE IF NOT EXISTS {name} (id BIGINT PRIMARY KEY, amount BIGINT)", [], -1),
    "put": lambda name, key, amount: (f"INSERT INTO {name} (id, amount) VALUES ($1, $2)", [key, amount], -1),
    "raise": lambda name, key: (f"UPDATE {name} SET amount = amount + 1 WHERE id = $1 RETURNING *", [key], -1),
    "widen": lambda name, column, default: (
        f"ALTER TABLE {name} ADD COLUMN {column} BIGINT NOT NULL DEFAULT {default}", [], -1
    ),
    "drop": lambda name: (f"DROP TABLE {name}", [], -1),
    "see": lambda name: (f"SELECT * FROM {name} ORDER BY id", [], -1),
    "group": lambda name: (f"SELECT amount, COUNT(*), SUM(id) FROM {name} GROUP BY amount ORDER BY 1", [], -1),
    "schema": lambda sql: (sql, [], -1),
}  # fmt: skip


def _replay_add(bank: Bank, account: int, amount: int) -> tuple[list[list[Any]], int]:
    row = bank.accounts[account]
    assert row[1] + amount >= 0, "a committed transaction broke a CHECK constraint in the serial world"
    bank.accounts[account] = [account, row[1] + amount]
    return [[row[1] + amount]], 1


def _replay_set(bank: Bank, account: int, balance: int) -> tuple[list[list[Any]], int]:
    bank.accounts[account] = [account, balance]
    return [], 1


def _replay_mark(bank: Bank, marker: int, source: int, target: int, amount: int) -> tuple[list[list[Any]], int]:
    assert marker not in bank.ledger, "a committed INSERT finds its key taken in the serial world"
    bank.ledger[marker] = [marker, source, target, amount]
    return [], 1


def _replay_unmark(bank: Bank, marker: int) -> tuple[list[list[Any]], int]:
    return [], int(bank.ledger.pop(marker, None) is not None)


def _replay_lift(bank: Bank, limit: int) -> tuple[list[list[Any]], int]:
    poor = [row for row in bank.accounts.values() if row[1] < limit]
    for account, balance in poor:
        bank.accounts[account] = [account, balance + 1]
    return [], len(poor)


def _replay_pick(bank: Bank, limit: int) -> tuple[list[list[Any]], int]:
    poor = sorted(list(row) for row in bank.accounts.values() if row[1] < limit)
    return poor, len(poor)


def _replay_claimed(bank: Bank, *accounts: int) -> tuple[list[list[Any]], int]:
    """What a claim gave: which ones it left out is for nobody to say, but these are as they are."""
    rows = [list(bank.accounts[account]) for account in accounts]
    return sorted(rows, key=lambda row: row[::-1]), len(rows)


def _replay_open(bank: Bank, *accounts: int) -> tuple[list[list[Any]], int]:
    for account in accounts:
        bank.accounts[account] = [account, START]
    return [], len(accounts)


def _replay_sum(bank: Bank) -> tuple[list[list[Any]], int]:
    balances = [row[1] for row in bank.accounts.values()]
    return [[str(sum(balances)) if balances else None, len(balances)]], 1  # a SUM of BIGINT is NUMERIC: text


def _replay_create(bank: Bank, name: str) -> tuple[list[list[Any]], int]:
    assert name not in bank.tables, "a table was created twice"
    bank.tables[name], bank.added[name] = {}, []
    return [], 0


def _replay_ensure(bank: Bank, name: str) -> tuple[list[list[Any]], int]:
    return ([], 0) if name in bank.tables else _replay_create(bank, name)


def _replay_drop(bank: Bank, name: str) -> tuple[list[list[Any]], int]:
    del bank.tables[name], bank.added[name]
    return [], 0


def _replay_widen(bank: Bank, name: str, column: str, default: int) -> tuple[list[list[Any]], int]:
    bank.added[name].append(default)
    for row in bank.tables[name].values():
        row.append(default)
    return [], 0


def _replay_raise(bank: Bank, name: str, key: int) -> tuple[list[list[Any]], int]:
    row = bank.tables[name].get(key)
    if row is None:
        return [], 0
    row[1] += 1
    return [list(row)], 1


def _replay_see(bank: Bank, name: str) -> tuple[list[list[Any]], int]:
    rows = [list(row) for _, row in sorted(bank.tables[name].items())]
    return rows, len(rows)


def _replay_group(bank: Bank, name: str) -> tuple[list[list[Any]], int]:
    groups: dict[int, list[int]] = {}
    for key, row in bank.tables[name].items():
        groups.setdefault(row[1], []).append(key)
    return [[amount, len(found), str(sum(found))] for amount, found in sorted(groups.items())], len(groups)


def _replay_put(bank: Bank, name: str, key: int, amount: int) -> tuple[list[list[Any]], int]:
    assert name in bank.tables, "a row was put into a table that is not there yet in the serial world"
    assert key not in bank.tables[name], "a committed INSERT finds its key taken in the serial world"
    bank.tables[name][key] = [key, amount, *bank.added[name]]
    return [], 1


REPLAYS: dict[str, Any] = {
    "add": _replay_add,
    "set": _replay_set,
    "mark": _replay_mark,
    "unmark": _replay_unmark,
    "open": _replay_open,
    "lift": _replay_lift,
    **dict.fromkeys(("look", "hold", "grab"), lambda bank, account: ([[bank.accounts[account][1]]], 1)),
    **dict.fromkeys(("share", "pick"), _replay_pick),
    "claimed": _replay_claimed,
    "sum": _replay_sum,
    "count": lambda bank: ([[len(bank.ledger)]], 1),
    "create": _replay_create,
    "ensure": _replay_ensure,
    "put": _replay_put,
    "raise": _replay_raise,
    "widen": _replay_widen,
    "drop": _replay_drop,
    "see": _replay_see,
    "group": _replay_group,
    "schema": lambda bank, sql: ([], 0),
}


def shard_of(key: int, shards: int) -> int:
    return keys.shard_of_slot(keys.shard_slot(["BIGINT"], [key]), shards)


class Mix:
    """Draws operations; a hot pair of accounts makes conflicts and opposite orders likely."""

    def __init__(self, rng: random.Random, shards: int) -> None:
        self.rng = rng
        self.shards = shards
        self.marker = MARKERS
        self.columns = 0
        self.hot = rng.sample(range(ACCOUNTS), 3)
        self.by_shard: dict[int, list[int]] = {}
        for account in range(ACCOUNTS):
            self.by_shard.setdefault(shard_of(account, shards), []).append(account)
        self.kinds = {
            self.transfer: 10, self.local: 5, self.deposit: 4, self.read: 5, self.skew: 6, self.audit: 1,
            self.fight: 3, self.overdraw: 1, self.look: 3, self.extra: rng.choice((3, 3, 60)), self.unmark: 1.5,
            self.lift: 1.5,
        }  # fmt: skip

    def draw(self) -> Steps:
        kind = self.rng.choices(list(self.kinds), list(self.kinds.values()))[0]
        return kind()

    def _accounts(self) -> list[int]:
        return self.rng.sample(self.hot if self.rng.random() < 0.6 else range(ACCOUNTS), 2)

    def next_marker(self, shard: int = 0) -> int:
        self.marker += 1
        while shard and shard_of(self.marker, self.shards) != shard:
            self.marker += 1
        return self.marker

    def transfer(self) -> Steps:
        source, target = self._accounts()
        amount = self.rng.randint(1, 9)
        return [
            ("add", [source, -amount]),
            ("add", [target, amount]),
            ("mark", [self.next_marker(), source, target, amount]),
        ]

    def local(self) -> Steps:
        """Both accounts and the marker on one shard."""
        shard = self.rng.choice(sorted(self.by_shard))
        here = self.by_shard[shard]
        source, target = self.rng.choice(here), self.rng.choice(here)
        amount = self.rng.randint(1, 9)
        marker = self.next_marker(shard)
        return [("add", [source, -amount]), ("add", [target, amount]), ("mark", [marker, source, target, amount])]

    def deposit(self) -> Steps:
        return [("add", [self.rng.choice(self.hot), self.rng.randint(1, 9)])]

    def read(self) -> Steps:
        return self.rng.choice(([("sum", [])], [("count", [])], [("sum", []), ("count", [])]))

    def look(self) -> Steps:
        one, other = self._accounts()
        return [("look", [one])] if self.rng.random() < 0.5 else [("look", [one]), ("look", [other])]

    def skew(self) -> Steps:
        one, other = self._accounts()
        return [(self.rng.choice(("look", "hold")), [one]), ("add", [other, self.rng.randint(1, 5)])]

    def audit(self) -> Steps:
        return [("sum", []), ("mark", [self.next_marker(), 0, 0, 0])]

    def fight(self) -> Steps:
        source, target = self._accounts()
        return [("mark", [self.rng.randrange(MARKERS), source, target, 0]), ("add", [source, 1])]

    def unmark(self) -> Steps:
        return [("unmark", [self.rng.randrange(MARKERS)]), ("add", [self.rng.choice(self.hot), 1])]

    def lift(self) -> Steps:
        """Finds its rows by what they hold: their locks come from the images."""
        return [("lift", [START + self.rng.randint(-10, 5)])]

    def overdraw(self) -> Steps:
        one, other = self._accounts()
        return [("add", [one, 5]), ("add", [other, -1_000_000])]

    def extra(self) -> Steps:
        """Tables that come, grow and go beside those who use them."""
        rng = self.rng
        name = rng.choice(EXTRAS)
        kinds = {"put": 3, "raise": 6, "see": 4, "group": 1.5, "widen": 3, "drop": 1.2, "create": 1.5, "ensure": 1.5}
        kind = rng.choices(list(kinds), list(kinds.values()))[0]
        key = rng.randint(1, EXTRA_KEYS)
        if kind == "widen":
            self.columns += 1
            return [("widen", [name, f"c{self.columns}", self.columns])]
        if kind == "put":
            return [("put", [name, key, rng.randint(1, 3)]), *rng.choice(([], [("add", [rng.choice(self.hot), 1])]))]
        if kind == "raise":
            return [("raise", [name, key]), *rng.choice(([], [("raise", [name, key % EXTRA_KEYS + 1])]))]
        return [(kind, [name])]
