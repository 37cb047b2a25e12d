"""What the pages of transactions show of what the nodes remember."""

from __future__ import annotations

from typing import Any

import pytest

from monitoring.transactions import FILTER_WORDS, listed, short, told
from nodes.requests import FILTERS, Fate, StatementText, Step, Trace, Transaction, Transactions
from tests.admin.conftest import OTHER, TXN

BEGUN_US = 1_700_000_000_000_000


def transaction(**changes: Any) -> Transaction:
    fields: dict[str, Any] = {
        "id": TXN,
        "gateway": 2,
        "state": "committed",
        "begun_us": BEGUN_US,
        "ended_us": BEGUN_US + 4_200,
        "shards": ["s1", "s4"],
        "statements": [StatementText("UPDATE t SET x = $1", ["integer"]), StatementText("SELECT 1")],
        **changes,
    }
    return Transaction(**fields)


def row(**changes: Any) -> dict[str, Any]:
    (found,) = listed(Transactions([transaction(**changes)], "", {1: 5}), "newest", BEGUN_US + 3_000_000)["rows"]
    return found  # type: ignore[no-any-return]


def test_a_row_tells_state_time_place_and_the_first_statement() -> None:
    shown = row()
    assert (shown["state"], shown["kind"], shown["duration"], shown["age"]) == ("committed", "good", "4.2 ms", "3 s")
    assert (shown["gateway"], shown["shards"]) == ("n2", "s1, s4")
    assert (shown["sql"], shown["more"], shown["cause"]) == ("UPDATE t SET x = $1", "and 1 more", "")


def test_a_long_statement_is_cut() -> None:
    shown = row(statements=[StatementText("x" * 500)])
    assert len(shown["sql"]) < 100
    assert shown["sql"].endswith("…")


def test_an_aborted_one_tells_why_and_whether_it_was_tried_again() -> None:
    shown = row(state="aborted", cause="was wounded", retried_as=OTHER)
    assert (shown["kind"], shown["cause"], shown["is_retried"]) == ("bad", "was wounded", True)


def test_one_under_way_has_no_duration_and_one_in_doubt_names_its_shards() -> None:
    assert row(state="active", ended_us=0)["duration"] == ""
    shown = row(state="undecided", ended_us=0, shards=[], statements=[], in_doubt={"s4": 700, "s1": 50})
    assert (shown["state"], shown["waiting"]) == ("in doubt", "prepared: s1 for 0.1 s, s4 for 0.7 s")
    assert shown["shards"] == "s1, s4"


@pytest.mark.parametrize("which", FILTERS)
def test_an_empty_list_has_words(which: str) -> None:
    shown = listed(Transactions([], "", {}), which, BEGUN_US)
    assert (shown["rows"], shown["next"], shown["nothing"]) == ([], "", FILTER_WORDS[which][1])
    assert [tab["filter"] for tab in shown["tabs"] if tab["is_current"]] == [which]


def test_a_page_leads_to_the_next_and_names_the_silent() -> None:
    shown = listed(Transactions([], f"17.{TXN}", {1: BEGUN_US}, [3]), "slow", BEGUN_US)
    assert (shown["next"], shown["silent"]) == (f"filter=slow&after=17.{TXN}", ["n3"])
    assert shown["since"] == "2023-11-14 22:13:20.000"


STEPS = [
    Step(BEGUN_US, 2, "", "begun", {"attempt": 1, "home": "c1"}),
    Step(BEGUN_US + 50, 2, "", "sent", {"to_node": 3, "group": "s1"}),
    Step(BEGUN_US + 90, 3, "s1", "waits for a lock", {"behind": OTHER}),
    Step(BEGUN_US + 200, 3, "s1", "prepared", {"term": 4, "slot": 99}),
    Step(BEGUN_US + 300, 1, "c1", "decision applied", {"ballot": "3.n1", "slot": 12, "commit": True, "reason": ""}),
    Step(BEGUN_US + 400, 3, "s1", "ended", {"term": 4, "slot": 100, "commit": True, "commit_ts": 7}),
]


def shown_of(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "id": TXN,
        "fate": Fate(TXN, "committed", "happened", 7),
        "transaction": transaction(),
        "steps": STEPS,
        "since_us": {1: BEGUN_US},
        **changes,
    }
    return told(Trace(**fields))


def test_a_transaction_tells_its_decision_with_ballot_and_slot() -> None:
    shown = shown_of()
    assert (shown["state"], shown["kind"]) == ("committed", "good")
    assert shown["decision"] == "commit, by c1 in ballot 3.n1, slot 12"
    assert ("Commit timestamp", "7") in shown["facts"]


