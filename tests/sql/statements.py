"""Random statements over one table, from a seed: expressions of every type, some ill-typed, some without parentheses.

Parentheses are left out on purpose in places: whoever groups operators differently is found out.
"""

from __future__ import annotations

import random

TABLE = "CREATE TABLE t (id INT PRIMARY KEY, a INT, b BIGINT DEFAULT 7, s TEXT, u TEXT DEFAULT 'u', f BOOLEAN, g BOOL)"

_INTS = [0, 1, -1, 2, 3, 7, 100, 2147483647, -2147483648, None]
_BIGINTS = [0, 1, -1, 5, 46341, 4294967296, 9223372036854775807, -9223372036854775808, None]
_TEXTS = ["", "a", "b", "A", "ab", "abc", "a%c", "a_c", "a\\b", "é", "é€", "10", " 7 ", "true", "'", "z", None]
_BOOLEANS = [True, False, None]

_COLUMNS = {"INT": ["a", "id", "t.a"], "BIGINT": ["b"], "TEXT": ["s", "u"], "BOOLEAN": ["f", "g"]}
_PATTERNS = ["a%", "%b", "_", "%", "a_c", "a\\%c", "%a%c%", "", "ab", "A%", "é_"]


def rows(rng: random.Random, count: int) -> list[tuple[object, ...]]:
    """Rows of the table in order of its columns."""
    return [
        (
            number,
            rng.choice(_INTS),
            rng.choice(_BIGINTS),
            rng.choice(_TEXTS),
            rng.choice(_TEXTS),
            rng.choice(_BOOLEANS),
            rng.choice(_BOOLEANS),
        )
        for number in range(1, count + 1)
    ]


