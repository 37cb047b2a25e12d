"""Small tables and the statements that meet on them, drawn: types, composite keys, CHECK, DEFAULT, NOT NULL.

The domains are small, so that transactions find, miss and violate each other's rows; a table's rows lie on one shard or
on several. Every statement is one that the product answers; many end in an error of their own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

from nodes.requests import Statement
from tests.sim.operations import shard_of

KEYS = 4  # values that a key column takes


@dataclass
class Table:
    """`keys` are columns of the primary key with the values they take, in its order; `shard_by` some of them; `numbers`
    are the columns that are counted up and down, `words` the others with their values."""

    name: str
    sql: str
    keys: dict[str, list[str]]
    shard_by: list[str]
    numbers: list[str]
    words: dict[str, list[str]]

    @property
    def columns(self) -> list[str]:
        return [*self.keys, *self.numbers, *self.words]


class Condition(NamedTuple):
    """`named`: the key columns that it names, with their values."""

    text: str
    named: dict[str, str]


# Of a key column: its type and how its values are written.
_KEY_TYPES = {
    "BIGINT": "{}", "INT": "{}", "TEXT": "'key {}'", "UUID": "'00000000-0000-4000-8000-00000000000{}'",
    "DOUBLE PRECISION": "{}.5", "BYTEA": "'\\x0{}'", "TIMESTAMPTZ": "'2026-01-0{}T00:00:00Z'",
}  # fmt: skip
_NUMBERS = (
    "BIGINT NOT NULL DEFAULT 2", "INT", "BIGINT NOT NULL DEFAULT 1 CHECK (n{} >= 0)", "INT DEFAULT 1 CHECK (n{} < 4)",
)  # fmt: skip
_WORDS = {
    "TEXT NOT NULL DEFAULT 'none'": ["'a'", "'b'", "NULL"],
    "BOOLEAN": ["true", "false", "NULL"],
    "TEXT CHECK (w{} <> 'c')": ["'a'", "'b'", "'c'"],
    "BOOLEAN NOT NULL DEFAULT false": ["true", "false"],
}


def draw_table(rng: random.Random, name: str, shards: int) -> Table:
    keys: dict[str, list[str]] = {}
    columns = []
    first = rng.choice(list(_KEY_TYPES))
    numbers = list(range(1, 1 + KEYS))
    if rng.random() < 0.35:  # all rows on one shard
        first, numbers = "BIGINT", [n for n in range(1, 60) if shard_of(n, shards) == 1][:KEYS]
    keys["k0"] = [_KEY_TYPES[first].format(number) for number in numbers]
    columns.append(f"k0 {first}")
    width = rng.choice((1, 1, 2, 2, 3))
    for column in [f"k{i}" for i in range(1, width)]:
        kind = rng.choice(("BIGINT", "INT", "TEXT"))
        keys[column] = [_KEY_TYPES[kind].format(number) for number in range(1, KEYS + 4 if width == 2 else KEYS)]
        columns.append(f"{column} {kind}")
    if width > 1:
        keys["k0"] = keys["k0"][: rng.choice((1, 2))]
    found = [rng.choice(_NUMBERS).format(i) for i in range(rng.randint(1, 2))]
    columns += [f"n{i} {kind}" for i, kind in enumerate(found)]
    words = {f"w{i}": rng.choice(list(_WORDS)) for i in range(rng.randint(0, 1))}
    columns += [f"{column} {kind.format(0)}" for column, kind in words.items()]
    shard_by = ["k0", "k1"] if width > 1 and rng.random() < 0.2 else ["k0"]
    if width > 1 and rng.random() < 0.25:  # then a prefix of the key names no shard
        keys = {column: keys[column] for column in rng.sample(list(keys), width)}
    sql = (
        f"CREATE TABLE {name} ({', '.join(columns)}, PRIMARY KEY ({', '.join(keys)})) SHARD BY ({', '.join(shard_by)})"
    )
    values = {column: _WORDS[kind] for column, kind in words.items()}
    return Table(name, sql, keys, shard_by, [f"n{i}" for i in range(len(found))], values)


class Author:
    """Writes statements on some tables."""

    def __init__(self, rng: random.Random, tables: list[Table]) -> None:
        self.rng = rng
        self.tables = tables

    def rows(self) -> list[Statement]:
        """What the tables hold at the beginning: half of all keys; numbers that any CHECK lets in."""
        found = []
        for table in self.tables:
            every: list[list[str]] = [[]]
            for values in table.keys.values():
                every = [[*row, value] for row in every for value in values]
            chosen = sorted(self.rng.sample(every, max(1, min(KEYS, len(every) // 2))))
            rows = [[*key, *(self.rng.choice("123") for _ in table.numbers)] for key in chosen]
            listed = ", ".join(f"({', '.join(row)})" for row in rows)
            columns = ", ".join([*table.keys, *table.numbers])
            found.append(Statement(f"INSERT INTO {table.name} ({columns}) VALUES {listed}"))
        return found

    def transaction(self) -> list[Statement]:
        """One statement or two; of two often a read before a write, perhaps of the other table."""
        rng = self.rng
        if rng.random() < 0.4:
            return [self._any(rng.choice(self.tables))]
        if rng.random() < 0.6:
            return [self._select(rng.choice(self.tables)), self._write(rng.choice(self.tables))]
        return [self._any(rng.choice(self.tables)), self._any(rng.choice(self.tables))]

    def transactions(self, count: int) -> list[list[Statement]]:
        """So many; often two read by a condition and write by the other's, or both by the same."""
        table = self.rng.choice(self.tables)
        if len(table.keys) > 1 and self.rng.random() < 0.3:
            return [*self._phantoms(table), *(self.transaction() for _ in range(count - 2))]
        one = self._where(table)
        other = self.rng.choice((one, self._where(table)))
        first, second = ([self._select(table, a), self._write(table, b)] for a, b in ((one, other), (other, one)))
        rest = [self.transaction() for _ in range(count)]
        return [first, second, *rest[2:]] if self.rng.random() < 0.6 else rest

    def _phantoms(self, table: Table) -> list[list[Statement]]:
        """Two count what begins with the first columns of a key, and each adds a row: where the other one has counted,
        or where itself has, so that those of two prefixes have nothing to do with each other."""
        rng, names = self.rng, list(table.keys)
        width = rng.randint(1, len(names) - 1)
        one = [self._value(table, column) for column in names[:width]]
        last = [value for value in table.keys[names[width - 1]] if value != one[-1]]
        other = [*one[:-1], rng.choice(last)] if last and rng.random() < 0.7 else one
        found = []
        for counted, added in rng.choice((((one, other), (other, one)), ((one, one), (other, other)))):
            text = " AND ".join(f"{column} = {value}" for column, value in zip(names[:width], counted, strict=True))
            key = [*added, *(self._value(table, column) for column in names[width:])]
            look = Statement(f"SELECT count(*) FROM {table.name} WHERE {text}")
            add = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join(key)})"
            found.append([look, Statement(add)])
        return found

    def _any(self, table: Table) -> Statement:
        return self._select(table) if self.rng.random() < 0.25 else self._write(table)

    def _write(self, table: Table, where: Condition | None = None) -> Statement:
        """By a condition that is given, mostly a new row, for which nothing has been locked yet."""
        kinds = (self._insert, self._insert, self._update, self._update, self._update, self._delete)
        if where is not None and self.rng.random() < 0.7:
            kinds = (self._insert,)
        statement = self.rng.choice(kinds)(table, self._where(table) if where is None else where)
        if self.rng.random() < 0.1:
            statement.expect_rows = 1
        return statement

    def _value(self, table: Table, column: str) -> str:
        if column in table.keys:
            return self.rng.choice(table.keys[column])
        if column in table.words:
            return self.rng.choice(table.words[column])
        return str(self.rng.randint(-1, 4))

    def _insert(self, table: Table, where: Condition) -> Statement:
        """With the key that the condition names, if it names one."""
        rng = self.rng
        columns = [*table.keys, *(c for c in table.columns if c not in table.keys and rng.random() < 0.7)]
        rows = [
            [where.named.get(column) or self._value(table, column) for column in columns]
            for _ in range(rng.choice((1, 1, 2)))
        ]
        listed = ", ".join(f"({', '.join(row)})" for row in rows)
        return Statement(f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES {listed}{self._returning()}")

    def _update(self, table: Table, where: Condition) -> Statement:
        rng = self.rng
        number = rng.choice(table.numbers)
        changes = [f"{number} = " + rng.choice((f"{number} + 1", f"{number} - 1", "2", f"{table.numbers[0]} * 2"))]
        if table.words and rng.random() < 0.4:
            column = rng.choice(list(table.words))
            changes = [f"{column} = {self._value(table, column)}"]
        free = [column for column in table.keys if column not in table.shard_by]
        if free and rng.random() < 0.5:
            column = rng.choice(free)
            changes = [f"{column} = {self._value(table, column)}"]  # the row moves within its shard
        return Statement(f"UPDATE {table.name} SET {', '.join(changes)}{where.text}{self._returning()}")

    def _delete(self, table: Table, where: Condition) -> Statement:
        return Statement(f"DELETE FROM {table.name}{where.text}{self._returning()}")

    def _select(self, table: Table, where: Condition | None = None) -> Statement:
        where = self._where(table) if where is None else where
        number = self.rng.choice(table.numbers)
        what = self.rng.choice(("*", "*", "count(*)", f"count(*), sum({number})", f"max({number})"))
        tail = ""
        if self.rng.random() < 0.15:
            what, tail = f"{number}, count(*)", f" GROUP BY {number}"
        elif what == "*" and self.rng.random() < 0.2:
            tail = f" ORDER BY {', '.join(table.keys)} LIMIT 2"
        if what == "*" and self.rng.random() < 0.25:
            tail += self.rng.choice((" FOR UPDATE", " FOR SHARE"))
        return Statement(f"SELECT {what} FROM {table.name}{where.text}{tail}")

    def _where(self, table: Table) -> Condition:
        """By the full key, by its first columns, by those of the shard key, by what rows hold, or none."""
        rng = self.rng
        parts = ("prefix", "prefix", "prefix", "shard") if len(table.keys) > 1 else ("key",)
        kind = rng.choice(("key", *parts, "number", "number", "any", "none"))
        if kind == "none":
            return Condition("", {})
        if kind in ("key", "prefix", "shard"):
            return self._by_key(table, kind)
        column = rng.choice(table.numbers if kind == "number" else [*table.numbers, *table.words])
        if column in table.words:
            return Condition(f" WHERE {column} IS NOT NULL", {})
        return Condition(f" WHERE {column} {rng.choice(('=', '<', '>='))} {rng.randint(0, 3)}", {})

    def _by_key(self, table: Table, kind: str) -> Condition:
        """Columns that equal a value, or one of two; behind a prefix perhaps a range."""
        rng, names = self.rng, list(table.keys)
        if kind != "key":
            names = table.shard_by if kind == "shard" else names[: rng.randint(1, len(names) - 1)]
        named = {column: self._value(table, column) for column in names}
        texts = [
            f"{column} IN ({value}, {self._value(table, column)})" if rng.random() < 0.2 else f"{column} = {value}"
            for column, value in named.items()
        ]
        if kind == "prefix" and rng.random() < 0.25:
            column = list(table.keys)[len(names)]
            texts.append(f"{column} {rng.choice(('<=', '>'))} {self._value(table, column)}")
        if rng.random() < 0.25:
            texts = [self._fails_on_some(table), *texts, *self._named_again(table, named)]
        return Condition(" WHERE " + " AND ".join(texts), named)

    def _fails_on_some(self, table: Table) -> str:
        """Rows that hold a 0; an error is an answer too, and may come of no row that is not locked."""
        return f"2 / {self.rng.choice(table.numbers)} >= 0"

    def _named_again(self, table: Table, named: dict[str, str]) -> list[str]:
        """A column that equals a value may have to equal another one, too, or what nothing equals."""
        column = self.rng.choice(list(named))
        again = f"{column} IN ({self._value(table, column)}, {self._value(table, column)})"
        same, nothing = f"{column} = {named[column]}", f"{column} IN (NULL, NULL)"
        return self.rng.choice(([], [], [same], [again], [again], [nothing]))

    def _returning(self) -> str:
        return " RETURNING *" if self.rng.random() < 0.4 else ""
