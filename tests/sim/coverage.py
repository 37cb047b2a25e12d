"""How often each branch that matters was reached: a simulator that never gets somewhere proves nothing about it.

Methods of the code under test are wrapped from outside while a run is under way, and what they see is counted; what
the counterfeit disk and stores do they count themselves.
`CATEGORIES` (categories.py) names everything that is counted: one that stays at 0 over a few hundred seeds is a
failure.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nodes.core.engine import Incoming
from nodes.core.paxos import leader as paxos_leader
from nodes.core.paxos.acceptor import Acceptor
from nodes.core.paxos.candidate import Preparing
from nodes.core.paxos.learner import Learner
from nodes.core.paxos.member import Member
from nodes.core.raft import leader as raft_leader
from nodes.core.raft.log import RaftLog
from nodes.core.raft.replica import RaftReplica
from nodes.core.transfer import REPEAT_TICKS, Chunk, Receiving, Sending
from nodes.core.txn.attempt import DECIDING, EXECUTING, Attempt
from nodes.core.txn.client_keys import ClientKeys
from nodes.core.txn.coordinator import Coordinator
from nodes.core.txn.ends import Ends
from nodes.core.txn.messages import CONFIRM, WOUNDED
from nodes.core.txn.participant import Participant
from nodes.core.txn.reader import Reader
from nodes.core.txn.recovery import FIRST_QUESTION_TICKS, Doubts
from nodes.core.txn.row_locks import RowLocking
from nodes.core.txn.shard import Shard
from nodes.core.txn.shard_state import ShardState
from nodes.core.txn.snapshots import Snapshots
from nodes.errors import SnapshotTooOld
from nodes.requests import ABORTED, ACTIVE, COMMITTED
from nodes.runtime.compaction import Compaction
from nodes.runtime.driver import Driver
from nodes.runtime.execution import Execution
from nodes.runtime.follower_reads import ClosedTimestamps, FollowerRead
from nodes.runtime.gateway import Gateway
from nodes.runtime.group import Group
from nodes.runtime.messages import Anew, GatewayTells, decode_record
from nodes.runtime.open_transaction import OpenTransaction
from nodes.runtime.placement import Placement
from nodes.runtime.rebalance import Rebalance
from nodes.runtime.snapshot import SnapshotRun
from nodes.runtime.transfer import Transfer
from tests.sim.categories import CATEGORIES

counted: Counter[str] = Counter()
"""Of the run under way, or of the last one."""


def count(category: str) -> None:
    """Said by the counterfeit world, of what it does, and by a check, of what it met."""
    assert category in CATEGORIES, "what is counted is named"
    counted[category] += 1


MANY_CHUNKS = 5
CLOSED_BELOW = "closed below what was drawn"
BEHIND = "no replica here has applied what is closed"

Probe = Callable[..., Iterator[str]]
_wrapped: dict[tuple[type, str], Any] = {}


def _register(owner: type, method: str, outer: Any) -> None:
    assert (owner, method) not in _wrapped, "one probe for each method"
    _wrapped[owner, method] = outer


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """What is reached within is counted from 0 on; outside, the code under test is as it is."""
    inner = {(owner, method): owner.__dict__[method] for owner, method in _wrapped}
    counted.clear()
    for (owner, method), outer in _wrapped.items():
        setattr(owner, method, outer)
    try:
        yield counted
    finally:
        for (owner, method), original in inner.items():
            setattr(owner, method, original)


def _before(owner: type, method: str) -> Callable[[Probe], Probe]:
    """`probe(self, *arguments)` gives the categories that this call falls into."""

    def wrap(probe: Probe) -> Probe:
        inner = getattr(owner, method)

        @functools.wraps(inner)
        def outer(self: Any, *arguments: Any, **named: Any) -> Any:
            counted.update(probe(self, *arguments, **named))
            return inner(self, *arguments, **named)

        _register(owner, method, outer)
        return probe

    return wrap


def _after(owner: type, method: str) -> Callable[[Probe], Probe]:
    """`probe(self, result, *arguments)` gives the categories that this call fell into."""

    def wrap(probe: Probe) -> Probe:
        inner = getattr(owner, method)

        @functools.wraps(inner)
        def outer(self: Any, *arguments: Any, **named: Any) -> Any:
            result = inner(self, *arguments, **named)
            counted.update(probe(self, result, *arguments, **named))
            return result

        _register(owner, method, outer)
        return probe

    return wrap


def _if(holds: Any, category: str) -> Iterator[str]:
    if holds:
        yield category


# -- logs and groups

_before(Shard, "unlead")(lambda self: iter(["leadership ended"]))
_before(Coordinator, "unlead")(lambda self: iter(["leadership ended"]))
_after(paxos_leader.Leader, "tick")(lambda self, result, now: _if(not result, "leader without a majority stepped down"))
_before(RaftLog, "truncate")(lambda self, slot: _if(slot <= self.last_slot, "conflicting suffix cut"))
_after(Acceptor, "page")(lambda self, result, from_slot: _if(result[1], "phase 1 in pages"))
_after(Rebalance, "tick")(lambda self, result, *asked: _if(result, "group given back to its preferred leader"))
_before(Rebalance, "begin")(lambda self, handed_over: _if(handed_over, "leadership handed over"))
_before(Driver, "begin")(lambda self, code, joined: iter(["replica begun by a new member"]))
_before(Placement, "_give_up")(lambda self, group, slot: iter(["replica given up"]))


@_before(Placement, "change")
def _changes(self: Placement, group: Group, members: Any) -> Iterator[str]:
    yield from _if(len(members.voters) > len(group.configuration.members.voters), "learner made a voter")


@_before(Preparing, "ask")
def _asks(self: Preparing, members: Any) -> Iterator[str]:
    asked = self._next_slot
    yield from _if(len(asked) > 1 and not asked.keys() >= set(members.voters), "members found in phase 1 asked too")


_before(Group, "compact")(lambda self, slot: iter(["log compacted"]))
_before(Transfer, "_exchange")(lambda self, store, epoch: iter(["store taken over"]))
_before(Receiving, "takes")(lambda self, chunk: _if(chunk.offset > self.have, "chunk out of turn"))
_before(Sending, "tick")(lambda self: _if(self._quiet_ticks + 1 >= REPEAT_TICKS, "chunk sent again"))


@_before(Transfer, "_start")
def _store_begins(self: Transfer, sender: int, chunk: Chunk) -> Iterator[str]:
    before = self._receiving
    yield from _if(before is not None and 0 < before.have < before.size, "store half sent given up for another")


@_before(Transfer, "_seal")
def _store_is_complete(self: Transfer, receiving: Receiving, incoming: Incoming) -> Iterator[str]:
    yield from _if(receiving.size > MANY_CHUNKS * self.group.driver.constants.chunk_bytes, "store of many chunks came")


@_before(raft_leader.Leader, "tick")
def _raft_leader_ticks(self: raft_leader.Leader) -> Iterator[str]:
    heard = 1 + sum(self._is_heard(progress) for progress in self.peers.values())
    yield from _if(heard < self.replica.members.quorum, "leader without a majority stepped down")


@_before(RaftReplica, "stand")
def _stands(self: RaftReplica, transfer: bool) -> Iterator[str]:
    yield from _if(transfer and isinstance(self.role, raft_leader.Leader), "hand-over given up")


@_before(Member, "_on_refused")
def _outbid(self: Member, sender: int, message: Any) -> Iterator[str]:
    ballot = getattr(self._role, "ballot", None)
    yield from _if(ballot == message.ballot < message.promised, "candidate or leader outbid by a rival")


@_after(Preparing, "recovered")
def _recovered(self: Preparing, result: Any, own: Any, chosen: int) -> Iterator[str]:
    for entry in result[1]:
        yield "value of an older ballot proposed again" if entry.data else "gap filled with nothing"


@_after(Learner, "deliver")
def _delivered(self: Learner, result: list[Any]) -> Iterator[str]:
    for entry in result:
        held = self._acceptor.entries.get(entry.slot)
        yield from _if(held is not None and held.data and not entry.data, "entry of an older epoch applied as nothing")


@_before(Group, "_apply")
def _applied(self: Group, entries: list[Any]) -> Iterator[str]:
    yield from _if(entries[0].slot <= self._recovered_slot, "entries replayed into an engine")


@_after(Compaction, "records")
def _compacted(self: Compaction, result: list[bytes]) -> Iterator[str]:
    for record in result:
        yield from _if(isinstance(decode_record(record)[1], Anew), "log written anew")


_before(Group, "stop")(lambda self, why: iter(["replica stopped by a lost engine"]))
_before(Driver, "on_disk")(lambda self, is_low: _if(is_low and not self.is_low_on_disk, "low on disk: writes refused"))

# -- transactions

_after(ShardState, "is_late")(lambda self, result, txn: _if(result, "late message refused"))
_before(ShardState, "evaluate")(
    lambda self, fragments, *rest: _if(
        self.applied > self.engine.applied,
        "written before an evaluation"
        if self._unwritten.concerns(fragments)
        else "evaluation beside what is not written",
    )
)
_before(Gateway, "replan")(lambda self, execution, version: iter(["planned afresh"]))
_before(Ends, "propose")(
    lambda self, *entries: _if(entries and self._waiting, "end that went along with another entry")
)
_before(Coordinator, "_hold")(lambda self, leading, serve: iter(["value waits for a reservation"]))
_before(ClientKeys, "on_fenced")(lambda self, entry: iter(["key fenced"]))


_after(RowLocking, "arrive")(lambda self, result, *arguments: _if(result, "row locks that waited for who is prepared"))


@_after(RowLocking, "_free")
def _left_out(self: RowLocking, result: Any, active: Any, fragment: Any, rows: Any) -> Iterator[str]:
    wanted = min(len(rows), fragment.rows.limit)
    yield from _if(result != rows[:wanted], "row that SKIP LOCKED left out")


@_before(Participant, "_end")
def _ended(self: Participant, active: Any, cause: int, winner: bytes) -> Iterator[str]:
    yield from _if(cause == WOUNDED, "wound at the shard")


@_before(Attempt, "on_wound")
def _wounded(self: Attempt, message: Any) -> Iterator[str]:
    yield from _if(self.state == EXECUTING, "wound through the gateway")
    yield from _if(self.state == DECIDING, "commit although wounded")


@_before(Attempt, "_send_decide")
def _decides(self: Attempt) -> Iterator[str]:
    yield from _if(self._decide_sent_at, "decision asked for again")


_before(Attempt, "withdraw")(lambda self: iter(["commit of what only read withdrawn"]))


@_before(Attempt, "_send_execute")
def _executes(self: Attempt, shard: str) -> Iterator[str]:
    yield from _if(self._finish == CONFIRM and self._parts[shard].sent_at, "asked again to confirm what only read")


@_before(Doubts, "_ask")
def _asks(self: Doubts, txn: bytes, doubt: Any) -> Iterator[str]:
    is_inherited = self.host.now - doubt.since < FIRST_QUESTION_TICKS
    yield from _if(is_inherited and not doubt.asks_home, "in doubt, asked by a new leader at once")
    yield from _if(doubt.asks_home, "in doubt, home asked")


@_before(Attempt, "on_in_doubt")
def _doubted(self: Attempt, message: Any) -> Iterator[str]:
    yield "in doubt, gateway deciding"


@_before(Coordinator, "_on_decide")
def _asked(self: Coordinator, leading: Any, message: Any) -> Iterator[str]:
    yield from _if(self.state.decision(message.txn) is not None, "decision was there already")


@_before(Coordinator, "_decide_abort")
def _aborts(self: Coordinator, txn: bytes, reason: str) -> Iterator[str]:
    yield from _if(reason.startswith("in doubt"), "in doubt, decided as abort")


@_before(Coordinator, "_send_outcome")
def _tells(self: Coordinator, doubter: Any, decision: Any) -> Iterator[str]:
    yield from _if(decision is None, "outcome told although expired")


@_before(Coordinator, "_on_timestamp_request")
def _oracle(self: Coordinator, leading: Any, message: Any) -> Iterator[str]:
    seen = self.__dict__.setdefault("_seen_requests", set())
    question = (message.node, message.boot, message.number)
    yield from _if(question in seen, "oracle asked again")
    seen.add(question)


_before(OpenTransaction, "end_fenced")(lambda self: iter(["interactive transaction fenced while it was open"]))


@_after(Gateway, "_word_of")
def _says(self: Gateway, result: GatewayTells, txn: bytes) -> Iterator[str]:
    yield from _if(result.state == ACTIVE, "fate told as open")
    yield from _if(result.state == ABORTED, "fate told by a gateway as aborted")
    yield from _if(result.state == COMMITTED, "fate told by a gateway as committed")


@_before(Execution, "_attempt")
def _again(self: Execution) -> Iterator[str]:
    yield from _if(self.attempts, "attempt made again")


@_before(Execution, "_on_record")
def _keyed(self: Execution, record: Any) -> Iterator[str]:
    yield "key had another outcome"


@_before(Shard, "_answer_fences")
def _fenced(self: Shard, leading: Any, txn: bytes) -> Iterator[str]:
    yield from _if(txn in leading.fences, "shard home fenced")


@_after(Snapshots, "_in_flight_below")
def _waits(self: Snapshots, result: Any, need: Any, ts: int) -> Iterator[str]:
    yield from _if(result, "snapshot waited for those in flight")


@_before(Snapshots, "on_ask_closed")
def _closes(self: Snapshots, message: Any) -> Iterator[str]:
    yield from _if(min(self.participant.floors_in_flight(), default=message.ts) < message.ts, CLOSED_BELOW)


@_after(ClosedTimestamps, "find")
def _finds(self: ClosedTimestamps, result: Any, shards: Any, wanted: Any) -> Iterator[str]:
    around = self._surroundings
    newest = [(shard, self._closed[shard][-1].slot) for shard in shards if self._closed.get(shard)]
    yield from _if(any(slot > around.applied_slot(shard) for shard, slot in newest), BEHIND)
    yield from _if(result is None and newest, "nothing is closed late enough")


@_before(Reader, "read_closed")
def _reads(self: Reader, message: Any) -> Iterator[str]:
    yield from _if(self.host.leader != self.host.node, "follower read of a shard that is led elsewhere")


_before(SnapshotRun, "_on_near")(lambda self, rows: _if(rows is not None, "the past read at replicas"))
_before(FollowerRead, "on_refused")(lambda self, message: iter(["follower read refused: the leaders are asked"]))
_after(FollowerRead, "on_rows")(lambda self, result, message: _if(not self._missing, "follower read"))


@_before(Reader, "_answer")
def _answers(self: Reader, message: Any, rows: Any, error: BaseException | None) -> Iterator[str]:
    yield from _if(isinstance(error, SnapshotTooOld), "snapshot too old")


def table(total: Counter[str]) -> list[str]:
    """Lines: how often each category was reached, what was not reached first."""
    ordered = sorted(CATEGORIES, key=lambda name: (total[name] > 0, CATEGORIES.index(name)))
    return [f"{total[name]:8}  {name}" for name in ordered]


def missing(total: Counter[str]) -> list[str]:
    return [name for name in CATEGORIES if not total[name]]
