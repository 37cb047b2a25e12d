"""Expressions: from sqlglot's tree to SQL of the engine, typed as PostgreSQL types them.

A whitelist: what is not known here is refused by name. Where SQLite means something else than PostgreSQL, the text
calls functions of `nodes.sql.functions`. Constants are folded, by the database itself, as PostgreSQL's planner does.
*Invariants*: every node is checked for arguments that are not understood.
*Left out*: subqueries, window functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlglot import exp

from nodes.errors import NotSupported, StoreError
from nodes.sql import numerics, types
from nodes.sql.conversions import converted, is_assigned, widened
from nodes.sql.evaluate import evaluate
from nodes.sql.names import identifier
from nodes.sql.schema import BOOLEAN, BYTEA, TEXT, TIMESTAMPTZ, UUID, ColumnDef, TableDef
from nodes.sql.typed import ATOM, NOTHING, Typed, constant, literal, mismatch, quote
from nodes.sql.types import NUMERIC, UNKNOWN
from nodes.sql.words import SYSTEM_COLUMNS


def only(node: exp.Expr, *known: str) -> None:
    """Refuses a node with arguments other than `known`."""
    for name, value in node.args.items():
        if value and name not in known:
            raise NotSupported(f"{name.strip('_').upper()} in {type(node).__name__.upper()}")


class Parameters:
    """The types of `$1`..`$n`, found in the order in which PostgreSQL looks at them; behind them the transaction's
    time, if the statement asks for it."""

    def __init__(self, count: int) -> None:
        self.types: list[str] = [UNKNOWN] * count
        self.uses_now = False
        self.left: list[int] = []  # those that some place uses without giving them a type
        self.failure: StoreError | None = None  # of the first constant expression that fails

    def use(self, number: int) -> Typed:
        return Typed(self.types[number - 1], f"?{number}", parameter=number - 1)

    @property
    def total(self) -> int:
        return len(self.types) + self.uses_now

    def now(self) -> Typed:
        """The time of the transaction: what `now()` is, once for all rows and shards."""
        self.uses_now = True
        return Typed(TIMESTAMPTZ, f"?{len(self.types) + 1}", parameter=len(self.types))

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


class GroupKey(NamedTuple):
    """An expression that rows are grouped by: its form (`Scope.form`) and what carries it over the groups."""

    form: Any
    carried: Typed


class Scope:
    """What an expression may see: one table under one name, the parameters, aggregates where `aggregates` is a list.

    `keys` are what the rows are grouped by; `loose_column` is the first column that stands neither in one of them nor
    in an aggregate.
    """

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
        self.keys: list[GroupKey] = []
        self.partials: list[str] = []
        self.distinct: list[str] = []
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

    def form(self, node: Any) -> Any:
        """Equal for trees that mean the same expression, however their columns are written and parentheses stand."""
        if isinstance(node, list):
            return [self.form(each) for each in node]
        if not isinstance(node, exp.Expr):
            return node
        if isinstance(node, exp.Paren):
            return self.form(node.this)
        if isinstance(node, exp.Column) and isinstance(node.this, exp.Identifier):
            return exp.Column, self.columns.get(self.fold(node.this), -1)
        parts = {name: self.form(value) for name, value in node.args.items() if value and name != "_type"}
        start, end = node.meta.get("start", 0), node.meta.get("end", -1)
        called = self.text[start : end + 1].lower() if isinstance(node, exp.Func) else ""
        return type(node), called, parts

    # -- context gives types

    def coerce(self, item: Typed, to: str) -> Typed:
        """The implicit conversion of an operand: literals and parameters of unknown type, numbers to wider ones."""
        if item.type == to:
            return item
        if item.type == UNKNOWN and item.parameter >= 0:
            return self.parameters.settle(item, to)
        if item.type == UNKNOWN:
            value = None if item.constant is None else types.from_text(item.constant, to)
            return constant(value, to, item.precedence)
        assert types.widens(item.type, to), "only numbers widen by themselves"
        return self.fold_constant(widened(item, to), (item,))

    def assign(self, item: Typed, to: str, column: str) -> Typed:
        """The conversion on assignment to a column; 42804 when there is none."""
        if item.type in (to, UNKNOWN) or types.widens(item.type, to):
            return self.coerce(item, to)
        result = converted(item, to) if is_assigned(item.type, to) else None
        if result is None:
            words = f"{types.WORDS[to]} but expression is of type {types.WORDS[item.type]}"
            raise mismatch("42804", f'column "{column}" is of type {words}')
        return self.fold_constant(result, (item,))

    def default(self, column: ColumnDef) -> Typed:
        """What a column has that is given no value."""
        return self.parameters.now() if column.default_is_now else constant(column.default, column.type)

    def boolean(self, item: Typed, where: str) -> Typed:
        """An operand that must be BOOLEAN; 42804."""
        if item.type not in (BOOLEAN, UNKNOWN):
            raise mismatch("42804", f"argument of {where} must be type boolean, not type {types.WORDS[item.type]}")
        return self.coerce(item, BOOLEAN)

    def common_type(self, items: Sequence[Typed], what: str) -> str:
        """The one type of several branches (42804 when there is none)."""
        found = UNKNOWN
        for item in items:
            if found == UNKNOWN or item.type == found:
                found = item.type
            elif found in types.NUMBERS and item.type in types.NUMBERS:
                found = types.wider(found, item.type)
            elif {found, item.type} == {BYTEA, UUID}:  # of one category
                words = f"could not convert type {types.WORDS[item.type]} to {types.WORDS[found]}"
                raise mismatch("42846", f"{what} {words}")
            elif item.type != UNKNOWN:
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
    if not scope.keys or scope.in_aggregate:
        return translator(scope, node)
    form = scope.form(node)
    for key in scope.keys:
        if key.form == form:
            scope.used_columns.append(-1)  # it varies
            return key.carried
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
    value = integer_literal(node)
    return constant(numerics.constant_text(node.this), NUMERIC) if value is None else integer_constant(value)


def integer_constant(value: int) -> Typed:
    """The type of an integer constant is the narrowest that holds it; what BIGINT does not hold is NUMERIC."""
    for name in types.INTEGERS:
        low, high = types.RANGES[name]
        if low <= value <= high:
            return constant(value, name)
    sign = "-" if value < 0 else ""
    return constant(sign + numerics.constant_text(str(abs(value))), NUMERIC)


def integer_literal(node: exp.Expr) -> int | None:
    """The value of digits with minus signs and parentheses around, which PostgreSQL reads as one constant; or None."""
    if isinstance(node, exp.Literal) and not node.is_string:
        return int(node.this) if node.this.isdigit() else None
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
