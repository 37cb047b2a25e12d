"""Nodes join, leave and are replaced, on real processes: nothing that was acknowledged is lost, and who was removed
takes no part any more."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from nodes.client import Cluster
from nodes.errors import HAPPENED, UNKNOWN, BadRequest, NotFound, StoreError
from nodes.runtime.known_nodes import GONE_S
from nodes.runtime.node import MUST_NOT_RUN
from tests.e2e import bank
from tests.e2e.cluster import LocalCluster
from txstore import members

WAIT_S = 60.0
MOVERS = 4


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    """Three nodes with the bank."""
    started = LocalCluster(tmp_path / "home")
    try:
        started.start_all()
        started.wait_ready()
        with started.client() as client:
            bank.create(client, started.shards)
        yield started
    finally:
        started.terminate()
    assert not started.unexpected, started.unexpected
    shutil.rmtree(tmp_path / "home", ignore_errors=True)


class Movers:
    """Clients that move money until `stop`, and keep the numbers of what was acknowledged and of what was refused."""

    def __init__(self, client: Cluster, shards: int) -> None:
        self._client, self._shards = client, shards
        self.happened: set[int] = set()
        self.unknown: set[int] = set()
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(MOVERS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def wait_for_more(self, count: int) -> None:
        wanted = len(self.happened) + count
        wait_until(lambda: len(self.happened) >= wanted, lambda: f"{len(self.happened)} of {wanted} transfers")

    def _work(self, number: int) -> None:
        moves = bank.Moves(number, self._shards, Random(number))
        while not self._is_over.is_set():
            entry, source, target, amount, _ = moves.draw()
            try:
                self._client.execute_many(bank.transfer_statements(entry, source, target, amount), expect_rows=1)
            except StoreError as error:
                if error.info.outcome == HAPPENED:
                    self.happened.add(entry)
                elif error.info.outcome == UNKNOWN:
                    self.unknown.add(entry)
            else:
                self.happened.add(entry)


def wait_until(holds: Callable[[], bool], words: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, words()
        time.sleep(0.1)


def let_in(cluster: LocalCluster, client: Cluster, node: int) -> None:
    """A new node, from its start to its service."""
    cluster.join(node)
    wait_until(lambda: node in [each[0] for each in client.status()["waiting"]], client.status)
    client.add_node(node)
    wait_until(lambda: not members.missing_of_joining(client.status(), node), client.status)


def wait_gone(client: Cluster, node: int) -> None:
    wait_until(
        lambda: not members.missing_of_parting(client.status(), node),
        lambda: members.missing_of_parting(client.status(), node),
    )


def voters(client: Cluster) -> dict[str, set[int]]:
    return {group["group"]: set(group["members"]) for group in client.status()["groups"]}


def judge(client: Cluster, movers: Movers) -> None:
    """Every acknowledged transfer is there, once; none that was refused is; no money came or went."""
    reply = client.submit(bank.read_request((bank.READ_ACCOUNTS, []), ("SELECT id FROM ledger", [])))
    accounts, entries = ([row[-1] for row in result.rows] for result in reply.results)
    assert movers.happened <= set(entries) <= movers.happened | movers.unknown
    assert len(entries) == len(set(entries))
    assert (len(accounts), sum(accounts)) == (bank.ACCOUNTS, bank.ACCOUNTS * bank.START_BALANCE)
    assert min(accounts) >= 0


def test_a_node_that_is_dead_for_good_is_replaced_under_load_and_nothing_is_lost(cluster: LocalCluster) -> None:
    cluster.part(2)
    with cluster.client() as client:
        movers = Movers(client, cluster.shards)
        try:
            movers.wait_for_more(50)
            cluster.kill(2)
            movers.wait_for_more(50)
            let_in(cluster, client, 4)
            assert client.replace_node(2, 4).leaving == {2: 4}
            assert client.replace_node(2, 4).gone in ([], [2])  # ordered again: no error
            client.add_node(4)
            wait_gone(client, 2)
            movers.wait_for_more(50)
        finally:
            movers.stop()
        cluster.wait_ready(caught_up=True)
        judge(client, movers)
        assert set(map(frozenset, voters(client).values())) == {frozenset({1, 3, 4})}
        assert all(not group["learners"] for group in client.status()["groups"])
        time.sleep(GONE_S + 1)  # until the others do not listen to it any more
        for old in ("its data", "the mark that it was removed"):
            cluster.start(2)
            assert cluster.wait_ended(2) == MUST_NOT_RUN, old
        assert client.replace_node(2, 4).gone == [2]
        assert client.remove_node(2).gone == [2]
        with pytest.raises(BadRequest, match="a number is given once"):
            client.add_node(2)
        wait_until(lambda: all(group["leader"] for group in client.status()["groups"]), client.status)
        judge(client, movers)


def test_a_node_that_runs_is_removed_when_there_is_another_one_for_its_replicas(cluster: LocalCluster) -> None:
    with cluster.client(1, 2) as client:
        let_in(cluster, client, 4)
        movers = Movers(client, cluster.shards)
        try:
            movers.wait_for_more(20)
            cluster.part(3)
            assert client.remove_node(3).leaving == {3: 0}
            client.remove_node(3)  # ordered again: no error
            wait_gone(client, 3)
            assert cluster.wait_ended(3) == MUST_NOT_RUN
            movers.wait_for_more(20)
        finally:
            movers.stop()
        cluster.wait_ready(caught_up=True)
        judge(client, movers)
        assert set(map(frozenset, voters(client).values())) == {frozenset({1, 2, 4})}
    with cluster.client(4) as alone:  # it takes requests as any other
        judge(alone, movers)


def test_what_cannot_be_is_refused_in_words_and_fewer_replicas_are_had_when_asked_for(cluster: LocalCluster) -> None:
    with cluster.client(1, 2) as client:
        with pytest.raises(NotFound, match="n4 does not ask to be let in"):
            client.add_node(4)
        with pytest.raises(BadRequest, match="there is a node n2"):
            client.add_node(2)
        with pytest.raises(NotFound, match="n4 cannot take the place of n2: add it first"):
            client.replace_node(2, 4)
        with pytest.raises(NotFound, match="there is no node n9"):
            client.remove_node(9)
        with pytest.raises(BadRequest, match="there are 2 nodes for 3 replicas"):
            client.remove_node(3)
        status = client.status()
        assert (status["leaving"], status["gone"], status["waiting"]) == ([], [], [])
        cluster.part(3)
        client.remove_node(3, fewer=True)
        wait_gone(client, 3)
        assert cluster.wait_ended(3) == MUST_NOT_RUN
        assert set(map(frozenset, voters(client).values())) == {frozenset({1, 2})}
        rows = sorted(bank.counter_ids(cluster.shards).values())
        client.execute_many([(bank.COUNT_UP, [row]) for row in rows], expect_rows=1)


def test_a_node_that_lost_its_data_is_refused_under_its_number_and_comes_back_under_a_new_one(
    cluster: LocalCluster,
) -> None:
    with cluster.client(1, 3) as client:
        let_in(cluster, client, 4)
        for lost in (2, 4):  # a founder, and one that joined
            cluster.part(lost)
            cluster.kill(lost)
            cluster.processes[lost].wait()
            shutil.rmtree(cluster.home(lost) / "data")
            (cluster.home(lost) / "data").mkdir()
            cluster.start(lost)
            assert cluster.wait_ended(lost) == MUST_NOT_RUN
            assert f"was n{lost}; replace it" in (cluster.home(lost) / "log").read_text()
            let_in(cluster, client, lost + 3)
            client.replace_node(lost, lost + 3)
            wait_gone(client, lost)
        assert set(map(frozenset, voters(client).values())) <= {frozenset({1, 3, 5}), frozenset({1, 3, 7})}, voters(
            client
        )
        assert client.status()["gone"] == [2, 4]
        rows = sorted(bank.counter_ids(cluster.shards).values())
        client.execute_many([(bank.COUNT_UP, [row]) for row in rows], expect_rows=1)
