"""The lock tables of all shard leaders, looked at from outside: what is held, by whom, and who waits for whom.

*Invariants checked* (DESIGN.md §9): 11, each image of an entry was covered by a lock that its transaction held from
the evaluation until the end of it is applied; 13, an older one waits behind a younger one only while that is in flight
and hears of its wound, nobody waits for nobody, and no cycle over the shards lasts.

Whether something is covered and who waits for whom is worked out here anew, from what is held and wanted. A cycle may
last while messages are lost or nodes are away; what counts is the time since then.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nodes.core.locks import CONFLICT, JOIN, SIX, LockTable, Node, S, Waiter, X
from nodes.core.membership import MARK
from nodes.core.replicated_log import Entry
from nodes.core.txn.entries import CommitTxn, EndTxn, PrepareTxn, decode_shard_entry
from nodes.core.txn.evaluated import planned_locks
from nodes.core.txn.messages import Wound
from nodes.core.txn.participant import WOUND_AGAIN_TICKS, Participant
from nodes.core.txn.states import ASKING, ENDING, LOCKING, STATE_NAMES, Active
from nodes.runtime.group import Group
from nodes.sql.schema import CATALOG_TABLE, TableDef
from tests.sim.coverage import count
from tests.sim.graph import cycle_in
from tests.sim.lock_tree import holds, is_prefix, may_write, nodes_of
from tests.sim.network import Weather
from tests.sim.timeline import MS, SECOND
from tests.sim.truth import demand

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster

LOCKS = "11 locks"
WAITS = "13 wait graph"
LOOK_EVERY = 50 * MS
LASTS = 2 * SECOND  # of peace: then a wound has reached the gateway, and the outcome the shards
FEW_TICKS = WOUND_AGAIN_TICKS + 2


class LockWatch:
    """`on_lead` and `before_apply` are called by the watch, `look` by the timeline."""

    def __init__(self) -> None:
        self._wounded: dict[tuple[str, int, bytes, bytes], int] = {}  # group, epoch, winner, victim -> tick
        self._seen_at: dict[tuple[str, int, bytes, bytes], int] = {}  # that the one waits behind the other -> tick
        self._edges: dict[tuple[str, bytes, bytes], int] = {}  # group, who waits, for whom -> since when

    # -- what is held

    def on_lead(self, group: Group) -> None:
        if group.group[0] != "s":
            return
        machine: Any = group.machine
        participant: Participant = machine.leading.participant
        self._watch_releases(group.group, participant)
        self._watch_evaluations(group.group, participant)
        self._watch_wounds(group, participant)

    def _watch_releases(self, name: str, participant: Participant) -> None:
        release = participant.locks.release

        def watched(txn: bytes) -> list[bytes]:
            active = participant.active.get(txn)
            state = "prepared" if txn in participant.state.prepared else STATE_NAMES[active.state] if active else ""
            is_over = state in ("", STATE_NAMES[ENDING])
            demand(is_over, LOCKS, f"{name}: locks of {txn.hex()} are released while it is {state}")
            return release(txn)

        participant.locks.release = watched  # type: ignore[method-assign]

    def _watch_evaluations(self, name: str, participant: Participant) -> None:
        evaluate, finish = participant._evaluate, participant.finish

        def watched_evaluate(active: Active) -> None:
            self._demand_planned(name, participant, active)
            evaluate(active)

        def watched_finish(active: Active) -> None:
            self._demand_planned(name, participant, active)
            held = participant.locks.held_by(active.txn)
            for image in active.images:
                table = participant.state.engine.table(image.table)
                assert table is not None, "an image of a table that this shard does not hold"
                for path in nodes_of(image, table):
                    words = f"{name}: {active.txn.hex()} writes {path[-1]!r} of {table.name} and holds no lock for it"
                    demand(image.table == CATALOG_TABLE or may_write(held, image.table, path), LOCKS, words)
                    self._count(participant, active, table, path)
            finish(active)

        participant._evaluate, participant.finish = watched_evaluate, watched_finish  # type: ignore[method-assign]

    def _count(self, participant: Participant, active: Active, table: TableDef, path: list[bytes]) -> None:
        """How large the lock of this writer of a key is, and what prefixes others hold meanwhile."""
        held = participant.locks.held_by(active.txn)
        larger = [node for node in path[:-1] if held.get((table.id, node)) == X]
        if larger and table.id != CATALOG_TABLE:
            count("escalated to a prefix" if larger[0] else "escalated to the table")
        for other, theirs in participant.locks._held.items():
            for (of_table, key), mode in theirs.items() if other != active.txn and len(table.primary_key) > 1 else ():
                if of_table == table.id and mode in (S, SIX) and is_prefix(table, key):
                    count("written beside a prefix that is locked")

    def _demand_planned(self, name: str, participant: Participant, active: Active) -> None:
        wanted = planned_locks(active.fragments).items()
        words = f"{name}: {active.txn.hex()} is evaluated without the locks of its plan"
        demand(holds(participant.locks.held_by(active.txn), wanted), LOCKS, words)

    def before_apply(self, group: Group, entries: list[Entry]) -> None:
        """The end of a transaction is about to be applied, or its promise: are all locks of its entry still held?"""
        machine: Any = group.machine
        leading = machine.leading
        if group.group[0] != "s" or leading is None:
            return
        participant: Participant = leading.participant
        for entry in entries:
            said = decode_shard_entry(entry.data) if entry.data and not entry.data.startswith(MARK) else None
            if isinstance(said, EndTxn):
                said = participant.state.prepared.get(said.txn)
            elif isinstance(said, PrepareTxn | CommitTxn) and said.txn not in participant.active:
                said = None
            if isinstance(said, PrepareTxn | CommitTxn):
                wanted = [((table, key), mode) for table, key, mode in said.locks]
                words = f"{group.group}: {said.txn.hex()} does not hold the locks of its entry when that is applied"
                demand(holds(participant.locks.held_by(said.txn), wanted), LOCKS, words)
                count("locks held until the entry is applied")

    # -- who waits for whom

    def _watch_wounds(self, group: Group, participant: Participant) -> None:
        send, epoch = participant.send, group.served_epoch

        def watched(node: int, message: object) -> None:
            if isinstance(message, Wound):
                self._wounded[group.group, epoch, message.winner, message.txn] = group.now
            send(node, message)

        participant.send = watched  # type: ignore[method-assign]

    def look(self, cluster: Cluster) -> None:
        leaders: dict[str, Group] = {}
        for driver in cluster.drivers():
            for group in driver.groups.values():
                if group.group[0] == "s" and group.served_epoch:
                    self._look_at(group)
                    newest = leaders.get(group.group)
                    if newest is None or newest.served_epoch < group.served_epoch:
                        leaders[group.group] = group
        self._look_for_cycles(cluster, leaders)

    def _look_at(self, group: Group) -> None:
        machine: Any = group.machine
        participant: Participant = machine.leading.participant
        for waiter in participant.locks._waiters.values():
            blockers = dict(waits_for(participant.locks, waiter))
            words = f"{group.group}: {waiter.txn.hex()} waits, and nothing is in its way"
            demand(bool(blockers), WAITS, words)
            for other, age in blockers.items():
                if age > waiter.age:
                    self._demand_wounded(group, participant, waiter, other)

    def _demand_wounded(self, group: Group, participant: Participant, waiter: Waiter, younger: bytes) -> None:
        count("older waited behind younger")
        active = participant.active.get(younger)
        who = f"{group.group}: {waiter.txn.hex()} waits behind the younger {younger.hex()}"
        demand(active is None or active.state not in (LOCKING, ASKING), WAITS, f"{who}, which is not in flight")
        if active is not None or younger not in participant.state.prepared:
            return
        pair = (group.group, group.served_epoch, waiter.txn, younger)
        since = max(self._wounded.get(pair, 0), self._seen_at.setdefault(pair, group.now))
        demand(group.now - since <= FEW_TICKS, WAITS, f"{who}, which was not wounded for {group.now - since} ticks")

    def _look_for_cycles(self, cluster: Cluster, leaders: dict[str, Group]) -> None:
        now = cluster.timeline.now
        if not is_peaceful(cluster):
            self._edges = {}
            return
        found: dict[tuple[str, bytes, bytes], int] = {}
        for name, group in leaders.items():
            machine: Any = group.machine
            locks: LockTable = machine.leading.participant.locks
            for waiter in locks._waiters.values():
                for other, _ in waits_for(locks, waiter):
                    edge = (name, waiter.txn, other)
                    found[edge] = self._edges.get(edge, now)
        self._edges = found
        if not found:
            return
        if cycle_in([(one, other) for _, one, other in found]):
            count("cycle of waits")
        cycle = cycle_in([(one, other) for (_, one, other), since in found.items() if now - since >= LASTS])
        words = " -> ".join(txn.hex() for txn in cycle)
        demand(not cycle, WAITS, f"a cycle that has lasted {LASTS // SECOND} s in peace: {words}")


def is_peaceful(cluster: Cluster) -> bool:
    """Nothing is lost or late now, and all nodes that are not gone for good run, on disks and stores that are well."""
    if cluster.weather != Weather() or cluster.lost():
        return False
    for number, node in cluster.nodes.items():
        if number not in cluster.buried:
            runs = node.life is not None and not node.life.is_paused and node.tick_factor == 1
            if not runs or not node.disk.is_well():
                return False
    return True


def waits_for(locks: LockTable, waiter: Waiter) -> Iterator[tuple[bytes, bytes]]:
    """(transaction, its age) of all that it waits for: who holds a conflicting mode, and older ones that wait for
    one. What it wants of a node is what it holds there already and what it needs, together."""

    def wanted(who: Waiter, node: Node, mode: int) -> int:
        held = locks.held_by(who.txn).get(node)
        return mode if held is None else JOIN[held][mode]

    for node, mode in waiter.need:
        own = wanted(waiter, node, mode)
        if locks.held_by(waiter.txn).get(node) == own:
            continue
        for other, held in locks._held.items():
            if other != waiter.txn and node in held and CONFLICT[held[node]][own]:
                yield other, locks._ages[other]
        for older in locks._waiters.values():
            if older.age < waiter.age:
                theirs = [wanted(older, node, each) for place, each in older.need if place == node]
                if any(CONFLICT[mode][own] for mode in theirs):
                    yield older.txn, older.age
