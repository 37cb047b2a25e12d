"""The driver of a node: it carries out what the cores decide, always in this order:

    make durable → send → apply → answer                                    (DESIGN.md §2)

Per turn of the loop, what all groups want written is one submission to the journal, and what one peer should get is
one frame. It is synchronous and knows no sockets: `Network` and `JournalWriter` are the node's (nodes/runtime/node.py)
or the simulator's.

*Invariants*: a promise leaves only when the records of its drain, and all before them, are durable. A client hears the
name of an attempt before anything of it reaches a peer or the journal. A replica that cannot apply an entry stops and
says why; it is never driven again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

from nodes import ids
from nodes.constants import Constants
from nodes.core.engine import Decisions, Engine, Store, Stores
from nodes.core.founding import Founding
from nodes.core.host import GATEWAY
from nodes.core.membership import Joined
from nodes.core.oracle import TimestampDesk, TimestampReply
from nodes.core.paxos.replica import PaxosReplica
from nodes.core.raft.replica import RaftReplica
from nodes.core.replicated_log import LogEffects, Point, ReplicatedLog, Timing
from nodes.core.txn.coordinator import Coordinator
from nodes.core.txn.shard import Shard
from nodes.errors import ReplicaStopped
from nodes.runtime.activity import DISK_LOW, DISK_OK, Changes, Counts
from nodes.runtime.catalog import Catalog
from nodes.runtime.compaction import Compaction
from nodes.runtime.gateway import Gateway
from nodes.runtime.group import Group
from nodes.runtime.messages import (
    GATEWAY_CODE,
    LOG_MESSAGES,
    Boundary,
    MembersAre,
    encode_record,
)
from nodes.runtime.placement import SYSTEM, Placement
from nodes.runtime.router import Router, place
from nodes.runtime.trace import Trace
from nodes.runtime.world import JournalWriter, Network, World
from nodes.sql.plan import SYSTEM_TABLES
from nodes.sql.schema import CreateTable

ORACLE_GROUP = "c1"
REPEAT_TIMESTAMP_TICKS = 6
MAX_ROUNDS = 64


class _Held(NamedTuple):
    """What waits for the journal to sync up to `ticket`."""

    ticket: int
    promises: list[tuple[int, int, Any]]
    marks: list[tuple[Group, int]]
    thens: list[Callable[[], None]]


class Driver:
    """One node, opened. `records` are the journal's, by group code; `own_records` those of the node itself, encoded."""

    def __init__(
        self,
        node: int,
        founding: Founding,
        boot: int,
        records: dict[int, list[Any]],
        stores: Stores,
        world: World,
        journal: JournalWriter,
        network: Network,
        log: logging.Logger,
        timing: Timing | None = None,
        constants: Constants | None = None,
        own_records: Sequence[bytes] = (),
        boundaries: Sequence[Boundary] = (),
    ) -> None:
        self.node, self.boot = node, boot
        self.cluster_id = founding.cluster_id
        self.shards, self.replicas = founding.shards, founding.replicas
        self.constants = constants or Constants()
        self.rng = world.rng
        self.now = 0
        self.is_low_on_disk = False
        self.world, self.journal, self.network, self.log = world, journal, network, log
        founded = place(len(founding.incarnations), founding.shards, founding.replicas)
        self.coordinators = sum(name[0] == "c" for name in founded)
        self.router = Router(founded)
        self.placement = Placement(self, founded, founding.incarnations)
        self.stores = stores
        self._timing = timing or Timing()
        self.desk = TimestampDesk(node, boot)
        self.trace = Trace(node, world.clock_us)
        self.counts = Counts()
        self.changes = Changes(node, boot, world.clock_ms)
        self.groups: dict[int, Group] = {}
        self.touched: dict[Group, None] = {}  # to be looked at for something to drain, in this order
        self._outgoing: dict[int, list[tuple[int, Any]]] = {}
        self._local: deque[tuple[int, Any]] = deque()
        self._records: list[bytes] = []
        self._promises: list[tuple[int, int, Any]] = []
        self._marks: list[tuple[Group, int]] = []
        self._thens: list[Callable[[], None]] = []
        self._held: deque[_Held] = deque()
        self._is_turn_due = False
        self.catalog = Catalog()
        for name in self.placement.held(records):
            self._build(name, records.get(ids.group_code(name), []))
        self.gateway = Gateway(self, self.catalog)
        self.compaction = Compaction(self, list(own_records), list(boundaries))

    def _build(self, name: str, records: list[Any]) -> None:
        store = self.stores.open(name)
        if name == SYSTEM:
            self._create_system_tables(store)
        store.sync()
        core: type[ReplicatedLog] = PaxosReplica if name[0] == "c" else RaftReplica
        applied = Point(store.applied, store.epoch)
        known = self.placement.configuration_of(name, store, records)
        eager = known.members.voters[0] == self.node
        log = core(self.node, known, records, self.rng, self._timing, eager, applied)
        for _ in range(self.now % self._timing.heartbeat):
            log.tick(self.world.clock_ms())  # whenever it begins, it beats when others do
        group = Group(self, name, ids.group_code(name), known, log, store, self.stores)
        self.placement.know(name, known)
        self.build_machine(group)
        self.groups[group.code] = group
        self.router.add_local(name, lambda: log.leader or 0)

    @property
    def is_ready(self) -> bool:
        """May requests come? A node that joins knows no table before it has a replica of `s0`."""
        system = self.groups.get(ids.group_code(SYSTEM))
        is_founder = self.node in self.placement.founded[SYSTEM]
        return system is not None and (is_founder or system.applied_slot > 0)

    def begin(self, code: int, joined: Joined) -> None:
        """A replica of a group that this node has become a member of; that is in the journal."""
        name = ids.group_name(code)
        self.stores.drop(name, None)
        self._build(name, [joined])
        self.touched[self.groups[code]] = None
        self.log.info("%s: a replica begins here", name)

    def build_machine(self, group: Group) -> None:
        """The state machine of what the group's store holds."""
        if group.group[0] == "c":
            group.machine = Coordinator(cast(Decisions, group.store), group, group.group == ORACLE_GROUP)
            return
        engine = cast(Engine, group.store)
        group.machine = Shard(engine, group)
        if group.group == "s0":
            self.catalog.read_from(engine)

    def _create_system_tables(self, store: Store) -> None:
        engine = cast(Engine, store)
        if engine.table(SYSTEM_TABLES[0].id) is None:
            engine.begin()
            for table in SYSTEM_TABLES:
                engine.define(CreateTable(table), 0)
            engine.commit()

    # -- Surroundings of the gateway, and what groups ask

    def send(self, node: int, target: str, message: Any) -> None:
        self._send(node, GATEWAY_CODE if target == GATEWAY else ids.group_code(target), message)

    def _send(self, node: int, code: int, message: Any) -> None:
        if node == self.node:
            self._local.append((code, message))
            self.wake()
        elif node in self._outgoing:
            self._outgoing[node].append((code, message))
        else:
            self._outgoing[node] = [(code, message)]
            self.wake()

    def to_leader(self, group: str, message: Any) -> int:
        leader = self.router.leader_of(group)
        if leader:
            self._send(leader, ids.group_code(group), message)
        return leader

    def leader_of(self, group: str) -> int:
        return self.router.leader_of(group)

    def members_of(self, group: str) -> tuple[int, ...]:
        return self.router.members.get(group, ())

    def is_connected(self, node: int) -> bool:
        return node == self.node or self.network.is_connected(node)

    def applied_slot(self, group: str) -> int:
        here = self.groups.get(ids.group_code(group))
        return -1 if here is None or here.stopped else here.applied_slot

    def silence_of(self, group: str) -> str:
        return self.router.silence_of(group, self.node, self.network.is_connected)

    def on_hint(self, group: str, refused_by: int, leader: int) -> None:
        self.router.on_hint(group, refused_by, leader)

    def clock_ms(self) -> int:
        return self.world.clock_ms()

    def note(self, step: str, txn: bytes, group: str, detail: Any = None) -> None:
        self.trace.note_at_gateway(step, txn, group, detail)

    def timestamp(self, then: Callable[[int], None]) -> None:
        self.desk.ask(then)
        self.wake()

    def read(self, job: Callable[[], Any], then: Callable[[Any, BaseException | None], None]) -> None:
        def answered(result: Any, error: BaseException | None) -> None:
            then(result, error)
            self.wake()

        self.world.in_thread(job, answered)

    # -- what happens to the node

    def receive(self, peer: int, items: list[tuple[int, Any]]) -> None:
        for code, message in items:
            self._deliver(peer, code, message)
        self.wake()

    def on_durable(self, ticket: int) -> None:
        """The journal has synced everything up to the ticket."""
        while self._held and self._held[0].ticket <= ticket:
            held = self._held.popleft()
            for node, code, message in held.promises:
                self._send(node, code, message)
            for group, mark in held.marks:
                if not group.stopped:
                    group.on_durable(mark)
            for then in held.thens:
                then()
        self.wake()

    def on_peer_lost(self, peer: int) -> None:
        self.router.on_peer_lost(peer)
        for group in self.groups.values():
            if not group.stopped:
                group.on_peer_lost(peer)
        self.wake()

    def tick(self) -> None:
        self.now += 1
        clock_ms = self.world.clock_ms()
        self.counts.roll(clock_ms)
        for group in self.groups.values():
            if not group.stopped:
                try:
                    group.tick(clock_ms)
                except ReplicaStopped as error:
                    group.stop(str(error))
        for request in self.desk.repeat(self.now, REPEAT_TIMESTAMP_TICKS):
            self.to_leader(ORACLE_GROUP, request)
        self.gateway.tick()
        self.placement.tick()
        self.compaction.tick()
        self.wake()

    def on_disk(self, is_low: bool) -> None:
        """Space runs low, or is there again: while it is low others lead, and nothing new is written here."""
        if is_low and not self.is_low_on_disk:
            self.log.error("n%d is low on disk space: it gives up its leaderships and refuses writes", self.node)
            self.hand_over()
        if is_low != self.is_low_on_disk:
            self.changes.note(DISK_LOW if is_low else DISK_OK, self.node)
        self.is_low_on_disk = is_low

    def keep(self, record: bytes, then: Callable[[], None] | None = None) -> None:
        """Into the journal with the next turn; `then` when it is durable."""
        self._records.append(record)
        if then is not None:
            self._thens.append(then)
        self.wake()

    def hand_over(self) -> None:
        """Before a wanted stop: every leadership goes to the most caught-up peer."""
        for group in self.groups.values():
            group.hand_over()
        self.wake()

    # -- a turn

    def wake(self) -> None:
        if not self._is_turn_due:
            self._is_turn_due = True
            self.world.call_soon(self.turn)

    def turn(self) -> None:
        """Deliver what is local and drain the logs, until nothing is left to do here; then send and submit."""
        self._is_turn_due = True  # what is asked within the turn is done within it
        rounds = 0
        while rounds < MAX_ROUNDS and (self._deliver_local() or self._flush_desk() or self._drain_groups()):
            rounds += 1
        self.network.flush()  # a client hears the name of its attempt before anything of it is written or sent
        if rounds < MAX_ROUNDS and (states := self.compaction.records()):
            self._records += states
            self._thens.append(self.compaction.on_durable)
        self._send_all()
        self._submit()  # last: the journal's thread would wait for this one, and hold it up
        self._is_turn_due = False
        if rounds == MAX_ROUNDS:
            self.wake()  # whoever talks to himself for long must not keep the loop from everybody else

    def _deliver_local(self) -> bool:
        if not self._local:
            return False
        while self._local:
            code, message = self._local.popleft()
            self._deliver(self.node, code, message)
        return True

    def _deliver(self, sender: int, code: int, message: Any) -> None:
        if code == GATEWAY_CODE:
            if type(message) is TimestampReply:
                self.desk.on_reply(message)
            else:
                self.gateway.receive(sender, message)
            return
        if type(message) is MembersAre:
            self.placement.on_told(code, message)
            return
        group = self.groups.get(code)
        if group is None or group.stopped:
            return
        if type(message) in LOG_MESSAGES:
            group.receive_log(sender, message)
            return
        try:
            group.receive(sender, message)
        except ReplicaStopped as error:
            group.stop(str(error))

    def _flush_desk(self) -> bool:
        if not self.desk.is_gathering:
            return False
        request = self.desk.flush(self.now)
        assert request is not None, "somebody asked"
        self.to_leader(ORACLE_GROUP, request)
        return True

    def _drain_groups(self) -> bool:
        """A drain is all there is; what carrying it out gives the log to do touches the group again."""
        touched, self.touched = self.touched, {}
        is_busy = False
        for group in touched:
            if not group.stopped and group.needs_drain():
                is_busy = True
                self._carry_out(group, group.log.drain())
        return is_busy

    def _carry_out(self, group: Group, effects: LogEffects) -> None:
        code = group.code
        for record in effects.records:
            self._records.append(encode_record((code, record)))
        if effects.mark:
            self._marks.append((group, effects.mark))
        for node, message in effects.sends:
            self._send(node, code, message)
        for node, message in effects.promises:
            if effects.mark:
                self._promises.append((node, code, message))
            else:
                self._send(node, code, message)  # the core holds back what rests on an earlier mark
        try:
            group.carry_out(effects)
        except ReplicaStopped as error:
            group.stop(str(error))
        if group.group == "s0" and effects.entries:
            self.catalog.refresh()

    def _submit(self) -> None:
        if self._records:
            self.journal.append(self._records)
            ticket = self.journal.submit()
            self._held.append(_Held(ticket, self._promises, self._marks, self._thens))
            self._records, self._promises, self._marks, self._thens = [], [], [], []

    def _send_all(self) -> None:
        outgoing, self._outgoing = self._outgoing, {}
        for peer, items in outgoing.items():
            self.network.send(peer, items)
        self.network.flush()
