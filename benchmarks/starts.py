"""How long three nodes take from their start until every group has a leader that serves.

Twice: founded just now, and again, with the accounts on their disks.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from benchmarks.store import Store

BALANCE = 1_000


def measure(directory: Path, options: argparse.Namespace) -> dict[str, Any]:
    """`first_s` and `again_s`: seconds."""
    figures: dict[str, Any] = {"rows": options.rows}
    for name in ("first_s", "again_s"):
        store = Store(directory, replicas=3, multiplexed=False)
        begun = time.monotonic()
        try:
            store.start()
            figures[name] = round(time.monotonic() - begun, 2)
            if name == "first_s":
                store.load(options.rows, BALANCE)
            elif store.total() != options.rows * BALANCE:
                raise RuntimeError("the second start has lost money")
        finally:
            store.stop()
    return figures
