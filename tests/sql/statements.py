"""Random statements over one table, from a seed: expressions of every type, some ill-typed, some without parentheses.

Parentheses are left out on purpose in places: whoever groups operators differently is found out.
"""

from __future__ import annotations

import random

TABLE = (
    "CREATE TABLE t (id INT PRIMARY KEY, a INT, b BIGINT DEFAULT 7, s TEXT, u TEXT DEFAULT 'u', f BOOLEAN, g BOOL, "
    "d DOUBLE PRECISION, e float8 DEFAULT -1.5e3, y BYTEA DEFAULT '\\x00ff', i UUID, "
    "z TIMESTAMP WITH TIME ZONE DEFAULT '2024-02-29T23:59:60+05:30')"
)

_INTS = [0, 1, -1, 2, 3, 7, 100, 2147483647, -2147483648, None]
_BIGINTS = [0, 1, -1, 5, 46341, 4294967296, 9223372036854775807, -9223372036854775808, None]
_TEXTS = ["", "a", "b", "A", "ab", "abc", "a%c", "a_c", "a\\b", "é", "é€", "10", " 7 ", "true", "'", "z", None]
_BOOLEANS = [True, False, None]
_DOUBLES = [0.0, 1.0, -1.0, 1.5, -2.25, 0.1, 2.5, 3.5, 123456.789, 1e-7, 1e15, 1e20, "NaN", "Infinity", None]
_BYTES = [b"", b"\0", b"a", b"ab", b"\xff\0", b"\\", None]
_UUIDS = ["00000000-0000-0000-0000-000000000000", "0197a3b4-0000-7fff-8000-00000000002a", "f" * 32, None]
_TIMES = ["2024-02-29T12:00:00Z", "2024-02-29 12:00:00.000001+00", "1969-12-31T23:59:59.5-01", "0001-01-01T00:00:00Z",
          "9999-12-31T23:59:59.999999Z", None]  # fmt: skip

_COLUMNS = {
    "INT": ["a", "id", "t.a"], "BIGINT": ["b"], "TEXT": ["s", "u"], "BOOLEAN": ["f", "g"], "DOUBLE": ["d", "e"],
    "BYTEA": ["y"], "UUID": ["i"], "TIMESTAMPTZ": ["z"],
}  # fmt: skip
_USUAL = ["INT", "BIGINT", "TEXT", "BOOLEAN", "DOUBLE"] * 2 + ["BYTEA", "UUID", "TIMESTAMPTZ"]
_NUMBERS = ["INT", "INT", "BIGINT", "DOUBLE"]
_PATTERNS = ["a%", "%b", "_", "%", "a_c", "a\\%c", "%a%c%", "", "ab", "A%", "é_"]


