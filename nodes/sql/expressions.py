"""Expressions: from sqlglot's tree to SQL of the engine, typed as PostgreSQL types them.

A whitelist: what is not known here is refused by name. Where SQLite means something else than PostgreSQL, the text
calls functions of `nodes.sql.semantics`. Constants are folded, by the database itself, as PostgreSQL's planner does.
*Invariants*: every node is checked for arguments that are not understood.
*Left out*: subqueries, window functions, NUMERIC beyond SUM.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlglot import exp

from nodes.errors import BadRequest, NotSupported, StoreError
from nodes.requests import Value
from nodes.sql import types
from nodes.sql.evaluate import evaluate
from nodes.sql.parse import identifier
from nodes.sql.schema import BIGINT, BOOLEAN, INT, TEXT, TableDef
from nodes.sql.types import NUMERIC, UNKNOWN
from nodes.sql.words import SYSTEM_COLUMNS

ATOM = 99
NOTHING: Any = object()  # "not a constant": None is a constant


class Typed:
    """A translated expression.

    `constant` is its value or NOTHING; `parameter` its position from 0 or -1; `column` its position in the table or
    -1; `low`..`high` bound an integer; `equal` is set on `column = value` and `column IN (values)`: the column and the
    values. `precedence` is that of its outermost operator.
    """

    __slots__ = ("type", "sql", "precedence", "constant", "parameter", "column", "low", "high", "equal")

    def __init__(
        self, type: str, sql: str, precedence: int = ATOM, constant: Value = NOTHING, parameter: int = -1
    ) -> None:
        self.type = type
        self.sql = sql
        self.precedence = precedence
        self.constant = constant
        self.parameter = parameter
        self.column = -1
        self.low, self.high = types.RANGES.get(type, (0, 0))
        self.equal: tuple[int, list[Typed]] | None = None

    @property
    def is_source(self) -> bool:
        """Is its value known at bind, without evaluation?"""
        return self.constant is not NOTHING or self.parameter >= 0


def literal(value: Value) -> str:
    """A value as text in the engine's dialect."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return f"({int(value)})" if value < 0 else str(int(value))


def constant(value: Value, type: str, precedence: int = ATOM) -> Typed:
    result = Typed(type, literal(value), precedence, constant=value)
    if type in types.INTEGERS and value is not None:
        result.low = result.high = int(value)
    return result


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def mismatch(sqlstate: str, message: str) -> BadRequest:
    return BadRequest(message, sqlstate=sqlstate)


def only(node: exp.Expr, *known: str) -> None:
    """Refuses a node with arguments other than `known`."""
    for name, value in node.args.items():
        if value and name not in known:
            raise NotSupported(f"{name.strip('_').upper()} in {type(node).__name__.upper()}")


class Parameters:
    """The types of `$1`..`$n`, found in the order in which PostgreSQL looks at them."""

    def __init__(self, count: int) -> None:
        self.types: list[str] = [UNKNOWN] * count
        self.left: list[int] = []  # those that some place uses without giving them a type
        self.failure: StoreError | None = None  # of the first constant expression that fails

    def use(self, number: int) -> Typed:
        return Typed(self.types[number - 1], f"?{number}", parameter=number - 1)

    def settle(self, used: Typed, to: str) -> Typed:
        """Gives a parameter of unknown type its type; 42P08 when another use gave it another."""
        known = self.types[used.parameter]
        if known not in (UNKNOWN, to):
            raise mismatch("42P08", f"inconsistent types deduced for parameter ${used.parameter + 1}")
        self.types[used.parameter] = to
        return Typed(to, used.sql, parameter=used.parameter)

    def leave(self, used: Typed) -> None:
        """A place that takes any type (IS NULL) gives a parameter none."""
        if used.parameter >= 0 and used.type == UNKNOWN:
            self.left.append(used.parameter)

    def check(self) -> None:
        """After all is typed: 42P18 for a parameter without type, 42P08 for one that was used before it had one; then
        what a constant expression raised."""
        for number, name in enumerate(self.types, 1):
            if name == UNKNOWN or number - 1 in self.left:
                sqlstate = "42P18" if name == UNKNOWN else "42P08"
                raise mismatch(sqlstate, f"could not determine data type of parameter ${number}")
        if self.failure is not None:
            raise self.failure


