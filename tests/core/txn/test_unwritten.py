"""What a shard has applied and not written yet (nodes/core/txn/unwritten.py): nobody can tell the difference."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from nodes.core.engine import Evaluation
from nodes.core.locks import X
from nodes.core.replicated_log import Entry
from nodes.core.txn import shard_state
from nodes.core.txn.entries import AbortTxn, CommitTxn, EndTxn, MoveMarks, PrepareTxn, encode
from nodes.core.txn.messages import SnapshotRead, SnapshotRows
from nodes.core.txn.shard_state import FLUSH_TICKS, ShardState
from nodes.core.txn.unwritten import MOST_IMAGES
from nodes.errors import ErrorInfo, ReplicaStopped
from nodes.sql.schema import Image
from tests.core.txn.scene import GATEWAY_NODE, ShardReplica, new_id
from tests.core.txn.sql_shard import SqlShard
from tests.core.txn.test_locks_cover import Drawn
from tests.storage.bank import apply

TABLES = 60
TRANSFER = [Image(2, [1], 10, [1, 70, None])]


class Behind:
    """A state that writes when it must, beside an engine that has everything at once."""

    def __init__(self, rng: random.Random) -> None:
        self.drawn = Drawn(rng)
        self.reference = self.drawn.engine
        self.state = ShardState("s1", SqlShard(self.drawn.table.sql, self.drawn.rows).engine)
        self.number = 0

    def write(self, sql: str) -> None:
        found = self.reference.evaluate([self.drawn.shard.fragment(sql)], 10_000)
        if found.error is not None or not found.images:
            return
        self.drawn.ts += 1
        self.number += 1
        locks = [(*node, mode) for node, mode in self.drawn.locked({}, found.images).items()]
        apply(self.reference, found.images, self.drawn.ts)
        commit = CommitTxn(new_id(self.number), found.images, locks, [], self.drawn.ts)
        self.state.apply([Entry(self.state.applied + 1, 1, encode(commit))])

    def answers(self, sql: str) -> tuple[str, str]:
        fragments = [self.drawn.shard.fragment(sql)]
        return told(self.state.evaluate(fragments, 10_000)), told(self.reference.evaluate(fragments, 10_000))

    @property
    def is_behind(self) -> bool:
        return self.state.applied > self.state.engine.applied


def told(found: Evaluation) -> str:
    return repr((found.error, found.rows, found.images))


def test_an_evaluation_finds_what_was_applied() -> None:
    rng = random.Random()
    kept = written = 0
    for number in range(TABLES):
        behind = Behind(rng)
        statements = [behind.drawn.statement("2 / " if number % 2 else ""), *behind.drawn.writes()]
        for write in behind.drawn.writes():
            behind.write(write)
            sql = rng.choice(statements)
            was_behind = behind.is_behind
            ours, reference = behind.answers(sql)
            assert ours == reference, f"{behind.drawn.table.sql}: {sql} after {write}"
            kept += behind.is_behind
            written += was_behind and not behind.is_behind
    assert min(kept, written) > TABLES, f"{kept} evaluations beside what is not written, {written} after it was"


# -- when it is written


def committed(replica: ShardReplica) -> None:
    replica.append(encode(PrepareTxn(new_id(9), b"age", 1, TRANSFER, [(2, b"", 2), (2, b"k", X)], [], 0)))
    replica.append(encode(EndTxn(new_id(9), True, 50)))


def test_it_is_written_once_a_second() -> None:
    replica = ShardReplica()
    engine = replica.engine
    committed(replica)
    before = engine.applied
    ticks = 0
    while engine.applied == before:
        replica.host.now += 1
        replica.machine.tick()
        ticks += 1
    assert engine.applied == replica.machine.state.applied
    assert ticks <= FLUSH_TICKS
    assert list(engine.prepared()) == [], "it ended before it would have been written"


@pytest.mark.parametrize(("bound", "most"), [("FLUSH_ENTRIES", 3), ("FLUSH_BYTES", 300)])
def test_it_is_written_when_it_has_become_much(monkeypatch: pytest.MonkeyPatch, bound: str, most: int) -> None:
    monkeypatch.setattr(shard_state, bound, most)
    replica = ShardReplica()
    written = [replica.engine.applied]
    for number in range(30):
        replica.append(entry := encode(PrepareTxn(new_id(10 + number), b"age", 1, [], [], [], 0)))
        if replica.engine.applied != written[-1]:
            written.append(replica.engine.applied)
    assert len(written) > 2
    wait = most if bound == "FLUSH_ENTRIES" else -(-most // len(entry))
    assert {later - earlier for earlier, later in pairwise(written[1:])} == {wait}


def test_many_rows_are_written_at_once() -> None:
    """Their entry came before, and had its bytes counted then."""
    replica = ShardReplica()
    images = [Image(2, None, 0, [100 + row, 0, None]) for row in range(MOST_IMAGES)]
    replica.append(encode(PrepareTxn(new_id(9), b"age", 1, images, [], [], 0)))
    replica.machine.flush()
    replica.append(encode(EndTxn(new_id(9), True, 50)))
    assert replica.engine.applied == replica.machine.state.applied


def test_what_a_caller_does_to_an_outcome_is_not_written() -> None:
    replica = ShardReplica()
    replica.append(encode(AbortTxn(new_id(9), "failed", ErrorInfo("conflict", "words", "40001"))))
    for _ in range(2):
        outcome = replica.machine.state.outcome(new_id(9))
        assert outcome is not None
        assert outcome.error is not None
        assert outcome.error.message == "words"
        outcome.error.message = "mine"
    replica.machine.flush()
    outcome = replica.machine.state.outcome(new_id(9))
    assert outcome is not None
    assert outcome.error is not None
    assert outcome.error.message == "words"


def test_it_is_written_before_a_snapshot_is_read() -> None:
    shard = SqlShard()
    shard.ask(new_id(9), "UPDATE lines SET d = 7 WHERE a = 1 AND b = 1 AND c = 'x'")
    shard.apply()
    shard.append(encode(EndTxn(new_id(9), True, 50)))
    shard.receive(SnapshotRead(1, GATEWAY_NODE, 1 << 62, [shard.fragment("SELECT d FROM lines WHERE a = 1")], 10_000))
    while shard.host.confirms:
        shard.host.answer_confirm()
    shard.host.run_jobs()
    (answer,) = shard.host.said(SnapshotRows)
    assert [7] in answer.rows[0].rows


def test_an_image_that_does_not_fit_stops_the_replica_when_it_is_written() -> None:
    replica = ShardReplica()
    wrong = [Image(2, [1], 9, [1, 70, None])]
    replica.append(encode(PrepareTxn(new_id(9), b"age", 1, wrong, [], [], 0)))
    replica.append(encode(EndTxn(new_id(9), True, 50)))
    before = replica.engine.applied
    with pytest.raises(ReplicaStopped, match="expected version 9, found version 10"):
        replica.machine.flush()
    assert replica.engine.applied == before


def test_what_the_marks_pass_goes_when_they_are_written() -> None:
    """Marks count from their entry on, but the store lets go by those that it holds."""
    replica = ShardReplica(lead=False)
    committed(replica)
    replica.machine.flush()
    replica.machine.tick()
    assert replica.engine.outcome(new_id(9), False) is not None
    late = (1 << 62) - 1
    replica.append(encode(MoveMarks(late, late, late)))
    assert replica.machine.state.is_late(new_id(9))
    while replica.engine.outcome(new_id(9), False) is not None:
        replica.host.now += 1
        replica.machine.tick()
        assert replica.host.now <= 2 * FLUSH_TICKS, "it stays"
