"""What a node does for a client that has gone: it begins nothing under a name that nobody was told. And where it sends
those that it answers."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from nodes.errors import StoreError, Unavailable
from nodes.requests import Reply, Request, Statement
from nodes.runtime.clients import Clients
from nodes.runtime.execution import HOME
from nodes.runtime.load import Load
from nodes.runtime.messages import answers
from nodes.wire.protocol import Call, Done, Named

REPLY = Reply("t1", "committed", 7, 1, ["s1"], [])


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
    clients = Clients(lambda: gateway, survey, Load())
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


class AnsweringGateway:
    """On n1; commits at once. `leader`: of the home, as far as it knows."""

    def __init__(self, leader: int) -> None:
        self.surroundings = SimpleNamespace(node=1, leader_of={HOME: leader}.get)

    def submit(self, *args: Any) -> None:
        args[-1](REPLY)


@pytest.mark.parametrize(
    ("leader", "is_busy", "advised"),
    [(1, False, 1), (1, True, 0), (2, False, 2), (2, True, 2), (0, False, 0)],
)
def test_clients_are_sent_where_the_home_is_led_unless_that_has_enough_to_do(
    leader: int, is_busy: bool, advised: int
) -> None:
    line, gateway, survey, load = Line(is_open=True), AnsweringGateway(leader), None, Load()
    load.is_high = lambda: is_busy  # type: ignore[method-assign]
    clients = Clients(lambda: gateway, survey, load)  # type: ignore[arg-type, return-value]
    clients.receive(line, Call(7, Request([Statement("UPDATE")], 1_000)))  # type: ignore[arg-type]
    assert line.sent == [answers.encode(Done(7, REPLY, advised))]
