"""Messages, records and entries in short words: `Append term=4 prev=12/4 entries=13/4:PrepareTxn n2.1.17 commit=12`.

A transaction is named by who minted its id: node, boot, counter; a timestamp in milliseconds since the simulated epoch;
a ballot as number.node. Nothing here knows single messages: fields are shown by their names and types, so what is new
is shown, too.
"""

from __future__ import annotations

import re
from typing import Any

from nodes import ids
from nodes.core.membership import MARK, decode_members
from nodes.core.oracle import SHIFT
from nodes.core.paxos import ballots
from nodes.core.replicated_log import Entry
from nodes.core.txn.entries import decode_coordinator_entry, decode_shard_entry
from nodes.core.txn.messages import Refused, SnapshotRefused
from nodes.errors import ErrorInfo, StoreError
from nodes.requests import Fate, Reply
from tests.sim.world import EPOCH_MS

CAUSES = ("", "not the leader", "wounded", "timed out", "stale", "failed", "ended", "busy", "too late", "behind")
# Large, or of no use to a reader.
HIDDEN = frozenset((
    "age", "timeout_ms", "clock_ms", "rows", "digest", "result", "data", "boot", "locks", "images", "binding", "table",
    "waited_ms", "status", "incarnations", "statement", "attempt", "roster", "roster_slot",
))  # fmt: skip
TOLD_WHEN_FALSE = frozenset(("granted", "commit", "known", "leads"))
TIMESTAMPS_FROM = 1 << 50  # no other number is as large, but for ballots
PAIRS = {"prev_slot": "prev_epoch", "last_slot": "last_epoch", "hint_slot": "hint_epoch"}
HEX_ID = re.compile(rf"\b[0-9a-f]{{{2 * ids.ID_BYTES}}}\b")
TEXT_ID = re.compile(rf"\bt[a-z2-7]{{{ids.TEXT_CHARS - 1}}}\b")
NUMBER_MASK = (1 << 40) - 1  # above it stands the boot
MOST = 4  # of a list are shown


def txn_name(id: bytes) -> str:
    return f"n{ids.node_of(id)}.{int.from_bytes(id[10:14], 'big')}.{int.from_bytes(id[14:20], 'big')}"


def with_names(text: str) -> str:
    """Ids in it are replaced by their names."""
    text = HEX_ID.sub(lambda match: txn_name(bytes.fromhex(match[0])), text)
    return TEXT_ID.sub(lambda match: txn_name(ids.from_text(match[0])), text)


def timestamp(ts: int) -> str:
    return f"{(ts >> SHIFT) - EPOCH_MS}.{ts & (1 << SHIFT) - 1}"


def epoch(group: str, number: int) -> str:
    """A Raft term, or a ballot."""
    if group[0] != "c" or number <= ids.MAX_NODE:
        return str(number)
    return "chosen" if number == ballots.CHOSEN else f"{number >> 8}.{ballots.node_of(number)}"


def phrase(group: str, message: Any) -> str:
    """Of a message to a replica of `group`, or of one of its records."""
    names = message.__struct_fields__
    words = [_field(group, message, name) for name in names if name not in HIDDEN and name not in PAIRS.values()]
    return " ".join(filter(None, [type(message).__name__, *words]))


def _field(group: str, message: Any, name: str) -> str:
    value = getattr(message, name)
    if isinstance(value, bool):
        return name if value else f"not {name}" if name in TOLD_WHEN_FALSE else ""
    if name in PAIRS and hasattr(message, PAIRS[name]):
        return f"{name[:-5]}={value}/{epoch(group, getattr(message, PAIRS[name]))}"
    if isinstance(message, Refused | SnapshotRefused) and name == "cause":
        return f"({CAUSES[value]})"
    if value is None or value in (0, "", b"", [], ()):
        return ""
    text = _value(group, name, value)
    return text if name == "txn" else f"{name}={text}"


def _value(group: str, name: str, value: Any) -> str:
    if isinstance(value, Entry):
        return entry(group, value)
    if isinstance(value, bytes):
        return txn_name(value) if len(value) == ids.ID_BYTES else value.hex()[:8]
    if isinstance(value, ErrorInfo):
        return value.code
    if name in ("ballot", "epoch", "promised"):
        return epoch(group, value)
    if isinstance(value, int) and value >= TIMESTAMPS_FROM:
        return timestamp(value)
    if name == "number":
        return str(value & NUMBER_MASK)
    if isinstance(value, list | tuple):
        return _list(group, name, value)
    if hasattr(value, "__struct_fields__"):
        return f"({phrase(group, value)})"
    return with_names(str(value))


def _list(group: str, name: str, values: list[Any] | tuple[Any, ...]) -> str:
    if name == "fragments":
        return str(len(values))
    rest = len(values) - MOST
    return ",".join(_value(group, name, value) for value in values[:MOST]) + (f" and {rest} more" if rest > 0 else "")


def entry(group: str, entry: Entry) -> str:
    """`13/4:EndTxn n2.1.17 commit`, `14/4:Members voters=1,2,3 learners=4`"""
    return f"{entry.slot}/{epoch(group, entry.epoch)}:{_said(group, entry.data)}"


def _said(group: str, data: bytes) -> str:
    if not data:
        return "nothing"
    if data.startswith(MARK):
        return phrase(group, decode_members(data))
    return phrase(group, (decode_coordinator_entry if group[0] == "c" else decode_shard_entry)(data))


def answer(told: Reply | Fate | StoreError) -> str:
    """What a client heard."""
    if isinstance(told, StoreError):
        return with_names(f"{told.info.code} ({told.info.outcome}): {told.info.message}")
    if isinstance(told, Fate):
        return with_names(f"{told.state} {told.transaction} {told.reason}")
    rows = [result.rows or result.row_count for result in told.results]
    words = f"{told.state} as {with_names(told.id)}" if told.id else told.state
    at = f"at {timestamp(told.commit_ts or told.ts)}" if told.commit_ts or told.ts else "under locks"
    return f"{words} {at}{', repeated' if told.repeated else ''}: {' '.join(map(str, rows))}"
