"""One replica of one group on this node: a log, and the state machine that its entries drive.

It is the `Host` of its machine and carries out what the log's `drain` returns, with the driver.

A follower, for whose applying nobody waits, gathers entries up to the next tick: many at once cost less, and who reads
at a follower has its store written once a tick at most.

*Invariants*: the machine leads from the application of the leader's own first entry on, and stops leading before it
sees another message once the log has another epoch or leader. What it proposes, it proposes in the epoch it serves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nodes.constants import Constants
from nodes.core.engine import Store, Stores
from nodes.core.host import GATEWAY, Machine
from nodes.core.membership import MARK, Configuration, Members, decode_members, newer
from nodes.core.replicated_log import TICK_MS, Entry, LogEffects, NotLeader, Point, ReplicatedLog
from nodes.errors import ReplicaStopped
from nodes.ids import node_name
from nodes.runtime.activity import LEADS, LEADS_NO_MORE, REPLICA_STOPPED
from nodes.runtime.messages import TAKE_OVERS, TRANSFER_MESSAGES, CarryOut, HandOver, LedBy
from nodes.runtime.rebalance import Rebalance
from nodes.runtime.transfer import Transfer

if TYPE_CHECKING:
    from nodes.runtime.driver import Driver


FOLLOWER_BATCH = 64  # entries
TRIED_KEPT = 64  # questions


class Group:
    """`code` names the group on the wire and in the journal; `machine` is set by whoever builds both."""

    machine: Machine

    def __init__(
        self,
        driver: Driver,
        name: str,
        code: int,
        configuration: Configuration,
        log: ReplicatedLog,
        store: Store,
        stores: Stores,
    ) -> None:
        self.driver = driver
        self.group = name
        self.code = code
        self.configuration = configuration  # the newest that is known to be chosen
        self.log = log
        self.store = store
        self.transfer = Transfer(self, stores, driver.boot << 40)
        self.node = driver.node
        self.served_epoch = 0
        self.applied_slot = self.synced_slot = store.applied
        self.sync_begun_at = 0  # the tick of the last sync of the store
        self.applied_at = 0  # the tick of the last entries
        self.grown_bytes = 0  # of entries applied since the log was compacted
        self.rebalance = Rebalance(driver.constants.rebalance_after_ms // TICK_MS)
        self.stopped = ""
        self._tried: dict[tuple[int, int], int] = {}  # question of an operator -> epoch in which it was carried out
        self._recovered_slot = log.last_slot
        self._waiting: list[Entry] = []  # chosen, and to be applied by a follower at the next tick at the latest
        self._is_apply_due = False
        self._confirms: dict[int, Callable[[bool], None]] = {}
        self._next_token = 0

    # -- Host of the machine

    @property
    def constants(self) -> Constants:
        return self.driver.constants

    @property
    def now(self) -> int:
        return self.driver.now

    @property
    def clock_ms(self) -> int:
        return self.log.majority_clock_ms

    @property
    def is_full(self) -> bool:
        return self.driver.is_low_on_disk

    @property
    def preferred(self) -> int:
        """The node that should lead: the first voter that is not to leave the cluster."""
        leaving, voters = self.driver.placement.roster.leaving, self.configuration.members.voters
        if not leaving:
            return voters[0]
        return next((node for node in voters if node not in leaving), voters[0])

    @property
    def leader(self) -> int:
        return self.log.leader or 0

    def propose(self, data: bytes) -> bool:
        try:
            self.log.propose(data, self.served_epoch)
        except NotLeader:
            return False
        self._touch()
        return True

    def confirm(self, then: Callable[[bool], None]) -> None:
        self._next_token += 1
        self._confirms[self._next_token] = then
        self.log.confirm(self._next_token)
        self._touch()

    def timestamp(self, then: Callable[[int], None]) -> None:
        self.driver.timestamp(then)

    def send(self, node: int, target: str, message: Any) -> None:
        self.driver.send(node, target, message)

    def to_leader(self, group: str, message: Any) -> None:
        self.driver.to_leader(group, message)

    def read(self, job: Callable[[], Any], then: Callable[[Any, BaseException | None], None]) -> None:
        self.driver.read(job, then)

    def note(self, step: str, txn: bytes, detail: Any = None) -> None:
        """What is applied again after a restart happened at another time: it is not noted."""
        if self.applied_slot >= self._recovered_slot:
            self.driver.trace.note(step, txn, self.group, detail)

    # -- driven by the node

    def receive_log(self, sender: int, message: Any) -> None:
        if type(message) in TAKE_OVERS and self.is_full:
            self.log.decline(sender)  # who refuses writes takes no leadership over
            self._touch()
            return
        self.log.receive(sender, message)
        self.follow_leadership()

    def receive(self, sender: int, message: Any) -> None:
        """What is not the log's."""
        kind = type(message)
        if kind in TRANSFER_MESSAGES:
            self.transfer.receive(sender, message)
        elif kind is HandOver:
            self.on_hand_over(message)
        elif kind is CarryOut:
            self.driver.placement.on_order(self, message)
        else:
            self.machine.receive(sender, message)

    def flush(self) -> None:
        """What was applied goes into the store, or the replica stops."""
        try:
            self.machine.flush()
        except ReplicaStopped as error:
            self.stop(str(error))

    def on_durable(self, mark: int) -> None:
        self.log.on_durable(mark)
        self.follow_leadership()

    def on_peer_lost(self, peer: int) -> None:
        self.log.on_peer_lost(peer)
        if peer == self.preferred:
            self.rebalance.on_away()
        self.follow_leadership()

    def tick(self, clock_ms: int) -> None:
        self.log.tick(clock_ms)
        self.follow_leadership()
        preferred = self.preferred if self.served_epoch else self.node
        if preferred != self.node:
            is_heard, is_near = self.log.is_heard(preferred), self.log.is_near(preferred)
            if self.rebalance.tick(is_heard, is_near, self.machine.holds_open):
                self.hand_over(preferred)
        self._is_apply_due = bool(self._waiting)
        self.machine.tick()
        self.transfer.tick()

    def replace(self, store: Store, epoch: int) -> None:
        """The store of the leader of `epoch` is this one's now, and the state machine is built anew from it."""
        assert not self.served_epoch, "who serves has everything"
        assert store.applied > self.delivered_slot, "a store is replaced by one that has applied more"
        self.store = store
        self.applied_slot = self.synced_slot = store.applied
        self._waiting, self._is_apply_due = [], False  # applied there
        self.driver.build_machine(self)
        self.log.install(Point(store.applied, store.epoch), epoch, store.configuration)
        if store.configuration is not None:
            self._note_members(store.configuration)
        self._touch()

    def change(self, members: Members) -> None:
        """Propose other members. NotLeader, ChangeRefused."""
        self.log.change(members, self.served_epoch)
        self._touch()

    def _note_members(self, configuration: Configuration) -> None:
        """These were chosen, and are applied."""
        self.configuration = newer(self.configuration, configuration)
        self.driver.placement.know(self.group, self.configuration)

    def compact(self, slot: int) -> None:
        self.log.compact(slot)
        self._touch()

    def hand_over(self, to: int | None = None) -> None:
        """To `to`; else to the preferred leader, or if that is not near to the most caught-up peer."""
        preferred = self.preferred
        if to is None and preferred != self.node and self.log.is_near(preferred):
            to = preferred
        self.machine.conclude()
        self.log.transfer(to)
        self._touch()

    def on_hand_over(self, message: HandOver) -> None:
        """Somebody wants another node to lead, and asks until it is told by that one. A question is carried out in one
        epoch only: an heir that does not take over costs the group a moment, not as long as is asked."""
        answer = LedBy(message.number, self.group, self.leader)
        question = (message.gateway, message.number)
        heir = node_name(message.to)
        if not self.served_epoch:
            self.send(message.gateway, GATEWAY, answer)
        elif message.to == self.node:
            self.confirm(lambda confirmed: self._tell_that_it_leads(message, confirmed))
        elif self._tried.get(question) == self.served_epoch:
            if self.log.is_near(message.to):
                self.hand_over(message.to)  # else it may still take over: nothing certain can be said
        elif question in self._tried:
            answer.refusal = f"{heir} did not take {self.group} over from n{self.node}"
            self.send(message.gateway, GATEWAY, answer)
        elif message.to in self.configuration.members.voters and self.log.is_near(message.to):
            self._tried[question] = self.served_epoch
            if len(self._tried) > TRIED_KEPT:
                del self._tried[next(iter(self._tried))]
            self.hand_over(message.to)
        else:
            answer.refusal = f"{heir} is not heard of by n{self.node}, which leads {self.group}, or is behind"
            self.send(message.gateway, GATEWAY, answer)

    def _tell_that_it_leads(self, message: HandOver, confirmed: bool) -> None:
        answer = LedBy(message.number, self.group, self.leader, self.served_epoch, leads=confirmed)
        self.send(message.gateway, GATEWAY, answer)

    def needs_drain(self) -> bool:
        """Is there anything that `drain` or `carry_out` would do?"""
        return self._is_apply_due or self.log.needs_drain()

    @property
    def delivered_slot(self) -> int:
        """The last slot that the log handed over; what waits behind the applied slot included."""
        return self._waiting[-1].slot if self._waiting else self.applied_slot

    def _touch(self) -> None:
        """The log may have something to drain now; the driver looks at no other group."""
        self.driver.touched[self] = None

    def follow_leadership(self) -> None:
        """Something happened to the log. Has the leadership that is served gone?"""
        self._touch()
        if self.served_epoch and not (self.log.leads and self.log.epoch == self.served_epoch):
            self._stop_serving()

    def _stop_serving(self) -> None:
        self.served_epoch = 0
        self.driver.changes.note(LEADS_NO_MORE, self.node, self.group)
        self.machine.unlead()

    def stop(self, why: str) -> None:
        """The replica cannot go on; it leads nothing any more and is never driven again."""
        self.stopped = why
        if self.served_epoch:
            self._stop_serving()
        driver = self.driver
        driver.router.remove_local(self.group)
        driver.log.critical("replica of %s stopped: %s", self.group, why)
        driver.changes.note(REPLICA_STOPPED, self.node, self.group, why)

    def carry_out(self, effects: LogEffects) -> None:
        """Apply what is chosen and durable, then answer the read indexes (asked before, so never of what follows)."""
        if effects.entries or self._is_apply_due:
            self._waiting += effects.entries
            if self._must_apply():
                entries, self._waiting, self._is_apply_due = self._waiting, [], False
                self._apply(entries)
        for token, confirmed in effects.reads:
            then = self._confirms.pop(token, None)
            if then is not None:
                then(confirmed and self.served_epoch != 0)

    def _must_apply(self) -> bool:
        """A leader applies at once: answers wait for it. So does `s0`, for the catalog is read on every node."""
        return self._is_apply_due or self.log.leads or self.group == "s0" or len(self._waiting) >= FOLLOWER_BATCH

    def _apply(self, entries: list[Entry]) -> None:
        self.machine.apply(entries)
        for entry in entries:
            if entry.data.startswith(MARK):
                self._note_members(Configuration(entry.slot, decode_members(entry.data)))
        self.applied_slot = entries[-1].slot
        self.applied_at = self.now
        self.grown_bytes += sum([len(entry.data) for entry in entries])
        if not self.served_epoch and self.log.leads and any(e.epoch == self.log.epoch for e in entries):
            self.machine.flush()  # a store that has fallen back must not lead, and shows it when it is written
            self.served_epoch = self.log.epoch
            self.rebalance.begin(self.log.handed_over)
            self.machine.lead()
            self.driver.changes.note(LEADS, self.node, self.group)
