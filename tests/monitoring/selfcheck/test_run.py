"""A self-check finds what a store does wrong, by the workload that is made for it, and nothing on one that does not."""

from __future__ import annotations

from typing import Any

import pytest

from monitoring.selfcheck.bank import wrong_balances
from monitoring.selfcheck.run import WORKLOADS, Finding, Wishes, run, worst_of
from monitoring.selfcheck.scratch import KEPT_S, Scratch, Supply
from monitoring.verdicts import FAIL, OK, UNKNOWN
from nodes.errors import BadRequest, Unavailable
from nodes.requests import Table
from tests.monitoring.selfcheck import broken_store
from tests.monitoring.selfcheck.broken_store import BrokenStore

LONG_S = 20.0


def findings(store: Any, *workloads: str, seconds: float = 1.0) -> dict[str, Finding]:
    chosen = workloads or tuple(WORKLOADS)
    return {each.workload: each for each in run(store, Wishes(seconds, 3, chosen))}


def found(fault: str, *workloads: str) -> dict[str, set[str]]:
    """The names of the anomalies, by workload. A store that is wrong now and then is looked at until all show it."""
    names: dict[str, set[str]] = {}
    for _ in range(int(LONG_S)):
        for name, finding in findings(BrokenStore(fault), *workloads).items():
            if finding.state == FAIL:
                assert finding.anomalies, "each is told"
                names.setdefault(name, set()).update(finding.words.split(", "))
        if names.keys() == set(workloads):
            break
    return names


@pytest.mark.parametrize("fault", [broken_store.SOUND, broken_store.UNSURE])
def test_a_store_that_keeps_its_promises_has_no_anomaly(fault: str) -> None:
    """On a busy machine a workload may not get to do anything: then it says so, and is run again."""
    happened: set[str] = set()
    for _ in range(int(LONG_S)):
        told = findings(BrokenStore(fault))
        assert worst_of(told.values()) in (OK, UNKNOWN), [finding.anomalies for finding in told.values()]
        assert all((each.state == OK) == (each.happened > 0) == (each.words == "no anomaly") for each in told.values())
        happened |= {name for name, finding in told.items() if finding.happened}
        if happened == set(WORKLOADS):
            break
    assert happened == set(WORKLOADS)


def test_stale_snapshots_are_found() -> None:
    names = found(broken_store.STALE, "list-append", "bank", "register", "long-fork", "causal-reverse")
    assert len(names) == 5
    for name in ("list-append", "causal-reverse", "long-fork"):
        assert any(each.endswith(("-realtime", "-process")) for each in names[name]), names


def test_acknowledged_transactions_that_are_not_there_are_found() -> None:
    assert len(found(broken_store.FORGETS, "list-append", "bank", "register", "causal-reverse")) == 4


def test_halves_of_transactions_are_found() -> None:
    names = found(broken_store.HALVES, "bank", "list-append")
    assert "broken-invariant" in names["bank"]
    assert names["list-append"]


def test_write_skew_is_found_of_rows_and_of_predicates() -> None:
    names = found(broken_store.SNAPSHOTS, "write-skew", "predicate")
    assert names["write-skew"] & {"G2-item", "lost-update"}
    assert "G2" in names["predicate"]


def test_what_was_refused_and_is_there_is_found() -> None:
    assert "G1a" in found(broken_store.LIES, "list-append")["list-append"]


class Refusing(BrokenStore):
    """Makes its tables, and then does not do what it is asked."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def execute_many(self, statements: Any, *rest: Any, **more: Any) -> Any:
        if not statements[0][0].startswith(("CREATE", "DROP")):
            raise self.error
        return super().execute_many(statements)


def test_a_check_that_could_do_nothing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitoring.selfcheck.run.LOOK_S", 0.2)
    told = findings(Refusing(Unavailable("no quorum")), "causal-reverse", seconds=0.2)["causal-reverse"]
    assert (told.state, told.words, told.happened) == (UNKNOWN, "no transaction happened", 0)


def test_a_request_that_is_taken_for_wrong_is_told_with_its_error() -> None:
    told = findings(Refusing(BadRequest("no such thing")), "causal-reverse")["causal-reverse"]
    assert told.state == UNKNOWN
    assert "no such thing" in told.words


def test_the_tables_are_gone_at_the_end() -> None:
    store = BrokenStore()
    findings(store, seconds=0.1)
    assert store.db.execute("SELECT name FROM sqlite_master").fetchall() == []


def test_tables_that_an_older_run_left_are_dropped_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    store = BrokenStore()
    names = [Scratch(store, now).name("lists") for now in (1.0, KEPT_S / 2, None)]  # type: ignore[arg-type]
    names += ["selfcheck_of_mine", "selfcheckz"]
    for name in names:
        store.db.execute(f"CREATE TABLE {name} (id BIGINT)")
    listed = [Table(name, 1, [], [], []) for name in sorted(names)]
    monkeypatch.setattr(store, "tables", lambda *args, **more: listed)
    Scratch(store).drop_what_others_left()
    left = {name for (name,) in store.db.execute("SELECT name FROM sqlite_master")}
    assert left == {names[2], "selfcheck_of_mine", "selfcheckz"}


def test_rows_come_once_however_often_they_are_asked_for() -> None:
    class Losing(BrokenStore):
        keys: list[Any] = []

        def execute_many(self, statements: Any, *rest: Any, **more: Any) -> Any:
            self.keys.append(more["idempotency_key"])
            if len(self.keys) % 2:
                raise Unavailable("its answer was lost")
            return super().execute_many(statements)

    store = Losing()
    scratch = Scratch(store)
    store.db.execute(f"CREATE TABLE {scratch.name('lists')} (id BIGINT PRIMARY KEY, items TEXT)")
    supply = Supply(scratch, "lists", "id, items", "({0}, '')", batch=10)
    for _ in range(2):
        with pytest.raises(Unavailable):
            supply.reach(15)
    supply.reach(15)
    assert store.keys[0] == store.keys[1] != store.keys[2] == store.keys[3]
    assert store.db.execute(f"SELECT count(*) FROM {scratch.name('lists')}").fetchone() == (20,)


def test_balances_that_the_ledger_does_not_explain_are_told() -> None:
    assert wrong_balances({0: 90, 1: 110, 2: 100, 3: 100}, [[1, 0, 1, 10]]) == []
    assert wrong_balances({0: 90, 1: 100, 2: 100, 3: 100}, [[1, 0, 1, 10]]) == [
        "account 1 has 100, and the ledger that was read with it makes 110: [[1, 0, 1, 10]]"
    ]
