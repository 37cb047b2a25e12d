"""From a request's plans to what its shards are asked, and from their rows, or their no, to what its client is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nodes import ids
from nodes.core.txn.entries import FENCED
from nodes.core.txn.messages import BUSY, ENDED, FAILED, STALE, TIMED_OUT, TOO_LATE, Refused
from nodes.errors import (
    Conflict,
    ConflictInfo,
    ExpectationFailed,
    StoreError,
    TransactionAborted,
    Unavailable,
)
from nodes.requests import Result, Statement
from nodes.runtime.merge import merge
from nodes.sql.plan import Bound, Plan
from nodes.sql.schema import Fragment, ShardRows


def bind(plans: Sequence[Plan], statements: Sequence[Statement], shards: int, now_us: int) -> list[Bound]:
    """StoreError for parameters that do not fit."""
    bounds = []
    for number, (plan, statement) in enumerate(zip(plans, statements, strict=True)):
        try:
            bounds.append(plan.bind(number, statement.params, shards, statement.expect_rows, now_us))
        except StoreError as error:
            error.info.statement = number
            raise
    return bounds


def parts_of(bounds: Sequence[Bound]) -> dict[str, list[Fragment]]:
    """What each shard runs, in order."""
    parts: dict[str, list[Fragment]] = {}
    for bound in bounds:
        for shard, fragment in bound.fragments.items():
            parts.setdefault(f"s{shard}", []).append(fragment)
    return parts


def results_of(bounds: Sequence[Bound], rows: dict[str, list[ShardRows]]) -> list[Result]:
    """From the rows of each part's fragments. StoreError for the first statement that cannot be answered, or has not as
    many rows as were expected."""
    found: list[dict[int, ShardRows]] = [{} for _ in bounds]
    remaining = {shard: iter(shard_rows) for shard, shard_rows in rows.items()}
    results = []
    for number, bound in enumerate(bounds):
        for shard in bound.fragments:
            found[number][shard] = next(remaining[f"s{shard}"])
        try:
            results.append(_expected(bound, merge(bound, found[number])))
        except StoreError as error:
            error.info.statement = number
            raise
    return results


def _expected(bound: Bound, result: Result) -> Result:
    if 0 <= bound.expect_rows != result.row_count:
        raise ExpectationFailed(f"expected {bound.expect_rows} rows, the statement has {result.row_count}")
    return result


def unsent(silent: Sequence[str], silence_of: Callable[[str], str]) -> Unavailable:
    """These shards had not answered when the time was up, and nothing can commit any more."""
    why = "; ".join(map(silence_of, silent))
    return Unavailable(f"not all shards had answered by the deadline: {why}; it did not happen")


def is_fenced(refusal: Refused) -> bool:
    """Who fenced it relies on that it never happens: it is not tried again under another id."""
    return refusal.cause == ENDED and refusal.error is not None and refusal.error.message == FENCED


def error_of(refusal: Refused, name_of: Callable[[int], str]) -> StoreError:
    """`name_of` a table."""
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
    if cause == STALE:
        return Conflict(f"a table was changed while the transaction ran (seen at {refusal.shard}); try again")
    words = "waited too long for" if cause == TIMED_OUT else "was wounded by"
    winner = ids.to_text(refusal.winner) if refusal.winner else ""
    return Conflict(
        f"aborted at {refusal.shard}: it {words} {winner or 'another transaction'}; a retry with its age can help",
        conflict=ConflictInfo(winner, name_of(refusal.table), [], refusal.waited_ms),
    )