class Scope:
    """What an expression may see: one table under one name, the parameters, aggregates where `aggregates` is a list."""

    def __init__(self, text: str, table: TableDef | None, name: str, parameters: Parameters) -> None:
        self.text = text
        self.table = table
        self.name = name
        self.parameters = parameters
        self.clause = "SELECT"
        self.lazy = 0
        self.aggregates: list[Typed] | None = None
        self.in_aggregate = False
        self.loose_column = ""
        self.merged = False
        self.partials: list[str] = []
        self.has_distinct_aggregate = False
        self.columns = {} if table is None else {column.name: i for i, column in enumerate(table.columns)}
        self.used_columns: list[int] = []

    # -- leaves

    def column(self, node: exp.Column) -> Typed:
        only(node, "this", "table")
        if isinstance(node.this, exp.Star):
            raise mismatch("42601", "* in an expression")
        name = identifier(node.this.name, bool(node.this.args.get("quoted")))
        qualifier = node.args.get("table")
        if qualifier is not None and self.fold(qualifier) != self.name:
            raise mismatch("42P01", f'missing FROM-clause entry for table "{self.fold(qualifier)}"')
        position = self.columns.get(name, -1)
        if position < 0:
            self.no_column(name)
        return self.column_at(position)

    def fold(self, node: exp.Expr) -> str:
        if not isinstance(node, exp.Identifier):
            raise NotSupported(f"{type(node).__name__.upper()} as a name")
        return identifier(node.this, bool(node.args.get("quoted")))

    def no_column(self, name: str) -> None:
        if self.table is not None and (name in SYSTEM_COLUMNS or name == self.name):
            raise NotSupported(f'the system column or row "{name}"')
        raise mismatch("42703", f'column "{name}" does not exist')

    def column_at(self, position: int) -> Typed:
        assert self.table is not None, "a column has a table"
        found = self.table.columns[position]
        if not self.in_aggregate:
            self.loose_column = self.loose_column or found.name
        self.used_columns.append(position)
        result = Typed(found.type, quote(found.name))
        result.column = position
        return result

    # -- context gives types

    def coerce(self, item: Typed, to: str) -> Typed:
        """The implicit conversion of an operand: literals and parameters of unknown type, INT to BIGINT."""
        if item.type == to:
            return item
        if item.type == UNKNOWN and item.parameter >= 0:
            return self.parameters.settle(item, to)
        if item.type == UNKNOWN:
            value = None if item.constant is None else types.from_text(item.constant, to)
            return constant(value, to, item.precedence)
        assert (item.type, to) == (INT, BIGINT), "only INT widens by itself"
        result = Typed(BIGINT, item.sql, item.precedence, item.constant, item.parameter)
        result.low, result.high = item.low, item.high
        return result

    def assign(self, item: Typed, to: str, column: str) -> Typed:
        """The conversion on assignment to a column; 42804 when there is none."""
        if item.type in (to, UNKNOWN) or (item.type, to) == (INT, BIGINT):
            return self.coerce(item, to)
        if item.type == BIGINT and to == INT:
            return self.fold_constant(self.narrow(item), (item,))
        if to == TEXT and item.type != NUMERIC:
            return self.fold_constant(to_text(item), (item,))
        words = f"{types.WORDS[to]} but expression is of type {types.WORDS[item.type]}"
        raise mismatch("42804", f'column "{column}" is of type {words}')

    def narrow(self, item: Typed) -> Typed:
        """BIGINT to INT, checked unless it cannot leave the range."""
        low, high = types.RANGES[INT]
        fits = low <= item.low and item.high <= high
        result = Typed(INT, item.sql if fits else f"pg_int4({item.sql})", ATOM if not fits else item.precedence)
        if fits:
            result.low, result.high = item.low, item.high
        return result

    def boolean(self, item: Typed, where: str) -> Typed:
        """An operand that must be BOOLEAN; 42804."""
        if item.type not in (BOOLEAN, UNKNOWN):
            raise mismatch("42804", f"argument of {where} must be type boolean, not type {types.WORDS[item.type]}")
        return self.coerce(item, BOOLEAN)

    def common_type(self, items: Sequence[Typed], what: str) -> str:
        """The one type of several branches (42804 when there is none)."""
        found = UNKNOWN
        for item in items:
            if NUMERIC in (item.type, found):
                raise NotSupported("arithmetic on NUMERIC")
            if found == UNKNOWN or {found, item.type} == {INT, BIGINT}:
                found = item.type if found == UNKNOWN else BIGINT
            elif item.type not in (UNKNOWN, found):
                words = f"{types.WORDS[found]} and {types.WORDS[item.type]}"
                raise mismatch("42804", f"{what} types {words} cannot be matched")
        return TEXT if found == UNKNOWN else found

    # -- constants

    def fold_constant(self, item: Typed, parts: Sequence[Typed], *, strict: bool = True) -> Typed:
        """A constant when all its parts are, or (`strict`) when one is NULL.

        What it raises is told when the whole statement is typed, as PostgreSQL's planner comes after its analysis.
        """
        if item.constant is not NOTHING:
            return item
        if strict and any(part.constant is None for part in parts):
            return constant(None, item.type, item.precedence)
        if any(part.constant is NOTHING for part in parts):
            return item
        try:
            value = evaluate(item.sql)[0]
        except StoreError as error:
            if self.lazy:
                raise NotSupported(f"a constant expression that fails ({error}) and might not be evaluated") from error
            self.parameters.failure = self.parameters.failure or error
            return item
        if item.type == BOOLEAN and value is not None:
            value = bool(value)
        return constant(value, item.type, item.precedence)


