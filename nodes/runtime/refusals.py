"""What a client is told when a shard, or a home, said no: to whom its transaction lost, where, and what would help.

A place is a node of the lock tree: a row, rows whose key begins alike, or a table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nodes import ids
from nodes.core.replicated_log import TICK_MS
from nodes.core.txn.entries import FENCED
from nodes.core.txn.messages import BUSY, ENDED, FAILED, STALE, TIMED_OUT, TOO_LATE, WOUNDED, Refused
from nodes.errors import Conflict, ConflictInfo, StoreError, TransactionAborted, Unavailable
from nodes.requests import Value
from nodes.sql import keys
from nodes.sql.schema import TableDef
from nodes.sql.types import GIVE

TableOf = Callable[[int], TableDef | None]

MOST_CHARACTERS = 40  # of a value, in words

# The causes that are counted, by what a Refused says; FAILED is counted by the code of its error.
CAUSES = {
    WOUNDED: "wounded", TIMED_OUT: "timed_out", STALE: "table_changed",
    ENDED: "ended", BUSY: "busy", TOO_LATE: "too_late",
}  # fmt: skip
UNANSWERED, KEY_TAKEN, ROLLED_BACK, IDLE = "unanswered", "key_taken", "rolled_back", "idle"  # and those of the gateway


def is_fenced(refusal: Refused) -> bool:
    """Who fenced it relies on that it never happens: it is not tried again under another id."""
    return refusal.cause == ENDED and refusal.error is not None and refusal.error.message == FENCED


def cause_of(refusal: Refused) -> str:
    if is_fenced(refusal):
        return FENCED
    if refusal.cause == FAILED and refusal.error is not None:
        return refusal.error.code
    return CAUSES.get(refusal.cause, "ended")


def error_of(refusal: Refused, table_of: TableOf) -> StoreError:
    """`table_of` an id: its definition, if it is known."""
    cause = refusal.cause
    if cause == FAILED and refusal.error is not None:
        return StoreError.of(refusal.error)
    if cause == ENDED:
        reason = refusal.error.message if refusal.error is not None else "aborted"
        if is_fenced(refusal):
            return TransactionAborted(f"the transaction was aborted for good: {reason}")
        return TransactionAborted(f"the transaction was aborted: {reason}; it can be tried again", retryable=True)
    if cause == BUSY:
        words = "takes no transactions now (too many under way, or low disk space); it did not happen"
        return Unavailable(f"{refusal.shard} {words}")
    if cause == TOO_LATE:
        return Unavailable(f"the attempt came so late to {refusal.shard} that it was refused; it did not happen")
    return _conflict(refusal, table_of(refusal.table))


def _conflict(refusal: Refused, table: TableDef | None) -> Conflict:
    winner = ids.to_text(refusal.winner) if refusal.winner else ""
    key = [] if table is None else key_values(table, refusal.key)
    words, help = _explained(refusal, winner, place(table, key))
    name = "" if table is None else table.name
    info = ConflictInfo(winner, name, key, refusal.waited_ms, CAUSES[refusal.cause], help)
    return Conflict(f"aborted at {refusal.shard}: {words}; it did not happen: {help}", conflict=info)


def _explained(refusal: Refused, winner: str, where: str) -> tuple[str, str]:
    """(what happened, what would help)"""
    if refusal.cause == STALE:
        return f"{where} was changed by a definition while it ran", "try again, it is planned with the new one"
    if refusal.cause == WOUNDED:
        words = f"the older transaction {winner} needs {where}, which this one had locked"
        return words, "try again with the age that is told: then it is older than all that begin later"
    if not winner:
        return (
            "its time was up, and no other transaction was in its way",
            "try again, or allow it more time (timeout_ms)",
        )
    words = f"it waited {refusal.waited_ms} ms for {where}, where transaction {winner} comes first, and its time was up"
    least_ms = refusal.waited_ms + TICK_MS
    return words, f"try again when that one has ended, or allow more time than these {least_ms} ms (timeout_ms)"


def key_values(table: TableDef, key: bytes) -> list[Value]:
    """The values of the first columns of the primary key, as a client gets them."""
    types = [table.columns[i].type for i in table.primary_key]
    values = keys.decode(types, key)
    return [GIVE[name](value) if name in GIVE else value for name, value in zip(types, values, strict=False)]


def place(table: TableDef | None, key: Sequence[Value]) -> str:
    """In words: of `key` there may be all columns, the first ones or none."""
    if table is None:
        return "a table"
    if not key:
        return f"table {table.name}"
    values = ", ".join(_short(str(value)) for value in key)
    names = ", ".join(table.columns[i].name for i in table.primary_key[: len(key)])
    what = "the row" if len(key) == len(table.primary_key) else "what begins with"
    return f"{what} ({names}) = ({values}) of {table.name}"


def _short(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
