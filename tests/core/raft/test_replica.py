"""What the golden scripts do not show: refusals, byte bounds, clocks, time-outs, wire forms."""

from __future__ import annotations

import random
from typing import Any, get_args

import pytest

from nodes.core.membership import founded
from nodes.core.raft import messages
from nodes.core.raft.messages import Append, HardState, LogSuffix, Message, Record
from nodes.core.raft.replica import RaftReplica
from nodes.core.replicated_log import Entry, NotLeader, Point, Timing
from nodes.errors import Corrupt
from tests.core.raft.cluster import Cluster


def led_by_n1(size: int = 3, timing: Timing | None = None) -> Cluster:
    cluster = Cluster(size, timing)
    cluster.nodes[1].replica.election_at = 0
    cluster.run(3)
    assert cluster.nodes[1].replica.leads
    return cluster


def build(records: list[Any]) -> RaftReplica:
    return RaftReplica(1, founded(1, 2, 3), records, random.Random(1), Timing(), False)


@pytest.mark.parametrize(("old", "new"), [(3, 5), (4, 2)])
def test_a_cut_that_a_store_overtakes_is_not_forgotten(old: int, new: int) -> None:
    """Between two drains a leader replaces 61..100 by 61..80, and a store as of slot 80 comes in: what was cut must
    not be there again after a restart."""
    replica, disk = build([]), []

    def drain() -> None:
        effects = replica.drain()
        disk.extend(effects.records)
        if effects.mark:
            replica.on_durable(effects.mark)
            replica.drain()

    def entries(first: int, last: int, epoch: int) -> list[Entry]:
        return [Entry(slot, epoch, b"x") for slot in range(first, last + 1)]

    for prefix, suffix in ((0, entries(1, 60, 1)), (60, entries(61, 100, old))):
        replica.receive(2, Append(4, prefix, 1 if prefix else 0, suffix, 60))
        drain()
    replica.receive(3, Append(5, 60, 1, entries(61, 80, new), 60))
    replica.install(Point(80, new), 5)
    drain()
    again = RaftReplica(1, founded(1, 2, 3), disk, random.Random(1), Timing(), False, Point(80, new))
    assert (again.first_slot, again.last_slot, again.log.last_epoch) == (81, 80, new)


def test_a_proposal_is_refused_unless_it_names_the_epoch_of_this_leadership() -> None:
    cluster = led_by_n1()
    leader, follower = cluster.nodes[1].replica, cluster.nodes[2].replica
    with pytest.raises(NotLeader):
        leader.propose(b"x", leader.epoch - 1)
    with pytest.raises(NotLeader):
        leader.propose(b"x", leader.epoch + 1)
    with pytest.raises(NotLeader) as refusal:
        follower.propose(b"x", follower.epoch)
    assert refusal.value.leader == 1
    assert not leader.needs_drain()


def test_all_proposals_between_two_drains_are_one_record_and_one_message_for_all_peers() -> None:
    cluster = led_by_n1()
    for number in range(50):
        cluster.propose(1, b"%d" % number)
    effects = cluster.drain(1)
    assert [len(record.entries) for record in effects.records] == [50]
    appends = [message for _, message in effects.sends]
    assert [to for to, _ in effects.sends] == [2, 3]
    assert appends[0] is appends[1]
    assert len(appends[0].entries) == 50


def test_messages_and_what_is_in_flight_are_bounded_in_bytes() -> None:
    cluster = led_by_n1(2, Timing(max_batch_bytes=10, max_inflight_bytes=25))
    for _ in range(9):
        cluster.propose(1, b"abcd")
    cluster.propose(1, b"longer than a whole message")
    sizes = [sum(len(entry.data) for entry in message.entries) for _, message in cluster.drain(1).sends]
    assert sizes == [8, 8, 8]
    cluster.settle()
    assert cluster.nodes[1].replica.progress()[2] == cluster.nodes[1].replica.last_slot


def test_a_restarted_peer_of_a_long_log_catches_up() -> None:
    cluster = led_by_n1(3, Timing(max_batch_bytes=100, max_inflight_bytes=300))
    cluster.crash(3)
    for _ in range(100):
        for _ in range(5):
            cluster.propose(1, b"twenty bytes of data")
        cluster.settle()
    cluster.restart(3)
    cluster.run(10)
    assert cluster.nodes[3].delivered == cluster.nodes[1].delivered
    assert len(cluster.nodes[3].delivered) == 501


