"""Sessions that run a schedule on a real cluster, each in a thread of its own, through the client or over REST.

The steps are begun in the schedule's order. The next one is begun when every session has its answer or waits for a
lock, as a shard tells it (`Cluster.trace`): a session that waits is so seen to be blocked, and what it is to do next
stands in line behind it.

*Invariant*: nothing is judged here; a session whose transaction was ended does nothing more.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from nodes import ids
from nodes.client import Cluster
from nodes.core.txn import steps
from nodes.errors import (
    UNKNOWN,
    Conflict,
    ErrorInfo,
    OutcomeUnknown,
    StoreError,
    TransactionAborted,
    Unavailable,
)
from nodes.requests import COMMITTED
from tests.e2e.rest import PATH, Door
from tests.e2e.schedules import FINAL, Answer, Run, Schedule

PATIENCE_S = 30.0
PATIENCE_MS = 30_000
LOSSES = (Conflict, TransactionAborted, Unavailable, OutcomeUnknown)  # anything else is no end of a transaction


class Session(Protocol):
    """One interactive transaction. Everything may raise StoreError."""

    def begin(self, age: str) -> str:
        """Its id. `age`: of whom it takes the place, "" for nobody's."""

    def run(self, sql: str) -> Answer: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...


class ByClient:
    def __init__(self, client: Cluster) -> None:
        self._client = client

    def begin(self, age: str) -> str:
        self._txn = self._client.transaction(PATIENCE_S, age)
        return self._txn.begin().id

    def run(self, sql: str) -> Answer:
        result = self._txn.execute(sql)
        return sorted(result.rows) if result.columns else result.row_count

    def commit(self) -> None:
        self._txn.commit()

    def rollback(self) -> None:
        self._txn.rollback()


class ByRest:
    def __init__(self, door: Door) -> None:
        self._door = door

    def _post(self, path: str, **fields: Any) -> dict[str, Any]:
        answer = self._door.ask("POST", path, json.dumps(fields).encode())
        body: dict[str, Any] = answer.body
        if answer.status >= 300:
            words = {name: body.get(name, "") for name in ("sqlstate", "outcome")}
            raise StoreError.of(ErrorInfo(body["code"], body["detail"], **words))
        return body

    def begin(self, age: str) -> str:
        id: str = self._post(PATH, mode="interactive", **({"age": age} if age else {}))["id"]
        self._at = f"{PATH}/{id}"
        return id

    def run(self, sql: str) -> Answer:
        (result,) = self._post(f"{self._at}/statements", statements=[{"sql": sql}], timeout_ms=PATIENCE_MS)["results"]
        return sorted(result["rows"]) if result["columns"] else int(result["row_count"])

    def commit(self) -> None:
        self._post(f"{self._at}/commit", timeout_ms=PATIENCE_MS)

    def rollback(self) -> None:
        self._post(f"{self._at}/rollback")


class Actor:
    """A session in its thread; `lost`: what ended its transaction, or left its end unknown."""

    def __init__(self, session: Session, observer: Cluster) -> None:
        self.session = session
        self.observer = observer
        self.id = ""
        self.has_begun_at = self.is_told_at = 0.0
        self.is_over = self.is_committed = False
        self.lost: StoreError | None = None
        self._thread = ThreadPoolExecutor(1)
        self._asked: list[Future[Answer | None]] = []

    def ask(self, sql: str, age: str) -> Future[Answer | None]:
        self._asked.append(self._thread.submit(self._do, sql, age))
        return self._asked[-1]

    def _do(self, sql: str, age: str) -> Answer | None:
        if self.is_over:
            return None
        try:
            if sql == "begin":
                self.has_begun_at = time.monotonic()
                self.id = self.session.begin(age)
            elif sql in ("commit", "rollback"):
                self._end(sql)
            else:
                return self.session.run(sql)
        except LOSSES as error:
            self.is_over, self.lost = True, error
        return None

    def _end(self, verb: str) -> None:
        self.is_over = True
        try:
            getattr(self.session, verb)()
            self.is_committed = verb == "commit"
        except LOSSES as error:
            self.lost = error
            if error.info.outcome == UNKNOWN:
                self.is_committed = self.observer.fence(self.id, PATIENCE_S).state == COMMITTED
        self.is_told_at = time.monotonic()

    @property
    def is_answered(self) -> bool:
        return all(asked.done() for asked in self._asked)

    @property
    def is_blocked(self) -> bool:
        """Does it wait for a lock at some shard, as that shard's last word about it says?"""
        if not self.id:
            return False
        last = {(step.node, step.group): step.step for step in self.observer.trace(self.id).steps if step.group}
        return steps.WAITS in last.values()

    def leave(self) -> None:
        """Whatever it still holds is let go; raises what went wrong in its thread."""
        for asked in self._asked:
            asked.result(PATIENCE_S)
        if self.id and not self.is_over:
            with suppress(StoreError):
                self.session.rollback()
        self._thread.shutdown()


class Played(NamedTuple):
    """`blocked`: the places of steps that were seen to wait for a lock; `lost`: what ended whom."""

    run: Run
    blocked: list[int]
    lost: dict[str, StoreError]


def ages(client: Cluster, count: int) -> list[str]:
    """The oldest first."""
    found = []
    for _ in range(count):
        txn = client.transaction()
        found.append(ids.age_of(ids.from_text(txn.begin().id)).hex())
        txn.rollback()
    return found


def play(
    schedule: Schedule,
    setup: list[str],
    seniority: Sequence[str],
    session: Callable[[str], Session],
    observer: Cluster,
) -> Played:
    """Run it, on rows that `setup` makes; who stands first in `seniority` is the oldest and wounds the others."""
    observer.execute_many([(sql, []) for sql in ("delete from test", *setup)], timeout=PATIENCE_S)
    age = dict(zip(seniority, ages(observer, len(seniority)), strict=True))
    actors = {name: Actor(session(name), observer) for name in schedule.sessions}
    asked: dict[int, Future[Answer | None]] = {}
    blocked: list[int] = []
    try:
        for place, step in enumerate(schedule.steps):
            asked[place] = actors[step.session].ask(step.sql, age[step.session])
            waiting = settle(actors)
            blocked += [place] if step.session in waiting and not asked[place].done() else []
    finally:
        for actor in actors.values():
            actor.leave()
    answers = {place: told for place, future in asked.items() if (told := future.result()) is not None}
    committed = [name for name, actor in actors.items() if actor.is_committed]
    began = {name: actor.has_begun_at for name, actor in actors.items()}
    ended = {name: actor.is_told_at for name, actor in actors.items()}
    final = [list(row) for row in observer.query(FINAL, timeout=PATIENCE_S)]
    lost = {name: actor.lost for name, actor in actors.items() if actor.lost is not None}
    return Played(Run(schedule, setup, answers, committed, began, ended, final), blocked, lost)


def settle(actors: dict[str, Actor]) -> list[str]:
    """Who waits for a lock, when all others have their answers."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        waiting = [name for name, actor in actors.items() if not actor.is_answered and actor.is_blocked]
        if all(actor.is_answered or name in waiting for name, actor in actors.items()):
            return waiting
        assert time.monotonic() < deadline, "a session has no answer, and waits for no lock"
        time.sleep(0.005)
