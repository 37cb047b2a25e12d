"""What the nodes remember of transactions, in JSON; and what a query says of the page that is wanted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

from nodes.errors import BadRequest
from nodes.ids import node_name
from nodes.requests import (
    FILTERS,
    MOST_TRANSACTIONS,
    NEWEST,
    Decision,
    Doubt,
    Trace,
    Transaction,
    Transactions,
)
from txstore.api.serializers import fate_to_json

DEFAULT_LIMIT = 50
CURSOR = "^-?[0-9]{1,30}[.]t[a-z2-7]{40}$"
PARAMETERS = ("filter", "limit", "after")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Wanted(NamedTuple):
    """A page of transactions."""

    filter: str
    limit: int
    after: str


def read_wanted(query: Mapping[str, str]) -> Wanted:
    """BadRequest for an unknown filter, and for what is no limit."""
    which, text = query.get("filter", NEWEST), query.get("limit", str(DEFAULT_LIMIT))
    if which not in FILTERS:
        raise BadRequest(f'"filter" must be one of {", ".join(FILTERS)}.')
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= MOST_TRANSACTIONS:
        raise BadRequest(f'"limit" must be an integer from 1 to {MOST_TRANSACTIONS}.')
    after = query.get("after")
    if after is not None and not re.fullmatch(CURSOR, after):
        raise BadRequest('"after" must be what stands in the `next` of a page.')
    return Wanted(which, int(text), after or "")


def transactions_to_json(path: str, wanted: Wanted, page: Transactions) -> dict[str, Any]:
    """A page; `next` is the path of the following one, null on the last."""
    following = urlencode({"filter": wanted.filter, "limit": wanted.limit, "after": page.next})
    return {
        "results": [transaction_to_json(one) for one in page.transactions],
        "next": f"{path}?{following}" if page.next else None,
        **_reach(page.since_us, page.silent),
    }


def transaction_to_json(transaction: Transaction) -> dict[str, Any]:
    return {
        "id": transaction.id,
        "gateway": node_name(transaction.gateway),
        "state": transaction.state,
        "begun_at": _time(transaction.begun_us),
        "ended_at": _time(transaction.ended_us),
        "duration_ms": transaction.duration_us / 1_000 if transaction.ended_us else None,
        "attempt": transaction.attempt,
        "shards": transaction.shards,
        "statements": [{"sql": one.sql, "params": one.params} for one in transaction.statements],
        "statements_left_out": transaction.left_out,
        "commit_ts": _timestamp(transaction.commit_ts),
        "code": transaction.code or None,
        "cause": transaction.cause or None,
        "retried_as": transaction.retried_as or None,
        "in_doubt": [_doubt_to_json(doubt) for doubt in sorted(transaction.doubts, key=lambda each: each.shard)],
        "decision": _decision_to_json(transaction.decision) if transaction.decision else None,
    }


def _doubt_to_json(doubt: Doubt) -> dict[str, Any]:
    return {
        "shard": doubt.shard,
        "for_ms": doubt.for_ms,
        "node": node_name(doubt.node),
        "locks": [{"table": each.table, "mode": each.mode, "keys": each.keys} for each in doubt.locks],
        "waiting": doubt.waiting,
        "waiting_count": doubt.waiting_count,
    }


def _decision_to_json(decision: Decision) -> dict[str, Any]:
    return {
        "home": decision.home,
        "commit": decision.commit,
        "commit_ts": _timestamp(decision.commit_ts),
        "reason": decision.reason or None,
        "ballot": decision.ballot or None,
        "slot": decision.slot or None,
        "held_by": list(map(node_name, decision.held_by)),
        "members": list(map(node_name, decision.members)),
    }


def trace_to_json(trace: Trace) -> dict[str, Any]:
    """Steps in the order of the nodes' clocks; `fate` is null when the home did not answer."""
    return {
        "id": trace.id,
        "fate": fate_to_json(trace.fate) if trace.fate else None,
        "transaction": transaction_to_json(trace.transaction) if trace.transaction else None,
        "steps": [
            {
                "at": _time(step.at_us),
                "node": node_name(step.node),
                "group": step.group or None,
                "step": step.step,
                "detail": {name: _plain(name, value) for name, value in step.detail.items()},
            }
            for step in trace.steps
        ],
        **_reach(trace.since_us, trace.silent),
    }


def _plain(name: str, value: Any) -> Any:
    """Timestamps are strings: JSON's numbers are not exact so far."""
    return _timestamp(value) if name == "commit_ts" else value


def _timestamp(ts: int) -> str | None:
    return str(ts) if ts else None


def _reach(since_us: dict[int, int], silent: list[int]) -> dict[str, Any]:
    """From when on all that answered remember everything, and who did not answer."""
    return {
        "known_since": _time(max(since_us.values(), default=0)),
        "silent": [node_name(node) for node in silent],
    }


def _time(at_us: int) -> str | None:
    if not at_us:
        return None
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat(timespec="microseconds").replace("+00:00", "Z")
