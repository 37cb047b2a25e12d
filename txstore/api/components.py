"""The shapes that the API takes and gives, as JSON Schema: the components of the OpenAPI document.

They say what `serializers`, `listings`, `tokens` and `errors` do; the fuzz test holds every answer against them.
"""

from __future__ import annotations

from nodes import ids
from nodes.errors import DID_NOT_HAPPEN, HAPPENED, UNKNOWN
from nodes.requests import ABORTED, ACTIVE, COMMITTED, EXPIRED, MOST_TRANSACTIONS, UNDECIDED
from txstore import members
from txstore.api import errors, listings, paging, shapes, tokens
from txstore.api.shapes import AGE, COUNT, TIME, TIMEOUT_MS, TRANSACTION_ID, Schema, listed, record, ref

VALUES = """
| SQL | in a reply | in a request |
|---|---|---|
| INT | number | number or decimal string |
| BIGINT | number up to 2^53, a string beyond | number or decimal string |
| DOUBLE PRECISION | number, or `"NaN"`, `"Infinity"`, `"-Infinity"` | the same |
| NUMERIC | string, exact | string or number |
| BOOLEAN, TEXT, NULL | as JSON has them | the same |
| BYTEA | base64 string | the same |
| UUID | string | the same |
| TIMESTAMPTZ | ISO 8601 in UTC with microseconds | ISO 8601 with an offset |
"""
KEY_PATTERN = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
ID_OR_KEY = {
    "type": "string",
    "pattern": f"({TRANSACTION_ID['pattern']})|({KEY_PATTERN})",
    "description": "A transaction id of this cluster, or the Idempotency-Key of a request.",
}
TIMESTAMP = {"type": ["string", "null"], "pattern": "^[1-9][0-9]*$", "description": "A timestamp, as a decimal string."}
NODE = {"type": "integer", "minimum": 1}
GROUP_PATTERN = "^[cs][0-9]+$"
KNOWN_SINCE = "The answer holds for what was first sent after this time."


def page_of(name: str) -> Schema:
    next_page = {"type": ["string", "null"], "description": "The path of the next page; null on the last one."}
    return record({"results": listed(ref(name), maxItems=paging.MAX_LIMIT), "next": next_page})


