"""What a result was measured on: the machine, its file system, and what one fdatasync costs there.

*Left out*: anything that changes the machine (governors, caches).
A result names its surroundings, it does not set them.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs", "devtmpfs")
PACKAGES = ("apsw", "msgspec", "uvloop", "psycopg", "psycopg-binary", "sqlglot")


def file_system(path: Path) -> tuple[str, str]:
    """(type, device) of the file system that holds `path`: the mount with the longest matching prefix."""
    best = ("", "", "")
    target = str(path.resolve())
    for line in Path("/proc/self/mounts").read_text().splitlines():
        device, mount, kind = line.split()[:3]
        inside = mount == "/" or target == mount or target.startswith(mount + "/")
        if inside and len(mount) >= len(best[0]):
            best = (mount, kind, device)
    return best[1], best[2]


def refuse_memory(path: Path) -> str:
    """The type of the file system of `path`; SystemExit when it lives in memory, where fsync costs nothing."""
    kind, _ = file_system(path)
    if kind in MEMORY_FILE_SYSTEMS:
        raise SystemExit(f"{path} is on {kind}: a benchmark of durable writes needs a real file system (--directory)")
    return kind


def fdatasync_ms(directory: Path, rounds: int = 100) -> float:
    """Median milliseconds of one appended 4 KiB block and its fdatasync."""
    times = []
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        for _ in range(rounds):
            begun = time.perf_counter()
            os.write(file.fileno(), b"\0" * 4096)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - begun)
    return round(statistics.median(times) * 1000, 3)


def machine(directory: Path) -> dict[str, Any]:
    """Facts of this machine for the JSON."""
    kind, device = file_system(directory)
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "kernel": platform.release(),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "file_system": kind,
        "device": device,
        "fdatasync_ms": fdatasync_ms(directory),
        "load_before": os.getloadavg()[0],
        "packages": {name: _version(name) for name in PACKAGES},
        "revision": _revision(),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


def _revision() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return ""
