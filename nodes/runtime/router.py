"""Where a group's leader probably is.

A node that holds a replica asks its log; of other groups it keeps what refusals hinted at, starting with the
preferred leader. A wrong guess costs a refusal, never correctness.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from nodes.ids import node_name


class Router:
    """`members` of every group, by name; `local` gives the leader that a local replica knows (0: none)."""

    def __init__(self, members: Mapping[str, tuple[int, ...]]) -> None:
        self.members = dict(members)
        self._local: dict[str, Callable[[], int]] = {}
        self._guess = {group: nodes[0] for group, nodes in members.items()}

    def on_members(self, group: str, voters: tuple[int, ...]) -> None:
        """Others may lead the group now."""
        self.members[group] = voters
        if self._guess[group] not in voters:
            self._guess[group] = voters[0]

    def add_local(self, group: str, leader: Callable[[], int]) -> None:
        self._local[group] = leader

    def remove_local(self, group: str) -> None:
        """The local replica has stopped: what it believes counts no more."""
        self._local.pop(group, None)

    def leader_of(self, group: str) -> int:
        """A node number, 0 when no leader is known."""
        local = self._local.get(group)
        return local() if local is not None else self._guess.get(group, 0)

    def silence_of(self, group: str, node: int, is_connected: Callable[[int], bool]) -> str:
        """Why `node` had no answer from the group's leader, in words."""
        if leader := self.leader_of(group):
            return f"{group} did not answer, which {node_name(leader)} seems to lead"
        voters = self.members.get(group, ())
        away = [voter for voter in voters if voter != node and not is_connected(voter)]
        missing = f", of which {node_name(node)} does not reach {_names(away)}" if away else ""
        return f"{group} has no leader that {node_name(node)} knows of; it is on {_names(voters)}{missing}"

    def on_hint(self, group: str, refused_by: int, leader: int) -> None:
        """`refused_by` does not lead the group; it believes that `leader` does (0: it knows none)."""
        nodes = self.members.get(group)
        if nodes is None or group in self._local or self._guess[group] != refused_by:
            return
        following = nodes[(nodes.index(refused_by) + 1) % len(nodes)] if refused_by in nodes else nodes[0]
        self._guess[group] = leader if leader in nodes and leader != refused_by else following

    def on_peer_lost(self, peer: int) -> None:
        for group in self._guess:
            self.on_hint(group, peer, 0)


def _names(nodes: Iterable[int]) -> str:
    return ", ".join(map(node_name, sorted(nodes)))


def place(nodes: int, shards: int, replicas: int) -> dict[str, tuple[int, ...]]:
    """The founders' placement: group -> nodes, the preferred leader first. `s0` is on up to five nodes.

    Coordinator groups c1.. (three, or one per node when there are fewer) and shards take turns over the nodes.
    """

    def ring(start: int, count: int) -> tuple[int, ...]:
        return tuple((start + i) % nodes + 1 for i in range(count))

    groups = {f"c{i + 1}": ring(i, replicas) for i in range(min(3, nodes))}
    groups["s0"] = ring(0, min(nodes, 5))
    groups.update({f"s{i}": ring(i, replicas) for i in range(1, shards + 1)})
    return groups
