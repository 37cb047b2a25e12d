"""What the pages of transactions show, of what the nodes remember. Pure functions.

Times are the nodes' own clocks; a step of one node may seem to come before its cause on another.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from monitoring import charts
from nodes.ids import node_name
from nodes.requests import (
    ABORTED,
    ACTIVE,
    COMMITTED,
    EXPIRED,
    FILTERS,
    UNDECIDED,
    Fate,
    Step,
    Trace,
    Transaction,
    Transactions,
)

KINDS = {COMMITTED: "good", ABORTED: "bad", ACTIVE: "busy", UNDECIDED: "busy", EXPIRED: "none"}
FILTER_WORDS = {
    "newest": ("Newest", "No node remembers a transaction: none was run since they started."),
    "slow": ("Slowest", "No node remembers a transaction: none was run since they started."),
    "aborted": ("Aborted", "No transaction was aborted, as far back as the nodes remember."),
    "in_doubt": ("In doubt", "Nothing is in doubt: every shard knows the outcome of what it prepared."),
}
SHORT_SQL = 90


def listed(page: Transactions, which: str, now_us: int) -> dict[str, Any]:
    """The rows of a page, what to say when there are none, and who did not answer."""
    return {
        "rows": [_row(one, now_us) for one in page.transactions],
        "tabs": [{"filter": name, "title": FILTER_WORDS[name][0], "is_current": name == which} for name in FILTERS],
        "nothing": FILTER_WORDS[which][1],
        "next": urlencode({"filter": which, "after": page.next}) if page.next else "",
        "silent": [node_name(node) for node in page.silent],
        "since": _time(max(page.since_us.values(), default=0)),
    }


def _row(transaction: Transaction, now_us: int) -> dict[str, Any]:
    sql = transaction.statements[0].sql if transaction.statements else ""
    more = len(transaction.statements) + transaction.left_out - 1
    waiting = [f"{shard} for {charts.age_text(ms)}" for shard, ms in sorted(transaction.in_doubt.items())]
    return {
        "id": transaction.id,
        "short": short(transaction.id),
        "state": "in doubt" if waiting else transaction.state,
        "kind": "busy" if waiting else KINDS.get(transaction.state, "none"),
        "gateway": node_name(transaction.gateway),
        "at": _time(transaction.begun_us),
        "age": charts.age_text((now_us - transaction.begun_us) // 1_000),
        "duration": charts.duration_text(transaction.duration_us) if transaction.ended_us else "",
        "shards": ", ".join(transaction.shards or sorted(transaction.in_doubt)),
        "sql": sql if len(sql) <= SHORT_SQL else sql[: SHORT_SQL - 1] + "…",
        "more": f"and {more} more" if more > 0 else "",
        "cause": transaction.cause,
        "waiting": "prepared: " + ", ".join(waiting) if waiting else "",
        "is_retried": bool(transaction.retried_as),
        "attempt": transaction.attempt,
    }


def told(trace: Trace) -> dict[str, Any]:
    """Everything about one transaction."""
    transaction = trace.transaction
    state, shards = _state(trace.fate, transaction), _shards(trace.steps)
    first = min((step.at_us for step in trace.steps), default=0)
    return {
        "short": short(trace.id),
        "state": state,
        "kind": KINDS.get(state, "none"),
        "facts": _facts(trace.fate, transaction),
        "decision": _decision(trace.steps, trace.fate),
        "shards": shards,
        "waits": state in (UNDECIDED, ACTIVE) and any(map(_waits, shards)),
        "statements": [
            {"sql": one.sql, "params": ", ".join(one.params), "count": len(one.params)}
            for one in (transaction.statements if transaction else [])
        ],
        "left_out": transaction.left_out if transaction else 0,
        "timeline": charts.timeline(trace.steps),
        "steps": _steps(trace.steps, first),
        "retried_as": transaction.retried_as if transaction else "",
        "since": _time(max(trace.since_us.values(), default=0)),
        "silent": [node_name(node) for node in trace.silent],
    }


def _state(fate: Fate | None, transaction: Transaction | None) -> str:
    """The home's word; without it what the gateway remembers."""
    if fate is not None and fate.state != UNDECIDED:
        return fate.state
    return transaction.state if transaction is not None else UNDECIDED


