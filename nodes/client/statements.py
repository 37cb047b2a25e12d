"""Statements as a program writes them, and the rows that it gets back, in transactions of both kinds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

from nodes.errors import BadRequest
from nodes.requests import Result, Statement, Value

Params = Sequence[Value] | dict[str, Value]
Steps = Sequence[tuple[str, Params] | tuple[str, Params, int]]
"""Statements with their parameters, and perhaps the rows that are expected of each."""


class Rows(Sequence[list[Value]]):
    """The rows of a query, each a list of values in the order of `columns`. `session_token` is that of the reply; 0
    within a transaction, which has its own when it ends."""

    def __init__(self, result: Result, session_token: int = 0) -> None:
        self.columns = [column.name for column in result.columns]
        self.result = result
        self.session_token = session_token

    def __iter__(self) -> Iterator[list[Value]]:
        return iter(self.result.rows)

    def __len__(self) -> int:
        return len(self.result.rows)

    @overload
    def __getitem__(self, index: int) -> list[Value]: ...

    @overload
    def __getitem__(self, index: slice) -> list[list[Value]]: ...

    def __getitem__(self, index: int | slice) -> list[Value] | list[list[Value]]:
        return self.result.rows[index]

    def __repr__(self) -> str:
        return f"Rows({self.columns}, {self.result.rows})"


def statement(sql: str, params: Params, expect_rows: int = -1) -> Statement:
    """BadRequest for parameters that are no list and no dict."""
    if isinstance(params, str | bytes):  # a sequence too, of characters that nobody means
        raise BadRequest(f"parameters are a list or a dict, not {type(params).__name__}: put it in a list")
    return Statement(sql, dict(params) if isinstance(params, dict) else list(params), expect_rows)


def listed(steps: Steps, expect_rows: int) -> list[Statement]:
    """`expect_rows` holds for each that states none itself."""
    return [statement(*(step if len(step) == 3 else (*step, expect_rows))) for step in steps]
