"""Values in and out, and the arithmetic that the types bring with them."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.errors import BadRequest, TooLarge
from nodes.runtime.merge import merge
from nodes.sql import doubles, moments, numerics, types
from nodes.sql.doubles import ExactSum
from nodes.sql.plan import plan
from nodes.sql.schema import ShardRows
from nodes.storage import sqlite_connection
from tests.sql.store import NOW, Store

DOUBLES = st.floats(allow_nan=False)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
TABLE = "CREATE TABLE v (id INT PRIMARY KEY, d float8, y bytea, i uuid, z timestamptz DEFAULT now())"


@pytest.fixture
def values() -> Store:
    store = Store()
    store.execute(TABLE)
    return store


@pytest.mark.parametrize(
    ("column", "value", "out"),
    [
        ("d", 1, 1.0),
        ("d", 0.1, 0.1),
        ("d", "Infinity", math.inf),
        ("d", "-Infinity", -math.inf),
        ("d", -math.inf, -math.inf),
        ("d", 2**70, float(2**70)),
        ("y", b"\0\xff", b"\0\xff"),
        ("y", "AP8=", b"\0\xff"),
        ("y", "", b""),
        ("i", "{F0000000000000000000000000000001}", "f0000000-0000-0000-0000-000000000001"),
        ("z", "2024-02-29T13:00:00+01:00", datetime(2024, 2, 29, 12, tzinfo=UTC)),
        ("z", "1969-12-31 23:59:59.999999Z", datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        ("z", datetime(2024, 2, 29, 13, tzinfo=timezone(timedelta(hours=1))), datetime(2024, 2, 29, 12, tzinfo=UTC)),
        ("z", datetime.max.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)),
        ("d", None, None),
        ("y", None, None),
        ("i", None, None),
        ("z", None, None),
    ],
)
def test_what_is_put_in_comes_out_in_its_own_form(values, column, value, out):
    result = values.execute(f"INSERT INTO v (id, {column}) VALUES (1, $1) RETURNING {column}", [value])
    assert result.rows == [[out]]
    assert type(result.rows[0][0]) is type(out)
    assert values.execute(f"SELECT {column} FROM v").rows == [[out]]
    assert values.execute(f"SELECT id FROM v WHERE {column} IS NOT DISTINCT FROM $1", [value]).rows == [[1]]


def test_nan_comes_out_as_nan(values):
    for number, value in enumerate([math.nan, "NaN"]):
        values.execute("INSERT INTO v (id, d) VALUES ($1, $2)", [number, value])
    assert all(math.isnan(d) for (d,) in values.execute("SELECT d FROM v").rows)
    assert values.execute("SELECT d = 'NaN' FROM v").rows == [[True], [True]]


@pytest.mark.parametrize(
    ("column", "value", "sqlstate"),
    [
        ("d", True, "22P02"),
        ("d", "1.5", "22P02"),
        ("d", "nan", "22P02"),
        ("d", 10**400, "22003"),
        ("y", "not base64", "22P02"),
        ("y", "AP8", "22P02"),
        ("y", 5, "22P02"),
        ("i", "f0000000", "22P02"),
        ("i", b"0123456789abcdef", "22P02"),
        ("z", "yesterday", "0A000"),
        ("z", "2024-02-29T13:00:00", "0A000"),
        ("z", "2024-02-29", "0A000"),
        ("z", "soon", "22007"),
        ("z", "2024-02-30T13:00:00Z", "22008"),
        ("z", datetime.fromisoformat("2024-02-29T13:00:00"), "22P02"),
        ("z", 1709211600, "22P02"),
        ("z", "2024-02-29T13:00:00\0Z", "22021"),
        ("d", datetime(2024, 2, 29, tzinfo=UTC), "22P02"),
        ("id", 1.0, "22P02"),
    ],
)
def test_a_value_of_another_type_is_refused(values, column, value, sqlstate):
    with pytest.raises(BadRequest) as caught:
        values.execute(f"UPDATE v SET {column} = $1" if column != "id" else "SELECT 1 FROM v WHERE id = $1", [value])
    assert caught.value.info.sqlstate == sqlstate


def test_the_time_of_the_transaction_is_one_for_all_rows_and_shards(values):
    values.execute("INSERT INTO v (id) VALUES (1), (2), (3), (4), (5), (6)")
    assert values.execute("SELECT DISTINCT z FROM v").rows == [[moments.to_datetime(NOW)]]
    assert values.execute("SELECT count(*) FROM v WHERE z = now()").rows == [[6]]
    assert values.execute("SELECT now() FROM v LIMIT $1", [1]).rows == [[moments.to_datetime(NOW)]]


# -- doubles


@given(DOUBLES)
def test_the_text_of_a_double_is_the_double_again(value):
    assert doubles.text_to_double(doubles.double_to_text(value)) == value


@given(st.lists(FINITE, max_size=20), st.integers(1, 4), st.randoms())
def test_a_sum_is_exact_however_the_rows_lie(values, shards, rng):
    try:
        expected = float(sum(map(Fraction, values), Fraction()))
    except OverflowError:
        return
    rng.shuffle(values)
    parts = [ExactSum() for _ in range(shards)]
    for value in values:
        rng.choice(parts).add(value)
    merged = ExactSum()
    for part in parts:
        merged.add_parts(part.parts())
    assert merged.total() == (expected if values else None)


@pytest.mark.parametrize(
    ("values", "total"),
    [
        ([1e308, 1e308, -1e308], 1e308),
        ([math.inf, 1.0], math.inf),
        ([math.inf, -math.inf], "NaN"),
        (["NaN", math.inf], "NaN"),
        ([None, None], None),
        ([None, 0.5], 0.5),
    ],
)
def test_sums_of_the_unusual(values, total):
    one = ExactSum()
    for value in values:
        one.add(value)
    merged = ExactSum()
    merged.add_parts(one.parts())
    assert (one.total(), merged.total()) == (total, total)


def test_a_sum_out_of_range_is_an_error():
    one = ExactSum()
    for _ in range(2):
        one.add(1.7e308)
    with pytest.raises(BadRequest, match="overflow"):
        one.total()


# -- numerics and times

DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=6)


@given(DECIMALS, DECIMALS)
def test_numerics_compare_and_add_by_value(left, right):
    one, other = f"{left:f}", f"{right:f}"
    assert numerics.compare(one, other) == (left > right) - (left < right)
    total = numerics.SCALARS["pg_numeric_add"][1](one, other)
    assert Fraction(total) == Fraction(left) + Fraction(right)


@given(st.datetimes(timezones=st.just(UTC)))
def test_the_text_of_a_time_is_the_time_again(moment):
    micros = moments.from_datetime(moment)
    assert moments.to_datetime(micros) == moment
    assert moments.text_to_moment(moments.moment_to_text(micros)) == micros


def test_every_type_has_words_and_takes_null():
    for name, take in types.TAKE.items():
        assert name in types.WORDS
        assert take(None) is None


def test_groups_over_shards_are_those_of_one_database():
    rng = random.Random(3)
    store = Store(shards=4)
    store.execute("CREATE TABLE g (id INT PRIMARY KEY, k float8, x float8, n BIGINT)")
    for number in range(200):
        row = [number, rng.choice([0.5, math.inf, math.nan, None]), rng.uniform(-1e9, 1e9), rng.getrandbits(62)]
        store.execute("INSERT INTO g VALUES ($1, $2, $3, $4)", row)
    sql = "SELECT k, count(*), sum(x), avg(x), sum(n), avg(n), count(DISTINCT n % 7) FROM g GROUP BY k ORDER BY k"
    pushed, whole = store.execute(sql).rows, store.execute(sql, pushdown=False).rows
    assert repr(pushed) == repr(whole)
    assert len(pushed) == 4


def test_a_result_leaves_the_rows_of_the_shards_as_they_are(values):
    """They may be kept in the shard's record, and made into a result again."""
    values.execute("INSERT INTO v (id, d) VALUES (1, 'NaN')")
    bound = plan("SELECT d, z FROM v WHERE id = 1", values).bind(0, [], values.shards)
    rows = {1: ShardRows([["NaN", NOW]], 1)}
    first, second = merge(bound, rows), merge(bound, rows)
    assert repr(first) == repr(second)
    assert rows == {1: ShardRows([["NaN", NOW]], 1)}


def test_a_result_over_the_bounds_is_refused_also_when_no_shard_is_over_them(monkeypatch):
    monkeypatch.setattr(sqlite_connection, "RESULT_ROWS", 5)
    store = Store(shards=3)
    store.execute("CREATE TABLE v (id INT PRIMARY KEY)")
    for number in range(9):
        store.execute("INSERT INTO v VALUES ($1)", [number])
    assert store.execute("SELECT id % 2, count(*) FROM v GROUP BY 1 ORDER BY 1").rows == [[0, 5], [1, 4]]
    for sql in ("SELECT id FROM v", "SELECT id FROM v ORDER BY id", "SELECT id, count(*) FROM v GROUP BY id + 0, id"):
        with pytest.raises(TooLarge):
            store.execute(sql)
    assert len(store.execute("SELECT id FROM v ORDER BY id LIMIT 5").rows) == 5
