"""What `ReplicatedLog` promises, whichever protocol stands behind it. The cast is n1, n2, n3; n1 is preferred."""

from __future__ import annotations

import pytest

from nodes.core.replicated_log import NotLeader, ReplicatedLog
from tests.contract.log_cluster import LogCluster

Core = type[ReplicatedLog]


# -- order and agreement
def test_entries_come_in_the_order_they_were_proposed_on_every_replica(cluster: LogCluster) -> None:
    data = [b"v%d" % number for number in range(100)]
    for value in data[:50]:
        cluster.propose(1, value)
    cluster.propose_many(1, data[50:])
    cluster.run_until(lambda: cluster.everyone_has(data))
    assert len({len(member.applied) for member in cluster.members.values()}) == 1


def test_propose_tells_the_slot_of_the_entry(cluster: LogCluster) -> None:
    slot = cluster.propose(1, b"v")
    cluster.deliver_all()
    assert cluster.members[1].applied[slot - 1].data == b"v"


def test_a_group_of_one_works_alone(core: Core) -> None:
    cluster = LogCluster(core, nodes=(1,))
    cluster.elect()
    cluster.propose(1, b"v")
    cluster.confirm(1, 7)
    assert cluster.members[1].data == [b"v"]
    assert cluster.members[1].reads == [(7, True)]
    cluster.restart(1)
    cluster.elect()
    assert cluster.members[1].data == [b"v"]


def test_a_group_of_five_survives_two(core: Core) -> None:
    cluster = LogCluster(core, nodes=(1, 2, 3, 4, 5))
    cluster.elect()
    cluster.crash(1)
    cluster.crash(4)
    cluster.propose(cluster.elect(), b"v")
    cluster.run_until(lambda: cluster.everyone_has([b"v"]))


# -- epochs
def test_propose_is_refused_in_another_epoch(cluster: LogCluster) -> None:
    """Case P23."""
    for epoch in (0, cluster[1].epoch - 1, cluster[1].epoch + 1):
        with pytest.raises(NotLeader):
            cluster[1].propose(b"v", epoch)


def test_a_follower_refuses_and_names_the_leader(cluster: LogCluster) -> None:
    with pytest.raises(NotLeader) as refusal:
        cluster[2].propose(b"v", cluster[2].epoch)
    assert refusal.value.leader == 1


def test_a_leaders_own_first_entry_comes_before_it_serves(cluster: LogCluster) -> None:
    cluster.propose(1, b"old")
    cluster.deliver_all()
    cluster.crash(1, noticed=True)
    leader = cluster.elect()
    cluster.propose(leader, b"new")
    cluster.deliver_all()
    own = [entry for entry in cluster.members[leader].applied if entry.epoch == cluster[leader].epoch]
    assert [entry.data for entry in own] == [b"", b"new"]
    assert cluster.members[leader].data == [b"old", b"new"]


def test_nothing_of_an_older_epoch_is_applied_behind_a_newer_one(core: Core) -> None:
    for seed in range(12):
        cluster = LogCluster(core, seed=seed)
        leader = cluster.elect()
        for turn in range(4):  # each leader leaves entries that only itself, or one other, holds
            cluster.propose_many(leader, [b"%d.%d" % (turn, number) for number in range(3)])
            for _ in range(cluster.rng.randrange(3)):
                if cluster.queue:
                    cluster.deliver()
            cluster.restart(leader)
            leader = cluster.elect()
        cluster.run(10)
        assert len({len(member.applied) for member in cluster.members.values()}) == 1


def test_the_epoch_does_not_fall_over_a_restart(cluster: LogCluster) -> None:
    before = {node: cluster[node].epoch for node in cluster.nodes}
    for node in cluster.nodes:
        cluster.restart(node)
    assert {node: cluster[node].epoch for node in cluster.nodes} == before
    assert cluster[cluster.elect()].epoch > max(before.values())


# -- confirm
def test_all_tokens_between_two_drains_share_one_round(cluster: LogCluster) -> None:
    cluster.queue.clear()
    cluster.confirm(1, 7, 8)
    assert len(cluster.queue) == 2
    cluster.deliver_all()
    assert sorted(cluster.members[1].reads) == [(7, True), (8, True)]


def test_one_other_answer_of_three_confirms(cluster: LogCluster) -> None:
    cluster.partition((1, 2), (3,))
    cluster.confirm(1, 7)
    assert cluster.members[1].reads == []
    cluster.deliver_all()
    assert cluster.members[1].reads == [(7, True)]


def test_a_heartbeat_that_no_read_waits_for_is_answered_when_the_follower_beats(cluster: LogCluster) -> None:
    beat = cluster.timing.heartbeat
    cluster.run(2 * beat)
    for _ in range(beat):
        cluster.tick(1)
    assert {envelope.to for envelope in cluster.queue} == {2, 3}
    cluster.deliver_all()
    cluster.confirm(1, 7)  # at once: nothing was held back for it
    cluster.deliver_all()
    assert cluster.members[1].reads == [(7, True)]
    for _ in range(beat):
        cluster.tick(1)
    cluster.deliver_all()
    sent = len(cluster.members[2].drains)
    for _ in range(beat):
        assert len(cluster.members[2].drains) == sent, "it was answered before, or twice"
        cluster.tick(2)
        sent += len(cluster.queue)
    assert [(envelope.sender, envelope.to) for envelope in cluster.queue] == [(2, 1)]