_LITERALS = {
    "DOUBLE": ["1.5::float8", "'NaN'::float8", "1e300::double precision", "'-Infinity'::float8", "0.0::float8"],
    "BYTEA": ["'\\x00'::bytea", "'\\xFF 00'", "'a\\\\b\\001'::bytea", "''::bytea"],
    "UUID": ["'{F0000000-0000000000000000-0000000a}'::uuid", "'00000000000000000000000000000000'::uuid"],
    "TIMESTAMPTZ": ["timestamptz '2024-02-29 12:00:00Z'", "'2023-12-31T24:00:00-08:00'::timestamptz",
                    "'2024-01-01 00:00:00.1234567+00:30'"],
}  # fmt: skip


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
            rng.choice(_DOUBLES),
            rng.choice(_DOUBLES),
            rng.choice(_BYTES),
            rng.choice(_UUIDS),
            rng.choice(_TIMES),
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
            type = self.rng.choice(_USUAL)
        if depth <= 0 or self.rng.random() < 0.15:
            return self.leaf(type)
        makers = {"INT": self._integer, "BIGINT": self._bigint, "TEXT": self._text, "BOOLEAN": self._boolean,
                  "DOUBLE": self._double}  # fmt: skip
        text = makers[type](depth - 1) if type in makers else self._other(type, depth - 1)
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
        if type in _LITERALS:
            return rng.choice(_LITERALS[type])
        return rng.choice(["true", "false", "TRUE", "'t'", "'maybe'"] if rng.random() < 0.3 else ["true", "false"])

    def _any(self) -> str:
        return self.rng.choice(_USUAL)

    def _number(self, depth: int) -> str:
        return self.expression(self.rng.choice(_NUMBERS), depth)

    def _whole(self, depth: int) -> str:
        return self.expression(self.rng.choice(_NUMBERS[:3]), depth)

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
            return f"{of('BIGINT', depth)} {self.rng.choice('+-*/%')} {self._whole(depth)}"
        return [
            f"- {of('BIGINT', depth)}",
            f"abs({of('BIGINT', depth)})",
            f"({of(self._any(), depth)})::bigint",
            self._branches("BIGINT", depth),
        ][kind - 4]

    def _double(self, depth: int) -> str:
        of = self.expression
        kind = self.rng.randrange(9)
        if kind < 4:
            return f"{of('DOUBLE', depth)} {self.rng.choice('+-*/')} {self._number(depth)}"
        return [
            f"{self.rng.choice('+-')} {of('DOUBLE', depth)}",
            f"abs({of('DOUBLE', depth)})",
            f"CAST({of(self._any(), depth)} AS double precision)",
            f"{self._number(depth)} * {self.rng.choice(['1.5', '0.1', '-2e3', '1e-2'])}",
            self._branches("DOUBLE", depth),
        ][kind - 4]

    def _other(self, type: str, depth: int) -> str:
        """BYTEA, UUID, TIMESTAMPTZ."""
        if self.rng.random() < 0.5:
            return self._branches(type, depth)
        if type == "BYTEA" and self.rng.random() < 0.6:
            return f"{self.expression(type, depth)} || {self.expression(type, depth)}"
        name = {"BYTEA": "bytea", "UUID": "uuid", "TIMESTAMPTZ": "timestamptz"}[type]
        return f"({self.expression(self.rng.choice([type, type, 'TEXT']), depth)})::{name}"

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
        kind = self.rng.choice(["number", "number", "TEXT", "BOOLEAN", "BYTEA", "UUID", "TIMESTAMPTZ"])
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
        kind = self.rng.randrange(6)
        if kind == 0:
            return f"SELECT {self.expression(self._any(), 3)} FROM t WHERE id = {self.rng.randrange(1, 12)}"
        if kind == 1:
            return self._aggregates()
        if kind in (2, 3):
            return self._groups()
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

    def _aggregate(self, depth: int = 1) -> str:
        return self.rng.choice(
            [
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
                f"avg({self._whole(1)})",
                f"avg({self._whole(0)})",
                f"avg({self.leaf('DOUBLE')})",
                f"sum(DISTINCT {self.expression('INT', 0)})",
                f"avg(DISTINCT {self.expression('INT', 0)})",
                f"coalesce(sum({self._whole(0)}), 0)",
            ]
        )

    def _aggregates(self) -> str:
        listed = ", ".join(self._aggregate() for _ in range(self.rng.randrange(1, 4)))
        return f"SELECT {listed} FROM t{self.where()}"

    def _groups(self) -> str:
        """GROUP BY one or two keys, sometimes with columns that stand in none."""
        rng = self.rng
        keys = [self.expression(self._any(), rng.choice((0, 0, 0, 1))) for _ in range(rng.choice((1, 1, 2)))]
        keys = ["id", *keys] if rng.random() < 0.15 else keys
        listed = [key if rng.random() < 0.7 else f"({key})" for key in keys]
        listed += [self._aggregate() for _ in range(rng.randrange(0, 3))]
        if rng.random() < 0.1:
            listed.append(self.leaf(self._any()))
        named = [str(i + 1) if rng.random() < 0.15 else key for i, key in enumerate(keys)]
        having = ""
        if rng.random() < 0.4:
            sign = rng.choice(["=", "<", ">=", "<>"])
            having = (
                f" HAVING {self._aggregate()} {sign} {rng.choice(['1', '2.5', '0', '100.25', 'min(a)', 'count(*)'])}"
            )
        order = f" ORDER BY {', '.join(str(i + 1) for i in range(len(keys)))}"
        tail = rng.choice(
            ["", "", order, order + " DESC LIMIT 2", order + " OFFSET 1", f" ORDER BY count(*), {order[10:]}"]
        )
        distinct = "DISTINCT " if rng.random() < 0.08 else ""
        tail = "" if distinct else tail
        return f"SELECT {distinct}{', '.join(listed)} FROM t{self.where()} GROUP BY {', '.join(named)}{having}{tail}"

    def write(self) -> str:
        kind = self.rng.randrange(4)
        result = self.rng.choice(["", "", " RETURNING *", f" RETURNING id, {self.expression(self._any(), 1)} AS x"])
        if kind == 0:
            return f"DELETE FROM t{self.where()}{result}"
        if kind == 1:
            values = [
                f"({number}, {', '.join(self._constant(type) for type in ('INT', 'BIGINT', 'TEXT', 'DOUBLE'))})"
                for number in self.rng.sample(range(8, 30), self.rng.randrange(1, 4))
            ]
            return f"INSERT INTO t (id, a, b, s, d) VALUES {', '.join(values)}{result}"
        types = {"a": "INT", "b": "BIGINT", "s": "TEXT", "f": "BOOLEAN", "d": "DOUBLE", "y": "BYTEA", "i": "UUID",
                 "z": "TIMESTAMPTZ"}  # fmt: skip
        changes = self.rng.sample(list(types), self.rng.randrange(1, 3))
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
        leaves["DOUBLE"] = ["1.5", "'NaN'", "7", "1e5 / 3", "'1.5'::float8 * 2", "9007199254740993"]
        leaves |= {type: _LITERALS[type] for type in ("BYTEA", "UUID", "TIMESTAMPTZ")}
        leaves["BOOLEAN"] = ["true", "'f'", "1 = 1", "NULL"]
        return self.rng.choice(leaves[wanted])
