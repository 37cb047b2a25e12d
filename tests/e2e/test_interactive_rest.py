"""Interactive transactions through the web server, where each request stands by itself, and may fit or not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from nodes import ids
from nodes.client import Cluster
from tests.e2e.cluster import LocalCluster
from tests.e2e.rest import PATH, Answer, Door, check_problem
from tests.e2e.test_interactive import ADD, BALANCE, balance, create_accounts
from tests.e2e.web import WebServer


@pytest.fixture(scope="module")
def bank(local_cluster: LocalCluster) -> Iterator[Cluster]:
    with local_cluster.client() as client:
        create_accounts(client)
        yield client


@pytest.fixture(scope="module")
def door(local_cluster: LocalCluster, bank: Cluster) -> Iterator[Door]:
    server = WebServer(local_cluster)
    try:
        server.start()
        yield Door(server.address, server.token)
    finally:
        server.stop()


def post(door: Door, path: str, **fields: Any) -> Answer:
    return door.ask("POST", path, json.dumps(fields).encode())


def test_a_transaction_over_rest_from_its_beginning_to_its_fate(door: Door, bank: Cluster) -> None:
    before = balance(bank, 11)
    begun = post(door, PATH, mode="interactive")
    assert (begun.status, begun.body["state"], begun.body["idle_ms"]) == (201, "active", 30_000)
    at = begun.headers["location"]
    assert at == f"{PATH}/{begun.body['id']}"
    step = {"sql": ADD + " RETURNING balance", "params": [1, 11], "expect_rows": 1}
    for count in (1, 2):
        ran = post(door, f"{at}/statements", statements=[step], timeout_ms=5_000)
        assert (ran.status, ran.body["state"]) == (200, "active"), ran
        assert ran.body["results"] == [{"columns": ["balance"], "rows": [[before + count]], "row_count": 1}]
    assert post(door, f"{at}/savepoints", name="here").body == {"id": begun.body["id"], "state": "active"}
    assert post(door, f"{at}/statements", statements=[step]).status == 200
    assert post(door, f"{at}/savepoints/here/rollback").status == 200
    check_problem(post(door, f"{at}/savepoints/nowhere/rollback"), 400, "bad_request", "3B001")
    assert balance(bank, 11) == before
    told = post(door, f"{at}/commit", timeout_ms=5_000)
    assert (told.status, told.body["state"], told.body["id"]) == (200, "committed", begun.body["id"])
    assert balance(bank, 11) == before + 2
    fate = door.ask("GET", at).body
    assert (fate["state"], fate["commit_ts"]) == ("committed", told.body["commit_ts"])
    for verb, body in (("statements", {"statements": [step]}), ("savepoints", {"name": "late"})):
        check_problem(post(door, f"{at}/{verb}", **body), 409, "aborted", "25P01", outcome="happened")
    again = post(door, f"{at}/commit")
    assert (again.status, again.body["commit_ts"]) == (200, told.body["commit_ts"])
    assert balance(bank, 11) == before + 2
    bank.execute(ADD, [-2, 11])


def test_a_rollback_over_rest_may_be_asked_twice_and_a_commit_afterwards_is_refused(door: Door, bank: Cluster) -> None:
    before = balance(bank, 12)
    at = post(door, PATH, mode="interactive").headers["location"]
    assert post(door, f"{at}/statements", statements=[{"sql": ADD, "params": [1, 12]}]).status == 200
    for _ in range(2):
        answer = post(door, f"{at}/rollback")
        assert (answer.status, answer.body["state"]) == (200, "aborted"), answer
    check_problem(post(door, f"{at}/commit"), 409, "aborted")
    assert balance(bank, 12) == before


def test_a_failed_statement_over_rest_is_told_with_its_number(door: Door, bank: Cluster) -> None:
    at = post(door, PATH, mode="interactive").headers["location"]
    steps = [{"sql": ADD, "params": [1, 1]}, {"sql": ADD, "params": [-1_000, 2]}]
    problem = check_problem(post(door, f"{at}/statements", statements=steps), 409, "constraint", "23514")
    assert problem["statement"] == 1
    check_problem(post(door, f"{at}/statements", statements=[steps[0]]), 409, "aborted", "25P02")
    check_problem(post(door, f"{at}/commit"), 409, "aborted", "25P02")
    assert (balance(bank, 1), balance(bank, 2)) == (BALANCE, BALANCE)


def test_an_id_of_nothing_here_is_told_so(door: Door) -> None:
    known = ids.from_text(post(door, PATH, mode="interactive").body["id"])
    foreign = ids.to_text(ids.mint(1 << 20, 1, 1, 1, "c1", b"another cluster!"))
    unused = ids.to_text(ids.mint(ids.time_of(known), 1, 1, 1 << 40, "c1", known[22:]))
    select = [{"sql": "SELECT 1"}]
    for text in (foreign, "t1"):
        check_problem(post(door, f"{PATH}/{text}/statements", statements=select), 404, "not_found")
    check_problem(post(door, f"{PATH}/{unused}/statements", statements=select), 409, "aborted", outcome="unknown")
