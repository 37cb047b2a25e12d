"""The checker beside the dumb twin that tries every order, on random histories: what it finds is wrong, and of lists
and sets that are read at the end it misses nothing. Larger serial histories have no anomaly; mutated ones have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from monitoring.selfcheck.checker import check
from monitoring.selfcheck.checker.graph import components, path
from monitoring.selfcheck.checker.history import (
    APPEND,
    DID_NOT_HAPPEN,
    HAPPENED,
    INSERT,
    LIST,
    SCAN,
    UNKNOWN,
    VALUE,
    WRITE,
    WRITES,
    Operation,
    Transaction,
)
from tests.monitoring.selfcheck.histories import has_a_serial_order

FIRSTS: dict[str, Any] = {LIST: (), VALUE: None, SCAN: frozenset()}
OF_WRITE = {APPEND: LIST, WRITE: VALUE, INSERT: SCAN}
Store = dict[tuple[str, str], Any]


def apply(store: Store, kind: str, key: str, value: Any) -> None:
    place = (OF_WRITE[kind], key)
    before = store.get(place, FIRSTS[place[0]])
    store[place] = {APPEND: lambda: (*before, value), WRITE: lambda: value, INSERT: lambda: before | {value}}[kind]()


def execute(kinds: list[tuple[str, str]], store: Store, first: int) -> list[Operation]:
    """What a transaction of that form reads in the store, which it changes; its values count from `first`."""
    operations = []
    for number, (kind, key) in enumerate(kinds):
        if kind in WRITES:
            apply(store, kind, key, first + number)
            operations.append(Operation(kind, key, first + number))
        else:
            operations.append(Operation(kind, key, store.get((kind, key), FIRSTS[kind])))
    return operations


def forms(kinds: tuple[str, ...], keys: str = "xy", most: int = 3) -> st.SearchStrategy[list[tuple[str, str]]]:
    return st.lists(st.tuples(st.sampled_from(kinds), st.sampled_from(keys)), min_size=1, max_size=most)


@st.composite
def serial(draw: Callable[..., Any], kinds: tuple[str, ...], most: int) -> list[Transaction]:
    """A history that happened one after the other, told with intervals that overlap; some did not happen, of some
    nobody knows, and the last reads everything."""
    store: Store = {}
    made = []
    last = [(kind, key) for kind in kinds if kind not in WRITES for key in "xy"]
    for number, form in enumerate([*draw(st.lists(forms(kinds), max_size=most)), last]):
        outcome = draw(st.sampled_from((HAPPENED, HAPPENED, HAPPENED, DID_NOT_HAPPEN, UNKNOWN)))
        took_place = draw(st.booleans()) if outcome == UNKNOWN else outcome == HAPPENED
        operations = execute(form, store if took_place else dict(store), 100 * number)
        point = 10 * number
        begun, ended = point - draw(st.integers(0, 25)), point + draw(st.integers(0, 25))
        made.append(Transaction(number, number, operations, outcome, begun, ended))
    made[-1].outcome = HAPPENED
    return made


@st.composite
def drawn(draw: Callable[..., Any], kinds: tuple[str, ...]) -> list[Transaction]:
    """A few transactions, of which each runs on a store of its own that saw some of the others: mostly wrong."""
    forms_of = draw(st.lists(forms(kinds), min_size=2, max_size=4))
    orders = [draw(st.permutations(range(number))) for number in range(len(forms_of))]
    done: list[list[Operation]] = []
    for number, form in enumerate(forms_of):
        store: Store = {}
        for other in orders[number][: draw(st.integers(0, number))]:
            for kind, key, value in done[other]:
                if kind in WRITES:
                    apply(store, kind, key, value)
        done.append(execute(form, store, 100 * number))
    times = [sorted(draw(st.tuples(st.integers(0, 9), st.integers(0, 9)))) for _ in done]
    outcomes = st.sampled_from((HAPPENED, HAPPENED, HAPPENED, UNKNOWN))
    return [
        Transaction(number, number, operations, draw(outcomes), *times[number])
        for number, operations in enumerate(done)
    ]


ALL = tuple(OF_WRITE) + tuple(FIRSTS)
SHOWN = (APPEND, LIST, INSERT, SCAN)


@given(serial(ALL, 30))
def test_a_history_that_happened_one_after_the_other_has_no_anomaly(history: list[Transaction]) -> None:
    assert check(history).names == []


@given(drawn(ALL))
def test_what_is_found_has_no_serial_order(history: list[Transaction]) -> None:
    if check(history).anomalies:
        assert not has_a_serial_order(history)


@given(drawn(SHOWN), st.permutations((APPEND, INSERT)))
def test_of_lists_and_sets_that_are_read_at_the_end_nothing_is_missed(
    history: list[Transaction], kinds: list[str]
) -> None:
    for each in history:
        each.outcome = HAPPENED
    store: Store = {}
    for each in history:
        for kind, key, value in each.operations:
            if kind in WRITES:
                apply(store, kind, key, value)
    reads = [Operation(kind, key, value) for (kind, key), value in store.items()]
    assume(reads)
    history = [*history, Transaction(len(history), "reader", reads, HAPPENED, 100, 101)]
    assert (check(history).names == []) == has_a_serial_order(history)


@given(serial(SHOWN, 12), st.data())
def test_a_mutated_history_has_some(history: list[Transaction], data: st.DataObject) -> None:
    """One read of the last transaction, which began behind all the others, loses something that was there."""
    last = history[-1]
    history[-1] = last = replace(last, begun=10**6, ended=10**6 + 1)
    full = [place for place, each in enumerate(last.operations) if each.value]
    assume(full)
    place = data.draw(st.sampled_from(full))
    kind, key, value = last.operations[place]
    writers = {
        (each.kind, each.key, each.value): txn for txn in history for each in txn.operations if each.kind in WRITES
    }
    gone = value[-1] if kind == LIST else data.draw(st.sampled_from(sorted(value)))
    assume(writers[APPEND if kind == LIST else INSERT, key, gone].outcome == HAPPENED)
    last.operations[place] = Operation(kind, key, value[:-1] if kind == LIST else value - {gone})
    assert check(history).names != []
    assert all(txn in history for anomaly in check(history).anomalies for txn in anomaly.transactions)


@given(st.dictionaries(st.integers(0, 12), st.lists(st.integers(0, 12), max_size=4)))
def test_components_are_who_can_reach_each_other(onward: dict[int, list[int]]) -> None:
    vertices = range(13)
    found = components(vertices, lambda vertex: onward.get(vertex, []))
    together = {frozenset(component) for component in found}

    def leads(one: int, other: int) -> bool:
        return bool(path(one, other, lambda vertex: onward.get(vertex, [])))

    expected = {
        frozenset(b for b in vertices if b == a or (leads(a, b) and leads(b, a))) for a in vertices
    }  # fmt: skip
    assert together == {component for component in expected if len(component) > 1}
