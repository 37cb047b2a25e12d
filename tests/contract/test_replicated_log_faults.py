"""How a `ReplicatedLog` fares with crashes, partitions and elections, and what it shows of itself."""

from __future__ import annotations

import pytest

from nodes.core.paxos.replica import PaxosReplica
from nodes.core.replicated_log import NEAR_ENTRIES, LogEffects, NotLeader, ReplicatedLog, Timing
from tests.contract.log_cluster import Envelope, LogCluster

Core = type[ReplicatedLog]


# -- restart, lag, faults
def test_a_restart_from_the_records_applies_the_same_again(cluster: LogCluster) -> None:
    data = [b"v%d" % number for number in range(20)]
    cluster.propose_many(1, data)
    cluster.run(3)
    for node in cluster.nodes:
        cluster.restart(node)
    cluster.elect()
    cluster.run_until(lambda: cluster.everyone_has(data))


def test_a_crash_forgets_what_was_not_durable_and_nothing_else(cluster: LogCluster) -> None:
    cluster.propose(1, b"kept")
    cluster.run(3)
    cluster.hold_disk(1)
    cluster.partition((1,), (2, 3))
    cluster.propose(1, b"lost")
    cluster.deliver_all()
    cluster.crash(1)
    cluster.members[1].disk_holds = False
    cluster.heal()
    cluster.start(1)
    cluster.elect()
    cluster.run_until(lambda: cluster.everyone_has([b"kept"]))


def test_a_lagging_replica_catches_up_in_batches(core: Core) -> None:
    cluster = LogCluster(core, timing=Timing(max_batch_bytes=300))
    cluster.elect()
    cluster.crash(3)
    data = [b"v%d" % number for number in range(200)]
    for value in data:
        cluster.propose(1, value)
        cluster.deliver_all()
    cluster.run(20)
    cluster.start(3)
    cluster.run_until(lambda: cluster.everyone_has(data))
    cluster.run_until(lambda: cluster[1].progress()[3] == cluster[1].last_slot, 10)


def test_an_entry_larger_than_a_batch_still_passes(core: Core) -> None:
    cluster = LogCluster(core, timing=Timing(max_batch_bytes=10, max_inflight_bytes=20))
    cluster.elect()
    data = [b"x" * 50, b"y" * 50, b"z"]
    cluster.propose_many(1, data)
    cluster.run_until(lambda: cluster.everyone_has(data))


def test_lost_messages_are_sent_again(cluster: LogCluster) -> None:
    cluster.propose(1, b"v")
    cluster.queue.clear()
    cluster.run_until(lambda: cluster.everyone_has([b"v"]), 20)


def test_the_leader_changes_under_load_and_nothing_acknowledged_is_lost(core: Core) -> None:
    cluster = LogCluster(core)
    leader = cluster.elect()
    acknowledged: list[bytes] = []
    for turn in range(6):
        before = len(cluster.members[leader].data)
        for number in range(10):
            cluster.propose(leader, b"%d.%d" % (turn, number))
            for _ in range(cluster.rng.randrange(4)):
                if cluster.queue:
                    cluster.deliver()
        acknowledged += cluster.members[leader].data[before:]
        cluster.crash(leader, noticed=True)
        cluster.start(leader)
        leader = cluster.elect()
    cluster.run(10)
    assert set(acknowledged) <= set(cluster.members[leader].data)
    assert cluster.everyone_has(cluster.members[leader].data)


def test_no_progress_without_a_majority_and_progress_after_it_is_back(cluster: LogCluster) -> None:
    cluster.partition((1,), (2,), (3,))
    cluster.propose(1, b"alone")
    cluster.run(100)
    assert cluster.leaders() == []
    assert cluster.everyone_has([])
    cluster.heal()
    cluster.propose(cluster.elect(), b"together")
    cluster.run_until(lambda: all(b"together" in member.data for member in cluster.members.values()))


def test_who_was_cut_off_does_not_depose_the_leader_when_it_comes_back(cluster: LogCluster) -> None:
    epoch = cluster[1].epoch
    cluster.partition((1, 2), (3,))
    cluster.run(200)
    cluster.heal()
    cluster.run(50)
    assert cluster[1].leads
    assert cluster[1].epoch == epoch


