"""The counterfeit network: it loses, repeats, reorders, delays and partitions; a copy may come much later.

Every frame passes through its wire form, so nothing mutable is shared. Some runs pick on one type of message: its
copies are pulled out of their frames and lost, repeated or held back far more often than others.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from nodes.core.membership import Roster
from nodes.runtime.known_nodes import KnownNodes
from nodes.runtime.messages import LOG_MESSAGES, peers
from tests.sim.timeline import MS, SECOND

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster, Life


@dataclass
class Weather:
    """What goes wrong now. `victims` are types of messages that have it worse.

    `cut` holds directed pairs of nodes; `cut_logs` the same with a group's code: only what its replicas say to each
    other is lost, while gateways and other groups still get through.
    """

    lose: float = 0.0
    repeat: float = 0.0
    slow: float = 0.0
    slow_disk: float = 0.0
    echo: float = 0.0  # of what is sent, so much comes once more, when it is nearly or quite forgotten
    echo_of: tuple[str, ...] = ()  # and of these types of messages half
    victims: tuple[str, ...] = ()
    crash_at: dict[str, float] = field(default_factory=dict)
    down_for: float = 2.5  # at most so many seconds is down who crashes at a message
    cut: set[tuple[int, int]] = field(default_factory=set)
    cut_logs: set[tuple[int, int, int]] = field(default_factory=set)

    def clear(self) -> None:
        self.lose = self.repeat = self.slow = self.slow_disk = self.echo = 0.0
        self.victims = self.echo_of = ()
        self.crash_at = {}
        self.down_for = 2.5
        self.cut = set()
        self.cut_logs = set()


class SimNetwork:
    """`Network` of the driver, for one life of a node."""

    def __init__(self, life: Life, rng: random.Random) -> None:
        self._life = life
        self._cluster: Cluster = life.node.cluster
        self._rng = rng
        self._forgotten: set[int] = set()
        later = partial(_later, life)
        founding = self._cluster.founding
        self.known = KnownNodes({node: ("", node) for node in founding.incarnations}, later, lambda: founding)

    def know(self, peer: int, address: tuple[str, int]) -> None:
        """Nobody is dialled here; who is not among the addresses is not sent to."""

    def forget(self, peer: int) -> None:
        self._forgotten.add(peer)

    def send(self, peer: int, items: list[tuple[int, Any]]) -> None:
        weather = self._cluster.weather
        if peer not in self.known.addresses and (peer not in self.known.roster.gone or peer in self._forgotten):
            self._cluster.lose(self._life.node.number, peer, items, "lost: not known")
            return
        if weather.cut_logs:
            cut = [item for item in items if self._is_cut(peer, item, weather)]
            self._cluster.lose(self._life.node.number, peer, cut, "lost: cut off")
            items = [item for item in items if not self._is_cut(peer, item, weather)]
        if weather.victims or weather.crash_at:
            items = self._pick_on(peer, items, weather)
        if weather.echo_of:
            self._echo(peer, [item for item in items if type(item[1]).__name__ in weather.echo_of])
        if items:
            self._post(peer, items, weather.lose, weather.repeat, weather.slow)

    def _echo(self, peer: int, items: list[tuple[int, Any]]) -> None:
        if items and self._rng.random() < 0.5:
            self._cluster.post(self._much_later(), self._life.node.number, peer, peers.encode(items), "again")

    def _much_later(self) -> int:
        return self._rng.randint(9 * SECOND, 30 * SECOND)

    def flush(self) -> None:
        """Clients hear at once."""

    def is_connected(self, peer: int) -> bool:
        is_up = peer in self._cluster.nodes and self._cluster.nodes[peer].life is not None
        return is_up and (self._life.node.number, peer) not in self._cluster.weather.cut

    def on_roster(self, roster: Roster) -> None:
        self.known.follow(roster, self)
        self._cluster.on_roster(self._life, roster)

    def _is_cut(self, peer: int, item: tuple[int, Any], weather: Weather) -> bool:
        code, message = item
        return type(message) in LOG_MESSAGES and (self._life.node.number, peer, code) in weather.cut_logs

    def _pick_on(self, peer: int, items: list[tuple[int, Any]], weather: Weather) -> list[tuple[int, Any]]:
        left = []
        for item in items:
            name = type(item[1]).__name__
            if self._rng.random() < weather.crash_at.get(name, 0):
                self._cluster.crash_soon(self._rng.choice((self._life.node.number, peer)))
            if name in weather.victims:
                self._post(peer, [item], 0.3, 0.3, 0.4)
            else:
                left.append(item)
        return left

    def _post(self, peer: int, items: list[tuple[int, Any]], lose: float, repeat: float, slow: float) -> None:
        rng, sender, weather = self._rng, self._life.node.number, self._cluster.weather
        data = peers.encode(items)
        self._cluster.note(b"send", sender, data)
        if lose and rng.random() < lose:
            self._cluster.lose(sender, peer, items, "lost")
            return
        if weather.echo and rng.random() < weather.echo:
            self._cluster.post(self._much_later(), sender, peer, data, "again")
        copies = 1
        while repeat and copies < 4 and rng.random() < repeat:
            copies += 1
        for copy in range(copies):
            delay = rng.randint(100, 1500)
            if copy and rng.random() < 0.5:
                delay = rng.randint(1 * SECOND, 8 * SECOND)
            elif slow and rng.random() < slow:
                delay = rng.randint(5 * MS, 1500 * MS)
            self._cluster.post(delay, sender, peer, data, "again" if copy else "")


def _later(life: Life, seconds: float, then: Callable[[], None]) -> None:
    life.later(int(seconds * SECOND), then)
