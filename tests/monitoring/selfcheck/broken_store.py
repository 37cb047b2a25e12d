"""A store in memory that has the client's calls, and breaks one promise: for the self-check to find."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Callable, Iterable
from typing import Any

from nodes.client import Cluster
from nodes.errors import BadRequest, ExpectationFailed, OutcomeUnknown
from nodes.requests import ABORTED, COMMITTED, Fate, Reply, Result, Statement

SOUND = "keeps its promises"
STALE = "snapshots are those of some transactions ago"
FORGETS = "some of what it acknowledged is not there"
HALVES = "a request is carried out in two parts"
SNAPSHOTS = "interactive transactions write on what they saw at their beginning"
LIES = "some of what it refused is there"
UNSURE = "some answers are lost, and the fence tells what became of them"
EVERY = 7
MEET_S = 0.02

Steps = Iterable[tuple[Any, ...]]


class BrokenStore(Cluster):
    """One SQLite database behind a lock."""

    def __init__(self, fault: str = SOUND) -> None:
        self.fault = fault
        self.lock = threading.RLock()
        self.db = _database()
        self.old = _database()
        self.count = 0
        self.fates: dict[str, str] = {}
        self.begun = threading.Condition()
        self.beginnings = 0

    def tables(self, after: str = "", limit: int | None = None, timeout: float | None = None) -> list[Any]:
        return []

    def execute_many(self, statements: Steps, *_: Any, **__: Any) -> Reply:  # type: ignore[override]
        steps = [Statement(sql, params, *rest) for sql, params, *rest in statements]
        if all(step.sql.startswith("SELECT") for step in steps):
            with self.lock:
                return self._reply(_run(self.old if self.fault == STALE else self.db, steps))
        if "selfcheck" not in steps[0].sql or not steps[0].sql.startswith(("UPDATE", "INSERT", "SELECT")):
            return self._all_at_once(steps)
        return self._write(steps)

    def _write(self, steps: list[Statement]) -> Reply:
        with self.lock:
            self.count += 1
            is_chosen = self.count % EVERY == 0 and len(steps[0].sql) < 400  # not the rows that a workload begins with
        if self.fault == HALVES and len(steps) > 1:
            first = self._all_at_once(steps[:1])
            self._meet()
            return self._reply([*first.results, *self._all_at_once(steps[1:]).results])
        if self.fault == FORGETS and is_chosen:
            with self.lock:
                copy = _database()
                self.db.backup(copy)
                return self._reply(_run(copy, steps))
        reply = self._all_at_once(steps)
        if self.fault == LIES and is_chosen:
            raise ExpectationFailed("it did not happen, it says")
        if self.fault == UNSURE and is_chosen:
            self.fates[f"t{self.count}"] = COMMITTED
            raise OutcomeUnknown("perhaps", transaction=f"t{self.count}")
        return reply

    def fence(self, id: str, *_: Any, **__: Any) -> Fate:  # type: ignore[override]
        return Fate(id, self.fates.get(id, ABORTED), "")

    def run(self, function: Callable[..., Any], *_: Any, **__: Any) -> Any:
        if self.fault != SNAPSHOTS:
            with self.lock:
                return function(Session(self.db, self))
        with self.lock:
            seen = _database()
            self.db.backup(seen)
        session = Session(seen, self)
        result = function(session)
        self._meet()
        with self.lock:
            _run(self.db, session.written)
        return result

    def _meet(self) -> None:
        """Let somebody else come in between, if anybody does."""
        with self.begun:
            self.beginnings += 1
            self.begun.notify_all()
            self.begun.wait(MEET_S)

    def _all_at_once(self, steps: list[Statement]) -> Reply:
        with self.lock:
            results = _run(self.db, steps)
            if self.count % EVERY == 0:
                self.db.backup(self.old)
            return self._reply(results)

    def _reply(self, results: list[Result]) -> Reply:
        return Reply("", COMMITTED, 1, 1, [], results)


class Session:
    """An interactive transaction."""

    def __init__(self, db: sqlite3.Connection, store: BrokenStore) -> None:
        self.db, self.store = db, store
        self.written: list[Statement] = []

    def submit(self, statements: list[Statement]) -> list[Result]:
        self.written += [each for each in statements if not each.sql.startswith("SELECT")]
        return _run(self.db, statements)


def _database() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)


def _run(db: sqlite3.Connection, steps: list[Statement]) -> list[Result]:
    """All of them or none."""
    results = []
    db.execute("SAVEPOINT all_of_them")
    try:
        for step in steps:
            sql = re.sub(r" SHARD BY \(\w+\)", "", step.sql)
            cursor = db.execute(sql, {str(place): value for place, value in enumerate(step.params, 1)})
            rows = [list(row) for row in cursor.fetchall()]
            count = len(rows) if sql.startswith("SELECT") else cursor.rowcount
            if step.expect_rows not in (-1, count):
                raise ExpectationFailed(f"{count} rows")
            results.append(Result([], rows, count))
    except sqlite3.IntegrityError as error:
        db.execute("ROLLBACK TO all_of_them")
        raise ExpectationFailed(str(error)) from error
    except sqlite3.Error as error:
        raise BadRequest(str(error)) from error
    except ExpectationFailed:
        db.execute("ROLLBACK TO all_of_them")
        raise
    finally:
        db.execute("RELEASE all_of_them")
    return results
