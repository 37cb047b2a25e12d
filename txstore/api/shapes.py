"""How shapes are put together, those that many others use, and those of a request of transactions."""

from __future__ import annotations

from typing import Any

from nodes.requests import ABORTED, ACTIVE, MOST_STALENESS_MS
from txstore.api import interactive, serializers

Schema = dict[str, Any]

TEXT = "^[^\\u0000]*$"
TRANSACTION_ID = {"type": "string", "pattern": "^t[a-z2-7]{40}$", "description": "A transaction id of this cluster."}
COUNT = {"type": "integer", "minimum": 0}
TIME = {"type": "string", "format": "date-time"}
TIMEOUT_MS = {
    "type": "integer",
    "minimum": 1,
    "maximum": serializers.MAX_TIMEOUT_MS,
    "default": serializers.DEFAULT_TIMEOUT_MS,
}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def record(properties: Schema, *, optional: tuple[str, ...] = (), is_open: bool = False, **more: Any) -> Schema:
    """An object with these properties and (unless `is_open`) no others; all of them are there but the optional ones."""
    required = [name for name in properties if name not in optional]
    found: Schema = {"type": "object", "properties": properties, "required": required, **more}
    return found if is_open else {**found, "additionalProperties": False}


def listed(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


STATEMENT = record(
    {
        "sql": {"type": "string", "minLength": 1, "pattern": TEXT, "description": "One SQL statement."},
        "params": {
            "description": "A list for `$1` and `?`, an object for `:name`.",
            "anyOf": [
                listed(ref("Value")),
                {"type": "object", "additionalProperties": ref("Value"), "propertyNames": {"pattern": TEXT}},
            ],
            "default": [],
        },
        "expect_rows": {
            "type": "integer",
            "minimum": 0,
            "maximum": serializers.MAX_BIGINT,
            "description": "The rows that it must change or return; with another number nothing happens at all.",
        },
    },
    optional=("params", "expect_rows"),
)
STATEMENTS = {
    "statements": listed(ref("Statement"), minItems=1, maxItems=serializers.MAX_STATEMENTS),
    "timeout_ms": TIMEOUT_MS,
}
ONE_SHOT = record(
    {
        "mode": {"const": serializers.ONE_SHOT},
        **STATEMENTS,
        "read_only": {
            "type": ["boolean", "null"],
            "description": "true: only SELECT is allowed. A request of SELECTs only is read-only by itself.",
        },
        "as_of": {
            "type": "string",
            "pattern": "^([0-9]{1,19}|-[0-9]{1,12}(ms|s|m|h)|[0-9]{4}-[0-9]{2}-[0-9]{2}T.{5,50})$",
            "description": "Of SELECTs alone: read the past. A time in ISO 8601 with its offset, how long ago (`-5s`;"
            " ms, s, m or h), or a timestamp of a reply.",
        },
        "max_staleness_ms": {
            "type": "integer",
            "minimum": 1,
            "maximum": MOST_STALENESS_MS,
            "description": "Of SELECTs alone: what they see may be so old. Replicas near by answer where they can.",
        },
        "session_token": {
            "type": "string",
            "pattern": "^[1-9][0-9]{0,18}$",
            "description": "That of a reply: all that it had seen and done is seen.",
        },
    },
    optional=("mode", "timeout_ms", "read_only", "as_of", "max_staleness_ms", "session_token"),
    description="All statements happen together, or none of them.",
)
AGE = {"type": "string", "pattern": interactive.AGE_PATTERN}
BEGIN = record(
    {
        "mode": {"const": serializers.INTERACTIVE},
        "age": {**AGE, "description": "What the error of a transaction named that was lost: this one keeps its place."},
        "timeout_ms": TIMEOUT_MS,
    },
    optional=("age", "timeout_ms"),
    description="An interactive transaction is begun: its statements come in requests of their own.",
)
OPEN = {"id": TRANSACTION_ID, "state": {"const": ACTIVE}}
BEGUN = record(
    {
        **OPEN,
        "expires_at": {**TIME, "description": "It is rolled back then, if nothing is asked in it before."},
        "idle_ms": {**COUNT, "description": "It is rolled back when nothing is asked in it for so long."},
        "lives_ms": {**COUNT, "description": "It is rolled back so long after its beginning."},
    }
)
SAVEPOINT_NAME = {"type": "string", "pattern": interactive.NAME_PATTERN}
SCHEMAS: dict[str, Schema] = {
    "Statement": STATEMENT,
    "Transaction": {"anyOf": [ref("OneShot"), ref("Begin")]},
    "OneShot": ONE_SHOT,
    "Begin": BEGIN,
    "Begun": BEGUN,
    "Statements": record(STATEMENTS, optional=("timeout_ms",)),
    "Ran": record({**OPEN, "results": listed(ref("Result"))}),
    "Savepoint": record({"name": SAVEPOINT_NAME}),
    "Open": record(OPEN),
    "RolledBack": record({"id": TRANSACTION_ID, "state": {"const": ABORTED}}),
}
