"""What an operator may order of the cluster's nodes, and what the members of `s0` say when it is carried out.

*Invariants*: an order that is carried out already changes nothing; one that cannot be is refused with words, and has
changed nothing. The numbers of nodes that are gone stay known for ever.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from nodes.core.membership import Members, NodeFacts, facts_of, with_learner
from nodes.errors import BadRequest, NotFound
from nodes.ids import MAX_NODE, node_name

ADD, REMOVE, REPLACE = "add", "remove", "replace"
ACTIONS = (ADD, REMOVE, REPLACE)


class Order(msgspec.Struct, array_like=True, frozen=True):
    """`facts`: of a node to be added. `successor`: of one to be replaced. `fewer`: of one to be removed, also when not
    enough nodes are left for all replicas."""

    action: str
    node: int
    successor: int = 0
    fewer: bool = False
    facts: NodeFacts | None = None


def carried_out(members: Members, order: Order, nodes: Iterable[int], replicas: int) -> Members | None:
    """The members of `s0` that say so; None if they do. BadRequest, NotFound. `nodes`: all that are in the cluster."""
    known = set(nodes)
    if order.action == ADD:
        return _added(members, order, known)
    if order.action not in ACTIONS:
        raise BadRequest(f"{order.action!r} is no order: one of {', '.join(ACTIONS)} is")
    return _leaving(members, order, known, replicas)


def _added(members: Members, order: Order, known: set[int]) -> Members | None:
    facts, roster, name = order.facts, members.roster, node_name(order.node)
    if not 1 <= order.node <= MAX_NODE:
        raise BadRequest(f"a node has a number from 1 to {MAX_NODE}, not {order.node}")
    if order.node in roster.gone:
        raise BadRequest(f"{name} was removed; a number is given once: start the node under another one")
    joined = facts_of(roster, order.node)
    if joined is not None and facts in (None, joined):
        return None
    if order.node in known:
        raise BadRequest(f"there is a node {name}; give the new one a number of its own, and replace {name} by it")
    if facts is None:
        words = f"{name} does not ask to be let in: start it, with this cluster's founders as [nodes] in its"
        raise NotFound(f"{words} configuration, and wait until it reaches one of them")
    return replace(with_learner(members, order.node), roster=replace(roster, joined=(*roster.joined, facts)))


def _leaving(members: Members, order: Order, known: set[int], replicas: int) -> Members | None:
    node, roster = order.node, members.roster
    successor = order.successor if order.action == REPLACE else 0
    if node in roster.gone or roster.leaving.get(node) == successor:
        return None
    if node not in known:
        raise NotFound(f"there is no node {node_name(node)}")
    staying = known - set(roster.leaving) - {node}
    if order.action == REPLACE and successor not in staying:
        raise NotFound(f"{node_name(successor)} cannot take the place of {node_name(node)}: add it first")
    has_replicas = order.action == REMOVE or successor in members.voters  # so it cannot take another one
    if has_replicas and (not staying or (len(staying) < replicas and not order.fewer)):
        words = f"without {node_name(node)} there are {len(staying)} nodes for {replicas} replicas of each group"
        raise BadRequest(f"{words}: add a node and replace {node_name(node)} by it, or ask for fewer replicas")
    return replace(members, roster=replace(roster, leaving=roster.leaving | {node: successor}))
