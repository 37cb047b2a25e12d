"""What running processes cost, from /proc: memory as Pss (a shared page is split among those who share it), and CPU."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

MB = 1_000_000


def pss_mb(pid: int) -> float:
    """Proportional set size in MB (10^6 bytes)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / MB
    raise RuntimeError(f"process {pid} has no Pss: is it still there?")


def cpu_s(pid: int) -> float:
    """Seconds of CPU since its start, its threads included, its children not."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_percent(pids: Iterable[int], seconds: float) -> float:
    """What the processes use together from now on for `seconds`, in % of one core."""
    chosen = list(pids)
    begun, before = time.monotonic(), sum(map(cpu_s, chosen))
    time.sleep(seconds)
    return (sum(map(cpu_s, chosen)) - before) / (time.monotonic() - begun) * 100


def command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()


def children(pid: int) -> list[int]:
    """Of all its threads."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    return [pid, *(each for child in children(pid) for each in family(child))]
