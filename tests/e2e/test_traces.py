"""What nodes remember of transactions, on real processes: the same from every node, with one of them killed, too."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from nodes import ids
from nodes.client import Cluster
from nodes.core.txn import steps
from nodes.errors import BadRequest, ConstraintViolation, NotFound, StoreError
from nodes.requests import Trace
from tests.e2e.cluster import LocalCluster
from tests.e2e.load import ACCOUNTS, CREDIT, DEBIT, open_bank, transfer

PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def bank(local_cluster: LocalCluster) -> Iterator[Cluster]:
    with local_cluster.client() as client:
        open_bank(client)
        yield client


def pair_of_two_shards(bank: Cluster) -> tuple[int, int]:
    """Two accounts that lie on different shards."""
    for target in range(2, ACCOUNTS + 1):
        if len(transfer(bank, 1, target).shards) == 2:
            return 1, target
    raise AssertionError("all accounts lie on one shard")


def complete(client: Cluster, id: str) -> Trace:
    """The trace, once every shard has ended it (which comes after the answer)."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        trace = client.trace(id)
        ended = [step for step in trace.steps if step.step in (steps.ENDED, steps.COMMITTED, steps.ABORTED)]
        if trace.transaction is not None and len(ended) >= len(trace.transaction.shards) > 0:
            return trace
        assert time.monotonic() < deadline, trace
        time.sleep(0.05)


def test_a_transfer_over_two_shards_leaves_every_step_and_every_node_tells_the_same(
    bank: Cluster, local_cluster: LocalCluster
) -> None:
    reply = transfer(bank, *pair_of_two_shards(bank))
    trace = complete(bank, reply.id)
    assert trace.fate is not None
    assert trace.transaction is not None
    assert (trace.fate.state, trace.fate.commit_ts, trace.silent) == ("committed", reply.commit_ts, [])
    assert trace.transaction.gateway == ids.node_of(ids.from_text(reply.id))
    assert [(one.sql, one.params) for one in trace.transaction.statements] == [
        (DEBIT, ["integer", "integer"]),
        (CREDIT, ["integer", "integer"]),
    ]
    for shard in reply.shards:
        own = [step.step for step in trace.steps if step.group == shard and step.step != steps.WAITS]
        assert own == [steps.ARRIVED, steps.EVALUATED, steps.PREPARED, steps.ENDED]
    decisions = [step for step in trace.steps if step.step == steps.DECISION]
    assert {(step.group, step.detail["slot"], step.detail["commit_ts"]) for step in decisions} == {
        ("c1", decisions[0].detail["slot"], reply.commit_ts)
    }
    gateway = [step.step for step in trace.steps if step.group == ""]
    assert gateway[0] == steps.BEGUN
    assert gateway[-2:] == [steps.DECIDED, steps.ANSWERED]
    assert sorted(trace.since_us) == local_cluster.numbers
    for node in local_cluster.numbers:
        with local_cluster.client(node) as client:
            assert {(s.node, s.group, s.step, s.at_us) for s in client.trace(reply.id).steps} >= {
                (s.node, s.group, s.step, s.at_us) for s in trace.steps
            }


def test_an_interactive_transaction_that_only_read_is_confirmed_and_released_by_its_shards(
    bank: Cluster, local_cluster: LocalCluster
) -> None:
    accounts = pair_of_two_shards(bank)
    with bank.transaction() as txn:
        for account in accounts:
            txn.query("SELECT balance FROM accounts WHERE id = $1 FOR UPDATE", [account])
    assert txn.reply is not None
    for node in local_cluster.numbers:
        with local_cluster.client(node) as client:
            trace = client.trace(txn.id)
            assert trace.fate is not None
            assert trace.transaction is not None
            assert (trace.fate.state, trace.fate.commit_ts, trace.transaction.commit_ts) == ("committed", 0, 0)
            assert (trace.transaction.state, trace.transaction.shards) == ("committed", txn.reply.shards)
            for shard in txn.reply.shards:
                own = [step.step for step in trace.steps if step.group == shard and step.step != steps.WAITS]
                assert own == [steps.ARRIVED, steps.EVALUATED, steps.RELEASED]
            gateway = [step.step for step in trace.steps if step.group == ""]
            assert gateway[-3:] == [steps.CONFIRMED, steps.CONFIRMED, steps.ANSWERED]


