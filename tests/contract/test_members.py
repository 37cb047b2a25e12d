"""Members change one voter at a time, whichever protocol (cases R16 to R21; R17, joint consensus, is left out)."""

from __future__ import annotations

import pytest

from nodes.core.membership import ChangeRefused, Members, promoted, with_learner, without
from nodes.core.paxos.replica import PaxosReplica
from nodes.core.replicated_log import NotLeader, ReplicatedLog
from tests.contract.log_cluster import LogCluster

Core = type[ReplicatedLog]


@pytest.fixture
def cluster(core: Core) -> LogCluster:
    """n1, n2, n3 are founders and n1 serves; n4 and n5 hold nothing."""
    cluster = LogCluster(core, spares=(4, 5))
    assert cluster.elect() == 1
    cluster.run(3)
    return cluster


def change(cluster: LogCluster, leader: int, members: Members) -> int:
    """The slot."""
    slot = cluster[leader].change(members, cluster[leader].epoch)
    cluster.pump(leader)
    return slot


def members(cluster: LogCluster, node: int) -> Members:
    return cluster[node].configuration.members


def join(cluster: LogCluster, node: int) -> None:
    """n1 makes it a learner and invites it, and it catches up."""
    change(cluster, 1, with_learner(members(cluster, 1), node))
    cluster.run_until(lambda: cluster.invitation(1) is not None)
    invitation = cluster.invitation(1)
    assert invitation is not None
    cluster.join(node, invitation)
    cluster.run_until(lambda: cluster[1].is_near(node))


def replace(cluster: LogCluster, going: int, node: int) -> None:
    """n1 has `node`, which learns already, vote in the place of `going`, which goes."""
    change(cluster, 1, promoted(members(cluster, 1), node, going))
    cluster.run_until(lambda: cluster[1].is_settled)
    change(cluster, 1, without(members(cluster, 1), going))
    cluster.run_until(lambda: cluster[1].is_settled)


def test_a_learner_catches_up_and_is_no_part_of_a_majority(cluster: LogCluster) -> None:
    """R21: while it learns, a voter may fail, and it alone makes no majority with the leader."""
    cluster.propose_many(1, [b"%d" % number for number in range(30)])
    join(cluster, 4)
    cluster.crash(3)
    cluster.propose(1, b"without n3")
    cluster.run_until(lambda: cluster.members[4].data[-1:] == [b"without n3"])
    cluster.crash(2)
    cluster.propose(1, b"without n2")
    cluster.run(15)
    assert cluster.members[1].data[-1] == b"without n3"
    assert 4 not in cluster.leaders()


def test_a_learner_never_stands_for_election(cluster: LogCluster) -> None:
    join(cluster, 4)
    for node in (1, 2, 3):
        cluster.crash(node)
    cluster.run(100)
    assert cluster[4].epoch <= max(member.durable_epoch for member in cluster.members.values())
    assert cluster.leaders() == []


def test_a_learner_gets_a_store_with_the_members_in_it(cluster: LogCluster) -> None:
    cluster.propose_many(1, [b"%d" % number for number in range(20)])
    cluster.run(3)
    change(cluster, 1, with_learner(members(cluster, 1), 4))
    cluster.run_until(lambda: cluster.invitation(1) is not None)
    for node in (1, 2, 3):
        cluster.store(node)
        cluster.compact(node, len(cluster.members[node].applied))
    invitation = cluster.invitation(1)
    assert invitation is not None
    cluster.join(4, invitation)
    cluster.run_until(lambda: cluster[1].is_near(4))
    assert members(cluster, 4).learners == (4,)
    cluster.restart(4)
    assert members(cluster, 4).learners == (4,)


def test_a_dead_member_is_replaced_while_writes_go_on(cluster: LogCluster) -> None:
    cluster.crash(2)
    join(cluster, 4)
    replace(cluster, 2, 4)
    assert members(cluster, 1).voters == (1, 4, 3)
    cluster.crash(3)
    cluster.propose(1, b"with n4")
    cluster.run_until(lambda: cluster.members[4].data[-1:] == [b"with n4"])