def test_a_partial_partition_leaves_a_leader_that_makes_progress(cluster: LogCluster) -> None:
    cluster.cut = {(1, 2), (2, 1)}
    epochs = set()
    for _ in range(300):
        cluster.run()
        epochs |= {cluster[node].epoch for node in cluster.leaders()}
    assert len(epochs) <= 2
    cluster.propose(cluster.elect(), b"v")
    cluster.run(5)
    assert sum(member.data == [b"v"] for member in cluster.members.values()) >= 2


def test_repeated_messages_change_nothing(cluster: LogCluster) -> None:
    data = [b"v%d" % number for number in range(30)]
    for value in data:
        cluster.propose(1, value)
        cluster.queue += [Envelope(each.sender, each.to, each.message) for each in cluster.queue]
        cluster.deliver_all()
    cluster.run(3)
    assert cluster.everyone_has(data)


# -- elections
def test_the_eager_node_is_elected_first(core: Core) -> None:
    for eager in (1, 2, 3):
        cluster = LogCluster(core, eager=eager)
        ticks = cluster.run_until(lambda cluster=cluster: any(cluster.serving(node) for node in cluster.nodes))
        assert ticks <= 4
        assert cluster.leaders() == [eager]


def test_without_a_preferred_leader_one_is_elected_too(core: Core) -> None:
    for seed in range(10):
        cluster = LogCluster(core, seed=seed, eager=None)
        cluster.elect()
        cluster.run(50)
        assert len(cluster.leaders()) == 1


@pytest.mark.parametrize("to", [2, 3])
def test_transfer_hands_the_leadership_over(cluster: LogCluster, to: int) -> None:
    cluster.propose(1, b"v")
    cluster.run(3)
    cluster[1].transfer(to)
    cluster.pump(1)
    cluster.run_until(lambda: cluster.serving(to), 4)
    assert cluster.leaders() == [to]
    assert cluster.members[to].data == [b"v"]
    assert cluster[to].handed_over


def test_a_leader_that_was_elected_was_not_handed_over_to(cluster: LogCluster) -> None:
    assert not cluster[1].handed_over
    cluster[1].transfer(2)
    cluster.pump(1)
    cluster.run_until(lambda: cluster.serving(2), 4)
    cluster.crash(2, noticed=True)
    cluster.run_until(lambda: any(cluster.serving(node) for node in cluster.up()))
    (leader,) = cluster.leaders()
    assert not cluster[leader].handed_over


def test_who_leads_on_because_nobody_took_over_was_not_handed_the_leadership(cluster: LogCluster) -> None:
    cluster[1].transfer(2)
    cluster.pump(1)
    cluster.run_until(lambda: cluster.serving(2), 4)
    cluster.crash(3)
    cluster[2].transfer(3)
    cluster.pump(2)
    cluster.run(2 * Timing().election_max)
    assert cluster.leaders() == [2]
    assert cluster[2].handed_over == isinstance(cluster[2], PaxosReplica), "in Paxos it led on in its old ballot"


def test_a_peer_is_near_while_it_is_heard_and_holds_nearly_everything(cluster: LogCluster) -> None:
    cluster.run(5)
    assert cluster[1].is_near(2)
    assert not cluster[2].is_near(1), "only a leader knows"
    cluster.partition((1, 3))
    for _ in range(NEAR_ENTRIES + 1):
        cluster.propose(1, b"v")
    cluster.run(3)
    assert not cluster[1].is_near(2)
    assert cluster[1].is_near(3)
    cluster.heal()
    cluster.run(20)
    assert cluster[1].is_near(2)
    cluster.crash(2)
    cluster.run(2 * Timing().election_min)
    assert not cluster[1].is_near(2)


def test_who_refused_a_proposal_for_an_heir_that_is_gone_does_not_go_on_in_its_epoch(cluster: LogCluster) -> None:
    """Its state machine counts on what it proposes: that nothing came of it is told by the end of the leadership."""
    epoch = cluster[1].epoch
    cluster.crash(2)
    cluster[1].transfer(2)
    cluster.pump(1)
    try:
        cluster.propose(1, b"meanwhile")
    except NotLeader:
        cluster.run(2 * cluster.timing.election_max)
        assert cluster[cluster.elect()].epoch > epoch
    else:
        cluster.run(2 * cluster.timing.election_max)
        assert b"meanwhile" in cluster.members[1].data


