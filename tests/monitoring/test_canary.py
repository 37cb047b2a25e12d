"""The canary against a store that misbehaves in every way it must be ready for."""

from __future__ import annotations

from typing import Any

import pytest

from monitoring import canary
from monitoring.canary import FILL, LOOK, MAKE, MOVE, ROWS, SUM, Canary
from nodes.errors import BadRequest, ConstraintViolation, ExpectationFailed, OutcomeUnknown, StoreError, Unavailable
from nodes.requests import COMMITTED, Fate, Reply, Request, Result

TXN = "t" + "a" * 40


class FakeStore:
    """Keeps the canary's rows; `shards[row]` is where a row lives. `fails[sql]` is raised, one by one."""

    def __init__(self, shards: dict[int, str] | None = None) -> None:
        self.shards = shards or {row: f"s{row}" for row in range(1, ROWS + 1)}
        self.exists = False
        self.turns: dict[int, int] = {}
        self.fails: dict[str, list[StoreError]] = {}
        self.fate = Fate(TXN, COMMITTED, "happened")
        self.said: list[str] = []
        self.fenced: list[str] = []

    def submit(self, request: Request) -> Reply:
        sql = request.statements[0].sql
        self.said.append(sql)
        assert 0 < request.timeout_ms <= 3_000
        if self.fails.get(sql):
            raise self.fails[sql].pop(0)
        if sql == MAKE:
            self._make()
        elif not self.exists:
            raise BadRequest("relation does not exist", sqlstate="42P01")
        elif sql == FILL:
            self._fill()
        elif sql == MOVE:
            return self._move(request)
        elif sql == LOOK:
            return self._look(request.statements[0].params[0])
        elif sql == SUM:
            return reply([], [[str(sum(self.turns.values()))]])
        return reply([])

    def _make(self) -> None:
        if self.exists:
            raise BadRequest("relation already exists", sqlstate="42P07")
        self.exists = True

    def _fill(self) -> None:
        if self.turns:
            raise ConstraintViolation("duplicate key", sqlstate="23505")
        self.turns = dict.fromkeys(range(1, ROWS + 1), 0)

    def _move(self, request: Request) -> Reply:
        steps = [each.params for each in request.statements]
        assert all(each.expect_rows == 1 for each in request.statements)
        if any(row not in self.turns for _, row in steps):
            raise ExpectationFailed("changed 0 rows, 1 were expected")
        for by, row in steps:
            self.turns[row] += by
        return reply(sorted({self.shards[row] for _, row in steps}))

    def _look(self, row: int) -> Reply:
        if row not in self.turns:
            raise ExpectationFailed("returned 0 rows, 1 were expected")
        return reply([self.shards[row]], [[self.turns[row]]])

    def fence(self, id: str, timeout: float) -> Fate:
        self.fenced.append(id)
        return self.fate


def reply(shards: list[str], rows: list[list[Any]] | None = None) -> Reply:
    return Reply(TXN, COMMITTED, 1, 1, shards, [Result([], rows or [], 1)])


@pytest.fixture
def store() -> FakeStore:
    found = FakeStore()
    Canary(found).run()
    found.said.clear()
    return found


def test_the_first_trial_makes_the_table_and_its_rows():
    store = FakeStore()
    trial = Canary(store).run()
    assert (trial.state, trial.words[:22]) == ("ok", "committed on s1 and s2")
    assert store.said.count(MAKE) == store.said.count(FILL) == 1


def test_later_trials_make_nothing_and_the_table_never_grows(store):
    pair = None
    for _ in range(5):
        one = Canary(store, pair)
        assert one.run().state == "ok"
        pair = one.pair
    assert MAKE not in store.said
    assert store.said.count(LOOK) == 2  # where the rows live is looked up once
    assert len(store.turns) == ROWS


def test_a_table_without_rows_is_filled():
    store = FakeStore()
    store.exists = True
    assert Canary(store).run().state == "ok"


def test_two_canaries_may_make_the_table_at_once():
    store = FakeStore()
    store.fails[LOOK] = [BadRequest("relation does not exist", sqlstate="42P01")]
    store.exists = True
    store._fill()
    assert Canary(store).run().state == "ok"


def test_with_one_shard_its_rows_live_together():
    store = FakeStore(dict.fromkeys(range(1, ROWS + 1), "s1"))
    trial = Canary(store).run()
    assert (trial.state, trial.words[:15]) == ("ok", "committed on s1")


def test_rows_that_moved_together_are_looked_for_again(store):
    one = Canary(store)
    one.run()
    store.shards = {1: "s9", 2: "s9", 3: "s4"} | dict.fromkeys(range(4, ROWS + 1), "s9")
    second = Canary(store, one.pair)
    assert second.run().state == "ok"
    third = Canary(store, second.pair)
    assert "s4 and s9" in third.run().words


def test_half_a_transaction_in_a_snapshot_fails(store):
    store.turns[3] += 1
    trial = Canary(store).run()
    assert (trial.state, trial.words) == (
        "fail",
        "a snapshot of monitoring_canary adds up to 1 instead of nothing",
    )


def test_an_unknown_outcome_is_fenced_and_never_just_tried_again(store):
    store.fails[MOVE] = [OutcomeUnknown("the answer was lost", transaction=TXN)]
    trial = Canary(store).run()
    assert (trial.state, trial.words[:28]) == ("ok", "committed, as its fate says,")
    assert store.fenced == [TXN]
    assert store.said.count(MOVE) == 1


@pytest.mark.parametrize(
    ("state", "words"), [("aborted", "fenced: it did not happen"), ("expired", "the answer was lost")]
)
def test_an_unknown_outcome_that_is_no_commit_fails(store, state, words):
    store.fails[MOVE] = [OutcomeUnknown("the answer was lost", transaction=TXN)]
    store.fate = Fate(TXN, state, "did_not_happen")
    with pytest.raises(StoreError, match=words):
        Canary(store).run()
    assert store.said.count(MOVE) == 1


def test_an_unknown_outcome_without_an_id_fails(store):
    store.fails[MOVE] = [OutcomeUnknown("no id was heard")]
    with pytest.raises(OutcomeUnknown):
        Canary(store).run()
    assert store.fenced == []


def test_what_did_not_happen_is_not_tried_again(store):
    store.fails[MOVE] = [Unavailable("no quorum")]
    with pytest.raises(Unavailable):
        Canary(store).run()
    assert store.said.count(MOVE) == 1


def test_a_table_that_is_dropped_meanwhile_is_made_again(store):
    store.exists, store.turns = False, {}
    assert Canary(store, (1, 2)).run().state == "ok"


def test_it_ends_within_its_budget(store, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(canary.time, "monotonic", lambda: now[0])
    one = Canary(store)
    now[0] = canary.BUDGET_S - 0.5
    assert one._step_s() == 0.5
    now[0] = canary.BUDGET_S + 5
    assert one._step_s() == 0.001
