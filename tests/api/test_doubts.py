"""The admin's page of what is in doubt, and of resolving it: who may, what is asked, what the log keeps."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import Group, User

from monitoring.charts import age_text
from nodes import ids
from nodes.errors import NotFound, OutcomeUnknown, Unavailable
from nodes.requests import UNDECIDED, Decision, Doubt, Fate, LocksOn, Transaction, Transactions
from tests.api.conftest import KEY, TXN, FakeCluster
from txstore.models import Operation

PAGE = "/admin/in-doubt/"
RESOLVE = f"{PAGE}{TXN}/resolve/"
OTHER = ids.to_text(ids.mint(9 << 16, 2, 1, 2, "c1", b"abc"))


def text_of(answer: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.content.decode()))


def user(*groups: str, **fields: Any) -> User:
    made = User.objects.create_user("olga", **fields)
    made.groups.set(Group.objects.filter(name__in=groups))
    return made


@pytest.fixture
def operator(client: Any) -> Any:
    client.force_login(user("operators", is_staff=True))
    return client


def in_doubt(decision: Decision | None = None, waiting: int = 1) -> Transactions:
    locks = [LocksOn("accounts", "IX", 0), LocksOn("accounts", "X", 2)]
    held = [Doubt("s4", 2, 65_000, locks, [OTHER] * min(waiting, 1), waiting)]
    one = Transaction(
        TXN, 1, UNDECIDED, 1, shards=["s1", "s4"], in_doubt={"s4": 65_000}, doubts=held, decision=decision
    )
    return Transactions([one], "", {1: 1}, [3])


def test_the_page_has_participants_votes_locks_who_waits_and_that_nothing_is_decided(
    operator: Any, cluster: FakeCluster
) -> None:
    cluster.answers["transactions"] = in_doubt(waiting=4)
    answer = operator.get(PAGE)
    text = text_of(answer)
    for words in (
        TXN, "Gateway n1", "Home c1", "Participants s1, s4", "Decision none is known: c1 has not decided",
        "s4 led by n2", f"Vote yes, {age_text(65_000)} ago", "and 3 more",
        "IX on the table accounts; X on 2 keys of accounts",
        "s1 Not in doubt there", "n3 did not answer", "Resolve",
    ):  # fmt: skip
        assert words in text, words
    assert f"/admin/transactions/{OTHER}/" in answer.content.decode()
    assert cluster.asked == [("transactions", ("in_doubt", 25, ""))]
    assert text_of(operator.get(f"{PAGE}live/")) in text


def test_a_decision_is_shown_with_its_ballot_slot_and_who_holds_it(operator: Any, cluster: FakeCluster) -> None:
    known = Decision("c1", True, 77, "", "3.n2", 41, [1, 3], [1, 2, 3])
    cluster.answers["transactions"] = in_doubt(known)
    assert "commit at 77, by c1, in ballot 3.n2, slot 41; applied by n1, n3, of n1, n2, n3" in text_of(
        operator.get(PAGE)
    )
    forgotten = Decision("c1", False, 0, "fenced", "", 0, [1], [1, 2, 3])
    cluster.answers["transactions"] = in_doubt(forgotten)
    words = "abort (fenced), by c1, its ballot and slot are forgotten; applied by n1, of n1, n2, n3"
    assert words in text_of(operator.get(PAGE))


def test_where_nothing_is_in_doubt_the_page_says_so(operator: Any, cluster: FakeCluster) -> None:
    assert "Nothing is in doubt" in text_of(operator.get(PAGE))
    cluster.answers["transactions"] = Unavailable("no node answers")
    answer = operator.get(PAGE)
    assert (answer.status_code, "Nothing is in doubt" in text_of(answer)) == (503, False)
    assert "no node answers" in text_of(answer)


def test_who_is_no_operator_sees_the_page_and_resolves_nothing(client: Any, cluster: FakeCluster) -> None:
    cluster.answers["transactions"] = in_doubt()
    assert client.get(PAGE).status_code == 302
    client.force_login(user("writers", is_staff=True))
    assert "Resolve t" not in text_of(client.get(PAGE))
    for method in ("get", "post"):
        assert getattr(client, method)(RESOLVE).status_code == 403
    assert [method for method, _ in cluster.asked] == ["transactions"]
    assert not Operation.objects.exists()


def test_resolving_is_asked_once_more_and_is_the_fence(operator: Any, cluster: FakeCluster) -> None:
    text = text_of(operator.get(RESOLVE))
    assert "Its home, c1, is asked for the decision" in text
    assert "c1 decides abort, through its log" in text
    assert cluster.asked == []
    answer = operator.post(RESOLVE, follow=True)
    assert answer.redirect_chain == [(PAGE, 302)]
    assert f"{TXN} is aborted (fenced): its shards are told." in text_of(answer)
    assert cluster.asked[0] == ("fence", TXN)
    row = Operation.objects.get()
    assert (row.by, row.via, row.what, row.outcome, row.words) == (
        "olga", "admin", f"resolve {TXN}", "happened", "aborted: fenced"
    )  # fmt: skip


def test_what_was_committed_is_told_as_that(operator: Any, cluster: FakeCluster) -> None:
    cluster.answers["fence"] = Fate(TXN, "committed", "happened", 77)
    assert f"{TXN} was committed at 77" in text_of(operator.post(RESOLVE, follow=True))
    assert Operation.objects.get().words == "committed"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OutcomeUnknown("the fence was not confirmed: no quorum"), "c1 did not say what it decided"),
        (NotFound("the id was minted by another cluster"), "minted by another cluster"),
    ],
)
def test_what_did_not_work_is_told_and_logged(operator: Any, cluster: FakeCluster, error: Any, words: str) -> None:
    cluster.answers["fence"] = error
    assert words in text_of(operator.post(RESOLVE, follow=True))
    row = Operation.objects.get()
    assert (row.outcome, row.words) == (error.info.outcome, str(error))


@pytest.mark.parametrize("id", ["t1", KEY, "x" * 41])
def test_what_is_no_id_is_not_found(operator: Any, cluster: FakeCluster, id: str) -> None:
    for method in ("get", "post"):
        assert getattr(operator, method)(f"{PAGE}{id}/resolve/").status_code == 404
    assert cluster.asked == []
