"""Every golden script under tests/scripts/raft reads as it plays. REWRITE_SCRIPTS=1 writes down what plays now."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.core.raft.transcript import play

SCRIPTS = sorted((Path(__file__).parents[2] / "scripts" / "raft").glob("*.txt"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script_reads_as_it_plays(path: Path) -> None:
    script = path.read_text()
    played = play(script)
    if os.environ.get("REWRITE_SCRIPTS"):
        path.write_text(played)
    else:
        assert played == script


def test_there_are_scripts() -> None:
    assert SCRIPTS
