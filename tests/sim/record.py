"""What is seen of a run, step by step, for a chart of it (chart.py): messages, lives, syncs, leaders, what was chosen,
the weather, what clients asked and were told.

A recorder looks on from outside and changes nothing: with and without it a run is the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nodes import ids
from nodes.runtime.messages import GATEWAY_CODE, NODE_CODE, decode_record, peers
from tests.sim import phrases
from tests.sim.schedule import number_text
from tests.sim.timeline import MS

if TYPE_CHECKING:
    from tests.sim.operations import Operation
    from tests.sim.simulation import Simulation

UP, DOWN, PAUSED = "up", "down", "paused"
LATE = 2 * MS  # usual delays are below
QUIET = ("Heartbeat", "HeartbeatReply")


@dataclass(frozen=True)
class Step:
    """`node` 0: of no node. `to`: a message's receiver, 0: it is none; `group` is then what it is about. `marks`: what
    went wrong with it. `lanes`: each node's state. `sign`: one character for the node's column."""

    at: int
    lanes: tuple[str, ...]
    words: str
    node: int = 0
    sign: str = "*"
    to: int = 0
    group: str = ""
    marks: tuple[str, ...] = ()
    is_lost: bool = False
    is_quiet: bool = False


def target(code: int) -> str:
    return {GATEWAY_CODE: "gw", NODE_CODE: "node"}.get(code) or ids.group_name(code)


class Recorder:
    """`attach` it to a simulation before that runs; `steps` are all that was seen."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._newest: dict[tuple[int, int], int] = {}  # when what came last from one node to another was sent
        self._leaders: dict[str, tuple[int, int]] = {}  # group -> epoch, node
        self._chosen: dict[str, int] = {}
        self._open: list[tuple[Operation, int]] = []  # and how many attempts of it have been seen
        self._seen = 0  # operations
        self._weather: dict[str, Any] = {}

    def attach(self, simulation: Simulation) -> None:
        self._simulation, self._cluster = simulation, simulation.cluster
        self._cluster.recorder = self
        simulation.schedule.on_done = self._look
        timeline = self._cluster.timeline
        at = timeline.at

        def watched(delay: int, then: Callable[[], None]) -> None:
            def do() -> None:
                then()
                self._look()

            at(delay, do)

        timeline.at = watched  # type: ignore[method-assign]
        self._weather = dataclasses.asdict(self._cluster.weather)

    # -- told by those who do it

    def say(self, words: str, node: int = 0, sign: str = "*") -> None:
        event = self._simulation.schedule.current
        if event is not None:
            event.came.append(f"n{node} {words}" if node else words)
            words += f"  [{number_text(event.number)} {event.what}]"
        self._keep(words, node, sign=sign)

    def syncs(self, node: int, batch: list[bytes]) -> None:
        words = []
        for code, record in map(decode_record, batch):
            words.append(f"{target(code)} {phrases.phrase(target(code), record)}")
        self._keep("synced " + "; ".join(words), node, sign="s")

    def arrives(self, sender: int, peer: int, data: bytes, sent: int, mark: str) -> None:
        """`mark` "": the first copy. What does not arrive after all is told by `loses`."""
        delay = self._cluster.timeline.now - sent
        marks = [mark] if mark else []
        if delay > LATE:
            marks.append(f"late {delay // MS} ms")
        if sent < self._newest.get((sender, peer), 0):
            marks.append("crossed")
        self._newest[sender, peer] = max(sent, self._newest.get((sender, peer), 0))
        life = self._cluster.nodes[peer].life
        if life is not None and life.is_paused:
            marks.append(f"n{peer} is paused")
        self._message(sender, peer, peers.decode(data), marks, False)

    def loses(self, sender: int, peer: int, items: list[tuple[int, Any]], why: str) -> None:
        self._message(sender, peer, items, [why], True)

    def _message(self, sender: int, peer: int, items: list[tuple[int, Any]], marks: list[str], lost: bool) -> None:
        for code, message in items:
            group, quiet = target(code), type(message).__name__ in QUIET
            words = phrases.phrase(group, message)
            self._keep(words, sender, to=peer, group=group, marks=tuple(marks), is_lost=lost, is_quiet=quiet)

    def _keep(self, words: str, node: int = 0, **more: Any) -> None:
        self.steps.append(Step(self._cluster.timeline.now, self._lanes(), words, node, **more))

    def _lanes(self) -> tuple[str, ...]:
        lives = [node.life for node in self._cluster.nodes.values()]
        return tuple(DOWN if life is None else PAUSED if life.is_paused else UP for life in lives)

    # -- seen after each step of the run

    def _look(self) -> None:
        self._look_at_leaders()
        self._look_at_logs()
        self._look_at_attempts()
        self._look_at_weather()

    def _look_at_leaders(self) -> None:
        led: dict[str, tuple[int, int]] = {}
        for driver in self._cluster.drivers():
            for group in driver.groups.values():
                if group.served_epoch:
                    led[group.group] = max(led.get(group.group, (0, 0)), (group.served_epoch, driver.node))
        if led == self._leaders:
            return
        for name, (epoch, node) in led.items():
            if self._leaders.get(name) != (epoch, node):
                self._keep(f"leads {name} in epoch {phrases.epoch(name, epoch)}", node, sign="L")
        for name, (_, node) in self._leaders.items():
            if name not in led:
                self._keep(f"no longer leads {name}, and nobody does", node, sign="l")
        self._leaders = led

    def _look_at_logs(self) -> None:
        for group, log in self._simulation.truth.logs.items():
            known = self._chosen.get(group, 0)
            for entry in log[known:]:
                self._keep(f"{group} chosen and applied {phrases.entry(group, entry)}", sign="")
            self._chosen[group] = len(log)

    def _look_at_attempts(self) -> None:
        operations = self._simulation.operations
        self._open += [(operation, 0) for operation in operations[self._seen :]]
        self._seen = len(operations)
        still_open = []
        for operation, seen in self._open:
            for txn in operation.txns[seen:]:
                words = f"attempt {phrases.txn_name(txn)} of request {operation.number}, home {ids.home_of(txn)}"
                self._keep(words, operation.node, sign=">")
            if operation.told is None:
                still_open.append((operation, len(operation.txns)))
        self._open = still_open

    def _look_at_weather(self) -> None:
        weather = self._cluster.weather
        if all(getattr(weather, name) == value for name, value in self._weather.items()):
            return
        now = dataclasses.asdict(weather)
        changes = [f"{name} {_weather_text(value)}" for name, value in now.items() if value != self._weather[name]]
        self._weather = now
        self.say("weather: " + ", ".join(changes))


def _weather_text(value: Any) -> str:
    """Cuts as `n1>n2`, with the group if only its replicas do not hear."""
    if not value:
        return "none"
    if not isinstance(value, set):
        return str(value)
    return " ".join("n{}>n{}".format(*cut) + "".join(f":{target(code)}" for code in cut[2:]) for cut in sorted(value))
