"""Interactive transactions for views and services: a decorator, whose function is run again, and a block.

    @transactional                          # or @transactional(timeout=3.0)
    def take_back(order_id):
        txn = current()
        …

The decorated function runs in a transaction of its own, which is committed when it returns and rolled back when it
raises; while the transaction is lost to another one, or its node is gone, the function is called again, after a random
pause, until the time is up (`Cluster.run`). Inside of another one it joins that: it runs from a savepoint on, to which
its exception goes back, and only the outermost function is called again. A block, `with transactional() as txn:`, joins
in the same way, but cannot be run again: what was lost is raised.

*Invariants*: what an inner function that raised has done is never committed: if it could not be undone, the outermost
one fails. A commit whose outcome is not known is settled by its fate, and is never followed by another run.
*Left out*: coroutine functions, which have `nodes.client.aio`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import wraps
from types import TracebackType
from typing import ParamSpec, TypeVar, overload

from django.conf import settings
from django.utils.module_loading import import_string

from nodes.client import Cluster, Transaction
from nodes.errors import StoreError

P = ParamSpec("P")
T = TypeVar("T")

LATE = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
SAVEPOINT = "joined_{}"  # by how deep it is


class _Scope:
    """The transaction that is open in this thread, or task."""

    def __init__(self, txn: Transaction) -> None:
        self.txn = txn
        self.depth = 0
        self.after: list[Callable[[], object]] = []  # to be called when it is committed
        self.spoilt: BaseException | None = None  # why something could not be undone


_scope: ContextVar[_Scope | None] = ContextVar("txstore.transactional", default=None)


def current() -> Transaction:
    """The transaction of the innermost decorated function or block; RuntimeError outside of one."""
    return _here("current").txn


def on_commit(then: Callable[[], object]) -> None:
    """Call `then()` when the outermost transaction is committed, and not at all if what registers it here is undone:
    for mails, tasks and whatever else cannot be rolled back. RuntimeError outside of a transaction."""
    _here("on_commit").after.append(then)


def _here(name: str) -> _Scope:
    scope = _scope.get()
    if scope is None:
        raise RuntimeError(f"{name}() is for code within @transactional, or a `with transactional()` block")
    return scope


@overload
def transactional(function: Callable[P, T], /) -> Callable[P, T]: ...


@overload
def transactional(function: None = None, /, *, timeout: float | None = None) -> Transactional: ...


def transactional(
    function: Callable[P, T] | None = None, /, *, timeout: float | None = None
) -> Callable[P, T] | Transactional:
    """A decorator, with or without arguments, and a context manager. `timeout`: seconds for all runs of the function
    together, or for each call in a block; of the client (`STORE_CLIENT`) if it is not given. Who joins has the time of
    who is outermost."""
    made = Transactional(timeout)
    return made if function is None else made(function)


class Transactional:
    """What `transactional(timeout=…)` gives. As a decorator it may be used any number of times; as a block once."""

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self._block: AbstractContextManager[Transaction] | None = None

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        if any(is_late(function) for is_late in LATE):
            raise TypeError(f"{function.__qualname__} does not do its work in the call; of coroutines `aio` has `run`")

        @wraps(function)
        def within(*args: P.args, **kwargs: P.kwargs) -> T:
            if (scope := _scope.get()) is not None:
                with _joined(scope):
                    return function(*args, **kwargs)
            return _run(lambda: function(*args, **kwargs), self._timeout)

        return within

    def __enter__(self) -> Transaction:
        if self._block is not None:
            raise RuntimeError("a block is entered once: write `with transactional() as txn:`")
        scope = _scope.get()
        self._block = _begun(self._timeout) if scope is None else _joined(scope)
        return self._block.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._block is not None, "who leaves has entered"
        self._block.__exit__(kind, error, at)


def _run(function: Callable[[], T], timeout: float | None) -> T:
    """In a new transaction, again while that helps."""
    scope: _Scope | None = None

    def once(txn: Transaction) -> T:
        nonlocal scope
        scope = _Scope(txn)
        with _entered(scope):
            return function()

    found = _cluster().run(once, timeout=timeout)
    assert scope is not None, "what was committed has run"
    _call(scope)
    return found


@contextmanager
def _begun(timeout: float | None) -> Iterator[Transaction]:
    """A transaction for one block."""
    with _cluster().transaction(timeout) as txn:
        scope = _Scope(txn)
        with _entered(scope):
            yield txn
    _call(scope)


@contextmanager
def _entered(scope: _Scope) -> Iterator[None]:
    token = _scope.set(scope)
    try:
        yield
    finally:
        _scope.reset(token)
    if scope.spoilt is not None:
        raise scope.spoilt


@contextmanager
def _joined(scope: _Scope) -> Iterator[Transaction]:
    """From a savepoint on, to which an exception goes back."""
    name, registered = SAVEPOINT.format(scope.depth + 1), len(scope.after)
    scope.txn.savepoint(name)  # where that is refused, one of the same name may be there that was made before
    scope.depth += 1
    try:
        yield scope.txn
    except BaseException:
        del scope.after[registered:]
        _undo(scope, name)
        raise
    finally:
        scope.depth -= 1


def _undo(scope: _Scope, name: str) -> None:
    """The exception on its way says more than that it could not be done; but then nothing may be committed."""
    try:
        scope.txn.rollback_to(name)
    except StoreError as error:
        scope.spoilt = scope.spoilt or error


def _call(scope: _Scope) -> None:
    for then in scope.after:
        then()


def _cluster() -> Cluster:
    cluster: Cluster = import_string(settings.STORE_CLIENT)()
    return cluster
