"""SQL that means something, and two places where a body fits the document and yet is rightly refused.

Most statements become one of STATEMENTS, over the table that the test made: so that requests get past the parser,
write, and meet constraints.
"""

from __future__ import annotations

import functools
import zlib
from typing import Any

import schemathesis
from jsonschema import Draft202012Validator

STATEMENTS: list[tuple[str, list[Any] | dict[str, Any]]] = [
    ("SELECT * FROM fuzzed ORDER BY id", []),
    ("SELECT count(*), sum(b), min(n), max(b) FROM fuzzed", []),
    ("SELECT id, b FROM fuzzed WHERE id = $1", [3]),
    ("SELECT n FROM fuzzed WHERE n = :n OR b < 5 LIMIT 3", {"n": "x"}),
    ("SELECT 1 + 1", []),
    ("INSERT INTO fuzzed (id, b, n) VALUES ($1, $2, $3)", ["9223372036854775807", 2**53 + 1, "\u00e9"]),
    ("INSERT INTO fuzzed (id, b) VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6) RETURNING *", []),
    ("INSERT INTO fuzzed (id, b) VALUES (9, -1)", []),
    ("UPDATE fuzzed SET b = b + 1 WHERE id = 3", []),
    ("UPDATE fuzzed SET b = b + $1, n = $2 WHERE b < 1000", [1, None]),
    ("UPDATE fuzzed SET d = $1, y = $2 WHERE id < 4 RETURNING *", ["-Infinity", "AP/+"]),
    ("UPDATE fuzzed SET u = $1, z = $2", ["0197a0b1-0000-7000-8000-0000000000ff", "2026-01-02T03:04:05+01:00"]),
    ("SELECT avg(b), avg(d), max(z), min(n) FROM fuzzed GROUP BY b > 2", []),
    ("UPDATE fuzzed SET id = id + 1 WHERE id > 100", []),
    ("UPDATE fuzzed SET b = b / 0 WHERE id = 2", []),
    ("DELETE FROM fuzzed WHERE id = ? RETURNING id", [5]),
    ("DELETE FROM fuzzed WHERE id = $1", [True]),
    ("DELETE FROM fuzzed", []),
    ("CREATE TABLE fuzzed (id BIGINT PRIMARY KEY)", []),
    ("CREATE TABLE made_by_chance (id INT PRIMARY KEY, t TEXT DEFAULT 'x', b BOOLEAN)", []),
    ("COMMIT", []),
]
# Whose bodies have statements -> the shape of the body.
WITH_STATEMENTS = {
    "POST /api/v1/transactions": "Transaction",
    "POST /api/v1/transactions/{id}/statements": "Statements",
}
# Why an order of nodes is refused.
OF_NODES = ("for 3 replicas", "there is a node")


@schemathesis.hook  # type: ignore[untyped-decorator]
def map_body(context: Any, body: Any) -> Any:
    """What does not fit the document is meant so and stays as it is."""
    shape = WITH_STATEMENTS.get(context.operation.label)
    if shape is None or not _validator(context.operation, shape).is_valid(body) or "statements" not in body:
        return body
    return {**body, "statements": [_with_meaning(each) for each in body["statements"]]}


@functools.cache
def _validator(operation: Any, shape: str) -> Draft202012Validator:
    components = operation.schema.raw_schema["components"]
    return Draft202012Validator({"$ref": f"#/components/schemas/{shape}", "components": components})


def _with_meaning(statement: Any) -> Any:
    """Sooner or later each of STATEMENTS, with and without the row count that was there; or the statement as it is."""
    at = zlib.crc32(repr(statement).encode(errors="backslashreplace"))
    if at % 3 == 0:
        return statement
    sql, params = STATEMENTS[at % len(STATEMENTS)]
    kept = {"expect_rows": statement["expect_rows"]} if at % 5 == 0 and "expect_rows" in statement else {}
    return {"sql": sql, "params": params, **kept}


@schemathesis.hook  # type: ignore[untyped-decorator]
def filter_case(context: Any, case: Any) -> bool:
    """A reply to a read has an empty id, which a link would put into a path. The nodes of the test shall stay."""
    if case.operation.label == "DELETE /api/v1/nodes/{node}" and (case.query or {}).get("fewer_replicas"):
        return False
    return all(value != "" for value in (case.path_parameters or {}).values())


@schemathesis.hook  # type: ignore[untyped-decorator]
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Keep it unless the body fits the document and was refused for what no document can say: what the SQL means, that
    a key belongs to another request (the answer then has an SQLSTATE), which nodes there are, that an interactive
    transaction takes no key, or that an integer is written without a point.
    """
    if failure.code != "ST202" or response.status_code not in (400, 413, 422):
        return True
    problem = response.json()
    if "/api/v1/nodes/" in case.operation.label and any(words in problem["detail"] for words in OF_NODES):
        return False
    if "takes no Idempotency-Key" in problem["detail"]:
        return False
    return not (problem.get("sqlstate") or ("must be an integer" in problem["detail"] and _has_point(case.body)))


def _has_point(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(_has_point, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and value.is_integer()
