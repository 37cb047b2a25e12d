"""Parameters: styles, types that their context gives them, values that are taken and refused."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.errors import BadRequest
from nodes.sql.plan import plan
from tests.sql.store import Store


def sqlstate(store: Store, sql: str, params: Any = ()) -> str:
    with pytest.raises(BadRequest) as caught:
        store.execute(sql, params)
    return caught.value.info.sqlstate


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("SELECT owner FROM accounts WHERE id = $1 AND balance >= $2", [3, 100]),
        ("SELECT owner FROM accounts WHERE balance >= $2 AND id = $1", [3, 100]),
        ("SELECT owner FROM accounts WHERE id = ? AND balance >= ?", [3, 100]),
        ("SELECT owner FROM accounts WHERE id=:id AND balance>=:least", {"id": 3, "least": 100}),
        ("SELECT owner FROM accounts WHERE id = $1 AND '$2 ? :x' <> owner -- $3", [3]),
        ("SELECT owner FROM accounts WHERE id = $1::bigint", ["3"]),
    ],
)
def test_three_styles_of_parameters(bank, sql, params):
    assert bank.execute(sql, params).rows == [["owner 3"]]


def test_a_parameter_may_stand_in_several_places(bank):
    sql = "UPDATE accounts SET balance = balance - :x WHERE id = 1 AND balance >= :x RETURNING balance"
    assert bank.execute(sql, {"x": 30}).rows == [[70]]


@pytest.mark.parametrize(
    ("sql", "params", "expected"),
    [
        ("SELECT 1 WHERE 1 = $1 AND 2 = ?", [1, 2], "42601"),
        ("SELECT id FROM accounts WHERE id = $1", [], "42P02"),
        ("SELECT id FROM accounts WHERE id = :id", {}, "42P02"),
        ("SELECT id FROM accounts WHERE id = :id", [1], "42P02"),
        ("SELECT id FROM accounts WHERE id = $1", {"id": 1}, "42P02"),
        ("SELECT id FROM accounts WHERE id = $1", [1, 2], "08P01"),
        ("SELECT id FROM accounts WHERE id = $2", [1, 2], "42P18"),
        ("SELECT $1 IS NULL AND $1 = 1", [1], "42P08"),
        ("SELECT id FROM accounts WHERE id = $0", [1], "42P02"),
        ("SELECT id FROM accounts WHERE id = $1", [True], "22P02"),
        ("SELECT id FROM accounts WHERE id = $1", [1.0], "22P02"),
        ("SELECT id FROM accounts WHERE id = $1", ["x"], "22P02"),
        ("SELECT id FROM accounts WHERE id = $1", [[1]], "22P02"),
        ("SELECT id FROM accounts WHERE id = $1", [2**63], "22003"),
        ("SELECT id FROM accounts WHERE id = $1", [str(2**63)], "22003"),
        ("SELECT 1 + $1", [2**31], "22003"),
        ("SELECT id FROM accounts WHERE owner = $1", [1], "22P02"),
        ("SELECT id FROM accounts WHERE owner = $1", ["a\0b"], "22021"),
        ("SELECT id FROM accounts WHERE owner = $1", ["\ud800"], "22021"),
        ("SELECT id FROM accounts WHERE open = $1", [1], "22P02"),
        ("SELECT id FROM accounts WHERE open = $1", ["true"], "22P02"),
        ("SELECT id FROM accounts WHERE owner = 'a\0b'", [], "22021"),
        ("SELECT id FROM accounts LIMIT $1", [-1], "2201W"),
        ("SELECT id FROM accounts OFFSET $1", [-1], "2201X"),
        ("CREATE TABLE u (a INT PRIMARY KEY, CHECK (a > $1))", [1], "42P02"),
    ],
)
def test_wrong_parameters_are_refused(bank, sql, params, expected):
    assert sqlstate(bank, sql, params) == expected


@pytest.mark.parametrize("value", [None, 5, "5", " -5 ", str(2**63 - 1)])
def test_integers_may_come_as_decimal_text(bank, value):
    expected = None if value is None else int(value)
    assert bank.execute("SELECT $1::bigint", [value]).rows == [[expected]]


def test_context_gives_a_parameter_its_type(bank):
    made = plan("SELECT $1 + balance, $2 || owner, $3 AND open, $4 FROM accounts", bank)
    assert [column.type for column in made.columns] == ["BIGINT", "TEXT", "BOOLEAN", "TEXT"]
