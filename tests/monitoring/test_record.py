"""What is written down of a run, and what is left of it when time has passed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.models import CheckResult, Flip, Standing
from monitoring.record import Run, record, standings, superfluous, thin
from monitoring.verdicts import FAIL, OK, SEVERITY, STATES, UNKNOWN, WARN, Sample

NOW = datetime(2026, 3, 1, 12, 34, 56, tzinfo=UTC)
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)

pytestmark = pytest.mark.django_db


def run(number: int, *states: str, check: str = "node_answers", seconds: int | None = None) -> list[Flip]:
    """Run `number`, five seconds after the one before, with a sample of n1, n2, ... each."""
    at = NOW + (5 * number if seconds is None else seconds) * SECOND
    samples = [Sample(f"n{place}", state, f"words {number}", float(place)) for place, state in enumerate(states, 1)]
    return record(Run(f"run-{number}", check, at, 7), samples, 2)


def test_a_result_has_its_worst_sample_and_lists_what_is_not_ok():
    run(0, OK, FAIL, WARN)
    result = CheckResult.objects.get()
    assert (result.check_name, result.state, result.words, result.took_ms) == ("node_answers", FAIL, "words 0", 7)
    assert result.samples == [
        {"subject": "n2", "state": FAIL, "words": "words 0", "value": 2.0},
        {"subject": "n3", "state": WARN, "words": "words 0", "value": 3.0},
    ]


def test_a_flip_is_kept_with_its_cause_and_moves_the_standing():
    run(0, OK, OK)
    assert run(1, OK, FAIL) == []
    (flip,) = run(2, OK, FAIL)
    assert flip == Flip.objects.get()
    assert (flip.check_name, flip.subject, flip.before, flip.after) == ("node_answers", "n2", OK, FAIL)
    assert (flip.cause, flip.at, flip.told_at) == ("words 2", NOW + 10 * SECOND, None)
    assert standings("node_answers")["n2"].since == flip.at
    assert standings("node_answers")["n1"].state == OK


def test_a_run_that_is_delivered_twice_counts_once():
    run(0, OK)
    run(1, FAIL)
    assert run(1, FAIL) == []
    assert CheckResult.objects.count() == 2
    assert standings("node_answers")["n1"].state == OK


def test_a_run_that_was_overtaken_is_kept_and_moves_nothing():
    run(0, OK)
    run(2, OK)
    run(1, FAIL)
    run(3, FAIL)
    assert standings("node_answers")["n1"].state == OK
    assert CheckResult.objects.count() == 4


def test_a_failure_that_is_certain_counts_even_when_its_run_was_overtaken():
    def judged(number: int, state: str, certain: bool = False) -> list[Flip]:
        sample = Sample("bank", state, f"words {number}", certain=certain)
        return record(Run(f"run-{number}", "self_check", NOW + number * SECOND, 7), [sample], 1, is_part=True)

    judged(0, OK)
    judged(5, OK)
    assert judged(1, WARN, certain=True) == []
    (flip,) = judged(2, FAIL, certain=True)
    assert (flip.before, flip.after, flip.cause) == (OK, FAIL, "words 2")
    assert judged(3, OK) == []  # it began before the one that is newest
    assert [(each.before, each.after) for each in judged(6, OK)] == [(FAIL, OK)]


def test_what_a_part_of_a_check_did_not_look_at_stands_as_it_stood():
    run(0, OK, OK)
    record(Run("part", "node_answers", NOW + SECOND, 7), [Sample("n1", WARN, "new", 1.0)], 1, is_part=True)
    assert {name: each.state for name, each in standings("node_answers").items()} == {"n1": WARN, "n2": OK}


def test_what_stays_as_it_is_is_not_written_again(django_assert_max_num_queries):
    def writes(number: int, free: float) -> list[str]:
        sample = Sample("n1", OK, f"{free:.0f} GiB free", free)
        with django_assert_max_num_queries(20) as seen:
            record(Run(f"run {number}", "disk_space", NOW + number * SECOND, 1), [sample], 2)
        sqls = [query["sql"] for query in seen.captured_queries]
        return [sql for sql in sqls if "monitoring_standing" in sql and not sql.startswith("SELECT")]

    assert [len(writes(number, free)) for number, free in enumerate([50, 50, 50, 49, 49])] == [1, 1, 0, 1, 0]


def test_a_subject_that_is_gone_has_no_standing():
    run(0, OK, OK)
    run(1, OK)
    assert list(Standing.objects.values_list("subject", flat=True)) == ["n1"]


def test_checks_do_not_touch_each_other():
    run(0, FAIL, check="node_answers")
    run(1, OK, check="disk_space")
    assert (standings("node_answers")["n1"].state, standings("disk_space")["n1"].state) == (UNKNOWN, OK)


def keep(at: datetime, state: str = OK, check: str = "canary") -> int:
    number = CheckResult.objects.count()
    row = CheckResult.objects.create(check_name=check, at=at, took_ms=1, state=state, words="", run=f"run {number}")
    return row.pk


def kept() -> list[int]:
    return sorted(CheckResult.objects.values_list("id", flat=True))


def test_all_results_of_a_day_are_kept():
    for seconds in range(0, 86_400, 3_600):
        keep(NOW - seconds * SECOND)
    assert thin(NOW) == 0


def test_of_an_older_hour_the_first_of_the_worst_is_kept():
    hour = datetime(2026, 2, 20, 7, tzinfo=UTC)
    keep(hour)
    worst = keep(hour + 59 * SECOND, WARN)
    keep(hour + 60 * SECOND, WARN)
    keep(hour + 3_599 * SECOND)
    next_hour = keep(hour + HOUR)
    other_check = keep(hour, check="disk_space")
    assert thin(NOW) == 3
    assert kept() == sorted([worst, next_hour, other_check])
    assert thin(NOW) == 0


def test_an_hour_is_thinned_when_all_of_it_is_a_day_old():
    first, second = keep(NOW - DAY - timedelta(minutes=34)), keep(NOW - DAY - SECOND)
    assert thin(NOW) == 0
    assert thin(NOW + timedelta(minutes=26)) == 1
    assert kept() == [first] != [second]


def test_results_go_after_thirty_days_and_flips_after_a_year():
    keep(NOW - 30 * DAY - SECOND)
    young = keep(NOW - 30 * DAY + SECOND)
    flip = {"check_name": "canary", "subject": "cluster", "before": OK, "after": FAIL, "cause": ""}
    Flip.objects.create(at=NOW - 365 * DAY - SECOND, **flip)
    Flip.objects.create(at=NOW - 365 * DAY + SECOND, **flip)
    assert thin(NOW) == 2
    assert kept() == [young]
    assert Flip.objects.count() == 1


def test_the_flip_of_an_anomaly_is_kept_for_ever():
    old = {"at": NOW - 9 * 365 * DAY, "check_name": "self_check", "subject": "bank", "cause": ""}
    anomaly = Flip.objects.create(before=OK, after=FAIL, **old)
    Flip.objects.create(before=OK, after=WARN, **old)
    Flip.objects.create(before=OK, after=FAIL, **{**old, "check_name": "canary"})
    assert thin(NOW) == 2
    assert list(Flip.objects.all()) == [anomaly]


rows = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 4 * 3600), st.sampled_from(STATES)), max_size=40
).map(lambda found: [(check, NOW + at * SECOND, id, state) for id, (check, at, state) in enumerate(sorted(found))])


@given(rows)
def test_thinning_leaves_the_worst_of_each_hour_and_nothing_for_a_second_time(found):
    gone = set(superfluous(found))
    left = [row for row in found if row[2] not in gone]
    hours: dict[tuple[str, datetime], list[int]] = {}
    for check, at, _, state in found:
        hours.setdefault((check, at.replace(minute=0, second=0)), []).append(SEVERITY[state])
    kept_hours = {(check, at.replace(minute=0, second=0)): SEVERITY[state] for check, at, _, state in left}
    assert kept_hours == {hour: max(severities) for hour, severities in hours.items()}
    assert len(left) == len(hours)
    assert superfluous(left) == []