def test_the_decision_of_one_shard_is_its_own_entry() -> None:
    committed = Step(BEGUN_US, 3, "s1", "committed", {"term": 4, "slot": 99, "commit_ts": 7})
    aborted = Step(BEGUN_US, 3, "s1", "aborted", {"term": 4, "slot": 99, "reason": "fenced"})
    assert shown_of(steps=[committed])["decision"] == "commit, by s1 in term 4, slot 99"
    assert shown_of(steps=[aborted])["decision"] == "abort, by s1 in term 4, slot 99"


def test_each_shard_tells_its_vote_and_when_it_knew() -> None:
    (shard,) = shown_of()["shards"]
    assert shard == {
        "name": "s1",
        "node": "n3",
        "vote": "yes (term 4, slot 99)",
        "end": "committed (term 4, slot 100)",
    }
    refused = Step(BEGUN_US, 3, "s4", "turned down", {"cause": "wounded by an older transaction", "winner": OTHER})
    (shard,) = shown_of(steps=[refused])["shards"]
    assert (shard["vote"], shard["end"]) == ("no: wounded by an older transaction", "")


def test_what_only_read_tells_that_its_shards_confirmed_it_and_that_no_log_has_it() -> None:
    released = Step(BEGUN_US, 3, "s4", "released", {})
    shown = shown_of(steps=[released], fate=Fate(TXN, "committed", "happened", 0, "it changed nothing"))
    (shard,) = shown["shards"]
    assert (shard["vote"], shard["end"]) == ("yes, without an entry: it only read", "released")
    assert shown["decision"] == "commit, of what changed nothing: no log has a record of it"
    assert ("Reason", "it changed nothing") in shown["facts"]


def test_a_step_tells_its_time_after_the_first_and_leads_to_whom_it_waited_for() -> None:
    step = shown_of()["steps"][2]
    assert (step["offset"], step["group"], step["node"], step["step"]) == ("90 µs", "s1", "n3", "waits for a lock")
    assert step["detail"] == [{"name": "behind", "text": {"link": OTHER, "words": short(OTHER)}}]


def test_a_cause_that_is_the_homes_reason_is_told_once() -> None:
    aborted = Fate(TXN, "aborted", "did_not_happen", 0, "was fenced")
    same, other = (shown_of(fate=aborted, transaction=transaction(cause=cause)) for cause in ("was fenced", "wounded"))
    assert [value for _, value in same["facts"]].count("was fenced") == 1
    assert ("Cause", "wounded") in other["facts"]


def test_what_a_group_does_again_and_again_is_one_step() -> None:
    asks = [Step(BEGUN_US + each * 300_000, 3, "s1", "in doubt", {"asks": "home"}) for each in range(1, 5)]
    other = Step(BEGUN_US + 700_000, 1, "s4", "in doubt", {"asks": "home"})
    steps = shown_of(steps=[STEPS[0], asks[0], asks[1], other, asks[2], STEPS[-1], asks[3]])["steps"]
    assert [(each["group"], each["step"], each["times"], each["until"]) for each in steps] == [
        ("gateway", "begun", 1, ""),
        ("s1", "in doubt", 3, "900 ms"),
        ("s4", "in doubt", 1, ""),
        ("s1", "ended", 1, ""),
        ("s1", "in doubt", 1, ""),
    ]


def test_a_shard_that_voted_yes_waits_until_it_hears_the_outcome() -> None:
    undecided = Fate(TXN, "undecided", "unknown")
    assert shown_of(fate=undecided, transaction=None, steps=STEPS[:4])["waits"]
    assert not shown_of(fate=undecided, transaction=None, steps=STEPS)["waits"]
    assert not shown_of(steps=STEPS[:4])["waits"]
    assert not shown_of(fate=undecided, transaction=None, steps=STEPS[:3])["waits"]


def test_a_message_to_nobody_is_told_as_such() -> None:
    unsent = Step(BEGUN_US, 2, "", "sent", {"to_node": 0, "group": "s1"})
    assert shown_of(steps=[unsent])["steps"][0]["detail"][0]["text"]["words"] == "nobody: no leader is known"


def test_an_id_that_nobody_remembers_has_its_fate_and_words_for_the_rest() -> None:
    shown = shown_of(transaction=None, steps=[])
    assert (shown["state"], shown["timeline"], shown["steps"]) == ("committed", {}, [])
    assert shown["decision"] == "commit; no node remembers the ballot and slot any more"
    assert shown["since"] == "2023-11-14 22:13:20.000"


def test_without_the_homes_word_the_gateways_memory_is_shown() -> None:
    shown = shown_of(fate=None, steps=[])
    assert (shown["state"], shown["decision"]) == ("committed", "none is known")
    assert ("Fate", "its home did not answer") in shown["facts"]
    assert shown_of(fate=None, transaction=None, steps=[])["state"] == "undecided"
    assert shown_of(fate=Fate(TXN, "undecided", "unknown"), transaction=None, steps=[])["state"] == "undecided"
