"""What nodes tell of prepared transactions whose outcome a shard has not heard: two questions to all nodes.

The first finds them: each shard's leader tells which it holds prepared, since when, with which locks, and who waits for
those. The second asks about these alone: their gateways which shards take part, the replicas of their homes what is
decided. Pure but for `driver`. Nothing is decided by what is told here.

*Left out*: the values of locked keys (they may be personal data), and snapshots that wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from nodes import ids
from nodes.core.locks import NAMES
from nodes.core.replicated_log import TICK_MS
from nodes.core.txn.coordinator import Coordinator
from nodes.core.txn.shard import Leadership, Shard
from nodes.requests import UNDECIDED, Decision, Doubt, LocksOn, Transaction
from nodes.runtime.driver import Driver
from nodes.runtime.messages import DoubtFacts

MOST_LOCKS, MOST_WAITING = 20, 20  # of one transaction at one shard are told


def of_node(driver: Driver) -> list[Transaction]:
    """What this node's shards have prepared and not heard of."""
    now_us = driver.world.clock_us()
    found: dict[bytes, Transaction] = {}
    for group in driver.groups.values():
        if isinstance(group.machine, Shard) and (leading := group.machine.leading) is not None:
            waiting = _waiting(leading)
            for txn, ticks in leading.doubts.waiting().items():
                age_ms = ticks * TICK_MS
                known = found.get(txn) or Transaction(ids.to_text(txn), ids.node_of(txn), UNDECIDED, now_us)
                known.begun_us = min(known.begun_us, now_us - age_ms * 1_000)
                known.in_doubt = {**known.in_doubt, group.group: age_ms}
                known.doubts = [*known.doubts, _doubt(driver, group.group, leading, txn, age_ms, waiting.get(txn, []))]
                found[txn] = known
    return list(found.values())


def _waiting(leading: Leadership) -> dict[bytes, list[bytes]]:
    """Who waits for whom, oldest first; of several that one waits for, one."""
    locks, found = leading.participant.locks, dict[bytes, list[bytes]]()
    for txn in locks.waiting():
        if (blocker := locks.blocker_of(txn)) is not None:
            found.setdefault(blocker[0], []).append(txn)
    return found


def _doubt(driver: Driver, shard: str, leading: Leadership, txn: bytes, age_ms: int, waiting: list[bytes]) -> Doubt:
    held = leading.participant.locks.held_by(txn)
    counts = Counter((_name(driver, table), NAMES[mode], bool(key)) for (table, key), mode in held.items())
    locks = [LocksOn(table, mode, count if keys else 0) for (table, mode, keys), count in sorted(counts.items())]
    return Doubt(
        shard, driver.node, age_ms, locks[:MOST_LOCKS], list(map(ids.to_text, waiting[:MOST_WAITING])), len(waiting)
    )


def _name(driver: Driver, table: int) -> str:
    known = driver.catalog.table_of(table)
    return known.name if known is not None else ""


def facts_of(driver: Driver, txns: Iterable[bytes]) -> list[DoubtFacts]:
    """What this node's gateway and its replicas of the homes know of each."""
    wanted = list(txns)
    slots = driver.trace.decisions(wanted)
    return [DoubtFacts(txn, driver.trace.shards_of(txn), _decision(driver, txn, slots.get(txn))) for txn in wanted]


def _decision(driver: Driver, txn: bytes, at: tuple[str, int] | None) -> Decision | None:
    """`at`: the ballot and slot, if they are remembered."""
    home = ids.home_of(txn)
    group = driver.groups.get(ids.group_code(home))
    if group is None or not isinstance(group.machine, Coordinator):
        return None
    decided = group.machine.state.decision(txn)
    if decided is None:
        return None
    ballot, slot = at or ("", 0)
    members = group.configuration.members.voters
    return Decision(
        home, decided.commit, decided.commit_ts, decided.reason, ballot, slot, [driver.node], list(members),
        decided.participants,
    )  # fmt: skip


def complete(found: list[Transaction], answers: dict[int, Any]) -> None:
    """Add what the second question brought. `answers` are NodeDoubtsAre, by node."""
    by_id = {each.id: each for each in found}
    for _, answer in sorted(answers.items()):
        for facts in answer.facts:
            known = by_id.get(ids.to_text(facts.txn))
            if known is not None:
                known.decision = _joined(known.decision, facts.decision)
                known.shards = known.shards or facts.shards
    for each in found:
        named = each.decision.participants if each.decision is not None else []
        each.shards = sorted({*each.shards, *named, *each.in_doubt})


def _joined(one: Decision | None, other: Decision | None) -> Decision | None:
    """The same decision, as several replicas hold it."""
    if one is None or other is None:
        return one or other
    one.held_by = sorted({*one.held_by, *other.held_by})
    one.ballot, one.slot = (one.ballot, one.slot) if one.slot else (other.ballot, other.slot)
    return one
