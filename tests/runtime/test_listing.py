"""What a node tells of tables and shards: whole, in order, as fresh as what was acknowledged before."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from nodes.core.txn.messages import CatalogIs
from nodes.errors import StoreError, Unavailable
from nodes.requests import Table, TableColumn
from nodes.runtime import listing
from nodes.runtime.catalog import Catalog
from nodes.runtime.questions import FreshCatalog
from nodes.sql.ddl import SYSTEM_TABLE
from nodes.sql.keys import shard_of_slot, slots_of_shard
from nodes.sql.schema import SHARD_SLOTS, CheckDef, ColumnDef, TableDef
from nodes.wire.protocol import AskTables


class Tables:
    """An engine of s0 as far as the catalog needs it."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)

    @property
    def catalog_version(self) -> int:
        return 1 + len(self.names)

    def tables(self) -> list[TableDef]:
        columns = (ColumnDef("id", "BIGINT", True), ColumnDef("n", "INT", False, True, 7))
        made = [
            TableDef(number, name, number, 1, columns, (1, 0), (0,), (CheckDef("n_check", "n > 0"),))
            for number, name in enumerate(self.names, 2)
        ]
        return [SYSTEM_TABLE, *made]


class Around:
    """Three nodes, as far as questions and lists need them."""

    node, boot, now, shards = 1, 1, 0, 6

    def leader_of(self, group: str) -> int:
        return 0 if group == "s2" else 3

    def members_of(self, group: str) -> tuple[int, ...]:
        return (3, 1, 2)

    def silence_of(self, group: str) -> str:
        return f"{group} is silent"

    def to_leader(self, group: str, message: Any) -> int:
        return 3


def page(catalog: Catalog, **fields: Any) -> list[str]:
    return [table.name for table in listing.tables(catalog, AskTables(1, **fields))]


def catalog_of(*names: str) -> Catalog:
    return reading(Tables(*names))


def reading(engine: Any) -> Catalog:
    catalog = Catalog()
    catalog.read_from(engine)
    return catalog


def test_a_table_is_told_with_names_in_the_order_of_its_keys() -> None:
    (told,) = listing.tables(catalog_of("a"), AskTables(1, "a"))
    columns = [TableColumn("id", "BIGINT", False), TableColumn("n", "INT", True, True, 7)]
    assert told == Table("a", 2, columns, ["n", "id"], ["id"], ["n_check"])


def test_a_default_is_told_in_the_clients_form() -> None:
    engine: Any = Tables("a")
    (_, table) = engine.tables()
    columns = (
        ColumnDef("b", "BOOLEAN", False, True, 1),
        ColumnDef("t", "TIMESTAMPTZ", False, True, 1_000_001),
        ColumnDef("now", "TIMESTAMPTZ", True, True, 5, True),
        ColumnDef("none", "TIMESTAMPTZ", False, True, None),
    )
    engine.tables = lambda: [SYSTEM_TABLE, msgspec.structs.replace(table, columns=columns)]
    (told,) = listing.tables(reading(engine), AskTables(1, "a"))
    second = datetime(1970, 1, 1, 0, 0, 1, 1, tzinfo=UTC)
    assert [column.default for column in told.columns] == [True, second, None, None]
    assert [column.default_is_now for column in told.columns] == [False, False, True, False]


def test_tables_come_in_bytewise_order_without_the_catalogs_own() -> None:
    catalog = catalog_of("é", "b", "Z", "a", "\U0001f600", "\uffff")
    assert page(catalog) == ["Z", "a", "b", "é", "\uffff", "\U0001f600"]
    assert page(catalog, name=SYSTEM_TABLE.name) == []


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"after": "a", "most": 2}, ["b", "c"]),
        ({"after": "bb", "most": 1}, ["c"]),
        ({"after": "d"}, []),
        ({"most": 0}, []),
        ({"most": -5}, []),
        ({"name": "c", "after": "z", "most": 0}, ["c"]),
        ({"name": "nope"}, []),
    ],
)
def test_the_page_that_was_asked_for_is_told(fields: dict[str, Any], found: list[str]) -> None:
    assert page(catalog_of("a", "b", "c", "d"), **fields) == found


def test_one_answer_is_bounded_whatever_is_asked() -> None:
    catalog = catalog_of(*(f"t{number:04}" for number in range(listing.MOST_TABLES + 5)))
    assert len(page(catalog, most=10**9)) == listing.MOST_TABLES


@pytest.mark.parametrize("shards", [1, 2, 3, 6, 7, 999])
def test_shards_own_all_slots_and_no_slot_twice(shards: int) -> None:
    owned = [slots_of_shard(number, shards) for number in range(1, shards + 1)]
    assert [slot for first, last in owned for slot in range(first, last + 1)] == list(range(SHARD_SLOTS))
    for number, (first, last) in enumerate(owned, 1):
        assert {shard_of_slot(first, shards), shard_of_slot(last, shards)} == {number}


def test_every_shard_is_told_and_a_leader_that_nobody_knows_is_none() -> None:
    around: Any = Around()
    told = listing.shards(around)
    assert [shard.name for shard in told] == ["s0", "s1", "s2", "s3", "s4", "s5", "s6"]
    assert (told[0].slots, told[1].slots, told[6].slots) == ([], [(0, 170)], [(854, 1023)])
    assert [shard.leader for shard in told] == [3, 3, 0, 3, 3, 3, 3]
    assert told[0].members == [3, 1, 2]


def ask_fresh(catalog: Catalog, around: Any) -> tuple[FreshCatalog, list[StoreError | None]]:
    ends: list[StoreError | None] = []
    return FreshCatalog(around, 7, catalog.when, 10, lambda version, error: ends.append(error)), ends


def test_a_list_waits_until_the_version_that_s0_named_is_here() -> None:
    engine = Tables("a")
    catalog = reading(engine)
    question, ends = ask_fresh(catalog, Around())
    for _ in range(2):
        question.on_answer(CatalogIs(7, 3))
    assert ends == []
    engine.names.append("b")
    catalog.refresh()
    assert ends == [None]


def test_a_list_that_does_not_become_fresh_in_time_is_unavailable() -> None:
    around = Around()
    question, ends = ask_fresh(catalog_of("a"), around)
    question.on_answer(CatalogIs(7, 3))
    around.now = 10
    question.tick()
    assert [type(end) for end in ends] == [Unavailable]