def test_nothing_changes_before_an_own_entry_is_chosen(cluster: LogCluster) -> None:
    """R16: the erratum of the single-server change."""
    cluster.crash(1)
    while not cluster.leaders():
        if cluster.queue:
            cluster.deliver()
        else:
            for node in cluster.up():
                cluster.tick(node)
    (leader,) = cluster.leaders()
    assert not cluster.serving(leader), "its own entry has reached nobody yet"
    with pytest.raises(ChangeRefused):
        cluster[leader].change(without(members(cluster, leader), 1), cluster[leader].epoch)
    cluster.run_until(lambda: cluster.serving(leader))
    change(cluster, leader, without(members(cluster, leader), 1))


def test_one_change_after_the_other(cluster: LogCluster) -> None:
    cluster.partition((1,), (2, 3))
    change(cluster, 1, with_learner(members(cluster, 1), 4))
    with pytest.raises(ChangeRefused):
        cluster[1].change(with_learner(members(cluster, 1), 5), cluster[1].epoch)


@pytest.mark.parametrize(
    "wanted",
    [
        Members((1, 2, 3, 4, 5)),
        Members((1, 4), former=(2, 3)),
        Members((2, 3), former=(1,)),
        Members(()),
        Members((1, 2, 3), (3,)),
        Members((1, 2)),
    ],
    ids=["two more", "two others", "without the leader", "nobody", "twice", "forgotten"],
)
def test_what_is_no_safe_step_is_refused(cluster: LogCluster, wanted: Members) -> None:
    """R19: a leader does not remove itself, it hands over first."""
    before = cluster[1].last_slot
    with pytest.raises(ChangeRefused):
        cluster[1].change(wanted, cluster[1].epoch)
    assert cluster[1].last_slot == before


def test_who_was_removed_does_not_come_back(cluster: LogCluster) -> None:
    change(cluster, 1, without(members(cluster, 1), 3))
    cluster.run_until(lambda: cluster[1].is_settled)
    with pytest.raises(ChangeRefused):
        cluster[1].change(with_learner(members(cluster, 1), 3), cluster[1].epoch)


def test_who_does_not_lead_changes_nothing(cluster: LogCluster) -> None:
    with pytest.raises(NotLeader):
        cluster[2].change(with_learner(members(cluster, 2), 4), cluster[2].epoch)


def test_a_change_that_is_lost_was_none(cluster: LogCluster) -> None:
    """R18: what a leader that was cut off appended counts no more when it is overwritten."""
    before = members(cluster, 1)
    cluster.partition((1,), (2, 3))
    change(cluster, 1, without(before, 3))
    cluster.run_until(lambda: any(cluster.serving(node) for node in (2, 3)))
    cluster.heal()
    leader = cluster.elect()
    cluster.propose(leader, b"after")
    cluster.run_until(lambda: all(cluster.members[node].data[-1:] == [b"after"] for node in (1, 2, 3)))
    assert [members(cluster, node) for node in (1, 2, 3)] == [before] * 3


def test_a_store_takes_lost_members_away_with_the_log(core: Core) -> None:
    """R18: a node that was cut off with a change of its own gets a store: what it appended was never chosen."""
    cluster = LogCluster(core)
    assert cluster.elect() == 1
    cluster.run(3)
    cluster.partition((1,), (2, 3))
    change(cluster, 1, without(members(cluster, 1), 2))
    cluster.run_until(lambda: any(cluster.serving(node) for node in (2, 3)))
    leader = next(node for node in (2, 3) if cluster.serving(node))
    cluster.propose_many(leader, [b"%d" % number for number in range(30)])
    cluster.run(5)
    for node in (2, 3):
        cluster.store(node)
        cluster.compact(node, len(cluster.members[node].applied))
    cluster.heal()
    cluster.run_until(lambda: cluster.members[1].data[-1:] == [b"29"])
    assert members(cluster, 1) == members(cluster, leader)