RESULT = record(
    {"columns": listed({"type": "string"}), "rows": listed(listed(ref("Value"))), "row_count": COUNT},
    description="What one statement gave. `row_count`: rows returned by a SELECT, rows changed by anything else.",
)
REPLY = record(
    {
        "id": {"type": "string", "pattern": "^(t[a-z2-7]{40})?$", "description": "Empty for one that only read."},
        "state": {"const": COMMITTED},
        "commit_ts": TIMESTAMP,
        "ts": TIMESTAMP,
        "session_token": TIMESTAMP,
        "attempts": {**COUNT, "description": "0 for one that only read."},
        "shards": listed({"type": "string", "pattern": listings.SHARD_PATTERN}),
        "results": listed(ref("Result")),
        "results_lost": {"const": True},
        "repeated": {"const": True, "description": "An earlier request with this key did it."},
    },
    optional=("results_lost", "repeated"),
    is_open=True,
)
FATE = record(
    {
        "id": ID_OR_KEY,
        "state": {"enum": [ACTIVE, UNDECIDED, COMMITTED, ABORTED, EXPIRED]},
        "outcome": {"enum": [HAPPENED, DID_NOT_HAPPEN, UNKNOWN]},
        "commit_ts": TIMESTAMP,
        "reason": {"type": ["string", "null"]},
        "transaction": {"type": ["string", "null"], "description": "The id that was committed under a key."},
        "known_since": {**TIME, "type": ["string", "null"], "description": KNOWN_SINCE},
    },
    is_open=True,
)
TEXT_OR_NULL = {"type": ["string", "null"]}
TIME_OR_NULL = {"type": ["string", "null"], "format": "date-time"}
NAMES = listed({"type": "string"})
LOCKS = record({"table": {"type": "string"}, "mode": {"type": "string"}, "keys": COUNT}, is_open=True)
DOUBT = record(
    {
        "shard": {"type": "string"},
        "for_ms": COUNT,
        "node": {"type": "string"},
        "locks": listed(LOCKS),
        "waiting": listed(TRANSACTION_ID),
        "waiting_count": COUNT,
    },
    is_open=True,
)
DECISION = record(
    {
        "home": {"type": "string"},
        "commit": {"type": "boolean"},
        "commit_ts": TIMESTAMP,
        "reason": TEXT_OR_NULL,
        "ballot": TEXT_OR_NULL,
        "slot": {"type": ["integer", "null"], "minimum": 1},
        "held_by": NAMES,
        "members": NAMES,
    },
    is_open=True,
)
REMEMBERED = record(
    {
        "id": TRANSACTION_ID,
        "gateway": {"type": "string"},
        "state": {"enum": [ACTIVE, UNDECIDED, COMMITTED, ABORTED]},
        "begun_at": TIME_OR_NULL,
        "ended_at": TIME_OR_NULL,
        "duration_ms": {"type": ["number", "null"], "minimum": 0},
        "attempt": COUNT,
        "shards": listed({"type": "string"}),
        "statements": listed(record({"sql": {"type": "string"}, "params": {}}, is_open=True)),
        "statements_left_out": COUNT,
        "commit_ts": TIMESTAMP,
        "code": TEXT_OR_NULL,
        "cause": TEXT_OR_NULL,
        "retried_as": TEXT_OR_NULL,
        "in_doubt": listed(DOUBT),
        "decision": {"anyOf": [DECISION, {"type": "null"}]},
    },
    is_open=True,
    description="What the nodes remember of one transaction id.",
)
REACH = {
    "known_since": {**TIME_OR_NULL, "description": "From then on all that answered remember everything."},
    "silent": listed({"type": "string"}, description="The nodes that did not answer."),
}
TRANSACTIONS = record(
    {
        "results": listed(ref("RememberedTransaction"), maxItems=MOST_TRANSACTIONS),
        "next": {**TEXT_OR_NULL, "description": "The path of the next page; null on the last one."},
        **REACH,
    }
)
STEP = record(
    {
        "at": TIME_OR_NULL,
        "node": {"type": "string"},
        "group": TEXT_OR_NULL,
        "step": {"type": "string"},
        "detail": {"type": "object"},
    },
    description="One step, by the clock of its node; `group` is null for the gateway's own.",
)
TRACE = record(
    {
        "id": TRANSACTION_ID,
        "fate": {"anyOf": [ref("Fate"), {"type": "null"}]},
        "transaction": {"anyOf": [ref("RememberedTransaction"), {"type": "null"}]},
        "steps": listed(ref("Step")),
        **REACH,
    },
    is_open=True,
    description="A transaction's whole story, in the order of the nodes' clocks.",
)
CONFLICT = record(
    {
        "transaction": {"type": "string", "description": "The other one; empty when there is none."},
        "table": {"type": "string"},
        "key": listed(
            ref("Value"),
            description="Of the primary key: all values for a row, the first ones for all rows that have these.",
        ),
        "waited_ms": {**COUNT, "description": "How long this transaction had waited for locks."},
        "cause": {"enum": ["wounded", "timed_out", "table_changed", "not_available"]},
        "help": {"type": "string", "description": "What would help, in words."},
    },
    description="To whom a transaction lost, and where.",
)
PROBLEM = record(
    {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string", "minLength": 1},
        "status": {"enum": sorted({row.status for row in errors.TABLE.values()})},
        "detail": {"type": "string", "minLength": 1},
        "code": {"enum": sorted(errors.TABLE)},
        "outcome": {"enum": [HAPPENED, DID_NOT_HAPPEN, UNKNOWN]},
        "retryable": {"type": "boolean"},
        "sqlstate": {"type": "string", "pattern": "^[0-9A-Z]{5}$"},
        "transaction": {"type": "string"},
        "statement": {**COUNT, "description": "The statement that is at fault, counted from 0."},
        "conflict": ref("Conflict"),
        "known_since": {**TIME, "description": KNOWN_SINCE},
        "age": {**AGE, "description": "An interactive transaction that is begun with it keeps the place of this one."},
    },
    optional=("sqlstate", "transaction", "statement", "conflict", "known_since", "age"),
    description="An error (RFC 9457). `type` leads to its words; `outcome` says whether the request happened.",
)

REPLICA = record(
    {
        "node": NODE,
        "role": {"enum": ["leader", "candidate", "follower", "stopped"]},
        "applied_slot": COUNT,
        "chosen_slot": COUNT,
        "last_slot": COUNT,
        "lag": COUNT,
        "stopped": {"type": "string"},
    },
    is_open=True,
)
GROUP = record(
    {
        "group": {"type": "string"},
        "kind": {"enum": ["coordinator", "shard"]},
        "leader": {"type": ["integer", "null"]},
        "epoch": COUNT,
        "members": listed(NODE, description="The voters."),
        "learners": listed(NODE),
        "replicas": listed(ref("Replica")),
    },
    is_open=True,
)
NODE_STATE = record(
    {
        "node": NODE,
        "name": {"type": "string"},
        "address": {"type": "string"},
        "up": {"type": "boolean"},
        "ready": {"type": ["boolean", "null"], "description": "It takes requests."},
        "error": {"type": "string"},
    },
    is_open=True,
)
CLUSTER = record(
    {
        "node": NODE,
        "cluster_id": {"type": "string"},
        "waiting": listed(listed({}), description="Number, address and incarnation of nodes that ask to be let in."),
        "leaving": listed(listed(COUNT), description="Node and successor, 0 for whoever has room."),
        "gone": listed(NODE),
        "nodes": listed(ref("Node")),
        "groups": listed(ref("Group")),
        "in_doubt": record({"count": COUNT, "oldest_ms": COUNT}, is_open=True),
        "aborts": {
            "type": "object",
            "additionalProperties": COUNT,
            "description": "Attempts that were aborted since the nodes began, by cause; more is in docs/errors.md.",
        },
    },
    is_open=True,
    description="What the node that was asked knows, with what the others told it within a second.",
)

