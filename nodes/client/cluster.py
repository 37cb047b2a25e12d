"""The store as a Python program sees it: one object per process, shared by its threads.

It decides nothing itself: requests go to `submission`, questions to `questions`, connections to `pool`. Every method
answers within its time-out or raises a class of `nodes.errors`, whose `info.outcome` says whether it happened.

*Left out*: interactive transactions and functions of them, reads of the past, pool tuning, the awaited form.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

from nodes import ids
from nodes.client.connection import Connection
from nodes.client.pool import Address, Pool, Surroundings
from nodes.client.questions import ask_fate, ask_status
from nodes.client.submission import Submission
from nodes.errors import NotFound, ResultsLost
from nodes.requests import Fate, Reply, Request, Result, Statement, Value

Params = Sequence[Value] | dict[str, Value]


class Cluster:
    """A client of the cluster whose nodes are at `addresses`; `timeout` in seconds, for each call without its own."""

    def __init__(
        self,
        addresses: Sequence[Address],
        secret: bytes,
        timeout: float = 10.0,
        surroundings: Surroundings | None = None,
    ) -> None:
        self._timeout = timeout
        self._pool = Pool(addresses, secret, Connection, surroundings or Surroundings())

    @classmethod
    def connect(
        cls, addresses: str, *, secret: bytes | str, timeout: float = 10.0, surroundings: Surroundings | None = None
    ) -> Cluster:
        """A client from `"host:port,host:port"`; ValueError if that is not its form. No connection is opened yet."""
        key = secret.encode() if isinstance(secret, str) else secret
        return cls([_address(part.strip()) for part in addresses.split(",")], key, timeout, surroundings)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections; later calls are Unavailable."""
        self._pool.close()

    def submit(self, request: Request) -> Reply:
        """Run a one-shot request within its own `timeout_ms`. OutcomeUnknown only if its fate could not be learnt."""
        return Submission(self._pool, request).run()

    def execute(self, sql: str, params: Params = (), expect_rows: int = -1) -> Result:
        """One statement, one transaction. ResultsLost if it is committed and its answer was lost."""
        return _only_result(self.submit(self._request([_statement(sql, params, expect_rows)])))

    def execute_many(
        self, statements: Sequence[tuple[str, Params] | tuple[str, Params, int]], expect_rows: int = -1
    ) -> Reply:
        """Several statements, one transaction, one round trip. `expect_rows` holds for each that states none itself."""
        return self.submit(self._request([_statement(*_with_expectation(each, expect_rows)) for each in statements]))

    def query(self, sql: str, params: Params = ()) -> Rows:
        """A SELECT on a snapshot of now; gives its rows."""
        request = self._request([_statement(sql, params, -1)])
        request.read_only = True
        return Rows(_only_result(self.submit(request)))

    def fate(self, id: str, timeout: float | None = None) -> Fate:
        """What became of a transaction, from any node; NotFound for what is no id of this cluster."""
        return ask_fate(self._pool, _checked_id(id), False, self._seconds(timeout))

    def fence(self, id: str, timeout: float | None = None) -> Fate:
        """The same, and afterwards it is committed or will never be."""
        return ask_fate(self._pool, _checked_id(id), True, self._seconds(timeout))

    def status(self, wide: bool = True, timeout: float | None = None) -> dict[str, Any]:
        """Nodes, groups, leaders, lag. `wide`: the node that is asked asks all others, too."""
        return ask_status(self._pool, wide, self._seconds(timeout))

    def _request(self, statements: list[Statement]) -> Request:
        return Request(statements, round(self._timeout * 1000))

    def _seconds(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else timeout


class Rows(Sequence[list[Value]]):
    """The rows of a query, each a list of values in the order of `columns`."""

    def __init__(self, result: Result) -> None:
        self.columns = [column.name for column in result.columns]
        self.result = result

    def __iter__(self) -> Iterator[list[Value]]:
        return iter(self.result.rows)

    def __len__(self) -> int:
        return len(self.result.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.result.rows[index]

    def __repr__(self) -> str:
        return f"Rows({self.columns}, {self.result.rows})"


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is not host:port")
    return host.strip("[]"), int(port)


def _statement(sql: str, params: Params, expect_rows: int) -> Statement:
    return Statement(sql, dict(params) if isinstance(params, dict) else list(params), expect_rows)


def _with_expectation(
    statement: tuple[str, Params] | tuple[str, Params, int], expect_rows: int
) -> tuple[str, Params, int]:
    return statement if len(statement) == 3 else (*statement, expect_rows)


def _only_result(reply: Reply) -> Result:
    if reply.results_lost:
        raise ResultsLost("the transaction is committed, its answer was lost", transaction=reply.id)
    return reply.results[0]


def _checked_id(id: str) -> str:
    try:
        ids.from_text(id)
    except ValueError as error:
        raise NotFound(f"no such transaction: {error}") from error
    return id
