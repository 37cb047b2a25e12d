"""The client's questions about tables: page after page, one by name."""

from __future__ import annotations

import pytest

from nodes.client import calls
from nodes.errors import NotFound
from nodes.wire.protocol import AskTables
from tests.client.test_cluster import MakeClient, MakeNode

NAMES = ["a", "b", "c", "d", "e"]


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "TABLES_A_QUESTION", 2)


def test_all_tables_come_over_several_questions(node: MakeNode, client: MakeClient) -> None:
    n1 = node(1)
    n1.tables = NAMES
    assert [table.name for table in client(n1).tables()] == NAMES
    asked = [message for message in n1.received if isinstance(message, AskTables)]
    assert [(each.after, each.most) for each in asked] == [("", 2), ("b", 2), ("d", 2)]


@pytest.mark.parametrize(
    ("after", "limit", "found"),
    [("", 0, []), ("", 3, NAMES[:3]), ("b", 2, NAMES[2:4]), ("b", None, NAMES[2:]), ("bb", 9, NAMES[2:]), ("e", 1, [])],
)
def test_a_part_of_the_tables_is_given(
    node: MakeNode, client: MakeClient, after: str, limit: int | None, found: list[str]
) -> None:
    n1 = node(1)
    n1.tables = NAMES
    assert [table.name for table in client(n1).tables(after, limit)] == found


def test_a_table_is_found_by_its_name_alone(node: MakeNode, client: MakeClient) -> None:
    n1 = node(1)
    n1.tables = NAMES
    assert client(n1).table("c").name == "c"
    for name in ("", "C", "cc"):
        with pytest.raises(NotFound) as caught:
            client(n1).table(name)
        assert caught.value.info.sqlstate == "42P01"
