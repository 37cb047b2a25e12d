"""What a node does for a client that has gone: it begins nothing under a name that nobody was told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nodes.errors import StoreError, Unavailable
from nodes.requests import Reply, Request, Statement
from nodes.runtime.clients import Clients
from nodes.runtime.messages import answers
from nodes.wire.protocol import Call, Named


class Line:
    """A client's connection."""

    def __init__(self, is_open: bool) -> None:
        self.is_open = is_open
        self.sent: list[bytes] = []

    def send(self, payload: bytes) -> None:
        self.sent.append(payload)


class NamingGateway:
    """Names an attempt at once, and keeps whether it then began."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    def submit(
        self,
        request: Request,
        named: bool,
        age: bytes,
        on_named: Callable[[str], None],
        on_end: Callable[[Reply | StoreError], None],
    ) -> None:
        on_named("t1")
        self.begun.append("t1")


def call_over(line: Line) -> NamingGateway:
    gateway: Any = NamingGateway()
    survey: Any = None
    clients = Clients(lambda: gateway, survey)
    clients.receive(line, Call(7, Request([Statement("UPDATE")], 1_000), True, ""))  # type: ignore[arg-type]
    found: NamingGateway = gateway
    return found


def test_an_attempt_is_named_before_it_begins() -> None:
    line = Line(is_open=True)
    assert call_over(line).begun == ["t1"]
    assert line.sent == [answers.encode(Named(7, "t1"))]


def test_no_attempt_begins_whose_client_has_gone() -> None:
    line = Line(is_open=False)
    with pytest.raises(Unavailable, match="nothing was begun"):
        call_over(line)
    assert line.sent == []
