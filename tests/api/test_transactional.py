"""@transactional: what it asks of the client, who joins whom, and what a DRF view answers when it fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from nodes.errors import Conflict, ExpectationFailed, OutcomeUnknown, StoreError
from txstore.transactional import current, on_commit, transactional


class Txn:
    """Keeps what it is asked; `fails` has what a verb raises."""

    def __init__(self, said: list[str], fails: dict[str, StoreError]) -> None:
        self._said, self._fails = said, fails

    def _do(self, words: str) -> None:
        self._said.append(words)
        if words in self._fails:
            raise self._fails[words]

    def execute(self, sql: str) -> None:
        self._do(sql)

    def savepoint(self, name: str) -> None:
        self._do(f"save {name}")

    def rollback_to(self, name: str) -> None:
        self._do(f"back to {name}")

    def __enter__(self) -> Txn:
        self._do("begin")
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._do("commit" if kind is None else "rollback")


class Store:
    """A client whose `run` runs again what lost, three times at most."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.fails: dict[str, StoreError] = {}
        self.timeouts: list[float | None] = []

    def transaction(self, timeout: float | None = None) -> Txn:
        self.timeouts.append(timeout)
        return Txn(self.said, self.fails)

    def run(self, function: Callable[[Any], Any], timeout: float | None = None) -> Any:
        self.timeouts.append(timeout)
        for tries in range(3):
            try:
                with Txn(self.said, self.fails) as txn:
                    return function(txn)
            except Conflict:
                if tries == 2:
                    raise
        raise AssertionError("not reached")


store = Store()


def client() -> Store:
    return store


@pytest.fixture(autouse=True)
def fresh(settings: Any) -> Store:
    settings.STORE_CLIENT = f"{__name__}.client"
    store.__init__()  # type: ignore[misc]
    return store


@transactional
def inner(word: str, error: Exception | None = None) -> str:
    current().execute(word)
    on_commit(lambda: store.said.append(f"after {word}"))
    if error is not None:
        raise error
    return word


def test_a_function_runs_in_a_transaction_and_gives_what_it_returns() -> None:
    assert inner("work") == "work"
    assert store.said == ["begin", "work", "commit", "after work"]
    assert store.timeouts == [None]


def test_it_has_the_name_and_words_of_its_function() -> None:
    assert (inner.__name__, inner.__module__) == ("inner", __name__)


def test_an_exception_rolls_back_and_what_was_to_follow_does_not() -> None:
    with pytest.raises(ZeroDivisionError):
        inner("work", ZeroDivisionError())
    assert store.said == ["begin", "work", "rollback"]


def test_what_lost_is_run_again_and_what_follows_the_commit_comes_once() -> None:
    losses = [Conflict("wounded"), None]

    @transactional(timeout=3.0)
    def work() -> None:
        inner("in")
        if (error := losses.pop(0)) is not None:
            raise error

    work()
    assert store.said == [
        "begin",
        "save joined_1",
        "in",
        "rollback",
        *["begin", "save joined_1", "in"],
        "commit",
        "after in",
    ]
    assert store.timeouts == [3.0]


def test_a_commit_of_which_nothing_is_known_is_not_run_again() -> None:
    store.fails["commit"] = OutcomeUnknown("no answer", transaction="t1")
    with pytest.raises(OutcomeUnknown):
        inner("work")
    assert store.said == ["begin", "work", "commit"]


def test_an_inner_function_joins_by_a_savepoint_and_its_exception_undoes_it_alone() -> None:
    @transactional
    def outer() -> None:
        inner("first")
        with pytest.raises(ExpectationFailed):
            inner("second", ExpectationFailed("none"))
        inner("third")

    outer()
    first, second, third = (["save joined_1", word] for word in ("first", "second", "third"))
    assert store.said == ["begin", *first, *second, "back to joined_1", *third, "commit", "after first", "after third"]


def test_inner_ones_nest() -> None:
    @transactional
    def middle() -> None:
        inner("deep", ValueError())

    @transactional
    def outer() -> None:
        with pytest.raises(ValueError):
            middle()

    outer()
    deep = ["save joined_1", "save joined_2", "deep", "back to joined_2", "back to joined_1"]
    assert store.said == ["begin", *deep, "commit"]


def test_what_could_not_be_undone_is_not_committed_whoever_catches_it() -> None:
    store.fails["back to joined_1"] = Conflict("lost meanwhile")

    @transactional
    def outer() -> None:
        with pytest.raises(ValueError):
            inner("work", ValueError())

    with pytest.raises(Conflict):
        outer()
    assert store.said == ["begin", "save joined_1", "work", "back to joined_1", "rollback"] * 3


def test_a_savepoint_that_is_refused_undoes_nothing_that_came_before() -> None:
    @transactional
    def outer() -> None:
        inner("first")
        store.fails["save joined_1"] = ExpectationFailed("a statement failed")
        with pytest.raises(ExpectationFailed):
            inner("second")

    outer()
    assert store.said == ["begin", "save joined_1", "first", "save joined_1", "commit", "after first"]


def test_a_block_commits_rolls_back_and_joins() -> None:
    with transactional(timeout=2.0) as txn:
        txn.execute("a")
        with transactional() as same:
            assert same is txn is current()
        inner("b")
    assert store.said == ["begin", "a", "save joined_1", "save joined_1", "b", "commit", "after b"]
    assert store.timeouts == [2.0]
    store.said.clear()
    with pytest.raises(ValueError), transactional():
        raise ValueError
    assert store.said == ["begin", "rollback"]


def test_a_block_is_entered_once() -> None:
    block = transactional()
    with block:
        pass
    with pytest.raises(RuntimeError, match="once"):
        block.__enter__()


def test_outside_of_one_there_is_none() -> None:
    for ask in (current, lambda: on_commit(lambda: None)):
        with pytest.raises(RuntimeError, match="@transactional"):
            ask()
    inner("work")
    with pytest.raises(RuntimeError):
        current()


def test_another_thread_has_a_transaction_of_its_own() -> None:
    @transactional
    def outer() -> None:
        thread = threading.Thread(target=inner, args=("elsewhere",))
        thread.start()
        thread.join()

    outer()
    assert store.said == ["begin", "begin", "elsewhere", "commit", "after elsewhere", "commit"]


def test_what_does_its_work_later_is_refused() -> None:
    async def later() -> None: ...

    def lazy() -> Any:
        yield

    for function in (later, lazy):
        with pytest.raises(TypeError, match="aio"):
            transactional(function)


class View(APIView):
    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()

    @transactional
    def post(self, request: Request) -> Response:
        current().execute("work")
        return Response({"done": True})


@pytest.mark.parametrize(
    ("error", "status"),
    [(ExpectationFailed("none"), 409), (Conflict("wounded"), 409), (OutcomeUnknown("lost", transaction="t1"), 504)],
)
def test_a_view_that_fails_answers_with_the_problem(error: StoreError, status: int) -> None:
    post = View.as_view()
    assert post(APIRequestFactory().post("/")).data == {"done": True}
    store.fails["work" if status == 409 else "commit"] = error
    answer = post(APIRequestFactory().post("/"))
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    assert (answer.data["code"], answer.data["outcome"]) == (error.info.code, error.info.outcome)
