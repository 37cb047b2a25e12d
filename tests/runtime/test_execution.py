"""What a gateway keeps of how an attempt of its own ended."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from nodes import ids
from nodes.core.txn.attempt import Aborted, Committed, Unknown
from nodes.core.txn.messages import ENDED, Refused
from nodes.requests import ABORTED, COMMITTED, Request
from nodes.runtime.execution import Execution

TXN = ids.mint(1 << 20, 2, 1, 1, "c1", b"cluster 1")


@pytest.mark.parametrize(
    ("end", "kept"),
    [
        (Unknown("no answer by the deadline"), []),  # its commit was asked for, and may come yet
        (Committed(7, {}, 7), []),  # its home has the decision
        (Committed(0, {}, 7), [COMMITTED]),
        (Aborted(Refused(TXN, "s1", ENDED)), [ABORTED]),
    ],
    ids=["the commit was asked for", "committed", "changed nothing", "aborted"],
)
def test_only_an_end_that_nothing_can_change_and_no_home_knows_is_kept(end: Any, kept: list[str]) -> None:
    found: list[tuple[bytes, str]] = []
    surroundings = SimpleNamespace(
        counts=SimpleNamespace(add=lambda what: None, abort=lambda cause: None),
        trace=SimpleNamespace(end=lambda *args, **kwargs: None),
    )
    gateway: Any = SimpleNamespace(
        surroundings=surroundings,
        catalog=SimpleNamespace(table_of=lambda table: None),
        note_end=lambda txn, state, why: found.append((txn, state)),
    )
    execution = Execution(gateway, Request([]), 100, False, b"", lambda text: None, lambda end: None)
    execution._txn, execution._record = TXN, SimpleNamespace()  # type: ignore[assignment]
    execution._keep(end)
    assert found == [(TXN, state) for state in kept]
