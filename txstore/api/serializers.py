"""From JSON values to a request of the store, and from its replies to JSON (the values table of API.md).

Plain functions: a request may carry a thousand statements, and the store checks what needs the catalog. Here only the
form is checked, and that a value has a meaning on the wire.

*Invariant*: nothing in a request is ignored; what is not known is refused by name.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from django.http import QueryDict

from nodes import ids
from nodes.errors import BadRequest, ConflictInfo, NotFound, TooLarge
from nodes.requests import MOST_STALENESS_MS, Fate, Leadership, Nodes, Reply, Request, Result, Statement, Value
from txstore.members import GONE, LEAVING, MEMBER, Member

MAX_STATEMENTS = 1_000
DEFAULT_TIMEOUT_MS, MAX_TIMEOUT_MS = 10_000, 60_000
MAX_EXACT = 2**53
MIN_BIGINT, MAX_BIGINT = -(2**63), 2**63 - 1

ONE_SHOT, INTERACTIVE = "one-shot", "interactive"

_REQUEST_FIELDS = {"statements", "timeout_ms", "read_only", "as_of", "max_staleness_ms", "session_token", "mode"}
_TIMESTAMP = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_STATEMENT_FIELDS = {"sql", "params", "expect_rows"}


def read_request(data: Any, key: str = "") -> Request:
    """The one-shot request that a body describes, under its `Idempotency-Key` if it has one; BadRequest or
    TooLarge, saying what is wrong with it."""
    refuse_unknown_fields(data, _REQUEST_FIELDS, "The request")
    statements = read_statements(data)
    read_only = data.get("read_only")
    if read_only is not None and not isinstance(read_only, bool):
        raise BadRequest('"read_only" must be true or false.')
    as_of = data.get("as_of", "")
    if not isinstance(as_of, str) or as_of != as_of.strip() or ("as_of" in data and not as_of):
        raise BadRequest('"as_of" must be a text: a time with its offset, "-5s", or a timestamp of a reply.')
    staleness_ms = 0
    if "max_staleness_ms" in data:
        staleness_ms = integer(data["max_staleness_ms"], 1, MOST_STALENESS_MS, '"max_staleness_ms"', -1)
    return Request(statements, read_timeout_ms(data), read_only, key, as_of, staleness_ms, _read_session_token(data))


def _read_session_token(data: dict[str, Any]) -> int:
    """0: there is none. What no store can have given is refused here, the rest by the store."""
    text = data.get("session_token", "")
    if not isinstance(text, str) or ("session_token" in data and not _TIMESTAMP.fullmatch(text)):
        raise BadRequest('"session_token" must be a text: that of a reply.')
    if text and int(text) > MAX_BIGINT:
        raise BadRequest('"session_token" is out of range: it is none of this store.', sqlstate="22003")
    return int(text or 0)


def read_statements(data: dict[str, Any]) -> list[Statement]:
    """Those of a body, at least one."""
    statements = data.get("statements")
    if not isinstance(statements, list) or not statements:
        raise BadRequest('"statements" must be a list of at least one statement.')
    if len(statements) > MAX_STATEMENTS:
        raise TooLarge(f"The request has {len(statements)} statements; at most {MAX_STATEMENTS} are taken.")
    return [_read_statement(each, number) for number, each in enumerate(statements)]


def read_key(meta: Mapping[str, Any]) -> str:
    """The `Idempotency-Key`, in lower case, "" if there is none; BadRequest for what is no UUID. `meta` is the
    request's: its `headers` would be a copy of all of them."""
    key = meta.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        return ""
    try:
        ids.key_of(key)
    except ValueError as error:
        raise BadRequest(f"The header Idempotency-Key is {key[:80]!r}: {error}.") from error
    return key.lower()


def read_nothing(data: Any) -> None:
    """A verb that takes no body accepts an empty object, which is also what no body is read as."""
    refuse_unknown_fields(data, set(), "The request")


def read_node(data: Any, which: str) -> tuple[int, float]:
    """The node `which`, such as "that shall lead", and how many seconds may be waited for it."""
    refuse_unknown_fields(data, {"node", "timeout_ms"}, "The request")
    if "node" not in data:
        raise BadRequest(f'"node" must be there: the number of the node {which}.')
    timeout_ms = read_timeout_ms(data)
    return integer(data["node"], 1, ids.MAX_NODE, '"node"', -1), timeout_ms / 1000