def test_a_refused_statement_is_listed_as_aborted_with_its_cause(bank: Cluster) -> None:
    with pytest.raises(ConstraintViolation) as caught:
        bank.execute("UPDATE accounts SET balance = $1 WHERE id = 1", [-1])
    found = {one.id: one for one in bank.transactions("aborted").transactions}
    one = found[caught.value.info.transaction]
    assert (one.state, one.code, one.cause) == ("aborted", "constraint", str(caught.value))
    trace = complete(bank, one.id)
    assert steps.ABORTED in [step.step for step in trace.steps]


def test_the_lists_are_paged_without_a_gap(bank: Cluster) -> None:
    sent = [transfer(bank, 1, 2).id for _ in range(12)]
    found, after = [], ""
    for _ in range(5):
        page = bank.transactions("newest", 5, after)
        found += [one.id for one in page.transactions]
        after = page.next
        if not after:
            break
    assert found[:12] == sent[::-1]
    assert len(set(found)) == len(found)


def test_the_slowest_come_slowest_first(bank: Cluster) -> None:
    durations = [one.duration_us for one in bank.transactions("slow").transactions]
    assert durations == sorted(durations, reverse=True)
    assert durations[-1] > 0


def test_nothing_stays_in_doubt_when_nothing_runs(bank: Cluster) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while bank.transactions("in_doubt").transactions:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_questions_that_mean_nothing_are_refused(bank: Cluster) -> None:
    for wrong in ({"filter": "fastest"}, {"limit": 0}, {"after": "x"}):
        with pytest.raises(BadRequest):
            bank.transactions(**wrong)  # type: ignore[arg-type]
    foreign = ids.to_text(ids.mint(1 << 20, 1, 1, 1, "c1", b"another cluster!"))
    for id in ("nonsense", foreign):
        with pytest.raises(NotFound):
            bank.trace(id)


def test_an_id_that_was_never_begun_has_no_steps_and_a_fate(bank: Cluster) -> None:
    known = ids.from_text(transfer(bank, 1, 2).id)
    unused = ids.to_text(ids.mint(ids.time_of(known), 1, 1, 1 << 40, "c2", known[22:]))
    trace = bank.trace(unused)
    assert trace.fate is not None
    assert (trace.steps, trace.transaction, trace.fate.state) == ([], None, "undecided")
    assert all(since_us > 0 for since_us in trace.since_us.values())


def test_a_restarted_node_notes_nothing_of_what_it_applies_again(bank: Cluster, local_cluster: LocalCluster) -> None:
    id = transfer(bank, *pair_of_two_shards(bank)).id
    complete(bank, id)
    victim = next(node for node in local_cluster.numbers if node != ids.node_of(ids.from_text(id)))
    life = local_cluster.statistics(victim)["boot"]
    local_cluster.kill(victim)
    deadline = time.monotonic() + PATIENCE_S
    while life_of(local_cluster, victim) != life + 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    local_cluster.wait_ready(caught_up=True)
    after = bank.trace(id)
    assert (after.silent, [step for step in after.steps if step.node == victim]) == ([], [])
    assert after.fate is not None
    assert after.fate.state == "committed"


def life_of(local_cluster: LocalCluster, node: int) -> int:
    """0 while it does not answer."""
    try:
        return int(local_cluster.statistics(node)["boot"])
    except StoreError:
        return 0


def test_the_status_tells_seconds_and_changes(bank: Cluster, local_cluster: LocalCluster) -> None:
    committed = local_cluster.status()["requests"]["committed"]
    deadline = time.monotonic() + PATIENCE_S
    while True:
        transfer(bank, 1, 2)
        status = local_cluster.status()
        if status["requests"]["committed"] > committed and any(entry[1] for entry in status["per_second"]):
            break
        assert time.monotonic() < deadline
    leads = {(change["node"], change["group"]) for change in status["changes"] if change["kind"] == "leads"}
    assert {(group["leader"], group["group"]) for group in status["groups"]} <= leads
    assert all(node["since_ms"] <= status["clock_ms"] for node in status["nodes"])
