"""From a request's plans to what its shards are asked, and from their rows to what its client is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nodes.errors import ExpectationFailed, StoreError, Unavailable
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
        raise ExpectationFailed.of_rows(bound.expect_rows, result.row_count)
    return result


def unsent(silent: Sequence[str], silence_of: Callable[[str], str]) -> Unavailable:
    """These shards had not answered when the time was up, and nothing can commit any more."""
    why = "; ".join(map(silence_of, silent))
    return Unavailable(f"not all shards had answered by the deadline: {why}; it did not happen")
