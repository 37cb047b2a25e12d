"""What an attempt that was refused is told as."""

from __future__ import annotations

import pytest

from nodes.core.txn.entries import FENCED
from nodes.core.txn.messages import ENDED, Refused
from nodes.errors import DID_NOT_HAPPEN, ErrorInfo
from nodes.runtime.statements import error_of


@pytest.mark.parametrize(("reason", "retryable"), [(FENCED, False), ("in doubt: its gateway did not decide", True)])
def test_an_abort_says_whether_another_try_can_help(reason: str, retryable: bool) -> None:
    """Who fenced it relies on that it never happens; nobody relies on what its home ended."""
    refusal = Refused(b"", "s1", ENDED, error=ErrorInfo("aborted", reason, "40000"))
    info = error_of(refusal, str).info
    assert (info.code, info.outcome, info.retryable) == ("aborted", DID_NOT_HAPPEN, retryable)
    assert reason in info.message
