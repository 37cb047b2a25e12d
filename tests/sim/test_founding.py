"""The founding protocol under loss, repetition and crashes: one founding, and nobody opens before all hold it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from nodes.core.founding import Founder, Founding, Opened

NODES = (1, 2, 3)


class FoundingNode:
    """A founder with a disk of two records; `save` becomes durable when the schedule says so."""

    def __init__(self, scene: Scene, number: int) -> None:
        self.scene = scene
        self.number = number
        self.founding: Founding | None = None
        self.is_open = False
        self.opened: list[Founding] = []
        self.unsaved: list[tuple[Any, Callable[[], None]]] = []
        self.founder = self.start()

    def start(self) -> Founder:
        """Recovery is construction; what was not durable is gone."""
        self.unsaved = []
        self.founder = Founder(
            self.number, NODES, b"i%d" % self.number, self.founding, self.is_open, self.scene.draw,
            lambda node, message: self.scene.post(self.number, node, message),
            lambda record, then: self.unsaved.append((record, then)),
            self.on_opened, self.scene.refused.append,
        )  # fmt: skip
        return self.founder

    def on_opened(self, founding: Founding) -> None:
        self.opened.append(founding)
        held = [node.founding for node in self.scene.nodes.values()]
        assert held == [founding] * len(NODES), "elections may begin before all founders hold the founding"

    def sync(self) -> None:
        if self.unsaved:
            record, then = self.unsaved.pop(0)
            if isinstance(record, Opened):
                self.is_open = True
            else:
                assert self.founding in (None, record), "a second founding"
                self.founding = record
            then()


class Scene:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.queue: list[tuple[int, int, Any]] = []
        self.refused: list[str] = []
        self.drawn = 0
        self.now = 0
        self.nodes: dict[int, FoundingNode] = {}
        for number in NODES:
            self.nodes[number] = FoundingNode(self, number)

    def draw(self, incarnations: dict[int, bytes]) -> Founding:
        self.drawn += 1
        return Founding(b"cluster %d" % self.drawn, incarnations, 3, 3)

    def post(self, sender: int, to: int, message: Any) -> None:
        if self.rng.random() > 0.2:
            self.queue.append((sender, to, message))
        if self.rng.random() < 0.2:
            self.queue.append((sender, to, message))

    def step(self, may_crash: bool) -> None:
        choice = self.rng.random()
        node = self.nodes[self.rng.choice(NODES)]
        if choice < 0.5 and self.queue:
            sender, to, message = self.queue.pop(self.rng.randrange(len(self.queue)))
            self.nodes[to].founder.receive(sender, message)
        elif choice < 0.7:
            node.sync()
        elif choice < 0.72 and may_crash:
            node.start()
        else:
            self.now += 1
            for each in self.nodes.values():
                each.founder.tick(self.now)


@pytest.mark.parametrize("seed", range(300))
def test_a_cluster_is_founded_once_whatever_is_lost_and_whoever_crashes(seed: int) -> None:
    scene = Scene(seed)
    for _ in range(300):
        scene.step(may_crash=True)
    for _ in range(1_500):
        scene.step(may_crash=False)
    assert all(node.is_open for node in scene.nodes.values())
    assert len({node.founding.cluster_id for node in scene.nodes.values() if node.founding}) == 1
    assert scene.refused == []
