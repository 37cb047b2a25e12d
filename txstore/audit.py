"""What operators have the cluster do, and the log of it (`Operation`).

*Invariant*: nothing is asked of the cluster before the log has it; what came of it is added afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from nodes.errors import HAPPENED, StoreError
from nodes.ids import node_name
from nodes.requests import Fate, Leadership, Nodes
from txstore import store
from txstore.models import Operation

Answer = TypeVar("Answer")

# Each as the client's call of that name (nodes/client/calls.py), and logged; raises what that raises.


def transfer_leader(group: str, node: int, by: str, via: str, timeout: float | None = None) -> Leadership:
    return _logged(
        f"transfer-leader {group[:80]} {node_name(node)}",
        by,
        via,
        lambda: store.cluster().transfer_leader(group, node, timeout=timeout),
        lambda leadership: f"leads in epoch {leadership.epoch}",
    )


def add_node(node: int, by: str, via: str, timeout: float | None = None) -> Nodes:
    return _logged(
        f"add-node {node_name(node)}",
        by,
        via,
        lambda: store.cluster().add_node(node, timeout=timeout),
        lambda _: "is let in",
    )


def remove_node(node: int, fewer: bool, by: str, via: str, timeout: float | None = None) -> Nodes:
    return _logged(
        f"remove-node {node_name(node)}{' --fewer-replicas' if fewer else ''}",
        by,
        via,
        lambda: store.cluster().remove_node(node, fewer, timeout=timeout),
        lambda nodes: parting(nodes, node),
    )


def replace_node(node: int, successor: int, by: str, via: str, timeout: float | None = None) -> Nodes:
    return _logged(
        f"replace-node {node_name(node)} {node_name(successor)}",
        by,
        via,
        lambda: store.cluster().replace_node(node, successor, timeout=timeout),
        lambda nodes: parting(nodes, node),
    )


def resolve(id: str, by: str, via: str, timeout: float | None = None) -> Fate:
    """The fence: the decision that the home of this transaction has, or makes now, which is abort."""
    return _logged(
        f"resolve {id[:80]}",
        by,
        via,
        lambda: store.cluster().fence(id, timeout=timeout),
        lambda fate: fate.state + (f": {fate.reason}" if fate.reason else ""),
    )


def parting(nodes: Nodes, node: int) -> str:
    """What is wanted of a node that was told to leave."""
    if node in nodes.gone:
        return "is gone"
    successor = nodes.leaving.get(node, 0)
    return f"leaves, {node_name(successor) if successor else 'whoever has room'} takes its place"


def _logged(what: str, by: str, via: str, ask: Callable[[], Answer], words: Callable[[Answer], str]) -> Answer:
    row = Operation.objects.create(by=by, via=via, what=what)
    try:
        answer = ask()
    except StoreError as error:
        row.outcome, row.words = error.info.outcome, str(error)
        raise
    else:
        row.outcome, row.words = HAPPENED, words(answer)
        return answer
    finally:
        row.save(update_fields=["outcome", "words"])
