"""SQLite's complaints in PostgreSQL's words and states.

Two kinds are told apart: what a statement does wrong becomes an ErrorInfo; what befalls the file or the machine
(BROKEN) stops the replica. SQLite names a constraint by physical names, which the layouts translate back.
"""

from __future__ import annotations

from collections.abc import Mapping

import apsw

from nodes.errors import BadRequest, ConstraintViolation, ErrorInfo, StoreError, TooLarge
from nodes.sql.schema import BIGINT, INT, TableDef
from nodes.sql.types import WORDS
from nodes.storage.sqlite_layout import BOOL, CHECK, REAL, Layout

# SQL that a client sent can raise these: SQLite's errors, our functions' StoreErrors, and values that do not bind.
FAULTS = (apsw.Error, StoreError, ValueError, TypeError, OverflowError)

# These are never the client's fault.
BROKEN = (
    apsw.IOError, apsw.FullError, apsw.CorruptError, apsw.NotADBError, apsw.CantOpenError, apsw.NoMemError,
    apsw.ReadOnlyError, apsw.BusyError, apsw.LockedError, apsw.ProtocolError, apsw.PermissionsError,
    apsw.ConnectionClosedError,
)  # fmt: skip

_IDENTIFIER_BYTES = 63


def describe(error: Exception, layouts: Mapping[str, Layout], statement: int) -> ErrorInfo:
    """What the client is told of `error`; `layouts` by physical name."""
    info = _translate(error, layouts).info
    info.statement = statement
    return info


def _translate(error: Exception, layouts: Mapping[str, Layout]) -> StoreError:
    if isinstance(error, StoreError):
        return error
    if isinstance(error, apsw.ConstraintError):
        return _constraint(error, layouts)
    if isinstance(error, apsw.InterruptError):
        return TooLarge("canceling statement due to the evaluation budget", sqlstate="57014")
    if isinstance(error, apsw.TooBigError):
        return TooLarge("a value is over the size limit")
    if isinstance(error, apsw.AuthError):
        return BadRequest("permission denied", sqlstate="42501")
    if isinstance(error, OverflowError):
        return BadRequest("bigint out of range", sqlstate="22003")
    if isinstance(error, apsw.BindingsError):
        return BadRequest("wrong number of parameters", sqlstate="42P02")
    if isinstance(error, UnicodeError):
        return BadRequest('invalid byte sequence for encoding "UTF8"', sqlstate="22021")
    if isinstance(error, apsw.SQLError) and str(error) == "integer overflow":
        return BadRequest("bigint out of range", sqlstate="22003")
    if isinstance(error, apsw.SQLError) and str(error).endswith("already exists"):
        return BadRequest("relation already exists", sqlstate="42P07")
    if isinstance(error, TypeError):
        return BadRequest(f"a parameter has no SQL type: {error}", sqlstate="22P02")
    return StoreError(f"the engine refused a planned statement: {error}", sqlstate="XX000")


def _constraint(error: apsw.ConstraintError, layouts: Mapping[str, Layout]) -> StoreError:
    """`UNIQUE constraint failed: t7_1.id`, `NOT NULL constraint failed: t7_1.x`, `CHECK constraint failed: t7_1/2`,
    `cannot store REAL value in INTEGER column t7_1.x`."""
    words = str(error)
    place = words.partition(" column " if words.startswith("cannot store") else ": ")[2]
    layout = layouts.get(place.partition("/")[0].partition(".")[0])
    if layout is None:
        return StoreError(f"an unknown constraint failed: {words}", sqlstate="XX000")
    table, column = layout.table, place.partition(".")[2]
    if words.startswith("UNIQUE"):
        name = _primary_key_name(table.name)
        return _violation(table, "23505", f'duplicate key value violates unique constraint "{name}"', constraint=name)
    if words.startswith("NOT NULL"):
        message = f'null value in column "{column}" of relation "{table.name}" violates not-null constraint'
        return _violation(table, "23502", message, column=column)
    if words.startswith("CHECK"):
        return _check(layout, place)
    return _wrong_type(table, column, words.split()[2])


def _check(layout: Layout, physical: str) -> StoreError:
    kind, name = layout.constraints[physical]
    table = layout.table
    if kind == CHECK:
        message = f'new row for relation "{table.name}" violates check constraint "{name}"'
        return _violation(table, "23514", message, constraint=name)
    if kind in (BOOL, REAL):
        return _wrong_type(table, name, "INTEGER")
    return BadRequest("integer out of range", sqlstate="22003")


def _wrong_type(table: TableDef, column: str, stored: str) -> BadRequest:
    """SQLite turns integers that outgrow 64 bits into REAL: no other REAL reaches an integer column."""
    expected = next((WORDS[each.type] for each in table.columns if each.name == column), "")
    if stored == "REAL" and expected in (WORDS[INT], WORDS[BIGINT]):
        return BadRequest(f"{expected} out of range", sqlstate="22003")
    given = {"INTEGER": "integer", "TEXT": "text", "REAL": "double precision", "BLOB": "bytea"}.get(stored, stored)
    message = f'column "{column}" is of type {expected} but expression is of type {given}'
    return BadRequest(message, sqlstate="42804")


def _violation(table: TableDef, sqlstate: str, message: str, **detail: str) -> ConstraintViolation:
    return ConstraintViolation(message, sqlstate=sqlstate, detail={"table": table.name, **detail})


def _primary_key_name(table: str) -> str:
    """The name PostgreSQL gives: the table's, cut so that all of it is an identifier, and `_pkey`."""
    return table.encode()[: _IDENTIFIER_BYTES - len("_pkey")].decode(errors="ignore") + "_pkey"
