"""The checks' eyes on a life of a node: wraps what the driver built, from outside, before anything happens.

What is seen at every step: applied entries against the truth, leadership before an own entry, oracle values, and the
ids of the attempts of each operation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nodes.core.membership import MARK
from nodes.core.replicated_log import Entry
from nodes.core.txn.attempt import Attempt
from nodes.core.txn.coordinator import Coordinator
from nodes.core.txn.entries import DecideTxn, decode_coordinator_entry
from nodes.errors import StoreError
from nodes.requests import COMMITTED, Reply
from nodes.runtime.driver import ORACLE_GROUP, Driver
from nodes.runtime.gateway import Gateway
from nodes.runtime.group import Group
from nodes.runtime.open_transaction import OpenTransaction
from tests.sim.clock_watch import ClockWatch
from tests.sim.lock_watch import LOOK_EVERY, LockWatch
from tests.sim.operations import Operation
from tests.sim.truth import Truth, Violation, demand

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster, Life


class Watch:
    """`of_request` finds the operation of a request by identity."""

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self.of_request: dict[int, Operation] = {}
        self.of_txn: dict[bytes, Operation] = {}
        self.violation: BaseException | None = None
        self.largest_given = 0
        self.locks = LockWatch()
        self.clocks = ClockWatch()

    def on_start(self, life: Life) -> None:
        driver = life.driver
        assert driver is not None, "a life that starts has a driver"
        for group in driver.groups.values():
            self._watch_machine(group)
        self._watch_exchanges(driver)
        self._watch_desk(life.node.cluster, driver)
        self._watch_attempts(driver)

    def _watch_machine(self, group: Group) -> None:
        machine: Any = group.machine
        apply, lead = machine.apply, machine.lead
        position = group.applied_slot
        epochs: set[int] = set()

        def watched_apply(entries: list[Entry]) -> None:
            nonlocal position
            position = self.truth.on_entries(group.group, position, entries)
            epochs.update(entry.epoch for entry in entries)
            forgotten = _forgotten(machine, entries)
            self.locks.before_apply(group, entries)
            apply(entries)
            for txn in forgotten:
                words = f"{group.group} decides {txn.hex()}, which is below its mark"
                demand(machine.state.decision(txn) is None, "forgetting", words)

        def watched_lead() -> None:
            words = f"n{group.node} serves {group.group} without an applied entry of its epoch"
            demand(group.log.epoch in epochs, "12 own entry first", words)
            lead()
            self.clocks.leaderships += group.group == ORACLE_GROUP
            self.locks.on_lead(group)

        machine.apply, machine.lead = watched_apply, watched_lead

    def _watch_exchanges(self, driver: Driver) -> None:
        """A store that came from another replica gets a new state machine."""
        build = driver.build_machine

        def watched(group: Group) -> None:
            build(group)
            self._watch_machine(group)

        driver.build_machine = watched  # type: ignore[method-assign]

    def _watch_desk(self, cluster: Cluster, driver: Driver) -> None:
        ask = driver.desk.ask

        def watched(then: Callable[[int], None]) -> None:
            after = self.largest_given

            def given(ts: int) -> None:
                self.truth.on_given(driver.node, ts, after)
                self.clocks.on_given(cluster, ts)
                self.largest_given = max(self.largest_given, ts)
                then(ts)

            ask(given)

        driver.desk.ask = watched  # type: ignore[method-assign]

    def _watch_attempts(self, driver: Driver) -> None:
        begin = driver.gateway.begin_attempt

        def watched(attempt: Attempt) -> None:
            execution: Any = attempt._then.__self__  # type: ignore[attr-defined]
            if isinstance(execution, OpenTransaction):  # its client has said whose it is
                begin(attempt)
                return
            operation = self.of_request[id(execution.request)]
            for before in operation.txns:
                words = f"{before.hex()} was retried, and is committed"
                demand(before not in self.truth.committed, "6 exactly once", words)
            operation.txns.append(attempt.txn)
            self.of_txn[attempt.txn] = operation
            begin(attempt)

        driver.gateway.begin_attempt = watched  # type: ignore[method-assign]
        self._watch_ends(driver.gateway)

    def _watch_ends(self, gateway: Gateway) -> None:
        """What it knows of those that no log need know of."""
        note_end, ended = gateway.note_end, gateway.interactive._ended

        def watched_end(txn: bytes, state: str, why: str) -> None:
            if state == COMMITTED:
                self.truth.only_read.add(txn)
            note_end(txn, state, why)

        def watched_ended(txn: bytes, end: Reply | StoreError) -> None:
            if isinstance(end, Reply) and not end.commit_ts:
                self.truth.only_read.add(txn)
            ended(txn, end)

        gateway.note_end, gateway.interactive._ended = watched_end, watched_ended  # type: ignore[method-assign]

    def look_often(self, cluster: Cluster) -> None:
        """From now on, for ever."""
        self.locks.look(cluster)
        self.clocks.look(cluster)
        cluster.timeline.at(LOOK_EVERY, lambda: self.look_often(cluster))

    def look(self, drivers: list[Driver], lost: set[tuple[int, str]]) -> None:
        """A replica that stopped is a violation, unless its store was `lost` (node, group) under it."""
        for driver in drivers:
            for group in driver.groups.values():
                if group.stopped and (driver.node, group.group) not in lost:
                    raise Violation("10 images", f"n{driver.node}: replica of {group.group} stopped: {group.stopped}")


def _forgotten(machine: Any, entries: list[Entry]) -> list[bytes]:
    """The ids below the mark that these entries want to decide, and of which nothing is known."""
    if not isinstance(machine, Coordinator):
        return []
    decoded = [
        decode_coordinator_entry(entry.data) for entry in entries if entry.data and not entry.data.startswith(MARK)
    ]
    txns = [each.txn for each in decoded if isinstance(each, DecideTxn)]
    return [txn for txn in txns if machine.state.is_expired(txn) and machine.state.decision(txn) is None]
