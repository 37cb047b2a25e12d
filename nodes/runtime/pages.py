"""What nodes tell about transactions: one node's page or steps, and several nodes' put together. Pure but for `driver`.

A page is in order of `rank`, highest first; a cursor is the rank of the last one of the page before, as text. Steps of
several nodes stand in the order of the nodes' own clocks.
"""

from __future__ import annotations

from typing import Any

from nodes import ids
from nodes.errors import BadRequest
from nodes.requests import FILTERS, IN_DOUBT, MOST_TRANSACTIONS, SLOW, Fate, Step, Trace, Transaction
from nodes.requests import Transactions as Page
from nodes.runtime import doubts
from nodes.runtime.driver import Driver
from nodes.runtime.trace import Rank

FIRST_PAGE: Rank = (1 << 80, b"")


def check(which: str, limit: int, after: str) -> None:
    """BadRequest for a question that has no answer."""
    if which not in FILTERS:
        raise BadRequest(f"the filter must be one of {', '.join(FILTERS)}, not {which[:80]!r}")
    if not 1 <= limit <= MOST_TRANSACTIONS:
        raise BadRequest(f"limit must lie between 1 and {MOST_TRANSACTIONS}")
    rank_of_cursor(after)


def rank_of_cursor(after: str) -> Rank:
    """BadRequest for what no page gave."""
    if not after:
        return FIRST_PAGE
    number, _, txn = after.partition(".")
    try:
        return int(number[:30]), ids.from_text(txn)
    except ValueError as error:
        raise BadRequest(f"after must be the `next` of a page, not {after[:80]!r}") from error


def rank(transaction: Transaction, which: str) -> Rank:
    """As of a Record (nodes/runtime/trace.py); of those in doubt the oldest comes first."""
    txn = ids.from_text(transaction.id)
    if which == IN_DOUBT:
        return -ids.time_of(txn), txn
    return (transaction.duration_us if which == SLOW else transaction.begun_us), txn


def of_node(driver: Driver, which: str, limit: int, after: str) -> list[Transaction]:
    """At most `limit` that follow the cursor, and one more if there are more."""
    if which == IN_DOUBT:
        return _page(doubts.of_node(driver), which, limit + 1, rank_of_cursor(after))
    return driver.trace.transactions(which, limit + 1, rank_of_cursor(after))


def _page(found: list[Transaction], which: str, limit: int, after: Rank) -> list[Transaction]:
    ranked = sorted(((rank(one, which), one) for one in found), key=lambda pair: pair[0], reverse=True)
    return [one for place, one in ranked if place < after][:limit]


def merged(answers: dict[int, Any], nodes: list[int], which: str, limit: int, after: str) -> Page:
    """`answers` are NodeTransactionsAre, by node."""
    found: dict[str, Transaction] = {}
    for answer in answers.values():
        for one in answer.transactions:
            other = found.get(one.id)
            if other is None:
                found[one.id] = one
            else:
                other.in_doubt = other.in_doubt | one.in_doubt
                other.doubts = sorted([*other.doubts, *one.doubts], key=lambda each: each.shard)
                other.begun_us = min(other.begun_us, one.begun_us)
    page = _page(list(found.values()), which, limit + 1, rank_of_cursor(after))
    following = f"{rank(page[limit - 1], which)[0]}.{page[limit - 1].id}" if len(page) > limit else ""
    since = {node: answer.since_us for node, answer in sorted(answers.items())}
    return Page(page[:limit], following, since, [node for node in nodes if node not in answers])


def merged_steps(answers: dict[int, Any]) -> list[Step]:
    """Each step once (a gateway may have kept what the ring of another node still holds), in order of the clocks."""
    every = (step for _, answer in sorted(answers.items()) for step in answer.steps)
    once = {(step.at_us, step.node, step.group, step.step, step.detail.get("group")): step for step in every}
    return sorted(once.values(), key=lambda step: step.at_us)


def merged_trace(text: str, fate: Fate | None, answers: dict[int, Any], nodes: list[int]) -> Trace:
    """`answers` are NodeTraceIs, by node."""
    transaction = next((answer.transaction for answer in answers.values() if answer.transaction), None)
    steps = merged_steps(answers)
    since = {node: answer.since_us for node, answer in sorted(answers.items())}
    return Trace(text, fate, transaction, steps, since, [node for node in nodes if node not in answers])