def read_timeout(data: Any) -> float:
    """How many seconds may be waited, by a body that says nothing else."""
    refuse_unknown_fields(data, {"timeout_ms"}, "The request")
    return read_timeout_ms(data) / 1000


def read_flag(query: Mapping[str, str], name: str) -> bool:
    """A query parameter that is true or false, and false if it is not there."""
    text = query.get(name, "false")
    if text not in ("true", "false"):
        raise BadRequest(f"The query parameter {name!r} must be true or false.")
    return text == "true"


def read_timeout_ms(data: dict[str, Any]) -> int:
    return integer(data.get("timeout_ms", DEFAULT_TIMEOUT_MS), 1, MAX_TIMEOUT_MS, '"timeout_ms"', -1)


def leadership_to_json(leadership: Leadership) -> dict[str, Any]:
    return {"group": leadership.group, "leader": leadership.leader, "epoch": leadership.epoch}


def member_to_json(member: Member) -> dict[str, Any]:
    """A node of the list. `successor`: of one that is leaving, null for whoever has room."""
    return {
        "node": member.node,
        "state": member.state,
        "address": member.address or None,
        "successor": member.successor or None,
        "up": member.up,
        "ready": member.ready,
        "groups": list(member.groups),
    }


def ordered_to_json(nodes: Nodes, node: int) -> dict[str, Any]:
    """What is wanted of a node after an order."""
    state = GONE if node in nodes.gone else LEAVING if node in nodes.leaving else MEMBER
    return {"node": node, "state": state, "successor": nodes.leaving.get(node) or None}


def read_id(text: str) -> str:
    """A transaction id or a key from a path; NotFound for what has not the form of one."""
    try:
        if ids.is_key(text):
            ids.key_of(text)
            return text.lower()
        ids.from_text(text)
    except ValueError as error:
        raise NotFound(f"There is no transaction {text[:80]!r}: {error}.") from error
    return text


def refuse_ignored(
    meta: Mapping[str, Any], query: Callable[[], QueryDict], known: Collection[str], takes_key: bool
) -> None:
    """A key where it has no meaning, a body that the server does not read, and query parameters that are not `known`
    or stand there twice. `meta` is the request's; `query` gives its parameters."""
    if "HTTP_TRANSFER_ENCODING" in meta:
        raise BadRequest("A chunked body is not read: send it with a Content-Length.")
    if not takes_key and "HTTP_IDEMPOTENCY_KEY" in meta:
        raise BadRequest("The header Idempotency-Key has a meaning only where a transaction is run.")
    if not meta.get("QUERY_STRING"):
        return
    for name, values in query().lists():
        if name not in known:
            raise BadRequest(f"The query parameter {name[:80]!r} is not known here.")
        if len(values) > 1:
            raise BadRequest(f"The query parameter {name!r} stands there {len(values)} times.")


def refuse_unknown_fields(data: Any, known: set[str], what: str, statement: int = -1) -> None:
    if not isinstance(data, dict):
        raise BadRequest(f"{what} must be a JSON object.", statement=statement)
    unknown = [field for field in data if field not in known]
    if unknown:
        raise BadRequest(f"{what} has a field that is not known: {unknown[0][:80]!r}.", statement=statement)


