"""What holds for every test."""

from __future__ import annotations

import signal

from hypothesis import settings

from tests.postgres import postgres
from tests.skips import pytest_make_collect_report, pytest_runtest_makereport

__all__ = ["postgres", "pytest_make_collect_report", "pytest_runtest_makereport"]

# A shell has what it starts in the background ignore these, and so would every program that a test starts and signals.
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, usual)

# A busy machine is no failure; a failure prints what replays it.
settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")
