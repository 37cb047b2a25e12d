"""Examples of the OpenAPI document: requests that work one after the other on an empty store, and errors as they are
told."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample

from nodes.errors import UNKNOWN, ConflictInfo, ErrorInfo

LOST, WON = (f"tab{'a' * 32}{end}" for end in ("bcdef2", "bcdef3"))


def _request(name: str, value: object) -> OpenApiExample:
    return OpenApiExample(name, value, request_only=True)


TRANSACTIONS = [
    _request(
        "create a table",
        {
            "statements": [
                {"sql": "CREATE TABLE accounts (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL CHECK (balance >= 0))"}
            ]
        },
    ),
    _request("insert", {"statements": [{"sql": "INSERT INTO accounts (id, balance) VALUES (1, 100), (2, 100)"}]}),
    _request(
        "transfer",
        {
            "statements": [
                {
                    "sql": "UPDATE accounts SET balance = balance - $1 WHERE id = $2 AND balance >= $1",
                    "params": [10, 1],
                    "expect_rows": 1,
                },
                {
                    "sql": "UPDATE accounts SET balance = balance + $1 WHERE id = $2 RETURNING balance",
                    "params": [10, 2],
                    "expect_rows": 1,
                },
            ],
            "timeout_ms": 10_000,
        },
    ),
    _request(
        "read",
        {
            "statements": [{"sql": "SELECT id, balance FROM accounts WHERE id = :id", "params": {"id": 1}}],
            "read_only": True,
        },
    ),
    _request(
        "read the past",
        {"statements": [{"sql": "SELECT sum(balance), count(*) FROM accounts"}], "as_of": "-5s"},
    ),
    _request(
        "read what may be old",
        {"statements": [{"sql": "SELECT id, balance FROM accounts"}], "max_staleness_ms": 5_000},
    ),
    _request("begin an interactive one", {"mode": "interactive"}),
]
_RUN = [
    {"sql": "SELECT balance FROM accounts WHERE id = $1", "params": [1], "expect_rows": 1},
    {"sql": "UPDATE accounts SET balance = balance + 1 WHERE id = $1", "params": [1]},
]
STATEMENTS = [_request("read and write", {"statements": _RUN, "timeout_ms": 10_000})]
SAVEPOINTS = [_request("a name", {"name": "before_the_fees"})]
TOKENS = [_request("for an hour", {"lifetime_s": 3_600})]

AGE_HELPS = "try again with the age that is told: then it is older than all that begin later"
PROBLEMS = [
    ErrorInfo("bad_request", 'relation "nowhere" does not exist', sqlstate="42P01", statement=0),
    ErrorInfo("not_supported", "FULL JOIN is not supported", sqlstate="0A000"),
    ErrorInfo("unauthenticated", "The token is wrong, revoked or expired, or its user is not active."),
    ErrorInfo("forbidden", "The user bob may not write: that takes the group writers."),
    ErrorInfo("not_found", "no such transaction: the id was minted by another cluster"),
    ErrorInfo("method_not_allowed", 'Method "DELETE" not allowed.'),
    ErrorInfo(
        "conflict",
        f"aborted at s2: the older transaction {WON} needs the row (id) = (2) of accounts, which this one had locked; "
        f"it did not happen: {AGE_HELPS}",
        sqlstate="40001",
        retryable=True,
        transaction=LOST,
        statement=1,
        conflict=ConflictInfo(WON, "accounts", [2], 12, "wounded", AGE_HELPS),
    ),
    ErrorInfo(
        "constraint",
        'duplicate key value violates unique constraint "accounts_pkey"',
        sqlstate="23505",
        transaction=LOST,
        statement=0,
    ),
    ErrorInfo("expectation_failed", "0 rows, expected 1", sqlstate="02000", transaction=LOST, statement=0),
    ErrorInfo("aborted", "the transaction was fenced", sqlstate="40000", transaction=LOST),
    ErrorInfo(
        "lock_not_available",
        'could not obtain lock on row in relation "accounts"',
        sqlstate="55P03",
        transaction=LOST,
        statement=0,
        conflict=ConflictInfo(
            WON, "accounts", [], 0, "not_available", "try again when that one has ended, or without NOWAIT"
        ),
    ),
    ErrorInfo(
        "snapshot_too_old",
        "the snapshot at 115640483 is too old: history is kept from 115640999 on; read at a later time",
        sqlstate="72000",
        statement=0,
    ),
    ErrorInfo("too_large", "The request has 10000 statements; at most 1000 are taken.", sqlstate="54000"),
    ErrorInfo("key_reused", "the key belongs to another request", sqlstate="22023", transaction=LOST),
    ErrorInfo("unsupported_media_type", 'Unsupported media type "text/plain" in request.'),
    ErrorInfo(
        "too_many_requests", "The caller has used up its requests. The next one is taken in 2 s.", retryable=True
    ),
    ErrorInfo("internal", "The server failed; its log says how.", outcome=UNKNOWN),
    ErrorInfo("unavailable", "no node answers: 127.0.0.1:7101: Connection refused", sqlstate="57P03", retryable=True),
    ErrorInfo(
        "outcome_unknown",
        "the node gave no answer in time; its fate could not be learnt",
        sqlstate="08007",
        outcome=UNKNOWN,
        transaction=LOST,
    ),
]
