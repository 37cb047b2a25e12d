"""WHERE clauses and result lists: what SELECT, UPDATE, DELETE and RETURNING share.

Decides which table a statement means, which columns its result has and what PostgreSQL would call them, and what its
WHERE says about key columns.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlglot import exp

from nodes.errors import BadRequest, NotSupported
from nodes.requests import Column
from nodes.sql import calls
from nodes.sql.binding import MAX_KEYS
from nodes.sql.expressions import Scope, only, translate
from nodes.sql.names import identifier, syntax_error
from nodes.sql.schema import BOOLEAN, TEXT, TableDef
from nodes.sql.typed import Typed, mismatch, quote, wrapped
from nodes.sql.types import UNKNOWN, WORDS

MAX_GUARDS = 1_000_000  # characters that a statement's guards add to it


class Output(NamedTuple):
    """One column of a result: its name, the expression, its tree (None: out of `*`), whether an aggregate is in it."""

    name: str
    item: Typed
    node: exp.Expr | None = None
    aggregated: bool = False


def table_name(node: exp.Expr) -> tuple[str, str]:
    """(name, name it goes by) of a table in FROM, UPDATE …"""
    if not isinstance(node, exp.Table):
        raise NotSupported(f"{type(node).__name__.upper()} instead of a table")
    only(node, "this", "alias")
    if not isinstance(node.this, exp.Identifier):
        raise NotSupported("a function instead of a table")
    name = identifier(node.this.this, bool(node.this.args.get("quoted")))
    alias = node.args.get("alias")
    if alias is None:
        return name, name
    only(alias, "this")
    return name, identifier(alias.this.this, bool(alias.this.args.get("quoted")))


def where(scope: Scope, node: exp.Expr | None) -> tuple[str, dict[int, list[Typed]]]:
    """The text of a WHERE clause ("" for none), and for columns the values it allows, all of them sources."""
    if node is None:
        return "", {}
    only(node, "this")
    scope.clause = "WHERE"
    equalities: dict[int, list[Typed]] = {}
    items = []
    parts = conjuncts(node.this)
    for part in parts:
        item = translate(scope, part)
        scope.lazy = 1  # PostgreSQL may stop at a false conjunct, so constants in the next ones may fail unseen.
        if item.type not in (BOOLEAN, UNKNOWN):
            what = "WHERE" if len(parts) == 1 else "AND"
            raise mismatch("42804", f"argument of {what} must be type boolean, not type {WORDS[item.type]}")
        item = scope.coerce(item, BOOLEAN)
        items.append(item)
        if item.equal is not None and len(item.equal[1]) <= len(equalities.get(item.equal[0], item.equal[1])):
            equalities[item.equal[0]] = item.equal[1]
    scope.lazy = 0
    return " WHERE " + " AND ".join(_guarded(scope, items)), equalities


def _guarded(scope: Scope, items: list[Typed]) -> list[str]:
    """The texts of conjuncts, of which those that may fail are asked of no row but those whose key the others name.

    The engine finds rows by whichever condition it likes, and asks the rest in its own order. Locks follow the
    equalities of key columns (`binding.route`), so without this an error could come from a row that is not locked.
    """
    key = scope.table.primary_key if scope.table is not None else ()
    equal = [(wrapped(item), *item.equal) for item in items if item.equal is not None]
    condition = " AND ".join(text for text, column, values in equal if column in key and len(values) <= MAX_KEYS)
    if not condition:
        return [wrapped(item) for item in items]
    if len(condition) * sum(map(_may_fail, items)) > MAX_GUARDS:
        raise NotSupported("a condition of this size")
    return [f"CASE WHEN {condition} THEN {item.sql} END" if _may_fail(item) else wrapped(item) for item in items]


def _may_fail(item: Typed) -> bool:
    """By its value in some row: what calls a function of ours."""
    return item.equal is None and "pg_" in item.sql


def conjuncts(node: exp.Expr) -> list[exp.Expr]:
    """The parts that AND joins at the top."""
    if isinstance(node, exp.And):
        only(node, "this", "expression")
        parts = [node.this, node.expression]
        return [inner for part in parts for inner in conjuncts(part)]
    if isinstance(node, exp.Paren) and isinstance(node.this, exp.And):
        return conjuncts(node.this)
    return [node]


def outputs(scope: Scope, nodes: list[exp.Expr], clause: str) -> list[Output]:
    """The result list; `*` is all of the user's columns."""
    scope.clause = clause
    found: list[Output] = []
    for node in nodes:
        name = ""
        if isinstance(node, exp.Alias):
            only(node, "this", "alias")
            name, node = alias_name(node.args["alias"]), node.this
        star = node.this if isinstance(node, exp.Column) else node
        if isinstance(star, exp.Star):
            only(star)
            found += _star(scope, node, name)
        else:
            before = len(scope.aggregates or ())
            item = translate(scope, node)
            name = name or output_name(scope.text, node)
            found.append(Output(name, item, node, len(scope.aggregates or ()) > before))
    return found


