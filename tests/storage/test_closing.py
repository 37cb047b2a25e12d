"""An engine that is closed while other threads read it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nodes.errors import Unavailable
from nodes.storage.sqlite import SqliteEngine
from tests.storage.bank import ROWS_AT, opened, reads

ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n WHERE i < ?1"


def test_a_read_that_runs_when_the_engine_is_closed_is_told_so(tmp_path: Path) -> None:
    engine = opened(SqliteEngine(tmp_path / "engine.db"), (1, 5))
    begun = threading.Event()

    def read() -> object:
        engine.read(reads("", snapshot_sql=ROWS_AT), 10)
        begun.set()
        return engine.read(reads("", snapshot_sql=ENDLESS), 10)

    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(read)
        assert begun.wait(30)
        engine.close()
        with pytest.raises(Unavailable, match="closed"):
            running.result(30)
        with pytest.raises(Unavailable, match="closed"):
            thread.submit(engine.read, reads("", snapshot_sql=ROWS_AT), 10).result(30)
