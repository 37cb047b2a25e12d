"""The nodes of a cluster as an operator sees them: what each is, and where an order stands. Made of a wide status.

*Invariant*: each number stands there once; a node that is gone is told by its number alone, for nothing else is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nodes.ids import node_name

MEMBER, LEAVING, WAITING, GONE = "member", "leaving", "waiting", "gone"
STATES = (MEMBER, LEAVING, WAITING, GONE)

Status = dict[str, Any]


@dataclass(frozen=True)
class Member:
    """`successor`: who takes the place of one that is leaving, 0: whoever has room. `up`: it answers; `ready`: it takes
    requests; `groups`: it votes or learns in."""

    node: int
    state: str
    address: str = ""
    successor: int = 0
    up: bool = False
    ready: bool = False
    groups: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return node_name(self.node)

    @property
    def words(self) -> str:
        if self.state == LEAVING:
            successor = node_name(self.successor) if self.successor else "whoever has room"
            return f"leaving, {successor} takes its place"
        return "asks to be let in" if self.state == WAITING else self.state


def members(status: Status) -> list[Member]:
    """By number."""
    leaving = dict(status["leaving"])
    found = [Member(node, GONE) for node in status["gone"]]
    found += [Member(node, WAITING, address, up=True) for node, address, _ in status["waiting"]]
    for told in status["nodes"]:
        node = told["node"]
        state = LEAVING if node in leaving else MEMBER
        is_up, is_ready = bool(told["up"]), bool(told["ready"])
        held = groups_of(status, node)
        found.append(Member(node, state, told["address"], leaving.get(node, 0), is_up, is_ready, held))
    return sorted(found, key=lambda member: member.node)


def member(status: Status, node: int) -> Member | None:
    return next((each for each in members(status) if each.node == node), None)


def groups_of(status: Status, node: int) -> tuple[str, ...]:
    """The groups that have a replica on the node."""
    return tuple(group["group"] for group in status["groups"] if node in (*group["members"], *group["learners"]))


def missing_of_joining(status: Status, node: int) -> str:
    """Why a node that was let in does not serve yet, "" if it does."""
    found = member(status, node)
    if found is None or found.state == WAITING:
        return f"{node_name(node)} is let in, and has not been told yet"
    if found.state != GONE and not found.ready:
        return f"{found.name} {'takes over the catalog' if found.up else 'does not answer'}"
    return ""


def missing_of_parting(status: Status, node: int) -> str:
    """What a node that was told to leave still holds, "" if it is gone."""
    found = member(status, node)
    if found is None or found.state == GONE:
        return ""
    if not found.groups:
        return f"{found.name} holds no replica any more, and is struck off"
    return f"{found.name} is still in {len(found.groups)} of {len(status['groups'])} groups: {' '.join(found.groups)}"
