"""Tokens, users and groups on a real cluster and web server: made, used, expired, revoked, rotated."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator

import pytest

from tests.e2e.cluster import LocalCluster
from tests.e2e.logs import faults
from tests.e2e.rest import PATH, Answer, Door, check_problem
from tests.e2e.test_supervisor import eventually
from tests.e2e.web import WebServer
from txstore.home import Home

# What an operator does on the admin pages: three users, their tokens, and one token that has expired.
MAKE_USERS = """
import json
from datetime import timedelta
from django.contrib.auth.models import Group, User
from knox.models import AuthToken
tokens = {}
for name, groups in (("nobody", []), ("reader", ["readers"]), ("writer", ["writers"])):
    user = User.objects.create_user(name)
    user.groups.set(Group.objects.filter(name__in=groups))
    tokens[name] = AuthToken.objects.create(user)[1]
tokens["expired"] = AuthToken.objects.create(user, timedelta(seconds=-1))[1]
print(json.dumps(tokens))
"""


@pytest.fixture(scope="module")
def web(local_cluster: LocalCluster) -> Iterator[WebServer]:
    server = WebServer(local_cluster, TXSTORE_THROTTLE_TOKENS="50/day")
    try:
        server.start()
        yield server
    finally:
        server.stop()
    assert faults(local_cluster.directory) == []


@pytest.fixture(scope="module")
def home(local_cluster: LocalCluster) -> Home:
    return Home(local_cluster.directory)


@pytest.fixture(scope="module")
def doors(web: WebServer) -> dict[str, Door]:
    """A door for each user, by name; `admin` has the home's token."""
    tokens = json.loads(web.manage("shell", "--verbosity", "0", "-c", MAKE_USERS).splitlines()[-1])
    return {name: Door(web.address, token) for name, token in {**tokens, "admin": web.token}.items()}


@pytest.fixture(scope="module")
def kept(doors: dict[str, Door]) -> Door:
    """The admin's door, beside a table with one row."""
    admin = doors["admin"]
    assert admin.transact(("CREATE TABLE kept (id BIGINT PRIMARY KEY, b BIGINT)", [])).status == 200
    assert admin.transact(("INSERT INTO kept (id, b) VALUES (1, 1)", [])).status == 200
    return admin


def test_the_examples_of_the_document_work_one_after_the_other(web: WebServer, doors: dict[str, Door]) -> None:
    told = Door(web.address, "").ask("GET", "/api/schema/").body
    content = told["paths"][PATH]["post"]["requestBody"]["content"]["application/json"]
    answers: list[Answer] = []
    for example in content["examples"].values():
        body = example["value"]
        if "as_of" in body:  # five seconds ago there was nothing yet
            body = {**body, "as_of": answers[-1].body["session_token"]}
        answers.append(doors["admin"].ask("POST", PATH, json.dumps(body).encode()))
    assert [answer.status for answer in answers] == [200] * 6 + [201], answers
    assert answers[2].body["results"][1] == {"columns": ["balance"], "rows": [[110]], "row_count": 1}
    assert answers[3].body["results"][0]["rows"] == [[1, 90]]
    assert answers[4].body["results"][0]["rows"] == [["200", 2]]
    assert answers[5].body["results"][0]["row_count"] == 2
    at = f"{PATH}/{answers[6].body['id']}"
    for verb in ("statements", "savepoints"):
        content = told["paths"][f"{PATH}/{{id}}/{verb}"]["post"]["requestBody"]["content"]["application/json"]
        for each in content["examples"].values():
            answer = doors["admin"].ask("POST", f"{at}/{verb}", json.dumps(each["value"]).encode())
            assert answer.status == 200, answer
    assert doors["admin"].ask("POST", f"{at}/commit", b"{}").status == 200