def alias_name(node: exp.Expr) -> str:
    """Any word may be an alias after AS."""
    if not isinstance(node, exp.Identifier):
        raise NotSupported("this alias")
    name, quoted = str(node.this), bool(node.args.get("quoted"))
    try:
        return identifier(name, quoted)
    except BadRequest:
        if name.isidentifier():
            return name.lower()
        raise


def _star(scope: Scope, node: exp.Expr, alias: str) -> list[Output]:
    if alias or scope.table is None:
        raise syntax_error("* here")
    if isinstance(node, exp.Column) and scope.fold(node.args["table"]) != scope.name:
        raise mismatch("42P01", f'missing FROM-clause entry for table "{scope.fold(node.args["table"])}"')
    return [Output(column.name, scope.column_at(i)) for i, column in enumerate(scope.table.columns)]


def settle(scope: Scope, found: list[Output]) -> list[Output]:
    """What is still of unknown type in a result list is TEXT."""
    return [
        output._replace(item=scope.coerce(output.item, TEXT)) if output.item.type == UNKNOWN else output
        for output in found
    ]


_CAST_NAMES = {
    "INT": "int4", "BIGINT": "int8", "TEXT": "text", "BOOLEAN": "bool", "DOUBLE": "float8", "VARBINARY": "bytea",
    "UUID": "uuid", "TIMESTAMPTZ": "timestamptz", "DECIMAL": "numeric",
}  # fmt: skip


def output_name(text: str, node: exp.Expr) -> str:
    """What PostgreSQL calls a result column without alias."""
    return _name(text, node)[0]


def _name(text: str, node: exp.Expr) -> tuple[str, bool]:
    """(name, whether it is a strong one: not that of a type or of CASE)."""
    if isinstance(node, exp.Paren):
        return _name(text, node.this)
    if isinstance(node, exp.Column):
        return identifier(node.this.this, bool(node.this.args.get("quoted"))), True
    if isinstance(node, exp.Cast):
        name, strong = _name(text, node.this)
        return (name, True) if strong else (_CAST_NAMES.get(node.args["to"].this.value, "?column?"), False)
    if isinstance(node, exp.Case):
        default = node.args.get("default")
        name, strong = _name(text, default) if default is not None else ("", False)
        return (name, True) if strong else ("case", False)
    if isinstance(node, exp.Func) and type(node) in calls.FUNCTION_NAMES:
        return calls.function_name(text, node), True
    return "?column?", False


def columns_of(found: list[Output]) -> tuple[Column, ...]:
    return tuple(Column(output.name, output.item.type) for output in found)


def returning(scope: Scope, node: exp.Expr | None) -> tuple[str, tuple[Column, ...]]:
    """The text of a RETURNING clause ("" for none) and its columns."""
    if node is None:
        return "", ()
    only(node, "expressions")
    found = settle(scope, outputs(scope, node.expressions, "RETURNING"))
    return " RETURNING " + ", ".join(output.item.sql for output in found), columns_of(found)


def user_columns(table: TableDef) -> str:
    return ", ".join(quote(column.name) for column in table.columns)