def to_text(item: Typed) -> Typed:
    """The text of a value."""
    if item.type == BOOLEAN:
        return Typed(TEXT, f"CASE {item.sql} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END", 98)
    return Typed(TEXT, f"CAST({item.sql} AS TEXT)")


Translator = Callable[[Scope, Any], Typed]
TRANSLATORS: dict[type[exp.Expr], Translator] = {}


def translates(*kinds: type[exp.Expr]) -> Callable[[Translator], Translator]:
    """Registers the translator of these nodes."""

    def register(function: Translator) -> Translator:
        for kind in kinds:
            TRANSLATORS[kind] = function
        return function

    return register


def translate(scope: Scope, node: exp.Expr) -> Typed:
    """One expression; raises BadRequest or NotSupported."""
    translator = TRANSLATORS.get(type(node))
    if translator is None:
        raise NotSupported(f"{type(node).__name__.upper()}")
    return translator(scope, node)


@translates(exp.Paren)
def _paren(scope: Scope, node: exp.Paren) -> Typed:
    only(node, "this")
    item = translate(scope, node.this)
    item.sql = f"({item.sql})" if item.precedence != ATOM else item.sql
    item.precedence = ATOM
    return item


@translates(exp.Column)
def _column(scope: Scope, node: exp.Column) -> Typed:
    return scope.column(node)


@translates(exp.Literal)
def _literal(scope: Scope, node: exp.Literal) -> Typed:
    if node.is_string:
        return Typed(UNKNOWN, literal(node.this), constant=node.this)
    return integer_constant(int(node.this))


def integer_constant(value: int) -> Typed:
    """The type of an integer constant is the narrowest that holds it; what BIGINT does not hold is NUMERIC."""
    for name in types.INTEGERS:
        low, high = types.RANGES[name]
        if low <= value <= high:
            return constant(value, name)
    raise NotSupported(f"the NUMERIC constant {value!s:.40}")


def integer_literal(node: exp.Expr) -> int | None:
    """The value of digits with minus signs and parentheses around, which PostgreSQL reads as one constant; or None."""
    if isinstance(node, exp.Literal) and not node.is_string:
        return int(node.this)
    if isinstance(node, exp.Neg | exp.Paren):
        value = integer_literal(node.this)
        return -value if value is not None and isinstance(node, exp.Neg) else value
    return None


@translates(exp.Boolean)
def _boolean(scope: Scope, node: exp.Boolean) -> Typed:
    return constant(bool(node.this), BOOLEAN)


@translates(exp.Null)
def _null(scope: Scope, node: exp.Null) -> Typed:
    return Typed(UNKNOWN, "NULL", constant=None)


@translates(exp.Parameter)
def _parameter(scope: Scope, node: exp.Parameter) -> Typed:
    number = node.this.this if isinstance(node.this, exp.Literal) else ""
    assert str(number).isdigit(), "parse() numbers the parameters"
    if scope.clause in ("CHECK", "DEFAULT"):
        raise mismatch("42P02", f"there is no parameter ${number}")
    return scope.parameters.use(int(number))
