"""Three rounds of `make kill`: nothing is lost, doubled or half done. Times are printed; `make kill` judges them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import kill


@pytest.mark.timeout(240)
def test_no_money_is_lost_while_nodes_are_killed_and_stopped(tmp_path: Path) -> None:
    assert kill.run(tmp_path / "home", rounds=3, seed=20, rate=60.0, bars=False) == 0
