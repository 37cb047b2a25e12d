"""CAST and `::`; importing this module makes them known to `nodes.sql.expressions`."""

from __future__ import annotations

from sqlglot import exp

from nodes.errors import NotSupported
from nodes.sql import types
from nodes.sql.conversions import converted
from nodes.sql.expressions import Scope, only, translate, translates
from nodes.sql.schema import BIGINT, BOOLEAN, BYTEA, DOUBLE, INT, TEXT, TIMESTAMPTZ, UUID
from nodes.sql.typed import ATOM, Typed, mismatch, wrapped
from nodes.sql.types import NUMERIC, UNKNOWN

_CAST_TYPES = {
    exp.DType.INT: INT,
    exp.DType.BIGINT: BIGINT,
    exp.DType.TEXT: TEXT,
    exp.DType.BOOLEAN: BOOLEAN,
    exp.DType.DOUBLE: DOUBLE,
    exp.DType.VARBINARY: BYTEA,
    exp.DType.UUID: UUID,
    exp.DType.TIMESTAMPTZ: TIMESTAMPTZ,
    exp.DType.DECIMAL: NUMERIC,
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
    if item.type in (to, UNKNOWN) or (item.type, to) == (INT, BIGINT):
        return as_atom(scope.coerce(item, to))
    result = converted(item, to)
    if result is None:
        raise mismatch("42846", f"cannot cast type {types.WORDS[item.type]} to {types.WORDS[to]}")
    if (item.type, to) == (TEXT, TIMESTAMPTZ):
        return as_atom(result)  # PostgreSQL holds this one for a matter of the session and leaves it to the execution
    return as_atom(scope.fold_constant(result, (item,)))


def as_atom(item: Typed) -> Typed:
    """The same value, grouped; no longer a bare column."""
    result = Typed(item.type, wrapped(item), ATOM, item.constant, item.parameter)
    result.low, result.high = item.low, item.high
    return result
