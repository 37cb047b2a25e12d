"""Tables and shards over REST, and the pages that every list has."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.errors import NotFound, Unavailable
from nodes.requests import Shard, Table
from tests.api.conftest import FakeCluster
from tests.api.test_errors import check_problem


def test_a_table_is_shown_with_values_as_the_values_table_says(api: Any, cluster: FakeCluster) -> None:
    column = {"name": "id", "type": "BIGINT", "nullable": False, "has_default": True, "default": str(2**60)}
    column["default_is_now"] = False
    expected = {
        "name": "accounts",
        "version": 2,
        "columns": [column],
        "primary_key": ["id"],
        "shard_by": ["id"],
        "checks": ["a_check"],
    }
    assert api.get("/api/v1/tables/accounts").json() == expected
    assert api.get("/api/v1/tables").json() == {"results": [expected], "next": None}
    assert cluster.asked == [("table", "accounts"), ("tables", ("", 101))]


@pytest.mark.parametrize(("path", "name"), [("a%2Fb", "a/b"), ("%C3%A9%20%22", 'é "'), ("a/b", "a/b"), ("%25", "%")])
def test_a_table_of_any_name_is_asked_for_by_it(api: Any, cluster: FakeCluster, path: str, name: str) -> None:
    assert api.get(f"/api/v1/tables/{path}").status_code == 200
    assert cluster.asked == [("table", name)]


def test_a_table_that_is_not_there_is_not_found(api: Any, cluster: FakeCluster) -> None:
    cluster.answers["table"] = NotFound('relation "b" does not exist', sqlstate="42P01")
    assert check_problem(api.get("/api/v1/tables/b"), 404, "not_found")["sqlstate"] == "42P01"
    check_problem(api.get("/api/v1/tables/a%00b"), 404, "not_found")
    check_problem(api.get("/api/v1/tables/"), 404, "not_found")
    assert cluster.asked == [("table", "b")]


def test_a_list_that_cannot_be_had_is_unavailable(api: Any, cluster: FakeCluster) -> None:
    cluster.answers["tables"] = Unavailable("s0 has no leader")
    check_problem(api.get("/api/v1/tables"), 503, "unavailable")


def test_shards_are_shown_with_their_slots(api: Any, cluster: FakeCluster) -> None:
    assert api.get("/api/v1/shards").json()["results"] == [
        {"name": "s0", "kind": "system", "slots": [], "members": [1, 2], "leader": 1},
        {"name": "s1", "kind": "user", "slots": [{"first": 0, "last": 1023}], "members": [2, 1], "leader": None},
    ]


def test_shards_come_in_the_order_of_their_numbers(api: Any, cluster: FakeCluster) -> None:
    cluster.answers["shards"] = [Shard(f"s{number}", [(0, 1)], [1]) for number in range(12)]
    found, path = [], "/api/v1/shards?limit=5"
    while path:
        page = api.get(path).json()
        found += [shard["name"] for shard in page["results"]]
        path = page["next"]
    assert found == [f"s{number}" for number in range(12)]
    assert api.get("/api/v1/shards?after=s999").json() == {"results": [], "next": None}


def test_the_next_page_is_named_by_the_last_entry_of_this_one(api: Any, cluster: FakeCluster) -> None:
    cluster.answers["tables"] = [Table(name, 1, [], [], []) for name in ("a", "b&c", "d")]
    page = api.get("/api/v1/tables?limit=2&after=Z").json()
    assert [table["name"] for table in page["results"]] == ["a", "b&c"]
    assert page["next"] == "/api/v1/tables?limit=2&after=b%26c"
    api.get(page["next"])
    assert cluster.asked == [("tables", ("Z", 3)), ("tables", ("b&c", 3))]


@pytest.mark.parametrize("path", ["tables", "shards", "tokens"])
@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=-1", "limit=", "limit=x", "limit=1.0", "limit=%C2%B2", "limit=" + "9" * 5000,
     "after=", "after=%00", "after=" + "x" * 1001, "limit=1&limit=2", "after=s1&after=s1", "offset=1", "page=2"],
)  # fmt: skip
def test_a_page_that_cannot_be_is_refused(api: Any, cluster: FakeCluster, path: str, query: str) -> None:
    check_problem(api.get(f"/api/v1/{path}?{query}"), 400, "bad_request")
    assert cluster.asked == []


def test_a_shard_that_has_no_such_name_is_refused(api: Any, cluster: FakeCluster) -> None:
    check_problem(api.get("/api/v1/shards?after=c1"), 400, "bad_request")
