"""What a client is told of a refusal: the other transaction, the place as its key's values, and what would help."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from nodes import ids
from nodes.core.txn.entries import FENCED
from nodes.core.txn.messages import (
    BUSY,
    ENDED,
    FAILED,
    NOT_LEADER,
    STALE,
    TIMED_OUT,
    TOO_LATE,
    WOUNDED,
    Refused,
)
from nodes.errors import DID_NOT_HAPPEN, Conflict, ConflictInfo, ErrorInfo
from nodes.runtime.refusals import CAUSES, MOST_CHARACTERS, cause_of, error_of
from nodes.sql import keys
from nodes.sql.schema import ColumnDef, TableDef

TXN, OTHER = (ids.mint(5, 7, 1, counter, "s1", b"cluster") for counter in (9, 1))
WINNER = ids.to_text(OTHER)
TYPES = ("TEXT", "TIMESTAMPTZ", "BYTEA")
VALUES = ("it", 1_767_312_000_000_000, b"\0a")
GIVEN = ["it", datetime(2026, 1, 2, tzinfo=UTC), b"\0a"]
COLUMNS = tuple(ColumnDef(name, type) for name, type in zip(("place", "at", "tag"), TYPES, strict=True))
VISITS = TableDef(4, "visits", 4, 1, (*COLUMNS, ColumnDef("n", "INT")), (0, 1, 2), (0,))


def told(
    cause: int, width: int = 0, table: int = 4, winner: bytes = OTHER, waited_ms: int = 0
) -> tuple[ConflictInfo, str]:
    key = keys.encode(TYPES[:width], VALUES[:width])
    refusal = Refused(TXN, "s1", cause, winner=winner, table=table, waited_ms=waited_ms, key=key)
    error = error_of(refusal, {4: VISITS}.get)
    assert isinstance(error, Conflict)
    assert error.info.retryable
    conflict = error.info.conflict
    assert conflict is not None
    assert conflict.help in str(error)
    return conflict, str(error)


@pytest.mark.parametrize("width", range(4))
def test_a_place_is_told_as_the_values_of_its_key_in_the_form_of_results(width: int) -> None:
    conflict, _ = told(WOUNDED, width)
    assert (conflict.transaction, conflict.table, conflict.key) == (WINNER, "visits", GIVEN[:width])
    wire = msgspec.msgpack.encode(conflict)
    assert msgspec.msgpack.decode(wire, type=ConflictInfo) == conflict


def test_words_name_the_row_what_begins_alike_or_the_table() -> None:
    assert "needs the row (place, at, tag) = (it, 2026-01-02 00:00:00+00:00," in told(WOUNDED, 3)[1]
    assert "needs what begins with (place) = (it) of visits" in told(WOUNDED, 1)[1]
    assert "needs table visits," in told(WOUNDED)[1]


def test_a_table_that_this_node_does_not_know_has_no_name_and_no_key() -> None:
    conflict, words = told(WOUNDED, 2, table=9)
    assert (conflict.table, conflict.key) == ("", [])
    assert "a table" in words


def test_who_waited_too_long_hears_how_long_for_whom_and_that_more_time_may_help() -> None:
    conflict, words = told(TIMED_OUT, 1, waited_ms=250)
    assert (conflict.cause, conflict.waited_ms, conflict.transaction) == ("timed_out", 250, WINNER)
    assert "waited 250 ms" in words
    assert "timeout_ms" in conflict.help


def test_whose_time_was_up_without_anybody_in_its_way_hears_that() -> None:
    conflict, words = told(TIMED_OUT, table=0, winner=b"")
    assert (conflict.transaction, conflict.cause) == ("", "timed_out")
    assert "no other transaction was in its way" in words


def test_who_was_planned_with_an_older_definition_hears_of_which_table() -> None:
    conflict, words = told(STALE, winner=b"")
    assert (conflict.table, conflict.cause) == ("visits", "table_changed")
    assert "table visits was changed" in words


def test_long_values_are_cut_in_words_alone() -> None:
    text = "x" * 1_000
    refusal = Refused(TXN, "s1", WOUNDED, winner=OTHER, table=4, key=keys.encode(["TEXT"], [text]))
    info = error_of(refusal, {4: VISITS}.get).info
    assert info.conflict is not None
    assert info.conflict.key == [text]
    assert "x" * MOST_CHARACTERS not in info.message


def test_every_cause_has_a_name_to_be_counted_by() -> None:
    assert set(CAUSES) == {WOUNDED, TIMED_OUT, STALE, ENDED, BUSY, TOO_LATE}, "all but NOT_LEADER and FAILED"
    assert NOT_LEADER not in CAUSES
    assert cause_of(Refused(TXN, "s1", WOUNDED)) == "wounded"
    failed = Refused(TXN, "s1", FAILED, error=ErrorInfo("constraint", "a CHECK", "23514"))
    assert (cause_of(failed), error_of(failed, {4: VISITS}.get).info.code) == ("constraint", "constraint")


@pytest.mark.parametrize(("reason", "retryable"), [(FENCED, False), ("in doubt: its gateway did not decide", True)])
def test_an_abort_says_whether_another_try_can_help(reason: str, retryable: bool) -> None:
    """Who fenced it relies on that it never happens; nobody relies on what its home ended."""
    refusal = Refused(b"", "s1", ENDED, error=ErrorInfo("aborted", reason, "40000"))
    info = error_of(refusal, {}.get).info
    assert (info.code, info.outcome, info.retryable) == ("aborted", DID_NOT_HAPPEN, retryable)
    assert reason in info.message
