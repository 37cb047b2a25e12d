"""How a cluster begins: nothing opens before all founders hold it, whatever is lost, repeated or restarted."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from nodes.core.founding import (
    REPEAT_TICKS,
    FoundAck,
    Founder,
    Founding,
    Here,
    Incarnation,
    Open,
    Opened,
    Stranger,
)
from nodes.core.membership import NodeFacts, Roster

NODES = (1, 2, 3)


def draw(incarnations: dict[int, bytes]) -> Founding:
    return Founding(b"cluster", dict(incarnations), 3, 3)


class Disk:
    """What is durable on one node: survives a restart."""

    def __init__(self, incarnation: bytes) -> None:
        self.records: list[Any] = [Incarnation(incarnation)]

    @property
    def incarnation(self) -> bytes:
        return next(record.incarnation for record in self.records if isinstance(record, Incarnation))

    @property
    def founding(self) -> Founding | None:
        return next((record for record in self.records if isinstance(record, Founding)), None)

    @property
    def is_open(self) -> bool:
        return Opened() in self.records


class Cluster:
    """Founders over a network and disks that do nothing until they are told to."""

    def __init__(self) -> None:
        self.disks = {node: Disk(b"i%d" % node) for node in NODES}
        self.founders: dict[int, Founder] = {}
        self.network: list[tuple[int, int, Any]] = []  # (from, to, message)
        self.unsaved: list[tuple[int, Any, Callable[[], None]]] = []
        self.opened: dict[int, list[Founding]] = {node: [] for node in NODES}
        self.refused: list[tuple[int, str]] = []
        self.now = 0
        self.replaced: set[int] = set()
        for node in NODES:
            self.restart(node)

    def restart(self, node: int) -> None:
        """Everything that was not durable is lost; messages on their way are not."""
        disk = self.disks[node]
        self.unsaved = [save for save in self.unsaved if save[0] != node]
        self.founders[node] = Founder(
            node,
            NODES,
            disk.incarnation,
            disk.founding,
            disk.is_open,
            draw,
            lambda to, message: self.network.append((node, to, message)),
            lambda record, then: self.unsaved.append((node, record, then)),
            self.opened[node].append,
            lambda words: self.refused.append((node, words)),
        )

    def replace_disk(self, node: int) -> None:
        self.replaced.add(node)
        self.disks[node] = Disk(b"other%d" % node)
        self.restart(node)

    def tick(self) -> None:
        self.now += REPEAT_TICKS
        for founder in self.founders.values():
            founder.tick(self.now)
        self.check()

    def deliver(self, index: int = 0, keep: bool = False) -> None:
        sender, to, message = self.network[index] if keep else self.network.pop(index)
        self.founders[to].receive(sender, message)
        self.check()

    def save(self, index: int = 0) -> None:
        node, record, then = self.unsaved.pop(index)
        self.disks[node].records.append(record)
        then()
        self.check()

    def settle(self) -> None:
        while self.network or self.unsaved:
            while self.unsaved:
                self.save()
            if self.network:
                self.deliver()

    def check(self) -> None:
        foundings = [disk.founding for node, disk in self.disks.items() if node not in self.replaced]
        if any(disk.is_open for disk in self.disks.values()) or any(self.opened.values()):
            assert None not in foundings, "opened before all founders hold it durably"
        assert all(founding == foundings[0] for founding in foundings if founding and foundings[0])
        for sender, _, message in self.network:
            if isinstance(message, FoundAck):
                assert self.disks[sender].founding is not None, "acknowledged before it was durable"

    @property
    def is_done(self) -> bool:
        return all(disk.is_open for disk in self.disks.values())


def founded() -> Cluster:
    cluster = Cluster()
    for _ in range(4):
        cluster.tick()
        cluster.settle()
    assert cluster.is_done
    return cluster


def test_all_founders_open_with_one_founding_and_are_told_once() -> None:
    cluster = founded()
    founding = draw({1: b"i1", 2: b"i2", 3: b"i3"})
    assert cluster.opened == {node: [founding] for node in NODES}
    assert cluster.refused == []


def test_nothing_opens_while_one_founder_does_not_answer() -> None:
    cluster = Cluster()
    for _ in range(5):
        cluster.tick()
        cluster.network = [message for message in cluster.network if 3 not in message[:2]]
        cluster.settle()
    assert all(disk.founding is None for disk in cluster.disks.values())


@pytest.mark.parametrize("stuck", NODES)
def test_nothing_opens_while_one_disk_does_not_come_back(stuck: int) -> None:
    cluster = Cluster()
    for _ in range(5):
        cluster.tick()
        while cluster.network:
            cluster.deliver()
            for index in reversed(range(len(cluster.unsaved))):
                if cluster.unsaved[index][0] != stuck:
                    cluster.save(index)
    assert cluster.disks[stuck].founding is None
    assert not any(cluster.opened.values())


@pytest.mark.parametrize("lost", range(30))
def test_any_one_lost_message_is_made_good(lost: int) -> None:
    cluster, count = Cluster(), 0
    for _ in range(6):
        cluster.tick()
        while cluster.network or cluster.unsaved:
            while cluster.unsaved:
                cluster.save()
            if cluster.network:
                count += 1
                if count == lost + 1:
                    cluster.network.pop(0)
                else:
                    cluster.deliver()
    assert cluster.is_done


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("step", range(40))
def test_a_restart_at_any_step_changes_nothing(node: int, step: int) -> None:
    cluster, count = Cluster(), 0
    for _ in range(8):
        cluster.tick()
        while cluster.network or cluster.unsaved:
            if cluster.unsaved:
                cluster.save()
            else:
                cluster.deliver()
            count += 1
            if count == step:
                cluster.restart(node)
    assert cluster.is_done
    assert [disk.founding for disk in cluster.disks.values()] == 3 * [draw({1: b"i1", 2: b"i2", 3: b"i3"})]


@pytest.mark.parametrize("seed", range(40))
def test_loss_repeats_reordering_and_restarts_never_open_too_early(seed: int) -> None:
    cluster, rng = Cluster(), random.Random(seed)
    for _ in range(400):
        action = rng.random()
        if action < 0.1:
            cluster.tick()
        elif action < 0.13:
            cluster.restart(rng.choice(NODES))
        elif action < 0.3 and cluster.network:
            cluster.network.pop(rng.randrange(len(cluster.network)))
        elif action < 0.5 and cluster.unsaved:
            cluster.save()
        elif cluster.network:
            cluster.deliver(rng.randrange(len(cluster.network)), keep=rng.random() < 0.2)
    for _ in range(8):
        cluster.tick()
        cluster.settle()
    assert cluster.is_done
    assert cluster.refused == []


def test_an_open_node_answers_who_asks() -> None:
    cluster = founded()
    cluster.founders[3].receive(2, Here(b"i2", cluster.disks[2].founding))
    assert cluster.network == [(3, 2, Open(cluster.disks[3].founding))]  # type: ignore[arg-type]


def test_an_open_node_is_silent_by_itself() -> None:
    cluster = founded()
    cluster.tick()
    assert (cluster.network, cluster.unsaved) == ([], [])


def test_a_node_with_another_incarnation_is_a_stranger_and_is_told_what_to_do() -> None:
    cluster = founded()
    cluster.replace_disk(2)
    cluster.tick()
    cluster.settle()
    assert cluster.refused
    assert all(node == 2 for node, _ in cluster.refused)
    assert all("was n2; replace it" in words for _, words in cluster.refused)
    assert cluster.founders[2].founding is None
    assert not cluster.founders[2].is_open


def test_a_stranger_takes_no_founding_that_names_another_incarnation() -> None:
    cluster = founded()
    founding = cluster.disks[1].founding
    assert founding is not None
    cluster.replace_disk(2)
    cluster.founders[2].receive(1, Open(founding))
    assert (cluster.unsaved, cluster.founders[2].founding) == ([], None)


def test_a_lowest_node_that_lost_its_disk_founds_nothing_anew() -> None:
    cluster = founded()
    cluster.replace_disk(1)
    for _ in range(5):
        cluster.tick()
        cluster.settle()
    assert cluster.disks[1].founding is None
    assert {node for node, _ in cluster.refused} == {1}


def test_the_words_of_a_stranger_reach_the_node() -> None:
    cluster = Cluster()
    cluster.founders[2].receive(1, Stranger("was n2; replace it"))
    assert cluster.refused == [(2, "was n2; replace it")]


N4 = NodeFacts(4, b"i4", "n4", 7104)
FOUNDING = Founding(b"cluster", {1: b"i1", 2: b"i2", 3: b"i3"}, 3, 3)


def open_node(me: int, roster: list[Roster], sent: list[Any]) -> Founder:
    return Founder(
        me, NODES, b"i%d" % me, FOUNDING, True, draw, lambda node, message: sent.append((node, message)),
        lambda record, then: then(), lambda founding: None, lambda words: None, lambda: roster[0],
    )  # fmt: skip


def test_a_newcomer_waits_until_it_is_let_in_and_a_stranger_under_its_number_is_refused() -> None:
    sent: list[Any] = []
    roster = [Roster()]
    founder = open_node(1, roster, sent)
    founder.receive(4, Here(b"i4", None, "n4", 7104))
    assert (founder.waiting, sent) == ({4: N4}, [])
    roster[0] = Roster((N4,))
    founder.receive(4, Here(b"i4", None, "n4", 7104))
    assert (founder.waiting, sent.pop()) == ({}, (4, Open(FOUNDING, roster[0])))
    founder.receive(4, Here(b"wiped", None, "n4", 7104))
    assert "was n4; replace it" in sent.pop()[1].words
    roster[0] = Roster((), {}, (4,))
    founder.receive(4, Here(b"i4", FOUNDING, "n4", 7104))
    assert "n4 was removed from this cluster" in sent.pop()[1].words


def test_a_newcomer_is_let_in_by_a_member_that_is_no_founder() -> None:
    sent: list[int] = []
    opened: list[Founding] = []
    newcomer = Founder(
        5, NODES, b"i5", None, False, draw, lambda node, _: sent.append(node), lambda record, then: then(),
        opened.append, lambda words: None, Roster, ("n5", 7105), (4,),
    )  # fmt: skip
    newcomer.ask()
    assert sent == [1, 2, 3, 4]
    roster = Roster((N4, NodeFacts(5, b"i5", "n5", 7105)), {}, NODES)
    newcomer.receive(6, Open(FOUNDING, roster))  # nobody it was told of
    assert opened == []
    newcomer.receive(4, Open(FOUNDING, Roster((N4,))))  # not let in yet
    assert opened == []
    newcomer.receive(4, Open(FOUNDING, roster))
    assert opened == [FOUNDING]
