"""Fate and fence of every kind of transaction, asked at every node; and what a fence does to one that is open."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest

from nodes import ids
from nodes.client import Cluster, Transaction
from nodes.errors import (
    DID_NOT_HAPPEN,
    HAPPENED,
    UNKNOWN,
    BadRequest,
    NotFound,
    StoreError,
    TransactionAborted,
    Unavailable,
)
from nodes.requests import ABORTED, ACTIVE, COMMITTED, UNDECIDED
from tests.e2e.cluster import LocalCluster, served
from tests.e2e.test_interactive import ACCOUNTS, ADD, READ, balance, create_accounts
from tests.e2e.test_supervisor import eventually

IDLE_MS = 2_000
OUTCOMES = {COMMITTED: HAPPENED, ABORTED: DID_NOT_HAPPEN, ACTIVE: UNKNOWN, UNDECIDED: UNKNOWN}
ALL = [(ADD, [0, id]) for id in range(1, ACCOUNTS + 1)]


@pytest.fixture(scope="module")
def local_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with served(tmp_path_factory.mktemp("cluster"), constants={"interactive_idle_ms": IDLE_MS}) as cluster:
        with cluster.client() as client:
            create_accounts(client)
        yield cluster


@pytest.fixture(scope="module")
def clients(local_cluster: LocalCluster) -> Iterator[dict[int, Cluster]]:
    """One for each node alone."""
    made = {node: local_cluster.client(node) for node in local_cluster.numbers}
    yield made
    for each in made.values():
        each.close()


# -- kinds: each makes one at the node of its client, and gives its id, or its key


def refused(client: Cluster, steps: list[tuple[str, list[int]]]) -> str:
    with pytest.raises(StoreError) as caught:
        client.execute_many(steps)
    return caught.value.info.transaction


def keyed(client: Cluster) -> str:
    key = str(uuid4())
    client.execute_many(ALL, idempotency_key=key)
    return key


def fenced_key(client: Cluster) -> str:
    key = str(uuid4())
    client.fence(key)
    return key


def never_used(client: Cluster) -> str:
    known = ids.from_text(client.transaction().begin().id)
    return ids.to_text(ids.mint(ids.time_of(known), ids.node_of(known), 1, 1 << 40, "c1", known[22:]))


def opened(client: Cluster, *steps: tuple[str, list[int]]) -> str:
    txn = client.transaction()
    txn.begin()
    if steps:
        txn.execute_many(list(steps))
    return txn.id


def failed_open(client: Cluster) -> str:
    txn = client.transaction()
    txn.begin()
    with pytest.raises(BadRequest):
        txn.execute("SELEC 1")
    return txn.id


def committed(client: Cluster, steps: list[tuple[str, list[int]]]) -> str:
    with client.transaction() as txn:
        if steps:
            txn.execute_many(steps)
    return txn.id


def rolled_back(client: Cluster) -> str:
    with client.transaction() as txn:
        txn.execute_many(ALL)
        txn.rollback()
    return txn.id


def left(client: Cluster) -> str:
    txn = client.transaction()
    txn.begin()
    txn.execute(ADD, [0, 1])
    time.sleep(IDLE_MS / 1_000)

    def is_over() -> bool:
        return client.fate(txn.id).state != ACTIVE

    eventually(is_over)
    return txn.id


class Kind(NamedTuple):
    make: Callable[[Cluster], str]
    fate: str
    fence: str


LOCKED = (f"{READ} FOR SHARE", [1])
TOO_MUCH = (ADD, [-1_000, 2])
KINDS = {
    "one-shot on one shard": Kind(lambda c: c.execute_many(ALL[:1]).id, COMMITTED, COMMITTED),
    "one-shot on all shards": Kind(lambda c: c.execute_many(ALL).id, COMMITTED, COMMITTED),
    "one-shot under a key, by its key": Kind(keyed, COMMITTED, COMMITTED),
    "one-shot under a key, by its id": Kind(lambda c: c.fate(keyed(c)).transaction, COMMITTED, COMMITTED),
    "one-shot, rows locked on one shard": Kind(lambda c: c.execute_many([LOCKED]).id, COMMITTED, COMMITTED),
    "one-shot refused on one shard": Kind(lambda c: refused(c, [TOO_MUCH]), ABORTED, ABORTED),
    "one-shot refused on all shards": Kind(lambda c: refused(c, [*ALL, TOO_MUCH]), ABORTED, ABORTED),
    "a definition of a table": Kind(
        lambda c: c.execute_many([(f"CREATE TABLE t{uuid4().hex} (id INT PRIMARY KEY)", [])]).id, COMMITTED, COMMITTED
    ),
    "a fenced key": Kind(fenced_key, ABORTED, ABORTED),
    "an id that nothing was done under": Kind(never_used, UNDECIDED, ABORTED),
    "interactive, just begun": Kind(opened, ACTIVE, ABORTED),
    "interactive, with locks on all shards": Kind(lambda c: opened(c, *ALL), ACTIVE, ABORTED),
    "interactive, with a statement that failed": Kind(failed_open, ACTIVE, ABORTED),
    "interactive, committed on one shard": Kind(lambda c: committed(c, ALL[:1]), COMMITTED, COMMITTED),
    "interactive, committed on all shards": Kind(lambda c: committed(c, ALL), COMMITTED, COMMITTED),
    "interactive, committed, only read": Kind(lambda c: committed(c, [(READ, [1])]), COMMITTED, COMMITTED),
    "interactive, committed, only read everywhere": Kind(
        lambda c: committed(c, [(READ, [id]) for id in range(1, ACCOUNTS + 1)]), COMMITTED, COMMITTED
    ),
    "interactive, committed, nothing asked": Kind(lambda c: committed(c, []), COMMITTED, COMMITTED),
    "interactive, rolled back": Kind(rolled_back, ABORTED, ABORTED),
    "interactive, left": Kind(left, ABORTED, ABORTED),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_fate_and_fence_of_each_kind_at_each_node(clients: dict[int, Cluster], kind: Kind) -> None:
    for at, client in clients.items():
        id = kind.make(client)
        for asked in clients.values():
            fate = asked.fate(id)
            assert (fate.state, fate.outcome) == (kind.fate, OUTCOMES[kind.fate]), (at, fate)
        fencing = clients[at % len(clients) + 1]
        for asked in (fencing, *clients.values()):
            fate = asked.fence(id)
            assert (fate.state, fate.outcome) == (kind.fence, OUTCOMES[kind.fence]), (at, fate)
        for asked in clients.values():
            assert asked.fate(id).state == kind.fence


def test_an_unknown_key_is_found_nowhere_and_a_fence_of_it_holds_everywhere(clients: dict[int, Cluster]) -> None:
    for client in clients.values():
        key = str(uuid4())
        for asked in clients.values():
            with pytest.raises(NotFound):
                asked.fate(key)
        assert client.fence(key).state == ABORTED
        assert [asked.fate(key).state for asked in clients.values()] == [ABORTED] * len(clients)


def test_an_open_transaction_that_is_fenced_ends_and_says_so(clients: dict[int, Cluster]) -> None:
    before = balance(clients[1], 3)
    txn = clients[1].transaction()
    txn.begin()
    txn.execute(ADD, [7, 3])
    assert "open at n1" in clients[2].fate(txn.id).reason
    fate = clients[2].fence(txn.id)
    assert (fate.state, fate.reason) == (ABORTED, "fenced")

    def told() -> StoreError | None:
        try:
            txn.execute(READ, [3])
        except StoreError as error:
            return error
        return None

    for error in (eventually(told), told()):
        assert isinstance(error, TransactionAborted)
        assert "fenced while it was open" in str(error)
        assert (error.info.sqlstate, error.info.outcome) == ("40000", DID_NOT_HAPPEN)
        assert not error.info.retryable
    with pytest.raises(TransactionAborted, match="fenced while it was open"):
        txn.commit()
    assert clients[3].execute(ADD, [0, 3], timeout=IDLE_MS / 2_000).row_count == 1  # its locks are free
    assert balance(clients[1], 3) == before


@pytest.mark.parametrize("steps", [0, 1])
def test_a_function_whose_transaction_is_fenced_is_not_run_again(clients: dict[int, Cluster], steps: int) -> None:
    calls: list[str] = []

    def work(txn: Transaction) -> None:
        calls.append(txn.id)
        txn.execute(ADD, [1, 4])
        clients[2].fence(txn.id)
        for _ in range(steps):
            txn.execute(ADD, [1, 4])

    with pytest.raises(TransactionAborted, match="fenced"):
        clients[1].run(work)
    assert len(calls) == 1


def test_a_client_that_does_not_know_the_holder_is_told_at_once_that_it_is_dead(tmp_path: Path) -> None:
    with served(tmp_path / "cluster", restart_s=None) as cluster, cluster.client(2) as other:
        create_accounts(other)
        with cluster.client(1) as holding:
            txn = holding.transaction()
            txn.begin()
            txn.execute(ADD, [1, 1])
            cluster.kill(1)
            eventually(lambda: [each["node"] for each in other.status()["nodes"] if not each["up"]] == [1])
        begun = time.monotonic()
        for call in (lambda t: t.execute(ADD, [1, 1]), lambda t: t.commit()):
            with pytest.raises(Unavailable, match="n1, which holds the transaction, is not connected to n2") as told:
                call(other.opened(txn.id, timeout=60.0))
            assert (told.value.info.outcome, told.value.info.retryable) == (DID_NOT_HAPPEN, True)
        assert time.monotonic() - begun < 5
        fate = other.fate(txn.id, timeout=30.0)
        assert fate.state == UNDECIDED
        assert "n1, which minted the id, is not connected to n2" in fate.reason
        assert other.fence(txn.id, timeout=30.0).state == ABORTED
        assert balance(other, 1) == 100
