"""A few Raft replicas in one process, with a network and disks that do exactly what a test says.

Nothing happens by itself: a test ticks, drains, syncs and delivers. Every message and record goes through its wire
form. `Invariants` looks on after each step.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import msgspec

from nodes.core.membership import founded
from nodes.core.raft.messages import Message, Record
from nodes.core.raft.replica import RaftReplica
from nodes.core.replicated_log import START, Entry, LogEffects, Point, Timing
from tests.core.raft.invariants import Disk, Invariants

_message_decoder = msgspec.msgpack.Decoder(Message)
_record_decoder = msgspec.msgpack.Decoder(Record)
_encoder = msgspec.msgpack.Encoder()

Link = tuple[int, int]


class Batch:
    """What one drain gave that the disk does not hold yet, and what waits for that."""

    def __init__(self, effects: LogEffects) -> None:
        self.mark = effects.mark
        self.records = [_record_decoder.decode(_encoder.encode(record)) for record in effects.records]
        self.promises = effects.promises


class Node:
    """One process: its replica, disk, batches not yet synced, and what its state machine was given."""

    def __init__(self, name: int, replica: RaftReplica) -> None:
        self.name = name
        self.replica = replica
        self.disk = Disk()
        self.unsynced: deque[Batch] = deque()
        self.delivered: list[Entry] = []
        self.stored = 0  # so many of them are in the store, durably
        self.asked: list[int] = []  # Tokens of reads, of this life of the process.
        self.reads: list[tuple[int, bool]] = []
        self.is_up = True


class Cluster:
    """Nodes 1..n, all of them members of one group."""

    def __init__(self, size: int, timing: Timing | None = None, seed: int = 1, eager: int = 0) -> None:
        self.timing = timing or Timing()
        self.random = random.Random(seed)
        self.members = tuple(range(1, size + 1))
        self.links: dict[Link, deque[bytes]] = {}
        self.cut: dict[Link, bool] = {}
        self.invariants = Invariants(self)
        self.clocks = dict.fromkeys(self.members, 0)
        self.nodes = {name: Node(name, self._build(name, [], name == eager)) for name in self.members}

    def _build(self, name: int, records: list[Any], eager: bool = False, applied: Point = START) -> RaftReplica:
        rng = random.Random(self.random.getrandbits(32))
        return RaftReplica(name, founded(*self.members), records, rng, self.timing, eager, applied)

    # -- one thing happens
    def tick(self, name: int) -> None:
        self.clocks[name] += 50
        node = self.nodes[name]
        if node.is_up:
            node.replica.tick(self.clocks[name])
            self.invariants.on_step(node)

    def drain(self, name: int) -> LogEffects:
        node = self.nodes[name]
        expects = node.replica.needs_drain()
        effects = node.replica.drain()
        gave = effects.records or effects.sends or effects.promises or effects.entries or effects.reads
        assert expects or not gave, "needs_drain foretells what drain returns"
        assert not node.replica.needs_drain(), "one drain takes all"
        assert bool(effects.mark) == bool(effects.records)
        self._send(node, effects.sends)
        if effects.mark:
            node.unsynced.append(Batch(effects))
        else:
            self._send(node, effects.promises)
        self.invariants.on_delivered(node, effects.entries)
        for token, confirmed in effects.reads:
            self.invariants.on_read(node, token, confirmed)
        node.reads += effects.reads
        self.invariants.on_step(node)
        return effects

    def sync(self, name: int, batches: int = 1 << 30) -> bool:
        """The disk of `name` takes the next batches, together; was there anything to do?"""
        node = self.nodes[name]
        done = [node.unsynced.popleft() for _ in range(min(batches, len(node.unsynced)))]
        for batch in done:
            node.disk.write(batch.records)
        for batch in done:
            self._send(node, batch.promises)
        if done:
            node.replica.on_durable(done[-1].mark)
            self.invariants.on_step(node)
        return bool(done)

    def deliver(self, sender: int, receiver: int, position: int = 0, keep: bool = False) -> Any:
        """Hand over the message at `position` of a link; `keep`: it will come again. Returns it."""
        link = self.links[sender, receiver]
        frame = link[position]
        if not keep:
            del link[position]
        message = _message_decoder.decode(frame)
        self.hand(sender, receiver, message)
        return message

    def hand(self, sender: int, receiver: int, message: Any) -> None:
        """`receiver` gets a message, wherever it came from."""
        node = self.nodes[receiver]
        if node.is_up:
            node.replica.receive(sender, message)
            self.invariants.on_step(node)

    def _send(self, node: Node, messages: list[tuple[int, Any]]) -> None:
        for to, message in messages:
            self.invariants.on_sent(node, to, message)
            if not self.cut.get((node.name, to)):
                self.links.setdefault((node.name, to), deque()).append(_encoder.encode(message))

    def crash(self, name: int, survives: int = 0) -> None:
        """What was not synced is gone, but for the first `survives` batches: those reached the disk untold."""
        node = self.nodes[name]
        for _ in range(min(survives, len(node.unsynced))):
            node.disk.write(node.unsynced.popleft().records)
        node.unsynced.clear()
        node.is_up = False

    def restart(self, name: int) -> None:
        node = self.nodes[name]
        node.delivered = self.invariants.chosen[: node.stored]
        node.replica = self._build(name, node.disk.records, applied=_point(node.delivered))
        node.asked, node.reads, node.is_up = [], [], True
        self.invariants.on_restart(node)

    # -- the store
    def store(self, name: int) -> None:
        """What was delivered is durable in the node's store."""
        self.nodes[name].stored = len(self.nodes[name].delivered)

    def install(self, name: int, slot: int, epoch: int) -> bool:
        """A store up to `slot`, of the leader of `epoch`; False if the node has more, and nothing happens."""
        node = self.nodes[name]
        if slot <= len(node.delivered) or node.replica.leads:
            return False
        node.delivered, node.stored = self.invariants.chosen[:slot], slot
        node.disk.take_over(node.delivered)
        node.replica.install(_point(node.delivered), epoch)
        self.invariants.on_step(node)
        return True

    # -- what is asked
    def propose(self, name: int, data: bytes) -> int:
        replica = self.nodes[name].replica
        slot = replica.propose(data, replica.epoch)
        self.invariants.on_step(self.nodes[name])
        return slot

    def confirm(self, name: int, token: int) -> None:
        self.invariants.on_asked(token)
        self.nodes[name].asked.append(token)
        self.nodes[name].replica.confirm(token)

    # -- many things happen
    def pending(self) -> list[Link]:
        """The links with messages on them, in a fixed order."""
        return sorted(link for link, messages in self.links.items() if messages)

    def work(self, names: list[int]) -> bool:
        """Drain and sync every one of these nodes that needs it; did any?"""
        busy = False
        for name in names:
            node = self.nodes[name]
            if node.is_up and node.replica.needs_drain():
                self.drain(name)
                busy = True
            if node.is_up:
                busy |= self.sync(name)
        return busy

    def settle(self, only: list[int] | None = None) -> list[tuple[int, int, Any]]:
        """Drain, sync and deliver (among `only` these nodes) until nothing moves; returns what was delivered."""
        names = only or list(self.members)
        delivered: list[tuple[int, int, Any]] = []
        for _ in range(10_000):
            busy = self.work(names)
            for link in self.pending():
                if link[0] in names and link[1] in names:
                    busy = True
                    delivered.append((*link, self.deliver(*link)))
            if not busy:
                return delivered
        raise AssertionError("the cluster comes to rest when nothing is asked of it")

    def run(self, ticks: int) -> None:
        """Let time pass for everybody, with a network and disks that are fast and faultless but for the cuts."""
        for _ in range(ticks):
            for name in self.members:
                self.tick(name)
            self.settle()

    def leader(self) -> Node | None:
        """The leader of the highest term, if one is up."""
        leaders = [node for node in self.nodes.values() if node.is_up and node.replica.leads]
        return max(leaders, key=lambda node: node.replica.epoch, default=None)


def _point(entries: list[Entry]) -> Point:
    return Point(len(entries), entries[-1].epoch) if entries else START
