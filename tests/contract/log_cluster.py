"""A group of replicated-log cores in one process: queue for network, lists for disk and store, calls for time.

It drives any `ReplicatedLog` the way the driver does (durable, send, apply, answer) and checks at every drain what no
schedule may break: agreement, order without gaps, the epoch rule, rising epochs, promises behind their records.
Messages and records pass through their wire form. Nothing here is random but what the caller's rng decides.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from nodes.core.membership import MARK, Configuration, Joined, decode_members, founded
from nodes.core.replicated_log import TICK_MS, Entry, LogEffects, Point, ReplicatedLog, Timing

NODES = (1, 2, 3)


class Envelope(msgspec.Struct):
    sender: int
    to: int
    message: Any


class Copied(NamedTuple):
    """A store on its way: what it holds, and the epoch in which its node led."""

    applied: list[Entry]
    point: Point
    epoch: int
    known: Configuration | None


class Member:
    """One node: its core (None while it is down), its disk, and what it applied and answered in this life."""

    def __init__(self, node: int) -> None:
        self.node = node
        self.core: ReplicatedLog | None = None
        self.journal: list[Any] = []  # durable records
        self.unsynced: list[tuple[int, list[Any], list[tuple[int, Any]]]] = []  # (mark, records, promises)
        self.disk_holds = False
        self.applied: list[Entry] = []  # what the store holds
        self.stored = 0  # so much of it is durable
        self.reads: list[tuple[int, bool]] = []
        self.drains: list[LogEffects] = []
        self.epoch = 0  # seen in this life
        self.durable_epoch = 0  # seen when all was durable: it holds over restarts
        self.clock_ms = 0

    @property
    def newest_epoch(self) -> int:
        """Among what was applied."""
        return max((entry.epoch for entry in self.applied), default=0)

    @property
    def known(self) -> Configuration | None:
        """The members as the store has them."""
        changes = [entry for entry in self.applied if entry.data.startswith(MARK)]
        return Configuration(changes[-1].slot, decode_members(changes[-1].data)) if changes else None

    @property
    def point(self) -> Point:
        return Point(len(self.applied), self.newest_epoch)

    @property
    def data(self) -> list[bytes]:
        """What was applied, without nothings."""
        return [entry.data for entry in self.applied if entry.data]


class LogCluster:
    """`eager` names the preferred leader (None: nobody). Ticks are explicit; messages wait in `queue`."""

    def __init__(
        self,
        core: type[ReplicatedLog],
        nodes: tuple[int, ...] = NODES,
        seed: int = 0,
        timing: Timing | None = None,
        eager: int | None = 1,
        started: bool = True,
        spares: tuple[int, ...] = (),
    ) -> None:
        """`spares` hold no replica before they `join`."""
        self.founders = nodes
        nodes = nodes + spares
        self.core_class = core
        self.nodes = nodes
        self.rng = random.Random(seed)
        self.timing = timing or Timing()
        self.eager = eager
        self.queue: list[Envelope] = []
        self.cut: set[tuple[int, int]] = set()  # directed pairs
        self.watch: Callable[[int, LogEffects], None] | None = None
        self.truth: dict[int, Entry] = {}  # by slot: what the first to apply it applied
        self._asked_at: dict[tuple[int, int], int] = {}  # (node, token) -> slots applied anywhere when it was asked
        self.members = {node: Member(node) for node in nodes}
        messages = importlib.import_module(core.__module__.rpartition(".")[0] + ".messages")
        self._messages = msgspec.msgpack.Decoder(messages.Message)
        self._records = msgspec.msgpack.Decoder(messages.Record)
        for node in self.founders if started else ():
            self.start(node)

    # -- life and death
    def start(self, node: int) -> None:
        member = self.members[node]
        rng = random.Random(self.rng.getrandbits(64))
        records = [self._records.decode(record) for record in member.journal]
        member.stored = len(member.applied)  # who starts makes durable what survived
        eager = node == self.eager
        known = member.known or founded(*self.founders)
        member.core = self.core_class(node, known, records, rng, self.timing, eager, member.point)
        member.epoch = 0
        member.unsynced = []
        self.pump(node)

    def crash(self, node: int, *, noticed: bool = False, survives: int = 0) -> None:
        """All that is not durable is gone, but for `survives` applied entries in the store; what was sent may still
        arrive. `noticed`: its connections broke."""
        member = self.members[node]
        member.core = None
        member.unsynced = []
        del member.applied[member.stored + survives :]
        if noticed:
            for other in self.up():
                self[other].on_peer_lost(node)
                self.pump(other)

    def restart(self, node: int) -> None:
        self.crash(node)
        self.start(node)

    def invitation(self, leader: int) -> Joined | None:
        """What a leader that serves tells those who should be members: as of which entry."""
        known, core = self.members[leader].known, self[leader]
        is_told = self.serving(leader) and core.configuration == known and core.is_settled
        return Joined(*known) if known is not None and is_told else None

    def join(self, node: int, joined: Joined) -> None:
        """The node, which holds nothing, follows an invitation."""
        member = self.members[node]
        member.applied, member.stored = [], 0
        member.journal, member.durable_epoch = [msgspec.msgpack.encode(joined)], 0
        self.start(node)

    def leave(self, node: int) -> None:
        """The node's replica is gone with all that it held."""
        self.crash(node)
        member = self.members[node]
        member.journal, member.applied, member.stored = [], [], 0

    def up(self) -> list[int]:
        return [node for node in self.nodes if self.members[node].core is not None]

    def __getitem__(self, node: int) -> ReplicatedLog:
        core = self.members[node].core
        assert core is not None, f"n{node} is down"
        return core

    # -- the network
    def partition(self, *sides: tuple[int, ...]) -> None:
        """Only members of one side reach each other; who is in no side is alone."""
        side_of = {node: index for index, side in enumerate(sides) for node in side}
        self.cut = {
            (a, b) for a in self.nodes for b in self.nodes if a != b and side_of.get(a, -a) != side_of.get(b, -b)
        }

    def heal(self) -> None:
        self.cut = set()

    def deliver(self, index: int = 0) -> None:
        """Take one message out of the queue and hand it over, unless its way is cut or its receiver down."""
        envelope = self.queue.pop(index)
        if (envelope.sender, envelope.to) in self.cut or self.members[envelope.to].core is None:
            return
        self[envelope.to].receive(envelope.sender, envelope.message)
        self.pump(envelope.to)

    def deliver_all(self, most: int = 20_000) -> None:
        for _ in range(most):
            if not self.queue:
                return
            self.deliver()
        raise AssertionError("the messages never end")

    # -- disk
    def hold_disk(self, node: int) -> None:
        self.members[node].disk_holds = True

    def release_disk(self, node: int) -> None:
        self.members[node].disk_holds = False
        self.sync(node)

    def sync(self, node: int, count: int | None = None) -> None:
        """Make the oldest `count` drains (None: all) of the node durable."""
        member = self.members[node]
        for _ in range(len(member.unsynced) if count is None else count):
            mark, records, promises = member.unsynced.pop(0)
            member.journal.extend(records)
            self[node].on_durable(mark)
            self._post(node, promises)
        self.pump(node)

    # -- the store
    def store(self, node: int) -> None:
        """All that was applied becomes durable."""
        self.members[node].stored = len(self.members[node].applied)

    def compact(self, node: int, slot: int) -> None:
        assert slot <= self.members[node].stored, "the store must be durable first"
        self[node].compact(slot)
        self.pump(node)

    def drop_journal(self, node: int, *, entries: bool = True) -> None:
        """All records but those that the core names go."""
        member = self.members[node]
        assert not member.unsynced, "everything is durable"
        member.journal = [msgspec.msgpack.encode(record) for record in self[node].state_records(entries)]

    def copy(self, node: int) -> Copied:
        member = self.members[node]
        return Copied(list(member.applied), member.point, self[node].epoch, member.known)

    def install(self, node: int, copied: Copied) -> bool:
        """Replace the store by the copy, if it is newer and the node does not lead."""
        member = self.members[node]
        if member.core is None or member.core.leads or copied.point.slot <= len(member.applied):
            return False
        member.applied, member.stored = list(copied.applied), copied.point.slot
        member.core.install(copied.point, copied.epoch, copied.known)
        self.pump(node)
        return True

    def serve_laggards(self) -> None:
        for node in self.leaders():
            for peer in self[node].laggards():
                if (node, peer) not in self.cut and self.members[peer].core is not None:
                    self.install(peer, self.copy(node))

    # -- time
    def tick(self, node: int) -> None:
        member = self.members[node]
        member.clock_ms += TICK_MS
        self[node].tick(member.clock_ms)
        self.pump(node)

    def run(self, ticks: int = 1) -> None:
        """So many ticks on every living node, with all messages delivered after each."""
        for _ in range(ticks):
            for node in self.up():
                self.tick(node)
            self.deliver_all()
            self.serve_laggards()

    def run_until(self, happened: Callable[[], bool], most: int = 200) -> int:
        """Ticks until it happened; fails if it does not."""
        for ticks in range(most):
            if happened():
                return ticks
            self.run()
        raise AssertionError(f"did not happen within {most} ticks")

    # -- asking
    def leaders(self) -> list[int]:
        return [node for node in self.up() if self[node].leads]

    def serving(self, node: int) -> bool:
        """Does it lead, with an entry of its own epoch applied?"""
        core = self.members[node].core
        applied = self.members[node].applied
        return core is not None and core.leads and any(entry.epoch == core.epoch for entry in applied[-200:])

    def everyone_has(self, data: list[bytes]) -> bool:
        return all(self.members[node].data == data for node in self.up())

    def elect(self, most: int = 200) -> int:
        """Run until one node serves; the newest, if an old one believes to lead still."""
        self.run_until(lambda: any(self.serving(node) for node in self.up()), most)
        return max((self[node].epoch, node) for node in self.up() if self.serving(node))[1]

    def propose(self, node: int, data: bytes) -> int:
        slot = self[node].propose(data, self[node].epoch)
        self.pump(node)
        return slot

    def propose_many(self, node: int, entries: list[bytes]) -> None:
        """All of them between two drains."""
        for data in entries:
            self[node].propose(data, self[node].epoch)
        self.pump(node)

    def confirm(self, node: int, *tokens: int) -> None:
        """All of them between two drains."""
        for token in tokens:
            self._asked_at[node, token] = len(self.truth)
            self[node].confirm(token)
        self.pump(node)

    # -- the driver's part
    def pump(self, node: int) -> None:
        """Drain the node until it has nothing more, and carry the effects out."""
        member = self.members[node]
        for _ in range(10_000):
            if not self[node].needs_drain():
                break
            effects = self[node].drain()
            assert not self[node].needs_drain(), "one drain takes all"
            self._carry_out(member, effects)
        else:
            raise AssertionError("the drains never end")
        self._check_core(member, self[node])

    def _carry_out(self, member: Member, effects: LogEffects) -> None:
        assert bool(effects.records) == bool(effects.mark), "records and mark go together"
        if self.watch:
            self.watch(member.node, effects)
        member.drains.append(effects)
        self._apply(member, effects.entries)
        self._answer(member, effects.reads)
        self._post(member.node, effects.sends)
        if effects.mark == 0:
            self._post(member.node, effects.promises)
            return
        records = [msgspec.msgpack.encode(record) for record in effects.records]
        member.unsynced.append((effects.mark, records, effects.promises))
        if not member.disk_holds:
            mark, records, promises = member.unsynced.pop()
            assert not member.unsynced, "a drain was synced before an older one"
            member.journal.extend(records)
            self[member.node].on_durable(mark)
            self._post(member.node, promises)

    def _post(self, sender: int, messages: list[tuple[int, Any]]) -> None:
        for to, message in messages:
            assert to != sender, "a message to oneself"
            copy = self._messages.decode(msgspec.msgpack.encode(message))
            assert copy == message, "the wire changes a message"
            self.queue.append(Envelope(sender, to, copy))

    # -- what always holds
    def _apply(self, member: Member, entries: list[Entry]) -> None:
        for entry in entries:
            assert entry.slot == len(member.applied) + 1, f"n{member.node} applies {entry.slot} out of order"
            known = self.truth.setdefault(entry.slot, entry)
            assert known == entry, f"slot {entry.slot}: {known} and {entry}"
            assert entry.epoch >= member.newest_epoch or not entry.data, "an older epoch behind a newer one"
            member.applied.append(entry)

    def _answer(self, member: Member, reads: list[tuple[int, bool]]) -> None:
        for token, confirmed in reads:
            asked_at = self._asked_at.pop((member.node, token))
            if confirmed and self.serving(member.node):
                assert self[member.node].chosen_slot >= asked_at, f"n{member.node} confirms a read that is stale"
            member.reads.append((token, confirmed))

    def _check_core(self, member: Member, core: ReplicatedLog) -> None:
        assert core.epoch >= max(member.epoch, member.durable_epoch), f"the epoch of n{member.node} fell"
        member.epoch = core.epoch
        if not member.unsynced:
            member.durable_epoch = core.epoch
        assert core.chosen_slot <= core.last_slot, "chosen beyond the log"
        assert core.chosen_slot >= len(member.applied), "applied what is not chosen"
        if core.leads:
            assert core.leader == member.node, "a leader names itself"
