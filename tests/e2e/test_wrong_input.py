"""Wrong input over HTTP on a real cluster: the answer of the table of errors, nothing changed, no trace in any log."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from nodes import ids
from tests.e2e.cluster import LocalCluster
from tests.e2e.logs import faults
from tests.e2e.rest import PATH, Door, check_problem
from tests.e2e.web import WebServer

ROWS = [[1, 100, "one"], [2, 200, "two"], [3, 300, None]]
DELETE = {"sql": "DELETE FROM kept"}
MIB = 1 << 20


@pytest.fixture(scope="module")
def web(local_cluster: LocalCluster) -> Iterator[WebServer]:
    server = WebServer(local_cluster)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def table(web: WebServer) -> Door:
    door = Door(web.address, web.token)
    create = "CREATE TABLE kept (id BIGINT PRIMARY KEY, b BIGINT NOT NULL CHECK (b >= 0), n TEXT)"
    assert door.transact((create, [])).status == 200
    insert = "INSERT INTO kept (id, b, n) VALUES ($1, $2, $3)"
    assert door.transact(*((insert, row) for row in ROWS)).status == 200
    return door


@pytest.fixture(autouse=True)
def unchanged(table: Door, local_cluster: LocalCluster) -> Iterator[None]:
    """After each test: the rows and tables are what they were, and no program had a fault."""
    yield
    assert table.rows("SELECT * FROM kept ORDER BY id") == ROWS
    listed = table.ask("GET", "/api/v1/tables").body["results"]
    assert [each["name"] for each in listed] == ["kept"]
    assert faults(local_cluster.directory) == []


def requesting(*statements: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({"statements": list(statements), **fields}).encode()


BODIES: dict[str, tuple[bytes, int, str, str]] = {
    "not JSON": (b'{"statements": [', 400, "bad_request", ""),
    "no object": (b'[{"sql": "DELETE FROM kept"}]', 400, "bad_request", ""),
    "a text for statements": (b'{"statements": "DELETE FROM kept"}', 400, "bad_request", ""),
    "a number for sql": (requesting({"sql": 1}), 400, "bad_request", ""),
    "a text for the time": (requesting(DELETE, timeout_ms="10"), 400, "bad_request", ""),
    "a text for read_only": (requesting(DELETE, read_only="yes"), 400, "bad_request", ""),
    "the same key twice": (b'{"statements": [{"sql": "DELETE FROM kept", "sql": "SELECT 1"}]}', 400, "bad_request", ""),
    "nested deeply": (b"[" * 200_000, 400, "bad_request", ""),
    "10 MB": (requesting(DELETE, x="x" * (10 * MIB)), 413, "too_large", ""),
    "10 MB of SQL": (requesting(DELETE, {"sql": "x" * (10 * MIB)}), 413, "too_large", ""),
    "10,000 statements": (requesting(*[DELETE] * 10_000), 413, "too_large", "54000"),
}
# What the second statement is, beside one that would delete everything.
STATEMENTS: dict[str, tuple[str, Any, str]] = {
    "NUL in a parameter": ("SELECT $1", ["a\0b"], "22021"),
    "NUL in SQL": ("SELECT 'a\0b'", [], "22021"),
    "a parameter is missing": ("UPDATE kept SET b = $1 WHERE id = $2", [1], "42P02"),
    "a name is missing": ("DELETE FROM kept WHERE id = :b", {"a": 1}, "42P02"),
    "an unknown table": ("DELETE FROM nowhere", [], "42P01"),
    "an unknown column": ("UPDATE kept SET x = 1", [], "42703"),
    "the catalog's table": ("DELETE FROM txstore_tables", [], "42501"),
    "no SQL": ("Lorem ipsum", [], "42601"),
    "a wrong type": ("UPDATE kept SET b = $1", ["x"], "22P02"),
    "beyond every number": ("UPDATE kept SET b = $1", [2**63], "22003"),
}


@pytest.mark.parametrize(("sql", "params", "sqlstate"), STATEMENTS.values(), ids=STATEMENTS.keys())
def test_a_wrong_statement_undoes_the_rest(table: Door, sql: str, params: Any, sqlstate: str) -> None:
    problem = check_problem(table.transact(("DELETE FROM kept", []), (sql, params)), 400, "bad_request", sqlstate)
    assert problem["statement"] == 1


@pytest.mark.parametrize(("body", "status", "code", "sqlstate"), BODIES.values(), ids=BODIES.keys())
def test_a_wrong_body_is_refused(table: Door, body: bytes, status: int, code: str, sqlstate: str) -> None:
    check_problem(table.ask("POST", PATH, body), status, code, sqlstate)


UNSUPPORTED = [
    "SELECT * FROM kept a JOIN kept b ON a.id = b.id",
    "SELECT (SELECT max(b) FROM kept)",
    "SELECT * FROM kept WHERE id IN (SELECT id FROM kept)",
    "WITH k AS (SELECT 1) SELECT * FROM k",
    "SELECT 1 UNION SELECT 2",
    "SELECT rank() OVER (ORDER BY b) FROM kept",
    "SELECT * FROM kept FOR NO KEY UPDATE",
    "INSERT INTO kept (id, b) VALUES (9, 9) ON CONFLICT DO NOTHING",
    "INSERT INTO kept (id, b) SELECT id + 10, b FROM kept",
    "UPDATE kept SET b = k.b FROM kept k",
    "DELETE FROM kept USING kept k",
    "MERGE INTO kept USING kept k ON true WHEN MATCHED THEN DELETE",
    "TRUNCATE kept",
    "CREATE INDEX i ON kept (b)",
    "CREATE UNIQUE INDEX i ON kept (b)",
    "CREATE VIEW v AS SELECT 1",
    "CREATE SEQUENCE s",
    "CREATE FUNCTION f() RETURNS INT AS 'SELECT 1' LANGUAGE SQL",
    "CREATE TRIGGER t BEFORE INSERT ON kept EXECUTE FUNCTION f()",
    "CREATE TABLE late (id BIGINT PRIMARY KEY, k BIGINT REFERENCES kept (id))",
    "CREATE TABLE late (id BIGINT PRIMARY KEY, k BIGINT UNIQUE)",
    "CREATE TABLE late (id SERIAL PRIMARY KEY)",
    "CREATE TABLE late (id BIGINT)",
    "CREATE TABLE late AS SELECT * FROM kept",
    "CREATE TEMPORARY TABLE late (id BIGINT PRIMARY KEY)",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT s",
    "PREPARE p AS SELECT 1",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "SHOW ALL",
    "EXPLAIN SELECT 1",
    "VACUUM",
    "COPY kept TO STDOUT",
    "LISTEN x",
    "GRANT ALL ON kept TO bob",
    "PRAGMA journal_mode = DELETE",
    "ATTACH DATABASE 'x' AS y",
    "SELECT load_extension('x')",
    "SELECT pg_sleep(10)",
    "SELECT 1; DELETE FROM kept",
]


@pytest.mark.parametrize("sql", UNSUPPORTED)
def test_what_is_not_supported_is_refused_and_undoes_the_rest(table: Door, sql: str) -> None:
    for steps in ([(sql, [])], [("DELETE FROM kept", []), (sql, [])]):
        answer = table.transact(*steps)
        assert answer.body.get("code") in ("not_supported", "bad_request"), answer
        problem = check_problem(answer, 400, answer.body["code"])
        assert problem["sqlstate"]
        assert problem["statement"] == len(steps) - 1


def test_an_id_that_is_no_transactions_is_not_found(table: Door) -> None:
    foreign = ids.to_text(ids.mint(1 << 20, 1, 1, 1, "c1", b"another cluster!"))
    for text in ("x", "t1", foreign, "T" + foreign[1:], foreign[:-1], foreign + "a", "%00", "%F0%9F", "..%2F..%2Fx"):
        check_problem(table.fate(text), 404, "not_found")
        check_problem(table.fence(text), 404, "not_found")


@pytest.mark.parametrize("path", ["%00", "%FF", "a%20b", "x" * 4_000, "..", "nowhere", "txstore_tables", "'; DROP"])
def test_a_table_that_is_not_there_is_not_found(table: Door, path: str) -> None:
    check_problem(table.ask("GET", f"/api/v1/tables/{path.replace(' ', '%20')}"), 404, "not_found")


HEADERS: dict[str, tuple[dict[str, str], int, str]] = {
    "no token": ({"Authorization": ""}, 401, "unauthenticated"),
    "a wrong token": ({"Authorization": "Bearer wrong"}, 401, "unauthenticated"),
    "a token of the right length": ({"Authorization": "Bearer " + "0" * 64}, 401, "unauthenticated"),
    "a password": ({"Authorization": "Basic YWRtaW46YWRtaW4="}, 401, "unauthenticated"),
    "another kind of body": ({"Content_Type": "text/plain"}, 415, "unsupported_media_type"),
    "a form": ({"Content_Type": "multipart/form-data; boundary=x"}, 415, "unsupported_media_type"),
    "another host": ({"Host": "example.org"}, 400, "bad_request"),
}


@pytest.mark.parametrize(("headers", "status", "code"), HEADERS.values(), ids=HEADERS.keys())
def test_a_wrong_header_is_refused(table: Door, headers: dict[str, str], status: int, code: str) -> None:
    check_problem(table.ask("POST", PATH, requesting(DELETE), **headers), status, code)


@pytest.mark.parametrize(
    "length",
    ["", "Content-Length: -1\r\n", "Content-Length: x\r\n", "Content-Length: 99999999999999999999\r\n",
     "Content-Length: 5\r\nContent-Length: 6\r\n", "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: x\r\n"],
)  # fmt: skip
def test_a_body_without_an_honest_length_is_refused(web: WebServer, table: Door, length: str) -> None:
    """Over a bare socket. A body that says it is longer than it is never comes to an end: the caller gives up."""
    host, port = web.address.split(":")
    body = requesting(DELETE)
    head = f"POST {PATH} HTTP/1.1\r\nHost: {web.address}\r\nAuthorization: Bearer {web.token}\r\n"
    head += f"Content-Type: application/json\r\nConnection: close\r\n{length}\r\n"
    if "chunked" in length:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    with socket.create_connection((host, int(port)), timeout=30) as line:
        line.sendall(head.encode() + body)
        line.shutdown(socket.SHUT_WR)
        answer = line.recv(65_536)
    status = answer.split(b" ")[1:2]
    assert not answer or status[0].startswith(b"4"), answer


def test_an_unknown_path_or_method_is_told_so(table: Door) -> None:
    for path in ("/api", "/api/", "/api/v1", "/api/v2/cluster", "/api/v1/transactions/", "/api/v1/nothing"):
        check_problem(table.ask("GET", path), 404, "not_found")
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"):
        answer = table.ask(method, PATH)
        check_problem(answer, 405, "method_not_allowed")
        assert "POST" in answer.headers["allow"]