def test_who_stands_and_is_removed_by_a_store_stands_no_more(core: Core) -> None:
    cluster = LogCluster(core, nodes=(1, 2, 3, 4), eager=2)
    assert cluster.elect() == 2
    cluster.run(3)
    cluster.partition((1,), (2, 3, 4))
    change(cluster, 2, without(members(cluster, 2), 1))
    cluster.run_until(lambda: cluster[2].is_settled)
    cluster.run(3)
    copied = cluster.copy(2)
    for _ in range(40):  # it asks whether it could win
        cluster.tick(1)
    assert cluster.install(1, copied)
    cluster.queue.clear()
    cluster.crash(2)
    cluster.partition((1, 3, 4), (2,))
    cluster.run(100)
    assert not cluster[1].leads or core is PaxosReplica, "it is no voter"
    if cluster[1].leads:  # until others can do without, but its own copy counts for nothing
        cluster.partition((1, 3), (4,))
        cluster.propose(1, b"by n3 alone")
        cluster.deliver_all()
        assert cluster.members[1].data[-1:] != [b"by n3 alone"]


def test_a_leader_leaves_when_it_has_handed_over(cluster: LogCluster) -> None:
    """R19."""
    cluster[1].transfer(2)
    cluster.pump(1)
    cluster.run_until(lambda: cluster.serving(2))
    cluster.run(3)
    change(cluster, 2, without(members(cluster, 2), 1))
    cluster.run_until(lambda: cluster[2].is_settled)
    cluster.propose(2, b"without n1")
    cluster.run_until(lambda: cluster.members[3].data[-1:] == [b"without n1"])


def test_who_was_removed_goes_when_others_can_do_without(cluster: LogCluster) -> None:
    """Of two voters one is removed, and goes: the other one restarts from what is durable, and goes on alone."""
    change(cluster, 1, without(members(cluster, 1), 3))
    cluster.run_until(lambda: cluster[1].is_settled)
    cluster.leave(3)
    cluster.hold_disk(1)
    slot = change(cluster, 1, without(members(cluster, 1), 2))
    waiting = cluster.members[1].unsynced
    while cluster[1].chosen_slot < slot:
        if len(waiting) > 0:
            cluster.sync(1, 1)
        cluster.deliver_all()
    if cluster[1].configuration.members.voters == (1,) and cluster[1].is_settled:
        cluster.leave(2)
    cluster.restart(1)
    cluster.members[1].disk_holds = False
    cluster.run_until(lambda: bool(cluster.leaders()), 400)


def test_who_was_removed_and_does_not_know_disturbs_nobody(cluster: LogCluster) -> None:
    """R20."""
    cluster.partition((1, 2), (3,))
    change(cluster, 1, without(members(cluster, 1), 3))
    cluster.run_until(lambda: cluster[1].is_settled)
    cluster.run(100)
    epoch = cluster[1].epoch
    cluster.heal()
    cluster.run(100)
    assert cluster.leaders() == [1]
    assert cluster[1].epoch == epoch


def test_who_knows_only_members_of_long_ago_cannot_win(cluster: LogCluster) -> None:
    """Three changes have passed n3 by; what n1, n4 and n5 have chosen since is not lost by its standing."""
    cluster.crash(3)
    join(cluster, 4)
    replace(cluster, 2, 4)
    cluster.crash(2)
    join(cluster, 5)
    replace(cluster, 3, 5)
    cluster.propose(1, b"chosen")
    cluster.run_until(lambda: cluster.members[5].data[-1:] == [b"chosen"])
    cluster.crash(1)
    for node in (2, 3):
        cluster.start(node)
    cluster.partition((2, 3, 4), (5,))
    cluster.run(200)
    assert not any(cluster.serving(node) for node in (2, 3))
    cluster.heal()
    leader = cluster.elect()
    assert leader in (4, 5)
    assert b"chosen" in cluster.members[leader].data


def test_who_finds_newer_members_when_it_stands_needs_a_majority_of_them(cluster: LogCluster) -> None:
    """n3 knows the founders, and of n2 it hears that n4 votes too; what n1 and n4 chose in n2's stead is not lost."""
    cluster.partition((1, 2, 4), (3,))
    join(cluster, 4)
    replace(cluster, 2, 4)
    assert sorted(members(cluster, 2).voters) == [1, 2, 3, 4]
    cluster.partition((1, 4), (2, 3))
    cluster.propose(1, b"chosen")
    cluster.run_until(lambda: cluster.members[4].data[-1:] == [b"chosen"])
    for _ in range(30):
        if cluster[3].epoch <= cluster[1].epoch:  # else it stands, and n2 has answered
            cluster.run(1)
    cluster.heal()
    cluster.run_until(lambda: cluster.members[3].data[-1:] == [b"chosen"])