def integer(value: Any, least: int, most: int, what: str, statement: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadRequest(f"{what} must be an integer from {least} to {most}.", statement=statement)
    return value


def _read_statement(data: Any, number: int) -> Statement:
    refuse_unknown_fields(data, _STATEMENT_FIELDS, "A statement", number)
    sql = data.get("sql")
    if not isinstance(sql, str):
        raise BadRequest('"sql" must be a text.', statement=number)
    if not sql.strip():
        raise BadRequest('"sql" is empty.', sqlstate="42601", statement=number)
    check_text(sql, '"sql"', number)
    expect_rows = -1
    if "expect_rows" in data:
        expect_rows = integer(data["expect_rows"], 0, MAX_BIGINT, '"expect_rows"', number)
    return Statement(sql, _read_params(data.get("params", []), number), expect_rows)


def _read_params(params: Any, number: int) -> list[Value] | dict[str, Value]:
    if isinstance(params, list):
        for place, value in enumerate(params, 1):
            _check_value(value, f"Parameter {place}", number)
    elif isinstance(params, dict):
        for name, value in params.items():
            check_text(name, "The name of a parameter", number)
            _check_value(value, f"Parameter {name[:80]!r}", number)
    else:
        raise BadRequest('"params" must be a list or an object.', statement=number)
    checked: list[Value] | dict[str, Value] = params
    return checked


def _check_value(value: Any, what: str, number: int) -> None:
    """Whether a value can be sent at all. Whether it has the column's type is for the store to say."""
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        check_text(value, what, number)
    elif isinstance(value, int):
        if not MIN_BIGINT <= value <= MAX_BIGINT:
            raise BadRequest(f"{what} is out of range.", sqlstate="22003", statement=number)
    elif not isinstance(value, float) or not math.isfinite(value):
        raise BadRequest(f"{what} is of a type that no column has.", sqlstate="22P02", statement=number)


def check_text(text: str, what: str, number: int) -> None:
    if "\0" in text:
        raise BadRequest(f"{what} contains a NUL character.", sqlstate="22021", statement=number)
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise BadRequest(f"{what} contains half a surrogate pair.", sqlstate="22021", statement=number)


def reply_to_json(reply: Reply) -> dict[str, Any]:
    """A committed or read-only request. Timestamps are null where none was drawn."""
    answer = {
        "id": reply.id,
        "state": reply.state,
        "commit_ts": _ts(reply.commit_ts),
        "ts": _ts(reply.ts),
        "session_token": _ts(reply.session_token),
        "attempts": reply.attempts,
        "shards": reply.shards,
        "results": [result_to_json(result) for result in reply.results],
    }
    if reply.results_lost:
        answer["results_lost"] = True
    if reply.repeated:
        answer["repeated"] = True
    return answer


def fate_to_json(fate: Fate) -> dict[str, Any]:
    """Of an id or a key. `transaction`: the id that was committed under the key, null for an id.

    `known_since`: an answer without a record holds for what was first sent after that time.
    """
    return {
        "id": fate.id,
        "state": fate.state,
        "outcome": fate.outcome,
        "commit_ts": _ts(fate.commit_ts),
        "reason": fate.reason or None,
        "transaction": fate.transaction or None,
        "known_since": time_of(fate.known_since) if fate.known_since else None,
    }


def _ts(ts: int) -> str | None:
    return str(ts) if ts else None


def result_to_json(result: Result) -> dict[str, Any]:
    converters = [_TO_JSON.get(column.type) for column in result.columns]
    rows = result.rows
    if any(converters):
        rows = [[to_json(v) if to_json else v for v, to_json in zip(row, converters, strict=True)] for row in rows]
    return {"columns": [column.name for column in result.columns], "rows": rows, "row_count": result.row_count}


def value_to_json(value: Value, type: str) -> Value:
    """One value of an SQL type, as the values table says."""
    converter = _TO_JSON.get(type)
    return converter(value) if converter else value


def conflict_to_json(conflict: ConflictInfo) -> dict[str, Any]:
    """Its key holds values of SQL types, told apart by their Python types."""
    key = [_OF_PYTHON[type(value)](value) if type(value) in _OF_PYTHON else value for value in conflict.key]
    return {**msgspec.structs.asdict(conflict), "key": key}


def _bigint_to_json(value: Value) -> Value:
    return str(value) if value is not None and not -MAX_EXACT <= value <= MAX_EXACT else value


def _numeric_to_json(value: Value) -> Value:
    return None if value is None else str(value)


def _double_to_json(value: Value) -> Value:
    """A number, or the word for what JSON has no number for."""
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _bytea_to_json(value: Value) -> Value:
    return None if value is None else base64.b64encode(value).decode()


def _timestamptz_to_json(value: Value) -> Value:
    return None if value is None else time_to_json(value)


def time_of(ts: int) -> str:
    """The time of an oracle timestamp."""
    return time_to_json(ids.time_at(ts))


def time_to_json(time: datetime) -> str:
    """ISO 8601 in UTC with microseconds."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


_TO_JSON: dict[str, Callable[[Value], Value]] = {
    "BIGINT": _bigint_to_json,
    "NUMERIC": _numeric_to_json,
    "DOUBLE PRECISION": _double_to_json,
    "BYTEA": _bytea_to_json,
    "TIMESTAMPTZ": _timestamptz_to_json,
}
_OF_PYTHON: dict[type, Callable[[Value], Value]] = {
    int: _bigint_to_json, float: _double_to_json, bytes: _bytea_to_json, datetime: _timestamptz_to_json,
}  # fmt: skip
