"""What the page of what is in doubt shows, of what the nodes tell. Pure functions."""

from __future__ import annotations

from typing import Any

from monitoring import charts
from monitoring.transactions import short
from nodes.ids import from_text, home_of, node_name
from nodes.requests import Decision, Doubt, LocksOn, Transaction, Transactions

NO_DECISION = "none is known: {home} has not decided, or its replicas did not answer"
NOT_HERE = "it has heard the outcome, has not prepared, or its leader did not answer"


def listed(page: Transactions) -> dict[str, Any]:
    """Each transaction that a shard has prepared without having heard its outcome, the oldest first."""
    return {
        "rows": [_row(each) for each in page.transactions],
        "next": page.next,
        "silent": [node_name(node) for node in page.silent],
    }


def _row(transaction: Transaction) -> dict[str, Any]:
    home = home_of(from_text(transaction.id))
    held = {doubt.shard: doubt for doubt in transaction.doubts}
    return {
        "id": transaction.id,
        "short": short(transaction.id),
        "facts": [
            ("Gateway", node_name(transaction.gateway)),
            ("In doubt for", charts.age_text(max(transaction.in_doubt.values(), default=0))),
            ("Home", home),
            ("Participants", ", ".join(transaction.shards)),
            ("Decision", _decision(transaction.decision, home)),
        ],
        "shards": [_shard(doubt) for _, doubt in sorted(held.items())],
        "others": [{"name": name, "words": NOT_HERE} for name in transaction.shards if name not in held],
    }


def _shard(doubt: Doubt) -> dict[str, Any]:
    return {
        "name": doubt.shard,
        "node": node_name(doubt.node),
        "vote": f"yes, {charts.age_text(doubt.for_ms)} ago",
        "locks": "; ".join(map(_locks, doubt.locks)) or "none",
        "waiting": [{"id": id, "short": short(id)} for id in doubt.waiting],
        "more": max(0, doubt.waiting_count - len(doubt.waiting)),
    }


def _locks(locks: LocksOn) -> str:
    where = f"{locks.keys} key{'s' if locks.keys > 1 else ''}" if locks.keys else "the table"
    return f"{locks.mode} on {where} of {locks.table}" if locks.keys else f"{locks.mode} on {where} {locks.table}"


def _decision(decision: Decision | None, home: str) -> str:
    """What, by whom, where in which log, and who holds it."""
    if decision is None:
        return NO_DECISION.format(home=home)
    what = f"commit at {decision.commit_ts}" if decision.commit else f"abort ({decision.reason})"
    where = (
        f"in ballot {decision.ballot}, slot {decision.slot}" if decision.slot else "its ballot and slot are forgotten"
    )
    held, members = (", ".join(map(node_name, nodes)) for nodes in (decision.held_by, decision.members))
    return f"{what}, by {decision.home}, {where}; applied by {held}, of {members}"
