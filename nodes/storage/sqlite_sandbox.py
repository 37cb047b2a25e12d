"""What a user's statement may touch and how long it may run, on one SQLite connection (DESIGN.md §3, Evaluate).

While the sandbox is closed, reads go to `t{id}_{shape}` and their histories, writes to the current tables that the
fragment names, and everything else that SQLite knows to ask for (ATTACH, PRAGMA, DDL, transaction control) is refused.
SQLite asks when it prepares a text, not when it runs it again; what a text touches does not change, so a refusal holds
as long as the engine's own statements and the users' never share a prepared one: users' carry USER_TEXT.

*Left out*: which functions a statement may call (the planner's), memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import apsw

USER_TEXT = apsw.SQLITE_PREPARE_PERSISTENT
STEPS_BETWEEN_LOOKS = 2_000  # SQLite's virtual machine takes several million a second

NOTHING: Sequence[tuple[int, int]] = ()

_CURRENT = re.compile(r"t(\d+)_\d+")
_READABLE = re.compile(r"t\d+_\d+(__history)?")
_RESERVED = re.compile(r"(sqlite|engine|pragma)_", re.IGNORECASE)
_WRITES = frozenset((apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE))
_HARMLESS = frozenset((apsw.SQLITE_SELECT, apsw.SQLITE_RECURSIVE, apsw.SQLITE_FUNCTION))


class Sandbox:
    """The authorizer and the progress handler of one connection. `clock` gives seconds that never fall."""

    __slots__ = ("_clock", "_deadline", "_writable", "closed")

    def __init__(self, connection: apsw.Connection, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._deadline = 0.0
        self._writable = NOTHING
        self.closed = False
        connection.set_progress_handler(self.expired, STEPS_BETWEEN_LOOKS)
        connection.authorizer = self._authorize

    def start(self, budget_ms: float) -> None:
        """Start the budget; 0 and infinity: unbounded."""
        self._deadline = self._clock() + budget_ms / 1000 if 0 < budget_ms < float("inf") else 0.0

    def close(self, writable: Sequence[tuple[int, int]]) -> None:
        """Close the sandbox around statements that may write the tables `writable`, (id, version) each."""
        self._writable = writable
        self.closed = True

    def open(self) -> None:
        """Let the engine's own statements through."""
        self.closed = False
        self._deadline = 0.0

    def expired(self) -> bool:
        return self._deadline != 0.0 and self._clock() >= self._deadline

    def _authorize(
        self, action: int, first: str | None, second: str | None, database: str | None, inner: str | None
    ) -> int:
        if not self.closed or action in _HARMLESS:
            return apsw.SQLITE_OK
        if action == apsw.SQLITE_READ and _readable(first or "", second or ""):
            return apsw.SQLITE_OK
        if action in _WRITES and database == "main" and second != "_ts" and self._may_write(first or ""):
            return apsw.SQLITE_OK
        return apsw.SQLITE_DENY

    def _may_write(self, name: str) -> bool:
        current = _CURRENT.fullmatch(name)
        return current is not None and any(int(current[1]) == table for table, _ in self._writable)


def _readable(table: str, column: str) -> bool:
    """A source of which no column is read is reported with column "": common table expressions are so, too."""
    return _READABLE.fullmatch(table) is not None or (column == "" and _RESERVED.match(table) is None)