def test_a_new_table_is_listed_wherever_it_is_asked_for(kept: Door, local_cluster: LocalCluster) -> None:
    for number in range(3):
        create = f"CREATE TABLE fresh{number} (id INT PRIMARY KEY, t TEXT DEFAULT 'x' NOT NULL)"
        assert kept.transact((create, [])).status == 200
        for node in local_cluster.numbers:
            with local_cluster.client(node) as client:
                assert f"fresh{number}" in [table.name for table in client.tables()]
        shown = kept.ask("GET", f"/api/v1/tables/fresh{number}")
        assert shown.status == 200, shown
        columns = [(column["name"], column["nullable"], column["default"]) for column in shown.body["columns"]]
        assert columns == [("id", False, None), ("t", False, "x")]


def test_every_type_goes_in_and_out_as_the_values_table_says(kept: Door) -> None:
    types = "i INT, b BIGINT, d DOUBLE PRECISION, o BOOLEAN, t TEXT, y BYTEA, u UUID, z TIMESTAMPTZ DEFAULT now()"
    assert kept.transact((f"CREATE TABLE typed (id INT PRIMARY KEY, {types})", [])).status == 200
    uuid = "0197a0b1-0000-7000-8000-0000000000ff"
    rows = [
        [1, -5, 2**53, 1.5, True, "é\u2028", "AP/+", uuid, "2026-01-02T03:04:05.000006Z"],
        [2, "7", str(2**63 - 1), "NaN", False, "", "", uuid, "2026-01-02T05:04:05.5+02:00"],
        [3, None, None, "-Infinity", None, None, None, None, None],
    ]
    insert = "INSERT INTO typed (id, i, b, d, o, t, y, u, z) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    made = kept.transact(*((insert, row) for row in rows))
    assert made.status == 200, made
    expected = [rows[0], [2, 7, *rows[1][2:8], "2026-01-02T03:04:05.500000Z"], rows[2]]
    assert kept.rows("SELECT * FROM typed ORDER BY id") == expected
    assert kept.rows("SELECT avg(i), sum(b) FROM typed WHERE id < 3") == [
        ["1.00000000000000000000", str(2**63 - 1 + 2**53)]
    ]
    told = kept.ask("GET", "/api/v1/tables/typed").body["columns"]
    assert [column["type"] for column in told] == [
        "INT", "INT", "BIGINT", "DOUBLE PRECISION", "BOOLEAN", "TEXT", "BYTEA", "UUID", "TIMESTAMPTZ",
    ]  # fmt: skip
    assert (told[8]["has_default"], told[8]["default"], told[8]["default_is_now"]) == (True, None, True)


def test_shards_have_the_leaders_that_the_cluster_has(kept: Door) -> None:
    def same() -> bool:
        groups = {group["group"]: group for group in kept.ask("GET", "/api/v1/cluster").body["groups"]}
        shards = kept.ask("GET", "/api/v1/shards").body["results"]
        assert [shard["name"] for shard in shards] == [f"s{number}" for number in range(7)]
        assert all(shard["members"] == groups[shard["name"]]["members"] for shard in shards)
        return all(shard["leader"] == groups[shard["name"]]["leader"] for shard in shards)

    eventually(same)


def test_a_reader_reads_and_does_not_write(doors: dict[str, Door], kept: Door) -> None:
    reader = doors["reader"]
    assert reader.rows("SELECT * FROM kept") == [[1, 1]]
    for path in ("cluster", "tables", "shards", "tables/kept"):
        assert reader.ask("GET", f"/api/v1/{path}").status == 200
    for sql in ("UPDATE kept SET b = 2", "DELETE FROM kept", "CREATE TABLE late (id INT PRIMARY KEY)"):
        for fields in ({}, {"read_only": True}, {"read_only": False}):
            problem = check_problem(reader.transact((sql, []), **fields), 403, "forbidden", "42501")
            assert problem["outcome"] == "did_not_happen"
    mixed = reader.transact(("SELECT * FROM kept", []), ("DELETE FROM kept", []))
    check_problem(mixed, 403, "forbidden", "42501")
    assert kept.rows("SELECT * FROM kept") == [[1, 1]]


