"""Whether the cluster is ready to serve, judged from its status: a pure function, so the words can be tested.

It is ready when the store answers and every group has a leader. A node that is down is told, but a majority serves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple


class Check(NamedTuple):
    """One line: `essential` checks that are not ok make the whole not ready."""

    ok: bool
    essential: bool
    words: str

    def __str__(self) -> str:
        return f"{'ok' if self.ok else 'FAIL' if self.essential else 'warn'}\t{self.words}"


def judge(status: dict[str, Any]) -> list[Check]:
    """The checks of a wide status (nodes/runtime/status.py has its shape)."""
    return [Check(True, True, "the store answers"), *_groups(status), *_nodes(status)]


def unreachable(why: str) -> list[Check]:
    """The checks when no status is to be had."""
    return [Check(False, True, f"the store answers: {why}")]


def is_ready(checks: list[Check]) -> bool:
    return all(check.ok or not check.essential for check in checks)


def _groups(status: dict[str, Any]) -> Iterator[Check]:
    if not status["groups"]:
        yield Check(False, True, "the cluster has groups")
    for group in status["groups"]:
        leader = group["leader"]
        yield Check(leader is not None, True, f"{group['group']} has a leader" + (f": n{leader}" if leader else ""))


def _nodes(status: dict[str, Any]) -> Iterator[Check]:
    for node in status["nodes"]:
        error = node.get("error")
        yield Check(bool(node["up"]), False, f"{node['name']} is up" + (f": {error}" if error else ""))
