"""One error tree. Each error has a stable `code`, an `outcome` and says whether a retry can help.

    StoreError
    ├── BadRequest        400  the request's fault; nothing happened          (sqlstate says what)
    ├── Conflict          409  aborted: conflict, wounded, constraint, expectation
    ├── LockNotAvailable  409  a row is locked, and NOWAIT was said; nothing happened
    ├── SnapshotTooOld    409  a read below the horizon: that history is gone
    ├── NotFound          404  no such transaction
    ├── TooLarge          413  over a bound
    ├── KeyReused         422  the client key belongs to another request
    ├── Unavailable       503  no quorum, overloaded; certainly did not happen; retryable
    ├── OutcomeUnknown    504  it may have happened: ask by `transaction`
    └── ResultsLost            it happened, its rows were lost (Python client only)

An error crosses the wire as `ErrorInfo` and becomes the same class again (`StoreError.of`).
`outcome` is one of HAPPENED, DID_NOT_HAPPEN, UNKNOWN.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

HAPPENED = "happened"
DID_NOT_HAPPEN = "did_not_happen"
UNKNOWN = "unknown"


class ConflictInfo(msgspec.Struct, array_like=True, frozen=True):
    """What an aborted transaction lost to, and where: `transaction` in text form ("": none), `table` and `key`, the
    values of its primary key: all of them for a row, the first ones for all rows that have these, none for all of it.
    `waited_ms`: how long the aborted one had waited for locks on that shard. `cause`: wounded, timed_out,
    table_changed or not_available. `help`: what would help, in words."""

    transaction: str = ""
    table: str = ""
    key: list[Any] = []
    waited_ms: int = 0
    cause: str = ""
    help: str = ""


class ErrorInfo(msgspec.Struct, array_like=True):
    """The wire form of a StoreError. `transaction`: the id in text form or ""; `statement` counts from 0, -1: none."""

    code: str
    message: str
    sqlstate: str = ""
    outcome: str = DID_NOT_HAPPEN
    retryable: bool = False
    transaction: str = ""
    statement: int = -1
    conflict: ConflictInfo | None = None
    detail: dict[str, Any] = {}


class StoreError(Exception):
    """Base of all errors a caller can meet; `info` holds everything that is told."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    outcome: ClassVar[str] = DID_NOT_HAPPEN
    retryable: ClassVar[bool] = False
    sqlstate: ClassVar[str] = ""

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        defaults = {"code": self.code, "sqlstate": self.sqlstate, "outcome": self.outcome, "retryable": self.retryable}
        self.info = ErrorInfo(message=message, **{**defaults, **fields})

    @staticmethod
    def of(info: ErrorInfo) -> StoreError:
        """The error object that `info` describes (any code: unknown ones become StoreError)."""
        error = _CLASS_OF_CODE.get(info.code, StoreError)(info.message)
        error.info = info
        return error


class BadRequest(StoreError):
    """Wrong SQL, types, parameters or form. Nothing happened; the same request will fail again."""

    status, code = 400, "bad_request"


class NotSupported(BadRequest):
    """SQL that PostgreSQL answers and this store does not (yet): refused by name, never answered differently."""

    code, sqlstate = "not_supported", "0A000"


class Conflict(StoreError):
    """Lost to another transaction (wound, lock time-out); a retry can help."""

    status, code, sqlstate, retryable = 409, "conflict", "40001", True


class ConstraintViolation(StoreError):
    """PRIMARY KEY (23505), NOT NULL (23502), CHECK (23514)."""

    status, code, sqlstate = 409, "constraint", "23000"


class ExpectationFailed(StoreError):
    """`expect_rows` was not met."""

    status, code, sqlstate = 409, "expectation_failed", "02000"

    @classmethod
    def of_rows(cls, expected: int, found: int, **fields: Any) -> ExpectationFailed:
        return cls(f"expected {expected} rows, the statement has {found}", **fields)


class TransactionAborted(StoreError):
    """Aborted. By a fence: for good, and never retried. Else, as by its home while it was in doubt: `retryable`."""

    status, code, sqlstate = 409, "aborted", "40000"


class LockNotAvailable(StoreError):
    """A statement with NOWAIT met a lock of another transaction. It did not happen. Whoever says NOWAIT decides alone
    whether to try again."""

    status, code, sqlstate = 409, "lock_not_available", "55P03"


class SnapshotTooOld(StoreError):
    """A read of the past below the horizon of what is kept. Nothing was changed; read at a later time."""

    status, code, sqlstate = 409, "snapshot_too_old", "72000"


class NotFound(StoreError):
    """A foreign id, an unknown path."""

    status, code = 404, "not_found"


class TooLarge(StoreError):
    """Over a bound of DESIGN.md §8; nothing happened."""

    status, code, sqlstate = 413, "too_large", "54000"


class KeyReused(StoreError):
    """The client key (`Idempotency-Key`) belongs to another request. Nothing happened; use a new key."""

    status, code, sqlstate = 422, "key_reused", "22023"


class Unavailable(StoreError):
    """No quorum, overloaded, no leader by the deadline: certainly did not happen."""

    status, code, sqlstate, retryable = 503, "unavailable", "57P03", True


class OutcomeUnknown(StoreError):
    """The answer was lost after it might have been committed: ask for the fate of `info.transaction`."""

    status, code, sqlstate, outcome = 504, "outcome_unknown", "08007", UNKNOWN


class ResultsLost(StoreError):
    """The transaction is committed, but the answer with its rows was lost (only the Python client raises it)."""

    status, code, sqlstate, outcome = 500, "results_lost", "08006", HAPPENED


class AuthenticationFailed(StoreError):
    """The cluster secret was not proved."""

    status, code, sqlstate = 401, "unauthenticated", "28000"


class Corrupt(Exception):
    """Durable data is not what was written; the process must stop and say so."""


class ReplicaStopped(Exception):
    """A replica met an entry that it cannot apply (DESIGN.md §3): it stops and says why, it never skips."""


_CLASSES: list[type[StoreError]] = [
    BadRequest, NotSupported, Conflict, ConstraintViolation, ExpectationFailed, TransactionAborted, NotFound, TooLarge,
    LockNotAvailable, SnapshotTooOld, KeyReused, Unavailable, OutcomeUnknown, ResultsLost, AuthenticationFailed,
]  # fmt: skip
_CLASS_OF_CODE = {cls.code: cls for cls in _CLASSES}
