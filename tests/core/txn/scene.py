"""The surroundings of one state machine, by hand: what it proposes is kept until the test applies it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from nodes import ids
from nodes.constants import Constants
from nodes.core.replicated_log import Entry
from nodes.core.txn.coordinator import Coordinator
from nodes.core.txn.entries import decode_coordinator_entry, decode_shard_entry
from nodes.core.txn.messages import COMMIT, HOLD, PREPARE, Execute
from nodes.core.txn.shard import Shard
from nodes.errors import StoreError
from nodes.sql import keys
from nodes.sql.schema import Fragment, Lock
from nodes.storage.sqlite import SqliteEngine
from nodes.storage.sqlite_decisions import SqliteDecisions
from tests.storage.bank import ROWS_AT, opened

CLUSTER = b"cluster"
GATEWAY_NODE = 7
TERM = (1 << 32) + 1  # of the first opening by a leader of epoch 1
T = TypeVar("T")


class FakeHost:
    """A Host that only remembers. `answer_*` let the surroundings answer, oldest question first."""

    def __init__(self, group: str, node: int = 1) -> None:
        self.group, self.node = group, node
        self.now, self.clock_ms, self.leader, self.is_full = 0, 100_000, 0, False
        self.constants = Constants()
        self.proposed: list[bytes] = []
        self.confirms: list[Callable[[bool], None]] = []
        self.askers: list[Callable[[int], None]] = []
        self.sent: list[tuple[int, str, Any]] = []
        self.to_leaders: list[tuple[str, Any]] = []
        self.jobs: list[Callable[[], None]] = []
        self.noted: list[tuple[str, bytes, Any]] = []

    def propose(self, data: bytes) -> bool:
        self.proposed.append(data)
        return True

    def confirm(self, then: Callable[[bool], None]) -> None:
        self.confirms.append(then)

    def timestamp(self, then: Callable[[int], None]) -> None:
        self.askers.append(then)

    def send(self, node: int, target: str, message: Any) -> None:
        self.sent.append((node, target, message))

    def to_leader(self, group: str, message: Any) -> None:
        self.to_leaders.append((group, message))

    def read(self, job: Callable[[], Any], then: Callable[[Any, BaseException | None], None]) -> None:
        def run() -> None:
            try:
                found = job()
            except StoreError as error:
                then(None, error)
            else:
                then(found, None)

        self.jobs.append(run)

    def note(self, step: str, txn: bytes, detail: Any = None) -> None:
        self.noted.append((step, txn, detail))

    # -- the test's side

    def answer_confirm(self, confirmed: bool = True) -> None:
        self.confirms.pop(0)(confirmed)

    def answer_timestamp(self, ts: int) -> None:
        self.askers.pop(0)(ts)

    def run_jobs(self) -> None:
        while self.jobs:
            self.jobs.pop(0)()

    def said(self, kind: type[T]) -> list[T]:
        """Messages of that kind sent since the last look, to nodes or leaders; those of other kinds stay."""
        found = [m for _, _, m in self.sent if isinstance(m, kind)]
        found += [m for _, m in self.to_leaders if isinstance(m, kind)]
        self.sent = [item for item in self.sent if not isinstance(item[2], kind)]
        self.to_leaders = [item for item in self.to_leaders if not isinstance(item[1], kind)]
        return found

    @property
    def is_silent(self) -> bool:
        return not self.sent and not self.to_leaders


class Replica:
    """A machine, its host and its log."""

    def __init__(self, machine: Any, host: FakeHost, decode: Callable[[bytes], Any], slot: int) -> None:
        self.machine, self.host, self.decode = machine, host, decode
        self.slot = slot
        self.log: list[Entry] = []

    def lead(self) -> None:
        """A new epoch: its own entry is applied, then it serves."""
        self.append(b"")
        self.machine.lead()

    def append(self, *entries: bytes) -> None:
        """Chosen entries, whoever proposed them, applied in one turn."""
        batch = [Entry(self.slot + at, 1, data) for at, data in enumerate(entries, start=1)]
        self.slot += len(batch)
        self.log += batch
        self.machine.apply(batch)

    def apply(self) -> list[Any]:
        """All that is proposed becomes chosen and is applied, with what is proposed by that; decoded."""
        applied = []
        while self.host.proposed:
            data, self.host.proposed = self.host.proposed, []
            self.append(*data)
            applied += [self.decode(one) for one in data]
        return applied

    @property
    def proposals(self) -> list[Any]:
        return [self.decode(data) for data in self.host.proposed]

    def receive(self, *messages: Any) -> None:
        for message in messages:
            self.machine.receive(GATEWAY_NODE, message)

    def pass_ticks(self, count: int) -> None:
        for _ in range(count):
            self.host.now += 1
            self.machine.tick()


class ShardReplica(Replica):
    """A replica of s1 over the bank's accounts 1 and 2; `restarted` is the same disk in a new process, which gets from
    the log what the store has not."""

    machine: Shard

    def __init__(
        self, engine: SqliteEngine | None = None, node: int = 1, lead: bool = True, log: Sequence[Entry] = ()
    ) -> None:
        self.engine = engine or opened(SqliteEngine(None), (1, 100), (2, 200))
        host = FakeHost("s1", node)
        super().__init__(Shard(self.engine, host), host, decode_shard_entry, self.engine.applied)
        for entry in [entry for entry in log if entry.slot > self.engine.applied]:
            self.append(entry.data)
        if lead:
            self.lead()

    def restarted(self, lead: bool = True) -> ShardReplica:
        return ShardReplica(self.engine, self.host.node, lead, self.log)

    @property
    def locks(self) -> Any:
        assert self.machine.leading is not None
        return self.machine.leading.participant.locks

    def balance(self, account: int) -> int:
        found = self.machine.state.evaluate([select(account)], 0)
        return int(found.rows[0].rows[0][1])


class CoordinatorReplica(Replica):
    machine: Coordinator

    def __init__(self, group: str = "c2", has_oracle: bool = False, log: list[Entry] | None = None) -> None:
        host = FakeHost(group)
        store = SqliteDecisions(None)
        super().__init__(Coordinator(store, host, has_oracle), host, decode_coordinator_entry, 0)
        for entry in log or []:
            self.append(entry.data)
        self.lead()

    def successor(self) -> CoordinatorReplica:
        """A new leader with what was chosen, and nothing that was not."""
        return CoordinatorReplica(self.host.group, self.machine.has_oracle, self.log)


class FakeSender:
    """A Sender that only remembers. `sent`: (group, or target, message); `noted`: (step, group)."""

    def __init__(self, **leaders: int) -> None:
        self.node, self.now, self.leaders = GATEWAY_NODE, 0, leaders
        self.sent: list[tuple[str, Any]] = []
        self.noted: list[tuple[str, str]] = []

    def to_leader(self, group: str, message: Any) -> int:
        self.sent.append((group, message))
        return self.leaders[group]

    def leader_of(self, group: str) -> int:
        return self.leaders[group]

    def send(self, node: int, target: str, message: Any) -> None:
        self.sent.append((target, message))

    def note(self, step: str, txn: bytes, group: str, detail: Any = None) -> None:
        self.noted.append((step, group))


# -- names and statements


def new_id(counter: int, home: str = "c2") -> bytes:
    """A smaller counter is older."""
    return ids.mint(5, GATEWAY_NODE, 1, counter, home, CLUSTER)


def row(account: int) -> bytes:
    return keys.encode(["BIGINT"], [account])


def update(account: int, amount: int, version: int = 1) -> Fragment:
    sql = "UPDATE t2_1 SET balance = balance + ?2 WHERE id = ?1"
    locks = [Lock(2, b"", "IX"), Lock(2, row(account), "X")]
    return Fragment(0, sql, [account, amount], [(2, version)], locks, True, point=True)


def select(account: int, version: int = 1) -> Fragment:
    locks = [Lock(2, b"", "IS"), Lock(2, row(account), "S")]
    sql = "SELECT id, balance FROM t2_1 WHERE id = ?1"
    at = f"SELECT id, balance FROM ({ROWS_AT.replace('?1', '?2')}) WHERE id = ?1"
    return Fragment(0, sql, [account], [(2, version)], locks, False, at, point=True)


def execute(txn: bytes, *fragments: Fragment, finish: int = PREPARE, age: bytes = b"", timeout_ms: int = 10_000) -> Any:
    return Execute(txn, age or ids.age_of(txn), GATEWAY_NODE, finish, list(fragments), timeout_ms)


def one_shard(txn: bytes, *fragments: Fragment, timeout_ms: int = 10_000) -> Any:
    return execute(txn, *fragments, finish=COMMIT, timeout_ms=timeout_ms)


def step_of(
    txn: bytes,
    number: int,
    *fragments: Fragment,
    keep: int = -1,
    term: int = TERM,
    finish: int = HOLD,
    saved: tuple[int, ...] = (),
) -> Execute:
    """Of an interactive transaction. The step before is kept unless another one is named."""
    keep = number - 1 if keep < 0 else keep
    term = 0 if number == 1 else term
    return Execute(txn, ids.age_of(txn), GATEWAY_NODE, finish, list(fragments), 10_000, number, keep, term, saved)
