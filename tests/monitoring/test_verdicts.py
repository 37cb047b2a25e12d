"""When a state gives way to another: by examples, and for every sequence of samples."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.verdicts import FAIL, OK, SEVERITY, STATES, UNKNOWN, WARN, Change, Sample, Standing, judge, step, worst

START = datetime(2026, 1, 1, tzinfo=UTC)
states = st.sampled_from(STATES)
patiences = st.integers(1, 5)


def run(samples: list[str | Sample], patience: int = 2) -> tuple[Standing, list[Change]]:
    """The standing after all of them, five seconds apart, and every flip on the way."""
    standing, changes = None, []
    for number, given_sample in enumerate(samples):
        sample = given_sample if isinstance(given_sample, Sample) else Sample("n1", given_sample, f"{number}")
        standing, change = step(standing, sample, START + number * timedelta(seconds=5), patience)
        changes += [change] if change else []
    assert standing is not None
    return standing, changes


def path(samples: list[str | Sample], patience: int = 2) -> list[tuple[str, str]]:
    return [(change.before, change.after) for change in run(samples, patience)[1]]


def test_one_bad_sample_is_an_accident():
    assert path([OK, OK, FAIL, OK, OK, FAIL, OK]) == []


def test_two_bad_samples_are_a_flip_and_two_good_ones_a_flip_back():
    assert path([OK, FAIL, FAIL, FAIL, OK, OK]) == [(OK, FAIL), (FAIL, OK)]


def test_a_flip_has_the_time_and_the_words_of_the_sample_that_caused_it():
    standing, changes = run([OK, FAIL, FAIL, FAIL])
    assert changes == [Change("n1", OK, FAIL, "2")]
    assert standing.since == START + timedelta(seconds=10)
    assert standing.words == "3"


def test_what_is_only_agreed_to_be_bad_is_as_bad_as_the_better_sample():
    assert path([OK, FAIL, WARN]) == [(OK, WARN)]
    assert path([FAIL, FAIL, OK, WARN]) == [(UNKNOWN, FAIL), (FAIL, WARN)]


def test_bad_at_first_sight_is_unknown_until_it_is_confirmed():
    assert run([FAIL])[0].state == UNKNOWN
    assert path([FAIL, FAIL]) == [(UNKNOWN, FAIL)]
    assert path([FAIL, OK, OK]) == [(UNKNOWN, OK)]


def test_good_at_first_sight_is_no_flip():
    assert run([OK]) == (Standing(OK, START, "0", None, (OK,)), [])


def test_a_certain_sample_needs_no_second_one_to_make_it_worse():
    restarted = Sample("n1", WARN, "ended and began life 2", certain=True)
    assert path([OK, OK, restarted, OK, OK]) == [(OK, WARN), (WARN, OK)]


def test_a_certain_sample_makes_nothing_better():
    assert path([FAIL, FAIL, Sample("n1", OK, "", certain=True), FAIL]) == [(UNKNOWN, FAIL)]


def test_a_certain_sample_that_is_less_bad_ends_no_failure():
    unsure = Sample("n1", WARN, "nothing was judged", certain=True)
    assert path([OK, FAIL, unsure, OK], patience=1) == [(OK, FAIL), (FAIL, OK)]


def test_what_is_certain_and_bad_is_a_flip_at_first_sight():
    assert path([Sample("n1", FAIL, "an anomaly", certain=True), OK], 1) == [(UNKNOWN, FAIL), (FAIL, OK)]
    assert path([Sample("n1", OK, "", certain=True)]) == path([Sample("n1", UNKNOWN, "", certain=True)]) == []


def test_a_subject_without_a_sample_is_gone():
    standing = Standing(FAIL, START, "", None, (FAIL, FAIL))
    assert judge({"n4": standing}, [Sample("n1", OK, "")], START, 2)[0].keys() == {"n1"}


def test_the_worst_of_nothing_is_unknown():
    assert worst([]) == UNKNOWN
    assert worst([OK, WARN, UNKNOWN]) == WARN


@given(st.lists(states, min_size=1), states, patiences)
def test_fewer_samples_than_it_takes_never_move_a_state(history, other, patience):
    # The state is settled first, so that nothing before helps the few that follow.
    settled = [history[-1]] * patience
    before = run([*history, *settled], patience)[0]
    after = run([*history, *settled, *[other] * (patience - 1)], patience)[0]
    assert (after.state, after.since) == (before.state, before.since)


@given(st.lists(states), states, patiences)
def test_enough_equal_samples_always_decide(history, last, patience):
    assert run([*history, *[last] * patience], patience)[0].state == last


@given(st.lists(states, min_size=1), patiences)
def test_flips_join_up_and_end_at_the_state(samples, patience):
    standing, changes = run(samples, patience)
    first = run(samples[:1], patience)[0].state
    befores, afters = [c.before for c in changes], [c.after for c in changes]
    assert [first, *afters] == [*befores, standing.state]
    assert all(change.before != change.after for change in changes)


@given(st.lists(states, min_size=2), patiences)
def test_a_flip_goes_no_further_than_every_one_of_the_last_samples(samples, patience):
    standing = None
    for number, state in enumerate(samples):
        standing, change = step(standing, Sample("n1", state, ""), START, patience)
        if change is not None:
            last = [SEVERITY[each] for each in samples[max(0, number + 1 - patience) : number + 1]]
            before, after = SEVERITY[change.before], SEVERITY[change.after]
            assert after == (min(last) if after > before else max(last))


@pytest.mark.parametrize("patience", [1, 3])
def test_only_as_many_samples_are_kept_as_are_needed(patience):
    assert len(run([OK] * 9, patience)[0].recent) == patience
