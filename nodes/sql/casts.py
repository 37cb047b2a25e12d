"""CAST and `::`; importing this module makes them known to `nodes.sql.expressions`."""

from __future__ import annotations

from sqlglot import exp

from nodes.errors import NotSupported
from nodes.sql import types
from nodes.sql.expressions import ATOM, Scope, Typed, mismatch, only, to_text, translate, translates
from nodes.sql.operators import called, wrapped
from nodes.sql.schema import BIGINT, BOOLEAN, INT, TEXT
from nodes.sql.types import NUMERIC, UNKNOWN

_CAST_TYPES = {
    exp.DType.INT: INT,
    exp.DType.BIGINT: BIGINT,
    exp.DType.TEXT: TEXT,
    exp.DType.BOOLEAN: BOOLEAN,
}


def type_of(node: exp.Expr | None) -> str:
    """The SQL type that a type name means here."""
    if not isinstance(node, exp.DataType):
        raise NotSupported("this type")
    only(node, "this")
    found = _CAST_TYPES.get(node.this)
    if found is None:
        raise NotSupported(f"the type {node.sql('postgres')}")
    return found


@translates(exp.Cast)
def _cast(scope: Scope, node: exp.Cast) -> Typed:
    only(node, "this", "to", "_type")
    to = type_of(node.args["to"])
    item = translate(scope, node.this)
    if item.type == NUMERIC:
        raise NotSupported("CAST of NUMERIC")
    if item.type in (to, UNKNOWN) or (item.type, to) == (INT, BIGINT):
        result = scope.coerce(item, to)
    else:
        result = scope.fold_constant(cast(scope, item, to), (item,))
    return as_atom(result)


def as_atom(item: Typed) -> Typed:
    """The same value, grouped; no longer a bare column."""
    result = Typed(item.type, wrapped(item), ATOM, item.constant, item.parameter)
    result.low, result.high = item.low, item.high
    return result


_CONVERTED_TEXT = {INT: "pg_text_to_int4", BIGINT: "pg_text_to_int8", BOOLEAN: "pg_text_to_boolean"}


def cast(scope: Scope, item: Typed, to: str) -> Typed:
    """The explicit conversions; 42846 where PostgreSQL has none."""
    if to == TEXT:
        return to_text(item)
    if item.type == TEXT:
        return called(_CONVERTED_TEXT[to], to, ATOM, item.sql)
    if item.type == BIGINT and to == INT:
        return scope.narrow(item)
    if item.type == INT and to == BOOLEAN:
        return Typed(BOOLEAN, f"({wrapped(item)} <> 0)")
    if item.type == BOOLEAN and to == INT:
        return Typed(INT, f"({item.sql})")
    raise mismatch("42846", f"cannot cast type {types.WORDS[item.type]} to {types.WORDS[to]}")
