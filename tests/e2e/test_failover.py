"""Two rounds of `make failover`, one of each kind, and some seconds without a fault. Times are printed, not judged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e import elections, failover, rounds, writers
from tests.e2e.failover import Failover
from tests.e2e.rounds import KILL, STOP, Calm, Round
from tests.e2e.writers import Aim

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Failover]:
    with Failover(tmp_path_factory.mktemp("failover") / "home", seed=3, rate=100.0) as started:
        yield started
    assert not started.cluster.unexpected, started.cluster.unexpected


def test_a_lost_leader_is_replaced_and_no_write_is_lost_or_doubled(running: Failover) -> None:
    seen_two = failover.play(running, 2)
    assert [(seen.action, seen.violations) for seen in seen_two] == [(KILL, []), (STOP, [])]
    assert seen_two[0].aim.victim != seen_two[1].aim.victim
    for seen in seen_two:
        assert seen.shard_s is not None, "a row of a shard that the lost node led is written again"
        assert seen.transfer_s is not None, "so is a transfer that its coordinator group has to decide"
        assert None not in (seen.keyed_s, seen.bare_s), "clients that know the lost node write again, too"
        assert seen.election_s > 0, "the nodes tell when the next leader serves"
        assert seen.back_s == pytest.approx(seen.election_s + seen.recovery_s + seen.client_s)
    assert elections.misplaced(running.cluster.status()) == {}


def test_full_load_without_a_fault_is_judged_too(running: Failover) -> None:
    seen = running.calm(minutes=0.05)
    assert seen.violations == []
    assert seen.writes_per_second > 0
    print(seen.line())


def played(*back_s: float) -> list[Round]:
    return [Round(number, KILL, Aim(), shard_s=0.1, transfer_s=seconds) for number, seconds in enumerate(back_s, 1)]


def test_a_bound_that_is_missed_is_told() -> None:
    assert rounds.missed_by(played(0.5, 1.5, 3.0)) == []
    assert rounds.missed_by(played(0.5, 1.4, 3.1))[-1] == "all, 3 rounds: most 3.10 s, at most 3.0 s is allowed"
    assert rounds.missed_by(played(0.5, 1.6, 2.0))[-1] == "all, 3 rounds: median 1.60 s, at most 1.5 s is allowed"
    assert rounds.missed_by([Round(1, STOP, Aim(), shard_s=0.1)]) != [], "what did not come back is late"
    assert rounds.missed_by([*played(0.1, 0.1), Round(3, STOP, Aim(), shard_s=1.6, transfer_s=1.6)]) == [
        "stop, 1 rounds: median 1.60 s, at most 1.5 s is allowed"
    ]
    assert Calm(10, {"s1": 1}, 600.0, 2.0).missed() == []
    assert Calm(10, {"s1": 1, "c1": 1}, 600.0, 2.0).missed() == ["2 needless elections, at most 1 is allowed"]


def test_the_summary_has_figures_and_shares_of_each_kind_of_loss() -> None:
    seen = Round(1, STOP, Aim(), 1.0, 1.2, 2.1, 9.1, election_s=0.9, recovery_s=0.27, client_s=0.03)
    words = rounds.summary([seen])
    assert words[0] == "stop, 1 rounds: the slower write back median 1.20 s, p90 1.20 s, most 1.20 s"
    assert "  election median 0.90 s, p90 0.90 s, most 0.90 s, 75% of the time" in words
    assert "all, 1 rounds: the slower write back median 1.20 s, p90 1.20 s, most 1.20 s" in words


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