def test_a_writer_writes_and_nobody_does_nothing(doors: dict[str, Door], kept: Door) -> None:
    update = ("UPDATE kept SET b = b + 1 WHERE id = 1 RETURNING b", [])
    check_problem(doors["nobody"].transact(update), 403, "forbidden")
    check_problem(doors["nobody"].transact(("SELECT 1", [])), 403, "forbidden")
    check_problem(doors["nobody"].ask("GET", "/api/v1/cluster"), 403, "forbidden")
    done = doors["writer"].transact(update)
    assert done.status == 200, done
    for name, status in (("nobody", 403), ("reader", 403), ("writer", 200)):
        assert doors[name].fence(done.body["id"]).status == status
    assert doors["reader"].fate(done.body["id"]).body["state"] == "committed"
    assert kept.transact(("UPDATE kept SET b = 1", [])).status == 200


def test_an_expired_token_is_refused(doors: dict[str, Door], kept: Door) -> None:
    check_problem(doors["expired"].transact(("DELETE FROM kept", [])), 401, "unauthenticated")
    assert kept.rows("SELECT count(*) FROM kept") == [[1]]


def test_a_token_that_is_revoked_here_is_refused_at_once_and_elsewhere_in_a_few_seconds(
    web: WebServer, doors: dict[str, Door]
) -> None:
    def make() -> tuple[Door, str]:
        made = doors["reader"].ask("POST", "/api/v1/tokens", b'{"lifetime_s": 600}')
        assert made.status == 201, made
        door = Door(web.address, made.body["token"])
        assert door.ask("GET", "/api/v1/cluster").status == 200
        return door, made.headers["location"]

    here, location = make()
    assert doors["reader"].ask("DELETE", location).status == 204
    check_problem(here.ask("GET", "/api/v1/cluster"), 401, "unauthenticated")

    elsewhere, location = make()
    id = location.rpartition("/")[2]
    web.manage("shell", "-c", f"from knox.models import AuthToken; AuthToken.objects.get(token_key='{id}').delete()")
    eventually(lambda: elsewhere.ask("GET", "/api/v1/cluster").status == 401)


def test_too_many_requests_are_told_when_to_come_back(web: WebServer, doors: dict[str, Door]) -> None:
    answers = [doors["nobody"].ask("POST", "/api/v1/tokens", b"{}") for _ in range(51)]
    assert [answer.status for answer in answers] == [201] * 50 + [429]
    check_problem(answers[-1], 429, "too_many_requests")
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 86_400 / 50


def test_the_status_is_printed(web: WebServer) -> None:
    printed = web.manage("cluster", "status")
    for words in ("n1", "n3", "c1", "s6", "coordinator", "In doubt: 0"):
        assert words in printed
    assert "none" not in printed


def test_a_rotated_token_is_refused_at_once(web: WebServer, doors: dict[str, Door], home: Home) -> None:
    for _ in range(3):
        old = Door(web.address, home.api_token())
        assert old.ask("GET", "/api/v1/cluster").status == 200
        assert str(home.api_token_file) in web.manage("cluster", "rotate-token")
        check_problem(old.ask("GET", "/api/v1/cluster"), 401, "unauthenticated")
        doors["admin"].token = home.api_token()
        assert doors["admin"].ask("GET", "/api/v1/cluster").status == 200
    assert stat.S_IMODE(home.api_token_file.stat().st_mode) == 0o600
    assert doors["reader"].ask("GET", "/api/v1/cluster").status == 200


def test_no_log_tells_a_secret(doors: dict[str, Door], home: Home) -> None:
    logs = [*home.path.glob("logs/*"), *home.path.glob("nodes/*/log")]
    told = "".join(log.read_text(errors="replace") for log in logs)
    secrets = [home.api_token(), home.admin_password(), home.cluster_secret()]
    assert not [secret for secret in [*secrets, *(door.token for door in doors.values())] if secret in told]
