"""Keys as bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodes.sql import keys
from nodes.sql.schema import BIGINT, BOOLEAN, INT, SHARD_SLOTS, TEXT

INTEGERS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"))
ROWS = st.tuples(INTEGERS, TEXTS, st.booleans(), TEXTS)
TYPES = (BIGINT, TEXT, BOOLEAN, TEXT)


def bytewise(row: tuple[object, ...]) -> tuple[object, ...]:
    return tuple(value.encode() if isinstance(value, str) else value for value in row)


@given(ROWS, ROWS)
def test_keys_compare_as_their_rows_do_and_differ_when_they_differ(one, other):
    first, second = keys.encode(TYPES, one), keys.encode(TYPES, other)
    assert (first < second) == (bytewise(one) < bytewise(other))
    assert (first == second) == (one == other)


def test_int_and_bigint_encode_alike():
    assert keys.encode([INT], [-7]) == keys.encode([BIGINT], [-7])


def test_a_text_is_smaller_than_its_own_continuation():
    assert keys.encode([TEXT, INT], ["a", 9]) < keys.encode([TEXT, INT], ["a\1", 0])


def test_every_slot_has_one_shard_and_every_shard_has_slots():
    for shards in (1, 2, 3, 6, 1024):
        owners = [keys.shard_of_slot(slot, shards) for slot in range(SHARD_SLOTS)]
        assert owners == sorted(owners)
        assert set(owners) == set(range(1, shards + 1))


def test_slots_never_change():
    """Rows would be lost on their old shards."""
    assert keys.shard_slot([INT], [1]) == 273
    assert keys.shard_slot([TEXT, BIGINT], ["a", 2]) == 563
