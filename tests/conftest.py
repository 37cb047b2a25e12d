"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

from tests.postgres import postgres
from tests.skips import pytest_make_collect_report, pytest_runtest_makereport

__all__ = ["postgres", "pytest_make_collect_report", "pytest_runtest_makereport"]

# A busy machine is no failure; a failure prints what replays it.
settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")