def test_the_majority_clock_is_a_time_that_two_of_three_have_reached() -> None:
    cluster = Cluster(3)
    cluster.clocks = {1: 9_000_000, 2: 5_000, 3: 1_000}
    cluster.nodes[1].replica.election_at = 0
    cluster.run(4)
    assert 5_000 <= cluster.nodes[1].replica.majority_clock_ms <= cluster.clocks[2]


def test_a_clock_that_is_set_back_takes_nothing_back() -> None:
    cluster = led_by_n1()
    before = cluster.nodes[1].replica.majority_clock_ms
    cluster.clocks = {1: 99_999, 2: 0, 3: 0}
    cluster.run(4)
    assert cluster.nodes[1].replica.majority_clock_ms >= before


def test_election_time_outs_are_drawn_anew_from_the_whole_range() -> None:
    drawn = []
    replica = build([])
    for _ in range(500):
        replica.arm_election()
        drawn.append(replica.election_at)
    assert (min(drawn), max(drawn)) == (16, 32)


def test_only_a_leader_reports_progress() -> None:
    cluster = led_by_n1()
    assert cluster.nodes[1].replica.progress() == {1: 1, 2: 1, 3: 1}
    assert cluster.nodes[2].replica.progress() == {}


def test_messages_of_other_protocols_are_nothing() -> None:
    cluster = led_by_n1()
    replica = cluster.nodes[2].replica
    replica.receive(1, "not a message of Raft")
    assert replica.epoch == 1
    assert not replica.needs_drain()


@pytest.mark.parametrize(
    "entries",
    [[Entry(3, 1, b"x")], [Entry(2, 9, b"x")], [Entry(2, 1, b"x"), Entry(4, 1, b"y")], [Entry(2, 0, b"x")]],
    ids=["wrong place", "of a later term", "a gap", "epochs fall"],
)
def test_a_malformed_append_changes_nothing(entries: list[Entry]) -> None:
    cluster = led_by_n1()
    replica = cluster.nodes[2].replica
    replica.receive(1, Append(1, 1, 1, entries, 0))
    assert replica.last_slot == 1
    assert not replica.needs_drain()


@pytest.mark.parametrize(
    "records",
    [
        [HardState(2, 1), HardState(1, 1)],
        [HardState(1, 1), LogSuffix([Entry(1, 2, b"")])],
        [LogSuffix([Entry(2, 1, b"")])],
        ["no record"],
    ],
    ids=["terms fall", "an entry of a later term", "a gap", "another kind"],
)
def test_a_journal_that_no_replica_wrote_is_corrupt(records: list[Any]) -> None:
    with pytest.raises(Corrupt):
        build(records)


def test_tags_lie_in_the_ranges_of_raft_and_are_unique() -> None:
    of_messages = [kind.__struct_config__.tag for kind in get_args(Message)]
    of_records = [kind.__struct_config__.tag for kind in get_args(Record)]
    assert len(set(of_messages + of_records)) == len(of_messages) + len(of_records)
    assert all(100 <= tag <= 129 for tag in of_messages)
    assert all(130 <= tag <= 149 or tag == 196 for tag in of_records)  # that of who joins is one of all protocols


def test_a_leader_that_loses_a_connection_goes_on_leading_and_asks_that_peer_again() -> None:
    cluster = led_by_n1()
    replica = cluster.nodes[1].replica
    replica.on_peer_lost(2)
    assert replica.leads
    assert [(to, type(message)) for to, message in cluster.drain(1).sends] == [(2, Append)]


def test_the_votes_of_others_do_not_elect_who_has_not_voted_for_itself_durably() -> None:
    cluster = Cluster(3)
    replica = cluster.nodes[1].replica
    replica.stand(transfer=False)
    replica.receive(2, messages.Vote(1, True))
    replica.receive(3, messages.Vote(1, True))
    assert not replica.leads
    cluster.drain(1)
    assert not replica.leads
    cluster.sync(1)
    assert replica.leads


def test_reads_at_a_follower_fail_at_once() -> None:
    cluster = led_by_n1()
    cluster.confirm(2, 7)
    assert cluster.drain(2).reads == [(7, False)]


def test_of_two_nodes_that_lose_the_leader_together_one_wins_at_the_first_try() -> None:
    cluster = led_by_n1()
    cluster.crash(1)
    for name in (2, 3):
        replica = cluster.nodes[name].replica
        replica.on_peer_lost(1)
        replica.election_at = replica.now + 1
    cluster.run(1)
    assert [cluster.nodes[name].replica.leads for name in (2, 3)] == [True, False]
    assert cluster.nodes[2].replica.epoch == 2
