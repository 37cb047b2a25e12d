"""What is applied, and when it is written (nodes/core/txn/shard_state.py): whenever that is, the store is the same."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes import ids
from nodes.core.replicated_log import Entry
from nodes.core.txn.entries import EndTxn, PrepareTxn, encode
from nodes.core.txn.shard_state import ShardState
from nodes.errors import ReplicaStopped
from nodes.storage.sqlite import SqliteEngine

TXNS = [ids.mint(1_000 + number, 1, 1, number, "c1", b"cluster") for number in range(4)]


def prepare(txn: bytes) -> PrepareTxn:
    return PrepareTxn(txn, b"age", 1, [], [], [], 0)


def entries(commands: list[Any]) -> list[Entry]:
    return [Entry(slot, 1, encode(command)) for slot, command in enumerate(commands, 1)]


def kept(state: ShardState) -> tuple[set[bytes], dict[bytes, bool]]:
    """The prepared transactions in the store, and how those that ended did."""
    outcomes = {txn: outcome.commit for txn in TXNS if (outcome := state.outcome(txn)) is not None}
    assert set(state.prepared) == {txn for txn, _ in state.engine.prepared()}
    return set(state.prepared), outcomes


steps = st.lists(st.tuples(st.sampled_from(TXNS), st.booleans()), max_size=12)


@given(steps, st.lists(st.integers(1, 12), max_size=6))
def test_the_store_is_the_same_by_whatever_turns(said: list[tuple[bytes, bool]], cuts: list[int]) -> None:
    commands = [EndTxn(txn, False, 0) if ends else prepare(txn) for txn, ends in said]
    found = []
    for bounds in ([*range(1, len(commands))], sorted(cuts)):
        state = ShardState("s1", SqliteEngine(None))
        rest = entries(commands)
        for first, last in zip([0, *bounds], [*bounds, len(rest)], strict=True):
            if rest[first:last]:
                state.apply(rest[first:last])
        state.flush()
        found.append(kept(state))
        reopened = ShardState("s1", state.engine)
        assert kept(reopened) == found[-1]
        state.engine.close()
    assert found[0] == found[1]


def test_what_came_with_an_entry_that_cannot_be_applied_is_nowhere() -> None:
    state = ShardState("s1", SqliteEngine(None))
    commits_unknown = EndTxn(TXNS[1], True, 7)
    with pytest.raises(ReplicaStopped):
        state.apply(entries([prepare(TXNS[0]), commits_unknown]))
    again = ShardState("s1", state.engine)
    again.apply(entries([prepare(TXNS[2])]))
    again.flush()
    assert kept(again) == ({TXNS[2]}, {})
    ((_, record),) = again.engine.prepared()
    assert msgspec.msgpack.decode(record, type=PrepareTxn) == prepare(TXNS[2])


def test_what_only_prepares_follows_without_a_gap_too() -> None:
    state = ShardState("s1", SqliteEngine(None))
    first, _, third = entries([prepare(txn) for txn in TXNS[:3]])
    state.apply([first])
    with pytest.raises(ReplicaStopped, match="slot 3 cannot follow the applied slot 1"):
        state.apply([third])