def test_transfer_to_nobody_in_particular_finds_somebody_who_is_not_behind(cluster: LogCluster) -> None:
    cluster.partition((1, 3))
    cluster.propose(1, b"v")
    cluster.run(3)
    cluster.heal()
    cluster[1].transfer()
    cluster.pump(1)
    cluster.run_until(lambda: cluster.serving(3), 4)


def test_transfer_by_a_follower_does_nothing(cluster: LogCluster) -> None:
    cluster[2].transfer(3)
    cluster.pump(2)
    cluster.run(5)
    assert cluster.leaders() == [1]


def test_a_broken_connection_speeds_the_election_up(core: Core) -> None:
    for seed in range(10):
        cluster = LogCluster(core, seed=seed)
        cluster.elect()
        cluster.run(5)
        cluster.crash(1, noticed=True)
        ticks = cluster.run_until(lambda cluster=cluster: any(cluster.serving(node) for node in cluster.up()))
        assert ticks <= 2 * Timing().election_min


def test_a_broken_connection_between_followers_means_nothing(cluster: LogCluster) -> None:
    cluster[2].on_peer_lost(3)
    cluster[1].on_peer_lost(3)
    cluster.run(50)
    assert cluster.leaders() == [1]


# -- what is sent and seen
def test_one_batch_for_each_peer_and_drain(cluster: LogCluster) -> None:
    seen: list[LogEffects] = []
    cluster.watch = lambda node, effects: seen.append(effects) if node == 1 else None
    cluster.propose_many(1, [b"v%d" % number for number in range(50)])
    assert len(seen) == 1
    assert sorted(to for to, _ in seen[0].sends) == [2, 3]
    assert seen[0].promises == []
    assert seen[0].mark


def test_many_batches_may_be_on_their_way(cluster: LogCluster) -> None:
    cluster.queue.clear()
    for number in range(10):
        cluster.propose(1, b"v%d" % number)
    assert len(cluster.queue) == 20


def test_a_drained_core_has_nothing_more_to_say(cluster: LogCluster) -> None:
    for node in cluster.nodes:
        assert not cluster[node].needs_drain()
        assert cluster[node].drain() == LogEffects()


def test_the_leader_knows_how_far_each_member_is(cluster: LogCluster) -> None:
    cluster.propose(1, b"v")
    cluster.run(3)
    assert cluster[1].progress() == dict.fromkeys(cluster.nodes, cluster[1].last_slot)
    assert cluster[2].progress() == {}


def test_a_majority_has_reached_the_majority_clock(cluster: LogCluster) -> None:
    cluster.members[1].clock_ms = 1_000_000
    cluster.run(10)
    clocks = sorted(member.clock_ms for member in cluster.members.values())
    assert 0 < cluster[1].majority_clock_ms <= clocks[1]


def test_the_same_rng_gives_the_same_history(core: Core) -> None:
    histories = []
    for _ in range(2):
        cluster = LogCluster(core, seed=5, eager=None)
        history: list[object] = []
        cluster.watch = lambda node, effects, history=history: history.append((node, effects))
        cluster.propose(cluster.elect(), b"v")
        cluster.run(50)
        histories.append(history)
    assert histories[0] == histories[1]


def test_the_answers_of_who_is_no_member_count_for_nothing(cluster: LogCluster) -> None:
    cluster.partition((1, 2), (3,))
    cluster.propose(1, b"v")
    while cluster.queue[0].to != 1:
        cluster.deliver()
    answers = [envelope.message for envelope in cluster.queue if envelope.to == 1]
    cluster.queue.clear()
    before = cluster[1].chosen_slot
    for message in answers:
        cluster[1].receive(8, message)
        cluster[1].receive(9, message)
    assert cluster[1].chosen_slot == before
    cluster[1].receive(2, answers[-1])
    assert cluster[1].chosen_slot == before + 1
