"""The filter before a store of ids (nodes/core/txn/remembered.py), against a plain set."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodes.core.txn import remembered
from nodes.core.txn.remembered import RememberedIds

ids = st.integers(0, 40).map(lambda number: number.to_bytes(4, "big"))


@given(st.lists(ids), st.lists(ids, max_size=60), st.integers(1, 6))
def test_an_id_that_is_in_the_store_is_never_denied(stored: list[bytes], added: list[bytes], kept: int) -> None:
    ours = RememberedIds(max(stored, default=b""))
    usual, remembered.KEPT = remembered.KEPT, kept
    try:
        for each in added:
            ours.add(each)
    finally:
        remembered.KEPT = usual
    assert all(each in ours for each in [*stored, *added])


def test_a_new_id_is_denied_also_beside_the_newest_ones() -> None:
    ours = RememberedIds(b"\x05")
    ours.add(b"\x09")
    assert b"\x04" in ours, "it may be an old one that the filter does not know by name"
    assert b"\x07" not in ours
    assert b"\x0a" not in ours


def test_the_filter_keeps_a_bounded_number_of_ids() -> None:
    ours = RememberedIds(b"")
    for number in range(10 * remembered.KEPT):
        ours.add(number.to_bytes(4, "big"))
        assert len(ours._kept) <= remembered.KEPT
    assert (10 * remembered.KEPT + 1).to_bytes(4, "big") not in ours
