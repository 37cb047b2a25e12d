"""Keys as bytes."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from nodes.sql import keys
from nodes.sql.schema import BIGINT, BOOLEAN, BYTEA, DOUBLE, INT, SHARD_SLOTS, TEXT, TIMESTAMPTZ, UUID

INTEGERS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"))
DOUBLES = st.floats(allow_nan=False) | st.just("NaN")
ROWS = st.tuples(INTEGERS, TEXTS, st.booleans(), DOUBLES, st.binary(), st.uuids().map(str), INTEGERS, TEXTS)
TYPES = (BIGINT, TEXT, BOOLEAN, DOUBLE, BYTEA, UUID, TIMESTAMPTZ, TEXT)


def bytewise(row: tuple[object, ...]) -> tuple[object, ...]:
    """As Python compares it: NaN behind all other numbers, which no infinity reaches as a pair."""
    pairs = zip(TYPES, row, strict=True)
    return tuple(
        (value == "NaN", 0.0 if value == "NaN" else value) if name == DOUBLE
        else value.encode() if isinstance(value, str) else value
        for name, value in pairs
    )  # fmt: skip


@given(ROWS, ROWS)
@example((0, "", False, -0.0, b"", "0" * 8 + "-0000-0000-0000-" + "0" * 12, 0, ""),
         (0, "", False, 0.0, b"", "0" * 8 + "-0000-0000-0000-" + "0" * 12, 0, ""))  # fmt: skip
def test_keys_compare_as_their_rows_do_and_differ_when_they_differ(one, other):
    first, second = keys.encode(TYPES, one), keys.encode(TYPES, other)
    assert (first < second) == (bytewise(one) < bytewise(other))
    assert (first == second) == (one == other)


@given(ROWS)
def test_a_key_is_read_back_with_all_its_columns_and_with_the_first_ones(row):
    """As equal values: -0.0 comes back as 0.0."""
    path = keys.path_encoder(TYPES)(row)
    assert [keys.decode(TYPES, node) for node in path] == [list(row[: width + 1]) for width in range(len(TYPES))]
    assert path[-1] == keys.encode(TYPES, row)
    assert keys.decode(TYPES, b"") == []


# Small domains, so that keys begin alike, and texts and bytes that continue each other.
FEW = st.tuples(
    st.sampled_from(["", "a", "ab", "a\1"]),
    st.sampled_from([b"", b"\0", b"\0\0", b"\0\xff", b"a"]),
    st.sampled_from([0, 1, 256]),
)


@given(FEW, FEW, st.integers(1, 3), st.integers(1, 3))
def test_one_node_lies_above_another_exactly_if_its_bytes_are_the_beginning(one, other, width, other_width):
    types = (TEXT, BYTEA, INT)
    above, below = keys.encode(types[:width], one[:width]), keys.encode(types[:other_width], other[:other_width])
    assert below.startswith(above) == (other[:other_width][:width] == one[:width])
    assert (above == below) == (one[:width] == other[:other_width])


def test_int_and_bigint_encode_alike():
    assert keys.encode([INT], [-7]) == keys.encode([BIGINT], [-7])


def test_a_text_is_smaller_than_its_own_continuation():
    assert keys.encode([TEXT, INT], ["a", 9]) < keys.encode([TEXT, INT], ["a\1", 0])


def test_bytes_are_smaller_than_their_own_continuation():
    values = [b"", b"\0", b"\0\0", b"\0\1", b"\0\xff", b"\1", b"a", b"a\0", b"a\0b", b"ab"]
    encoded = [keys.encode([BYTEA, INT], [value, 9 - place]) for place, value in enumerate(values)]
    assert encoded == sorted(encoded)


def test_every_slot_has_one_shard_and_every_shard_has_slots():
    for shards in (1, 2, 3, 6, 1024):
        owners = [keys.shard_of_slot(slot, shards) for slot in range(SHARD_SLOTS)]
        assert owners == sorted(owners)
        assert set(owners) == set(range(1, shards + 1))


def test_slots_never_change():
    """Rows would be lost on their old shards."""
    assert keys.shard_slot([INT], [1]) == 273
    assert keys.shard_slot([TEXT, BIGINT], ["a", 2]) == 563
    assert keys.shard_slot([DOUBLE], [1.5]) == 525
    assert keys.shard_slot([BYTEA], [b"a\0"]) == 748
    assert keys.shard_slot([UUID], ["0197a3b4-0000-7fff-8000-00000000002a"]) == 948
    assert keys.shard_slot([TIMESTAMPTZ], [1]) == 273
