"""The REST verbs on a real cluster: money moves, wrong input changes nothing, and a lost majority is told as such."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from nodes import ids
from tests.e2e.cluster import LocalCluster
from tests.e2e.rest import PATH, Answer, Door, check_problem, transfer
from tests.e2e.test_supervisor import eventually
from tests.e2e.web import WebServer

ACCOUNTS = 12
BALANCE = 100
TOTAL = ACCOUNTS * BALANCE


@pytest.fixture(scope="module")
def web(local_cluster: LocalCluster) -> Iterator[WebServer]:
    server = WebServer(local_cluster)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def bank(web: WebServer) -> Door:
    """The door to a bank of 12 accounts over all shards, made by one request of DDL and one of rows."""
    door = Door(web.address, web.token)
    create = "CREATE TABLE accounts (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL CHECK (balance >= 0), note TEXT)"
    made = door.transact((create, []))
    assert made.status == 200, made
    assert len(made.body["shards"]) == 7
    insert = "INSERT INTO accounts (id, balance, note) VALUES ($1, $2, $3)"
    filled = door.transact(*((insert, [number, BALANCE, f"note {number}"], 1) for number in range(1, ACCOUNTS + 1)))
    assert filled.status == 200, filled
    assert len(filled.body["shards"]) > 1
    return door


def balances(door: Door) -> dict[int, int]:
    return dict(door.rows("SELECT id, balance FROM accounts"))


# -- what the README shows


def test_a_transfer_is_one_request(bank: Door) -> None:
    before = balances(bank)
    answer = bank.transact(*transfer(1, 2), timeout_ms=10_000)
    assert answer.status == 200, answer
    body = answer.body
    assert (body["state"], body["attempts"]) == ("committed", 1)
    assert int(body["commit_ts"]) > 0
    assert 1 <= len(body["shards"]) <= 2
    assert body["results"] == [
        {"columns": [], "rows": [], "row_count": 1},
        {"columns": ["balance"], "rows": [[before[2] + 10]], "row_count": 1},
    ]
    assert balances(bank) == before | {1: before[1] - 10, 2: before[2] + 10}


def test_a_fate_is_the_same_from_every_node_and_over_http(bank: Door, local_cluster: LocalCluster) -> None:
    told = bank.transact(*transfer(3, 4)).body
    expected = {"id": told["id"], "state": "committed", "outcome": "happened", "commit_ts": told["commit_ts"]}
    assert bank.fate(told["id"]).body == {**expected, "reason": None, "transaction": None, "known_since": None}
    for node in local_cluster.numbers:
        with local_cluster.client(node) as client:
            fate = client.fate(told["id"])
            assert (fate.state, str(fate.commit_ts)) == ("committed", told["commit_ts"])


def test_a_fence_changes_nothing_of_what_is_committed(bank: Door) -> None:
    told = bank.transact(*transfer(5, 6)).body
    fenced = bank.fence(told["id"])
    assert (fenced.status, fenced.body["state"], fenced.body["outcome"]) == (200, "committed", "happened")
    assert fenced.body["commit_ts"] == told["commit_ts"]


def keyed(door: Door, key: str, *statements: tuple[Any, ...]) -> Answer:
    listed = [dict(zip(("sql", "params", "expect_rows"), each, strict=False)) for each in statements]
    return door.ask("POST", PATH, json.dumps({"statements": listed}).encode(), Idempotency_Key=key)


def test_under_one_key_a_request_happens_once_and_a_fenced_key_never(bank: Door) -> None:
    key, before = str(uuid4()), balances(bank)
    told = [keyed(bank, key, *transfer(7, 8)) for _ in range(3)]
    assert [(each.status, each.body.get("repeated", False)) for each in told] == [
        (200, False),
        (200, True),
        (200, True),
    ]
    assert len({each.body["id"] for each in told}) == 1
    assert told[2].body["results"] == told[0].body["results"]
    problem = check_problem(keyed(bank, key, *transfer(8, 7)), 422, "key_reused")
    assert problem["outcome"] == "did_not_happen"
    fate = bank.fate(key.upper()).body
    assert (fate["id"], fate["state"], fate["transaction"]) == (key, "committed", told[0].body["id"])
    assert bank.ask("GET", f"{PATH}/{key}/trace").body["id"] == told[0].body["id"]
    assert balances(bank) == before | {7: before[7] - 10, 8: before[8] + 10}
    unused = str(uuid4())
    assert "known_since" in check_problem(bank.fate(unused), 404, "not_found")
    assert bank.fence(unused).body["state"] == "aborted"
    assert keyed(bank, unused, *transfer(7, 8)).status == 409
    assert balances(bank) == before | {7: before[7] - 10, 8: before[8] + 10}


@pytest.mark.parametrize("home", ["c1", "c2", "s0", "s3"])
def test_what_never_began_is_undecided_until_a_fence_aborts_it_for_good(bank: Door, home: str) -> None:
    known = ids.from_text(bank.transact(*transfer(5, 6)).body["id"])
    unused = ids.to_text(ids.mint(ids.time_of(known), 1, 1, 1 << 40, home, known[22:]))
    assert bank.fate(unused).body["state"] == "undecided"
    for answer in (bank.fence(unused), bank.fate(unused), bank.fence(unused)):
        assert (answer.status, answer.body["state"], answer.body["outcome"]) == (200, "aborted", "did_not_happen")


def test_a_select_reads_all_shards_at_one_timestamp(bank: Door) -> None:
    answer = bank.transact(("SELECT count(*), sum(balance) FROM accounts", []), read_only=True)
    assert answer.status == 200, answer
    assert answer.body["results"][0]["rows"] == [[ACCOUNTS, str(TOTAL)]]
    assert (answer.body["commit_ts"], answer.body["shards"]) == (None, [f"s{number}" for number in range(1, 7)])
    assert int(answer.body["ts"]) > 0
    ordered = bank.rows("SELECT id, note FROM accounts WHERE balance >= $1 ORDER BY id DESC LIMIT 2", 0)
    assert ordered == [[ACCOUNTS, f"note {ACCOUNTS}"], [ACCOUNTS - 1, f"note {ACCOUNTS - 1}"]]


def test_a_select_of_no_table_is_answered(bank: Door) -> None:
    assert bank.rows("SELECT 1 + 1") == [[2]]
    assert bank.rows("SELECT $1 + 1", 41) == [[42]]


def test_transfers_side_by_side_keep_the_sum_for_every_reader(bank: Door) -> None:
    is_over = threading.Event()
    sums: list[list[Any]] = []

    def read() -> None:
        while not is_over.is_set():
            sums.extend(bank.rows("SELECT count(*), sum(balance) FROM accounts"))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with ThreadPoolExecutor(8) as threads:
            moves = [(1 + n % ACCOUNTS, 1 + (n * 5 + 1) % ACCOUNTS) for n in range(80)]
            answers = list(threads.map(lambda move: bank.transact(*transfer(*move, 1)), moves))
    finally:
        is_over.set()
        reader.join()
    assert {answer.status for answer in answers} == {200}, [answer for answer in answers if answer.status != 200]
    assert sums
    assert set(map(tuple, sums)) == {(ACCOUNTS, str(TOTAL))}


# -- what changes nothing


def test_a_row_count_that_is_not_met_undoes_the_other_statements(bank: Door) -> None:
    before = balances(bank)
    for steps in (transfer(1, 2, 1_000_000), list(reversed(transfer(1, 2, 1_000_000))), transfer(1, 999)):
        problem = check_problem(bank.transact(*steps), 409, "expectation_failed")
        assert problem["statement"] == (1 if steps[0][1][1] != 1 or steps[1][1][1] == 999 else 0)
        assert not problem["retryable"]
    assert balances(bank) == before


MARK = ("UPDATE accounts SET note = 'changed' WHERE id = 1", [], 1)


INSERT = "INSERT INTO accounts (id, balance, note) VALUES ($1, $2, $3)"
# words -> (the statement, its parameters, HTTP status, code, SQLSTATE)
WRONG: dict[str, tuple[str, list[Any], int, str, str]] = {
    "no SQL": ("UPDAET accounts", [], 400, "bad_request", "42601"),
    "two statements in one": ("SELECT 1; SELECT 2", [], 400, "not_supported", "0A000"),
    "unknown table": ("DELETE FROM nowhere", [], 400, "bad_request", "42P01"),
    "unknown column": ("UPDATE accounts SET nope = 1", [], 400, "bad_request", "42703"),
    "a parameter is missing": ("DELETE FROM accounts WHERE id = $1", [], 400, "bad_request", "42P02"),
    "a text for a number": (INSERT, ["x", 1, "n"], 400, "bad_request", "22P02"),
    "a fraction for a number": (INSERT, [50, 1.5, "n"], 400, "bad_request", "22P02"),
    "a number for a text": (INSERT, [50, 1, 5], 400, "bad_request", "22P02"),
    "a boolean for a number": (INSERT, [50, True, "n"], 400, "bad_request", "22P02"),
    "a NUL in text": (INSERT, [50, 1, "a\0b"], 400, "bad_request", "22021"),
    "out of range on the wire": (INSERT, [50, 2**63, "n"], 400, "bad_request", "22003"),
    "out of range in the sum": (
        "UPDATE accounts SET balance = balance + $1",
        [2**63 - 1],
        400,
        "bad_request",
        "22003",
    ),
    "division by zero": ("UPDATE accounts SET balance = balance / 0", [], 400, "bad_request", "22012"),
    "transaction control": ("COMMIT", [], 400, "not_supported", "0A000"),
    "a later verb": ("TRUNCATE accounts", [], 400, "not_supported", "0A000"),
    "a table dropped among others": ("DROP TABLE accounts", [], 400, "not_supported", "25001"),
    "DDL among others": ("CREATE TABLE late (id INT PRIMARY KEY)", [], 400, "not_supported", "25001"),
    "the key exists": (INSERT, [2, 1, "n"], 409, "constraint", "23505"),
    "a check": ("UPDATE accounts SET balance = -1 WHERE id = 2", [], 409, "constraint", "23514"),
    "not null": (INSERT, [50, None, "n"], 409, "constraint", "23502"),
}


@pytest.mark.parametrize(("sql", "params", "status", "code", "sqlstate"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_statement_undoes_the_right_one_before_it(
    bank: Door, sql: str, params: list[Any], status: int, code: str, sqlstate: str
) -> None:
    before = bank.rows("SELECT * FROM accounts ORDER BY id")
    problem = check_problem(bank.transact(MARK, (sql, params)), status, code, sqlstate)
    assert problem["statement"] == 1
    assert bank.rows("SELECT * FROM accounts ORDER BY id") == before
    assert check_problem(bank.transact(("SELECT * FROM late", [])), 400, "bad_request", "42P01")


def test_what_is_created_twice_is_refused_and_the_first_stays(bank: Door) -> None:
    again = bank.transact(("CREATE TABLE accounts (id INT PRIMARY KEY)", []))
    check_problem(again, 400, "bad_request", "42P07")
    assert bank.rows("SELECT count(*) FROM accounts") == [[ACCOUNTS]]


def test_a_read_only_request_does_not_write(bank: Door) -> None:
    before = balances(bank)
    check_problem(bank.transact(("UPDATE accounts SET balance = 0", []), read_only=True), 400, "bad_request", "25006")
    assert balances(bank) == before


BODIES: dict[str, tuple[bytes, int, str]] = {
    "not JSON": (b'{"statements": [', 400, "bad_request"),
    "empty": (b"", 400, "bad_request"),
    "not UTF-8": (b'{"statements": [{"sql": "\xff"}]}', 400, "bad_request"),
    "NaN": (b'{"statements": [{"sql": "SELECT $1", "params": [NaN]}]}', 400, "bad_request"),
    "no statements": (b'{"statements": []}', 400, "bad_request"),
    "unknown field": (b'{"statements": [{"sql": "DELETE FROM accounts"}], "dry_run": true}', 400, "bad_request"),
    "old and written": (
        b'{"statements": [{"sql": "DELETE FROM accounts"}], "max_staleness_ms": 5}',
        400,
        "bad_request",
    ),
    "interactive and read-only": (b'{"mode": "interactive", "read_only": true}', 400, "bad_request"),
    "another mode": (b'{"mode": "batch", "statements": [{"sql": "DELETE FROM accounts"}]}', 400, "bad_request"),
    "no time": (b'{"statements": [{"sql": "DELETE FROM accounts"}], "timeout_ms": 0}', 400, "bad_request"),
    "too many statements": (
        json.dumps({"statements": [{"sql": "DELETE FROM accounts"}] * 1_001}).encode(),
        413,
        "too_large",
    ),
    "too many bytes": (
        b'{"statements": [{"sql": "DELETE FROM accounts"}], "x": "' + b"x" * (4 << 20) + b'"}',
        413,
        "too_large",
    ),
}


@pytest.mark.parametrize(("body", "status", "code"), BODIES.values(), ids=BODIES.keys())
def test_a_body_of_another_form_changes_nothing(bank: Door, body: bytes, status: int, code: str) -> None:
    before = balances(bank)
    check_problem(bank.ask("POST", PATH, body), status, code)
    assert balances(bank) == before


def test_headers_and_paths_that_are_not_known_are_refused(bank: Door) -> None:
    before = balances(bank)
    body = b'{"statements": [{"sql": "DELETE FROM accounts"}]}'
    check_problem(bank.ask("POST", PATH, body, Content_Type="text/plain"), 415, "unsupported_media_type")
    check_problem(bank.ask("POST", PATH, body, Idempotency_Key="0197"), 400, "bad_request")
    check_problem(bank.ask("POST", f"{PATH}?dry_run=1", body), 400, "bad_request")
    check_problem(bank.ask("DELETE", PATH), 405, "method_not_allowed")
    check_problem(bank.ask("GET", "/api/v1/nothing"), 404, "not_found")
    assert balances(bank) == before


@pytest.mark.parametrize("header", ["", "Bearer wrong", "Bearer", "Basic eDp5", "Bearer é"])
def test_without_the_token_nothing_is_done_or_told(bank: Door, header: str) -> None:
    before = balances(bank)
    body = b'{"statements": [{"sql": "DELETE FROM accounts"}]}'
    for method, path in (
        ("POST", PATH),
        ("GET", f"{PATH}/t1"),
        ("POST", f"{PATH}/t1/fence"),
        ("GET", "/api/v1/cluster"),
    ):
        answer = bank.ask(method, path, body, Authorization=header)
        check_problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert balances(bank) == before


def test_an_id_of_no_transaction_here_is_not_found(bank: Door) -> None:
    foreign = ids.to_text(ids.mint(1 << 20, 1, 1, 1, "c1", b"another cluster!"))
    for text in ("t1", "nonsense", "t" + "a" * 500, foreign):
        check_problem(bank.fate(text), 404, "not_found")
        check_problem(bank.fence(text), 404, "not_found")


# -- health


def test_health_needs_no_token_and_has_a_line_for_each_check(web: WebServer, bank: Door) -> None:
    stranger = Door(web.address, "")
    assert stranger.ask("GET", "/healthz")[::2] == (200, "ok\n")
    ready = stranger.ask("GET", "/readyz")
    assert ready.status == 200, ready
    lines = dict(line.split("\t")[::-1] for line in ready.body.splitlines())
    groups = ["c1", "c2", "c3", *(f"s{number}" for number in range(7))]
    words = [next(line for line in lines if line.startswith(f"{group} has a leader: n")) for group in groups]
    assert {lines[line] for line in [*words, "the store answers", "n1 is up", "n2 is up", "n3 is up"]} == {"ok"}


def test_the_cluster_is_shown(bank: Door) -> None:
    cluster = bank.ask("GET", "/api/v1/cluster").body
    assert [node["name"] for node in cluster["nodes"] if node["up"]] == ["n1", "n2", "n3"]
    assert len(cluster["groups"]) == 10
    assert all(len(group["replicas"]) == 3 for group in cluster["groups"])


# -- a majority is lost; last, for it leaves the leaderships elsewhere


def move(door: Door, number: int) -> Answer:
    """A transfer that also leaves its number."""
    mark = ("INSERT INTO moves (id) VALUES ($1)", [number], 1)
    return door.transact(mark, *transfer(1 + number % ACCOUNTS, 1 + (number + 1) % ACCOUNTS, 1), timeout_ms=2_000)


def outcome_of(door: Door, answer: Answer) -> str:
    """committed, aborted, or "" when nobody knows; asks at the Location where the answer says so."""
    if answer.status == 200:
        return "committed"
    if answer.status != 504:
        assert (answer.status, answer.body["code"]) in ((503, "unavailable"), (409, "conflict")), answer
        check_problem(answer, answer.status, answer.body["code"])
        return "aborted"
    body = check_problem(answer, 504, "outcome_unknown")
    if "location" not in answer.headers:
        assert "transaction" not in body
        return ""
    assert answer.headers["location"] == f"{PATH}/{body['transaction']}"
    fenced = door.ask("POST", answer.headers["location"] + "/fence")
    asked = door.ask("GET", answer.headers["location"])
    assert fenced.status == asked.status == 200, (fenced, asked)
    assert asked.body["state"] == fenced.body["state"]
    assert asked.body["state"] in ("committed", "aborted")
    return str(asked.body["state"])


def test_without_a_majority_nothing_is_claimed_and_afterwards_every_fate_is_known(
    bank: Door, local_cluster: LocalCluster
) -> None:
    assert bank.transact(("CREATE TABLE moves (id BIGINT PRIMARY KEY)", [])).status == 200
    told = bank.transact(*transfer(1, 2)).body["id"]
    try:
        local_cluster.restart_s = None
        is_killed = threading.Event()
        answers: dict[int, Answer] = {}

        def work(thread: int) -> None:
            number = thread * 1_000
            while not is_killed.is_set():
                number += 1
                answers[number] = move(bank, number)
            answers[number + 1] = move(bank, number + 1)

        with ThreadPoolExecutor(9) as threads:
            workers = [threads.submit(work, thread) for thread in range(8)]
            eventually(lambda: len(answers) > 40)
            for node in (2, 3):
                local_cluster.kill(node)
            is_killed.set()
            lost = threads.submit(bank.fate, told)
            for worker in workers:
                worker.result()
        assert any(answer.status == 503 for answer in answers.values())
        check_problem(lost.result(), 504, "outcome_unknown", "08007")
        assert lost.result().headers["location"] == f"{PATH}/{told}"
        ready = bank.ask("GET", "/readyz")
        assert ready.status == 503
        assert "FAIL\tc1 has a leader" in ready.body.splitlines()
        assert "warn\tn2 is up: did not answer" in ready.body.splitlines()
        assert bank.ask("GET", "/healthz").status == 200
        check_problem(bank.transact(("SELECT sum(balance) FROM accounts", []), timeout_ms=500), 503, "unavailable")
    finally:
        local_cluster.restart_s = 0.0
    local_cluster.wait_ready()
    eventually(lambda: bank.ask("GET", "/readyz").status == 200)
    outcomes = {number: outcome_of(bank, answer) for number, answer in answers.items()}
    done = {number for (number,) in bank.rows("SELECT id FROM moves")}
    assert {number for number, outcome in outcomes.items() if outcome == "committed"} <= done
    assert {number for number, outcome in outcomes.items() if outcome == "aborted"}.isdisjoint(done)
    assert bank.rows("SELECT count(*), sum(balance) FROM accounts") == [[ACCOUNTS, str(TOTAL)]]
    assert bank.fate(told).body["state"] == "committed"
    assert bank.transact(*transfer(1, 2)).status == 200
