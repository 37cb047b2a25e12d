"""The blocking client: one object per process, shared by its threads, which survives a fork.

Each method is one of `Calls`, run to its end in the caller's thread: a new call is written there, and named here in
one line. Interactive transactions are blocking ones here, so what gives one is wrapped by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from nodes.client.calls import Calls
from nodes.client.interactive import Interactive
from nodes.client.surroundings import Surroundings
from nodes.client.threads import Threads, run
from nodes.client.transaction import Transaction

P = ParamSpec("P")
T = TypeVar("T")


class _Calls(Calls):
    _surroundings = Threads


def _blocking(call: Callable[Concatenate[Calls, P], Coroutine[Any, Any, T]]) -> Callable[Concatenate[Cluster, P], T]:
    @wraps(call)
    def blocking(cluster: Cluster, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return run(call(cluster._calls, *args, **kwargs))

    return blocking


class Cluster:
    """A client of one cluster, made by `connect`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    @classmethod
    def connect(
        cls,
        addresses: str,
        *,
        secret: bytes | str,
        timeout: float = 10.0,
        max_connections: int = 64,
        idle_timeout: float = 60.0,
        connect_timeout: float = 1.0,
        surroundings: Surroundings | None = None,
    ) -> Cluster:
        """A client of the nodes at `"host:port,host:port"`; the options are those of `Calls.connect`, which has their
        meaning, and docs/client.md. No connection is opened yet."""
        return cls(
            _Calls.connect(
                addresses,
                secret=secret,
                timeout=timeout,
                max_connections=max_connections,
                idle_timeout=idle_timeout,
                connect_timeout=connect_timeout,
                surroundings=surroundings,
            )
        )

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def transaction(self, timeout: float | None = None, age: str = "") -> Transaction:
        """As `Calls.transaction`."""
        return Transaction(self._calls.transaction(timeout, age))

    def opened(self, id: str, timeout: float | None = None) -> Transaction:
        """As `Calls.opened`."""
        return Transaction(self._calls.opened(id, timeout))

    def run(self, function: Callable[..., T], *args: Any, timeout: float | None = None, **kwargs: Any) -> T:
        """As `Calls.run`."""

        async def work(txn: Interactive) -> T:
            return function(Transaction(txn), *args, **kwargs)

        return run(self._calls.run(work, timeout=timeout))

    close = _blocking(Calls.close)
    submit = _blocking(Calls.submit)
    execute = _blocking(Calls.execute)
    execute_many = _blocking(Calls.execute_many)
    query = _blocking(Calls.query)
    fate = _blocking(Calls.fate)
    fence = _blocking(Calls.fence)
    status = _blocking(Calls.status)
    transactions = _blocking(Calls.transactions)
    trace = _blocking(Calls.trace)
    tables = _blocking(Calls.tables)
    table = _blocking(Calls.table)
    shards = _blocking(Calls.shards)
    transfer_leader = _blocking(Calls.transfer_leader)
    add_node = _blocking(Calls.add_node)
    remove_node = _blocking(Calls.remove_node)
    replace_node = _blocking(Calls.replace_node)
