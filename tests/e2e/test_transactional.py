"""@transactional on a real cluster: contention, what is nested, a node that dies, a fence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "txstore.settings")

from nodes import ids
from nodes.client import Cluster
from nodes.errors import ConstraintViolation, TransactionAborted
from tests.e2e.cluster import LocalCluster
from tests.e2e.test_interactive import ACCOUNTS, ADD, BALANCE, READ, balance, create_accounts, total
from txstore.transactional import current, on_commit, transactional

clients: list[Cluster] = []


def client() -> Cluster:
    return clients[-1]


@pytest.fixture(scope="module")
def bank(local_cluster: LocalCluster) -> Iterator[Cluster]:
    with local_cluster.client() as made:
        create_accounts(made)
        clients.append(made)
        yield made
        clients.pop()


@pytest.fixture(autouse=True)
def named(settings: Any, bank: Cluster) -> None:
    settings.STORE_CLIENT = f"{__name__}.client"


@transactional
def add(id: int, amount: int) -> int:
    """Reads and writes in requests of their own."""
    ((has,),) = current().query(READ, [id])
    current().execute("UPDATE held SET balance = $1 WHERE id = $2", [has + amount, id], expect_rows=1)
    return int(has) + amount


@transactional(timeout=30.0)
def move(source: int, target: int, amount: int) -> None:
    add(source, -amount)
    add(target, amount)


def test_functions_of_functions_under_contention_keep_the_sum(bank: Cluster) -> None:
    moves = [(1 + n % 3, 1 + (n + 1) % 3) for n in range(36)]
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda each: move(*each, 1), moves))
    assert [balance(bank, id) for id in (1, 2, 3)] == [BALANCE] * 3
    assert total(bank) == ACCOUNTS * BALANCE


def test_an_inner_function_that_fails_is_undone_alone(bank: Cluster) -> None:
    done: list[str] = []

    @transactional
    def outer() -> None:
        assert add(4, 5) == BALANCE + 5
        with pytest.raises(ConstraintViolation):
            move(5, 6, BALANCE + 1)
        on_commit(lambda: done.append("after"))
        assert add(6, 1) == BALANCE + 1

    outer()
    assert done == ["after"]
    assert [balance(bank, id) for id in (4, 5, 6)] == [BALANCE + 5, BALANCE, BALANCE + 1]
    with transactional():
        add(4, -5)
        add(6, -1)
    assert total(bank) == ACCOUNTS * BALANCE


def test_it_goes_on_when_the_node_that_holds_it_is_killed(bank: Cluster, local_cluster: LocalCluster) -> None:
    holders: list[int] = []

    @transactional(timeout=50.0)
    def work() -> int:
        add(7, 1)
        holders.append(ids.node_of(ids.from_text(current().id)))
        if len(holders) == 1:
            local_cluster.kill(holders[0])
        return add(7, 1)

    assert work() == BALANCE + 2
    assert len(holders) >= 2
    local_cluster.wait_ready()
    bank.execute(ADD, [-2, 7])


def test_one_that_is_fenced_is_not_run_again(bank: Cluster) -> None:
    calls: list[str] = []

    @transactional
    def work() -> None:
        add(8, 1)
        calls.append(current().id)
        bank.fence(current().id)

    with pytest.raises(TransactionAborted):
        work()
    assert len(calls) == 1
    assert balance(bank, 8) == BALANCE
