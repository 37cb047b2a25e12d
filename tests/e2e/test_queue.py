"""A queue in a table, as users build one: workers take jobs with FOR UPDATE SKIP LOCKED while nodes are killed. No job
is done twice, none is left, and workers do not wait for each other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count

import pytest

from nodes.client import Cluster, Transaction
from nodes.errors import Conflict, LockNotAvailable, OutcomeUnknown, StoreError, TransactionAborted, Unavailable
from tests.e2e.cluster import LocalCluster

QUEUES, JOBS, WORKERS = 4, 80, 4
PATIENCE_S = 30.0
TAKE = "SELECT queue, id FROM jobs WHERE worker IS NULL ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
LOST = (Conflict, TransactionAborted, Unavailable, OutcomeUnknown)  # what killed nodes do to a transaction


@pytest.fixture(scope="module")
def jobs(local_cluster: LocalCluster) -> Iterator[Cluster]:
    """Queues lie on shards of their own; `done` has a row for each time that a job was done."""
    with local_cluster.client() as client:
        client.execute("CREATE TABLE jobs (queue INT, id INT, worker INT, PRIMARY KEY (queue, id)) SHARD BY (queue)")
        client.execute("CREATE TABLE done (worker INT, number INT, job INT NOT NULL, PRIMARY KEY (worker, number))")
        rows = ", ".join(f"({job % QUEUES}, {job})" for job in range(JOBS))
        client.execute(f"INSERT INTO jobs (queue, id) VALUES {rows}", expect_rows=JOBS)
        yield client


def take(txn: Transaction, worker: int, number: int) -> bool:
    """Do one job; False if none is free. What was taken is there to be done, whoever else looks for one."""
    found = txn.query(TAKE)
    for queue, job in found:
        mine = "UPDATE jobs SET worker = $1 WHERE queue = $2 AND id = $3 AND worker IS NULL"
        txn.execute(mine, [worker, queue, job], expect_rows=1)
        txn.execute("INSERT INTO done VALUES ($1, $2, $3)", [worker, number, job], expect_rows=1)
    return len(found) > 0


def left(client: Cluster) -> int:
    found: int = client.query("SELECT count(*) FROM jobs WHERE worker IS NULL", timeout=PATIENCE_S)[0][0]
    return found


def work(cluster: LocalCluster, worker: int) -> None:
    with cluster.client() as client:
        for number in count():
            with suppress(*LOST):  # its fate does not matter: the number is never used again
                if not client.run(take, worker, number, timeout=PATIENCE_S) and not left(client):
                    return


def test_workers_take_different_jobs_without_waiting(jobs: Cluster) -> None:
    with jobs.transaction() as one, jobs.transaction() as other:
        first = one.query("SELECT id FROM jobs WHERE queue = 1 ORDER BY id LIMIT 2 FOR UPDATE SKIP LOCKED")
        second = other.query("SELECT id FROM jobs WHERE queue = 1 ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED")
        assert (list(first), list(second)) == ([[1], [5]], [[9]])
        one.savepoint("before")
        with pytest.raises(LockNotAvailable) as refused:
            one.execute("SELECT id FROM jobs WHERE queue = 1 AND id = 9 FOR SHARE NOWAIT")
        assert (refused.value.info.sqlstate, refused.value.info.retryable) == ("55P03", False)
        assert refused.value.info.conflict is not None
        assert refused.value.info.conflict.transaction == other.id
        one.rollback_to("before")
        one.rollback()
        other.rollback()


def test_a_request_of_its_own_may_say_so_too(jobs: Cluster) -> None:
    with jobs.transaction() as txn:
        txn.execute("SELECT id FROM jobs WHERE queue = 2 AND id = 2 FOR UPDATE")
        with pytest.raises(LockNotAvailable):
            jobs.execute("SELECT id FROM jobs WHERE queue = 2 AND id = 2 FOR UPDATE NOWAIT")
        assert jobs.execute("SELECT id FROM jobs WHERE id IN (2, 6) FOR UPDATE SKIP LOCKED").rows == [[6]]
        assert len(jobs.execute("SELECT id FROM jobs WHERE id < 8 FOR UPDATE SKIP LOCKED").rows) == 7
        with pytest.raises(StoreError) as refused:
            jobs.query("SELECT id FROM jobs FOR SHARE", as_of="-1s")
        assert refused.value.info.sqlstate == "25006"
        txn.rollback()


def test_no_job_is_done_twice_and_none_is_left_while_nodes_are_killed(
    jobs: Cluster, local_cluster: LocalCluster
) -> None:
    with ThreadPoolExecutor(WORKERS) as threads:
        workers = [threads.submit(work, local_cluster, worker) for worker in range(WORKERS)]
        for node, most in ((1, JOBS * 3 // 4), (2, JOBS // 4)):
            while left(jobs) > most and not any(worker.done() for worker in workers):
                time.sleep(0.01)
            local_cluster.kill(node)
        for worker in workers:
            worker.result(120)
    local_cluster.wait_ready()
    done = [job for (job,) in jobs.query("SELECT job FROM done ORDER BY job", timeout=PATIENCE_S)]
    assert done == list(range(JOBS))
    assert left(jobs) == 0