def _facts(fate: Fate | None, transaction: Transaction | None) -> list[tuple[str, str]]:
    facts = []
    if fate is None:
        facts.append(("Fate", "its home did not answer"))
    elif fate.reason:
        facts.append(("Reason", fate.reason))
    if transaction is not None:
        facts += [
            ("Gateway", node_name(transaction.gateway)),
            ("Begun", _time(transaction.begun_us)),
            ("Took", charts.duration_text(transaction.duration_us) if transaction.ended_us else "still under way"),
            ("Attempt", str(transaction.attempt)),
        ]
        if transaction.cause and not (fate is not None and fate.reason == transaction.cause):
            facts.append(("Cause", transaction.cause))
    commit_ts = fate.commit_ts if fate is not None else 0
    if commit_ts:
        facts.append(("Commit timestamp", str(commit_ts)))
    return facts


def _decision(steps: list[Step], fate: Fate | None) -> str:
    """Who decided what, where in which log."""
    for step in steps:
        if step.step in ("decision applied", "committed", "aborted"):
            detail = step.detail
            epoch = f"ballot {detail['ballot']}" if "ballot" in detail else f"term {detail['term']}"
            what = "commit" if detail.get("commit", step.step == "committed") else "abort"
            return f"{what}, by {step.group} in {epoch}, slot {detail['slot']}"
    if fate is None or fate.state not in (COMMITTED, ABORTED):
        return "none is known"
    if fate.state == COMMITTED and not fate.commit_ts:
        return "commit, of what changed nothing: no log has a record of it"
    return f"{'commit' if fate.state == COMMITTED else 'abort'}; no node remembers the ballot and slot any more"


def _shards(steps: list[Step]) -> list[dict[str, Any]]:
    """What each shard said, and when it knew the outcome."""
    found: dict[str, dict[str, Any]] = {}
    for step in steps:
        if not step.group.startswith("s"):
            continue
        shard = found.setdefault(step.group, {"name": step.group, "node": node_name(step.node), "vote": "", "end": ""})
        place = f"term {step.detail.get('term')}, slot {step.detail.get('slot')}"
        if step.step in ("prepared", "committed"):
            shard["vote"] = f"yes ({place})"
        elif step.step == "released":
            shard["vote"], shard["end"] = "yes, without an entry: it only read", "released"
        elif step.step in ("turned down", "aborted"):
            shard["vote"] = f"no: {step.detail.get('cause') or step.detail.get('reason')}"
        if step.step in ("ended", "committed", "aborted"):
            is_commit = step.detail.get("commit", step.step == "committed")
            shard["end"] = f"{'committed' if is_commit else 'aborted'} ({place})"
    return [found[name] for name in sorted(found)]


def _waits(shard: dict[str, Any]) -> bool:
    """It holds its locks until it hears the outcome."""
    return shard["vote"].startswith("yes") and not shard["end"]


def _steps(steps: list[Step], first: int) -> list[dict[str, Any]]:
    """Each step; what a group does again and again (who is in doubt asks several times a second) is one."""
    told: list[dict[str, Any]] = []
    last: dict[tuple[str, int], tuple[Step, dict[str, Any]]] = {}
    for step in steps:
        before, row = last.get((step.group, step.node), (None, {}))
        if before is not None and (before.step, before.detail) == (step.step, step.detail):
            row["times"] += 1
            row["until"] = charts.duration_text(step.at_us - first)
            continue
        told.append(_step(step, first) | {"times": 1, "until": ""})
        last[step.group, step.node] = (step, told[-1])
    return told


def _step(step: Step, first: int) -> dict[str, Any]:
    detail = {name: value for name, value in step.detail.items() if value not in ("", None)}
    return {
        "offset": charts.duration_text(step.at_us - first),
        "at": _time(step.at_us),
        "node": node_name(step.node),
        "group": step.group or "gateway",
        "step": step.step,
        "detail": [{"name": name.replace("_", " "), "text": _text(name, value)} for name, value in detail.items()],
    }


def _text(name: str, value: Any) -> dict[str, str]:
    text = str(value)
    if name in ("behind", "winner"):
        return {"link": text, "words": short(text)}
    if name in ("to_node", "gateway"):
        return {"link": "", "words": node_name(value) if value else "nobody: no leader is known"}
    return {"link": "", "words": "yes" if value is True else "no" if value is False else text}


def short(id: str) -> str:
    """Its time and its counter: what tells it from its neighbours."""
    return f"{id[:13]}…{id[27:34]}" if len(id) == 41 else id


def _time(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] if at_us else ""
