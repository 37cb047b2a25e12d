"""The golden scripts: each must come out as it is written. `REWRITE=1` writes what comes out instead; read the diff."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.core.paxos.transcript import Transcript

SCRIPTS = sorted((Path(__file__).parents[2] / "scripts" / "paxos").glob("*.txt"))


@pytest.mark.parametrize("path", SCRIPTS, ids=[path.stem for path in SCRIPTS])
def test_a_script_comes_out_as_written(path: Path) -> None:
    written = path.read_text()
    comes_out = Transcript().run(written)
    if os.environ.get("REWRITE"):
        path.write_text(comes_out)
    else:
        assert comes_out == written


def test_there_is_a_script_for_each_case() -> None:
    cases = {path.stem[:3] for path in SCRIPTS}
    assert {f"p{case:02}" for case in (1, 2, *range(4, 15), *range(16, 21))} <= cases
