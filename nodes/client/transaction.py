"""The blocking form of an interactive transaction: each method is one of `Interactive`, run to its end in the caller's
thread."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from nodes.client.interactive import Interactive
from nodes.client.threads import run
from nodes.requests import Begun, Reply

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    call: Callable[Concatenate[Interactive, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Transaction, P], T]:
    @wraps(call)
    def blocking(txn: Transaction, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return run(call(txn._interactive, *args, **kwargs))

    return blocking


class Transaction:
    """One interactive transaction; for one thread at a time. `with` begins it, and commits it at the end of the block
    or rolls it back."""

    def __init__(self, interactive: Interactive) -> None:
        self._interactive = interactive

    def __enter__(self) -> Transaction:
        run(self._interactive.__aenter__())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        run(self._interactive.__aexit__(kind, error, at))

    @property
    def id(self) -> str:
        """ "" before it is begun."""
        return self._interactive.id

    @property
    def begun(self) -> Begun | None:
        """How long it lives; None before it is begun, and where another program began it."""
        return self._interactive.begun

    @property
    def reply(self) -> Reply | None:
        """What `commit` gave; None before."""
        return self._interactive.reply

    begin = _blocking(Interactive.begin)
    execute = _blocking(Interactive.execute)
    execute_many = _blocking(Interactive.execute_many)
    query = _blocking(Interactive.query)
    submit = _blocking(Interactive.submit)
    savepoint = _blocking(Interactive.savepoint)
    rollback_to = _blocking(Interactive.rollback_to)
    commit = _blocking(Interactive.commit)
    rollback = _blocking(Interactive.rollback)