SUCCESSOR = {"type": ["integer", "null"], "minimum": 1, "description": "Null for whoever has room, or for none."}
MEMBER = record(
    {
        "node": NODE,
        "state": {"enum": list(members.STATES), "description": "waiting: it asks to be let in."},
        "address": TEXT_OR_NULL,
        "successor": SUCCESSOR,
        "up": {"type": "boolean"},
        "ready": {"type": "boolean", "description": "It takes requests."},
        "groups": listed({"type": "string"}, description="The groups that have a replica on it."),
    }
)
NODE_ORDER = record(
    {"node": NODE, "state": {"enum": list(members.STATES)}, "successor": SUCCESSOR},
    description="What is wanted of the node now; the groups follow by and by.",
)

COLUMN = record(
    {
        "name": {"type": "string"},
        "type": {"type": "string"},
        "nullable": {"type": "boolean"},
        "has_default": {"type": "boolean"},
        "default": ref("Value"),
        "default_is_now": {"type": "boolean", "description": "A new row takes the time of its transaction."},
    }
)
NAMES = listed({"type": "string"})
TABLE = record(
    {
        "name": {"type": "string"},
        "version": {"type": "integer", "minimum": 1, "description": "It rises with each change of the definition."},
        "columns": listed(ref("Column"), minItems=1),
        "primary_key": NAMES,
        "shard_by": NAMES,
        "checks": {**NAMES, "description": "The names of its CHECK constraints."},
    }
)
SHARD = record(
    {
        "name": {"type": "string", "pattern": listings.SHARD_PATTERN},
        "kind": {"enum": ["system", "user"]},
        "slots": listed(record({"first": COUNT, "last": COUNT})),
        "members": listed(NODE, description="The nodes that hold a replica."),
        "leader": {"type": ["integer", "null"], "description": "As far as the node that was asked knows."},
    }
)

TOKEN_FIELDS = {
    "id": {"type": "string", "pattern": tokens.ID_PATTERN, "description": "The beginning of the token."},
    "user": {"type": "string"},
    "created_at": TIME,
    "expires_at": {**TIME, "type": ["string", "null"]},
}
TOKEN = record(TOKEN_FIELDS)
NEW_TOKEN = record(
    {**TOKEN_FIELDS, "token": {"type": "string", "description": "Told only once: only its hash is kept."}}
)
TOKEN_REQUEST = record(
    {
        "user": {
            "type": "string",
            "minLength": 1,
            "description": "Another user's name, which only a superuser may say.",
        },
        "lifetime_s": {
            "type": "integer",
            "minimum": 1,
            "maximum": tokens.MAX_LIFETIME_S,
            "default": tokens.DEFAULT_LIFETIME_S,
        },
    },
    optional=("user", "lifetime_s"),
)

SCHEMAS: dict[str, Schema] = {
    "Value": {"type": ["string", "number", "boolean", "null"], "description": VALUES},
    **shapes.SCHEMAS,
    "Result": RESULT,
    "Reply": REPLY,
    "Fate": FATE,
    "RememberedTransaction": REMEMBERED,
    "Transactions": TRANSACTIONS,
    "Step": STEP,
    "Trace": TRACE,
    "Conflict": CONFLICT,
    "Problem": PROBLEM,
    "Replica": REPLICA,
    "Group": GROUP,
    "Node": NODE_STATE,
    "Leader": record(
        {
            "node": {**NODE, "maximum": ids.MAX_NODE, "description": "The number of the node that shall lead."},
            "timeout_ms": TIMEOUT_MS,
        },
        optional=("timeout_ms",),
    ),
    "Leadership": record(
        {"group": {"type": "string", "pattern": GROUP_PATTERN}, "leader": NODE, "epoch": COUNT},
        description="The node leads the group, in this term or ballot.",
    ),
    "Cluster": CLUSTER,
    "Member": MEMBER,
    "Nodes": record({"results": listed(ref("Member"))}),
    "NodeOrder": NODE_ORDER,
    "Patience": record({"timeout_ms": TIMEOUT_MS}, optional=("timeout_ms",)),
    "Successor": record(
        {
            "node": {**NODE, "maximum": ids.MAX_NODE, "description": "The number of a member that takes the place."},
            "timeout_ms": TIMEOUT_MS,
        },
        optional=("timeout_ms",),
    ),
    "Column": COLUMN,
    "Table": TABLE,
    "Tables": page_of("Table"),
    "Shard": SHARD,
    "Shards": page_of("Shard"),
    "Token": TOKEN,
    "NewToken": NEW_TOKEN,
    "Tokens": page_of("Token"),
    "TokenRequest": TOKEN_REQUEST,
    "Nothing": record({}),
}
