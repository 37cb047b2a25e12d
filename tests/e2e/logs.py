"""The logs of a cluster's programs, as a test reads them."""

from __future__ import annotations

from pathlib import Path

# A trace of Python; or what the programs say of a fault that nobody foresaw.
SIGNS = ("Traceback (most recent call last)", "Internal Server Error", "CRITICAL")


def faults(directory: Path) -> list[str]:
    """`file: line` of every sign of a fault in the logs of a home."""
    logs = [*directory.glob("logs/*"), *directory.glob("nodes/*/log*")]
    assert logs, f"there are no logs in {directory}"
    return [
        f"{log.relative_to(directory)}: {line}"
        for log in logs
        for line in log.read_text(errors="replace").splitlines()
        if any(sign in line for sign in SIGNS)
    ]
