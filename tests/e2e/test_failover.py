"""Two rounds of `make failover`, one of each kind, and some seconds without a fault. Times are printed, not judged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e import elections, failover, writers
from tests.e2e.failover import Failover, Round
from tests.e2e.writers import Aim

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Failover]:
    with Failover(tmp_path_factory.mktemp("failover") / "home", seed=3, rate=100.0) as started:
        yield started
    assert not started.cluster.unexpected, started.cluster.unexpected


def test_a_lost_leader_is_replaced_and_no_write_is_lost_or_doubled(running: Failover) -> None:
    played = failover.play(running, 2)
    assert [(seen.action, seen.violations) for seen in played] == [(failover.KILL, []), (failover.STOP, [])]
    assert played[0].aim.victim != played[1].aim.victim
    for seen in played:
        assert seen.shard_s is not None, "a row of a shard that the lost node led is written again"
        assert seen.transfer_s is not None, "so is a transfer that its coordinator group has to decide"
        assert seen.wide_s is not None, "clients that know the lost node write again, too"
        assert seen.election_s > 0, "the nodes tell when the next leader serves"
        assert seen.back_s == pytest.approx(seen.election_s + seen.recovery_s + seen.client_s)
    assert elections.misplaced(running.cluster.status()) == {}


def test_full_load_without_a_fault_is_judged_too(running: Failover) -> None:
    seen = running.calm(minutes=0.05)
    assert seen.violations == []
    assert seen.writes_per_second > 0
    print(seen.line())


def rounds(*back_s: float) -> list[Round]:
    return [Round(number, failover.KILL, Aim(), shard_s=s, transfer_s=s) for number, s in enumerate(back_s, 1)]


def test_a_bound_that_is_missed_is_told() -> None:
    assert failover.summary(rounds(0.5, 1.4, 3.0))[1] == []
    assert [words for words in failover.summary(rounds(0.5, 1.4, 3.1))[1] if words.startswith("all")] == [
        "all, 3 rounds: most 3.10 s, at most 3.0 s is allowed"
    ]
    assert "all, 3 rounds: median 1.60 s, at most 1.5 s is allowed" in failover.summary(rounds(0.5, 1.6, 2.0))[1]
    assert failover.summary([Round(1, failover.STOP, Aim())])[1], "who never came back is late"


def test_an_epoch_that_rises_is_an_election() -> None:
    def status(term: int, ballot: int) -> dict[str, object]:
        return {"groups": [{"group": "s1", "epoch": term}, {"group": "c1", "epoch": ballot}]}

    before, after = elections.epochs(status(4, 2 << 8 | 1)), elections.epochs(status(6, 3 << 8 | 3))
    assert elections.risen(before, before) == {}
    assert elections.risen(before, after) == {"s1": 2, "c1": 1}


def test_a_row_that_is_not_as_it_was_told_is_found() -> None:
    told = writers.Told.__new__(writers.Told)
    told.sums, told.unnamed = writers.Counter({("counters", 7): 3}), writers.Counter({("counters", 7): 1})
    assert told.judge("counters", {7: 3}, 0) == told.judge("counters", {7: 4}, 0) == []
    assert told.judge("counters", {7: 2}, 0) == ["counters 7 is 2, 3 was told, 1 more are unknown"]
    assert told.judge("counters", {7: 5}, 0) != []