def test_a_leader_stays_while_its_followers_are_slow(cluster: LogCluster) -> None:
    epoch, slow = cluster[1].epoch, cluster.timing.election_min - 2 * cluster.timing.heartbeat
    for tick in range(20 * slow):
        for node in cluster.nodes if tick % slow == 0 else (1,):
            cluster.tick(node)
        cluster.deliver_all()
    assert cluster.leaders() == [1]
    assert cluster[1].epoch == epoch


def test_a_follower_confirms_nothing(cluster: LogCluster) -> None:
    cluster.confirm(2, 7)
    assert cluster.members[2].reads == [(7, False)]


def test_answers_to_a_round_begun_before_do_not_confirm(cluster: LogCluster) -> None:
    """Cases P22 and O04: there are no leases, so a pause of any length is as harmless."""
    cluster.confirm(1, 7)
    while any(envelope.to != 1 for envelope in cluster.queue):
        cluster.deliver()
    late = list(cluster.queue)
    cluster.queue.clear()
    cluster.partition((1,), (2, 3))
    cluster.confirm(1, 8)
    cluster.queue.clear()
    for envelope in late:
        cluster[1].receive(envelope.sender, envelope.message)
    cluster.pump(1)
    assert cluster.members[1].reads == [(7, True)]


def test_a_deposed_leader_never_confirms_what_was_asked_after_a_newer_leaders_entry(cluster: LogCluster) -> None:
    """Cases P21 and R24."""
    cluster.partition((1,), (2, 3))
    for peer in (2, 3):
        cluster[peer].on_peer_lost(1)
    cluster.run_until(lambda: cluster.serving(2) or cluster.serving(3))
    newer = cluster.elect()
    cluster.propose(newer, b"new")
    cluster.deliver_all()
    cluster.confirm(1, 7)
    cluster.heal()
    cluster.run(40)
    assert cluster.members[1].reads == [(7, False)]


def test_a_leader_cut_off_gives_its_tokens_back(cluster: LogCluster) -> None:
    cluster.partition((1,), (2, 3))
    cluster.confirm(1, 7)
    cluster.run_until(lambda: cluster.members[1].reads == [(7, False)])
    assert not cluster[1].leads


# -- durability
def test_no_acknowledgement_leaves_before_its_records_are_durable(cluster: LogCluster) -> None:
    for node in (2, 3):
        cluster.hold_disk(node)
    slot = cluster.propose(1, b"v")
    cluster.deliver_all()
    assert cluster[1].chosen_slot < slot
    cluster.release_disk(2)
    cluster.deliver_all()
    assert cluster[1].chosen_slot == slot


def test_a_repeated_message_does_not_draw_the_acknowledgement_out_early(cluster: LogCluster) -> None:
    for node in (2, 3):
        cluster.hold_disk(node)
    slot = cluster.propose(1, b"v")
    for envelope in list(cluster.queue) * 2:
        cluster[envelope.to].receive(envelope.sender, envelope.message)
        cluster.pump(envelope.to)
    cluster.run(10)
    assert cluster[1].chosen_slot < slot
    for node in (2, 3):
        cluster.restart(node)
    assert all(cluster[node].last_slot < slot for node in (2, 3))


def test_the_own_acceptance_counts_only_when_durable(cluster: LogCluster) -> None:
    cluster.hold_disk(1)
    cluster.partition((1, 2), (3,))
    slot = cluster.propose(1, b"v")
    cluster.deliver_all()
    assert cluster[1].chosen_slot < slot
    cluster.release_disk(1)
    assert cluster[1].chosen_slot == slot


def test_entries_are_applied_only_when_durable_here(cluster: LogCluster) -> None:
    cluster.hold_disk(1)
    cluster.propose(1, b"v")
    cluster.deliver_all()
    assert cluster.members[1].data == []
    cluster.release_disk(1)
    assert cluster.members[1].data == [b"v"]


def test_nobody_is_elected_while_the_disks_stand_still(core: Core) -> None:
    cluster = LogCluster(core)
    for node in cluster.nodes:
        cluster.hold_disk(node)
    cluster.run(100)
    assert cluster.leaders() == []
    for node in cluster.nodes:
        cluster.release_disk(node)
    cluster.elect()


def test_marks_rise_and_stand_for_records_only(cluster: LogCluster) -> None:
    for number in range(5):
        cluster.propose(1, b"v%d" % number)
        cluster.run(1)
    for member in cluster.members.values():
        marks = [effects.mark for effects in member.drains if effects.mark]
        assert marks == sorted(set(marks))
        assert marks