class Generator:
    """Expressions and statements; `wrong` is the chance that an operand is of any type."""

    def __init__(self, rng: random.Random, wrong: float = 0.03) -> None:
        self.rng = rng
        self.wrong = wrong

    def expression(self, type: str, depth: int) -> str:
        if self.rng.random() < self.wrong:
            type = self.rng.choice(list(_COLUMNS))
        if depth <= 0 or self.rng.random() < 0.15:
            return self.leaf(type)
        makers = {"INT": self._integer, "BIGINT": self._bigint, "TEXT": self._text, "BOOLEAN": self._boolean}
        text = makers[type](depth - 1)
        return f"({text})" if self.rng.random() < 0.6 else text

    def leaf(self, type: str) -> str:
        rng = self.rng
        if rng.random() < 0.6:
            return rng.choice(_COLUMNS[type])
        if rng.random() < 0.08:
            return "NULL"
        if type == "INT":
            return str(rng.choice([0, 1, 2, 3, 10, 2147483647, "-1", "'5'", "'x'", "-2147483648"]))
        if type == "BIGINT":
            return str(rng.choice([3000000000, 9223372036854775807, "5::bigint", "-4294967296"]))
        if type == "TEXT":
            value = rng.choice([text for text in _TEXTS if text is not None])
            return "'" + value.replace("'", "''") + "'"
        return rng.choice(["true", "false", "TRUE", "'t'", "'maybe'"] if rng.random() < 0.3 else ["true", "false"])

    def _any(self) -> str:
        return self.rng.choice(list(_COLUMNS))

    def _number(self, depth: int) -> str:
        return self.expression(self.rng.choice(["INT", "INT", "BIGINT"]), depth)

    def _branches(self, type: str, depth: int) -> str:
        def of() -> str:
            return self.expression(type, depth)

        condition = self.expression("BOOLEAN", depth)
        other = self._any()
        return self.rng.choice(
            [
                f"coalesce({of()}, {of()})",
                f"nullif({of()}, {of()})",
                f"CASE WHEN {condition} THEN {of()} ELSE {of()} END",
                f"CASE WHEN {condition} THEN {of()} WHEN {self.expression('BOOLEAN', depth)} THEN {of()} END",
                f"CASE {self.leaf(other)} WHEN {self.leaf(other)} THEN {of()} ELSE {of()} END",
            ]
        )

    def _integer(self, depth: int) -> str:
        of = self.expression
        kind = self.rng.randrange(9)
        if kind < 4:
            return f"{of('INT', depth)} {self.rng.choice('+-*/%')} {of('INT', depth)}"
        return [
            f"{self.rng.choice('+-')} {of('INT', depth)}",
            f"abs({of('INT', depth)})",
            f"{self.rng.choice(['length', 'char_length'])}({of('TEXT', depth)})",
            f"CAST({of(self._any(), depth)} AS INT)",
            self._branches("INT", depth),
        ][kind - 4]

    def _bigint(self, depth: int) -> str:
        of = self.expression
        kind = self.rng.randrange(8)
        if kind < 4:
            return f"{of('BIGINT', depth)} {self.rng.choice('+-*/%')} {self._number(depth)}"
        return [
            f"- {of('BIGINT', depth)}",
            f"abs({of('BIGINT', depth)})",
            f"({of(self._any(), depth)})::bigint",
            self._branches("BIGINT", depth),
        ][kind - 4]

    def _text(self, depth: int) -> str:
        of = self.expression
        return [
            lambda: f"{of('TEXT', depth)} || {of('TEXT', depth)}",
            lambda: f"{of('TEXT', depth)} || {of(self._any(), depth)}",
            lambda: f"{self.rng.choice(['lower', 'upper'])}({of('TEXT', depth)})",
            lambda: f"substr({of('TEXT', depth)}, {self.leaf('INT')})",
            lambda: f"substring({of('TEXT', depth)}, {self.leaf('INT')}, {self.leaf('INT')})",
            lambda: f"substring({of('TEXT', depth)} from {self.rng.randrange(-1, 4)} for {self.rng.randrange(0, 4)})",
            lambda: f"CAST({of(self._any(), depth)} AS TEXT)",
            lambda: self._branches("TEXT", depth),
        ][self.rng.randrange(8)]()

    def _pair(self, depth: int) -> tuple[str, str]:
        kind = self.rng.choice(["number", "number", "TEXT", "BOOLEAN"])
        if kind == "number":
            return self._number(depth), self._number(depth)
        return self.expression(kind, depth), self.expression(kind, depth)

    def _boolean(self, depth: int) -> str:
        return self.rng.choice([self._logic, self._compare, self._compare, self._test, self._range])(depth)

    def _logic(self, depth: int) -> str:
        left, right = self.expression("BOOLEAN", depth), self.expression("BOOLEAN", depth)
        return self.rng.choice([f"{left} AND {right}", f"{left} OR {right}", f"NOT {left}"])

    def _compare(self, depth: int) -> str:
        left, right = self._pair(depth)
        sign = self.rng.choice(["=", "<>", "!=", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"])
        return f"{left} {sign} {right}"

    def _test(self, depth: int) -> str:
        if self.rng.random() < 0.5:
            word = self.rng.choice(["IS NULL", "IS NOT NULL", "ISNULL", "NOTNULL"])
            return f"{self.expression(self._any(), depth)} {word}"
        word = self.rng.choice(["IS TRUE", "IS NOT TRUE", "IS FALSE", "IS NOT FALSE"])
        return f"{self.expression('BOOLEAN', depth)} {word}"

    def _range(self, depth: int) -> str:
        no = self.rng.choice(["", "NOT "])
        first, second = self._pair(depth)
        kind = self.rng.randrange(4)
        if kind == 0:
            return f"{first} {no}BETWEEN ({second}) AND ({second})"
        if kind == 1:
            return f"{first} {no}IN ({second}, {self.leaf('INT')}, {second})"
        if kind == 2:
            return f"{first} {no}IN ({second})"
        pattern = self.rng.choice(_PATTERNS)
        escape = self.rng.choice(["", "", " ESCAPE '!'", " ESCAPE 'a'"])
        return f"{self.expression('TEXT', depth)} {no}LIKE '{pattern}'{escape}"

    # -- statements

    def where(self) -> str:
        kind = self.rng.randrange(5)
        if kind == 0:
            return ""
        if kind == 1:
            return f" WHERE id = {self.rng.randrange(0, 12)}"
        if kind == 2:
            return f" WHERE id IN ({self.rng.randrange(9)}, {self.rng.randrange(9)}, 4) AND {self._boolean(1)}"
        return f" WHERE {self.expression('BOOLEAN', 2)}"

    def select(self) -> str:
        kind = self.rng.randrange(4)
        if kind == 0:
            return f"SELECT {self.expression(self._any(), 3)} FROM t WHERE id = {self.rng.randrange(1, 12)}"
        if kind == 1:
            return self._aggregates()
        listed = ", ".join(self.expression(self._any(), 2) for _ in range(self.rng.randrange(1, 3)))
        listed = self.rng.choice([listed, "*", "t.*, a"])
        distinct = "DISTINCT " if self.rng.random() < 0.15 else ""
        return f"SELECT {distinct}{listed} FROM t{self.where()}{self._order(distinct)}"

    def _order(self, distinct: str) -> str:
        if distinct:
            return self.rng.choice(["", " ORDER BY 1"])
        nulls = self.rng.choice(["", "", " NULLS FIRST", " NULLS LAST"])
        way = self.rng.choice(["", " ASC", " DESC"])
        key = self.rng.choice(["1", "a", "b", "s", "f", self.expression(self._any(), 1)])
        limit = self.rng.choice(["", "", " LIMIT 3", " LIMIT 2 OFFSET 1", " OFFSET 2", " LIMIT ALL", " LIMIT 0"])
        return f" ORDER BY {key}{way}{nulls}, id{limit}"

    def _aggregates(self) -> str:
        choices = [
            "count(*)",
            f"count({self.expression(self._any(), 1)})",
            f"count(DISTINCT {self.expression(self._any(), 1)})",
            f"sum({self._number(1)})",
            f"sum({self._number(0)})",
            f"min({self.expression(self._any(), 1)})",
            f"max({self.expression(self._any(), 1)})",
            "max(a) - min(a)",
            "count(*) + 1",
            "count(*) * NULL",
        ]
        listed = ", ".join(self.rng.sample(choices, self.rng.randrange(1, 4)))
        return f"SELECT {listed} FROM t{self.where()}"

    def write(self) -> str:
        kind = self.rng.randrange(4)
        result = self.rng.choice(["", "", " RETURNING *", f" RETURNING id, {self.expression(self._any(), 1)} AS x"])
        if kind == 0:
            return f"DELETE FROM t{self.where()}{result}"
        if kind == 1:
            values = [
                f"({number}, {', '.join(self._constant(type) for type in ('INT', 'BIGINT', 'TEXT'))})"
                for number in self.rng.sample(range(8, 30), self.rng.randrange(1, 4))
            ]
            return f"INSERT INTO t (id, a, b, s) VALUES {', '.join(values)}{result}"
        changes = self.rng.sample(["a", "b", "s", "f"], self.rng.randrange(1, 3))
        types = {"a": "INT", "b": "BIGINT", "s": "TEXT", "f": "BOOLEAN"}
        listed = ", ".join(f"{column} = {self._value(types[column])}" for column in changes)
        return f"UPDATE t SET {listed}{self.where()}{result}"

    def _value(self, type: str) -> str:
        return "DEFAULT" if self.rng.random() < 0.1 else self.expression(type, 2)

    def _constant(self, type: str) -> str:
        """An expression without columns."""
        if self.rng.random() < 0.1:
            return "DEFAULT"
        wanted = self._any() if self.rng.random() < 0.15 else type
        leaves = {"INT": ["1", "'4'", "2147483647", "NULL", "1 + 1", "-3", "7 / 2", "3000000000"]}
        leaves["BIGINT"] = [*leaves["INT"], "9223372036854775807", "1::bigint - 3"]
        leaves["TEXT"] = ["'x'", "'a' || 1", "NULL", "upper('q')", "substr('abc', 2)"]
        leaves["BOOLEAN"] = ["true", "'f'", "1 = 1", "NULL"]
        return self.rng.choice(leaves[wanted])
