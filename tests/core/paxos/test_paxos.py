"""What is Multi-Paxos' own, beside the contract suite and the scripts."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, get_args

import msgspec
import pytest

from nodes.core.membership import founded, without
from nodes.core.paxos import messages
from nodes.core.paxos.acceptor import Acceptor
from nodes.core.paxos.ballots import next_ballot, node_of
from nodes.core.paxos.messages import Accept, AcceptRecord, ChosenRecord, LearntRecord
from nodes.core.paxos.replica import CHOSEN_UNWRITTEN, PaxosReplica
from nodes.core.replicated_log import Entry, Timing
from tests.contract.log_cluster import LogCluster


def records_of(cluster: LogCluster, node: int) -> list[Any]:
    decoder = msgspec.msgpack.Decoder(messages.Record)
    return [decoder.decode(record) for record in cluster.members[node].journal]


# -- forms
def test_tags_are_unique_and_within_their_range() -> None:
    tags = [kind.__struct_config__.tag for kind in get_args(messages.Message)]
    assert len(set(tags)) == len(tags)
    assert set(tags) <= set(range(150, 180))
    assert {kind.__struct_config__.tag for kind in get_args(messages.Record)} == {180, 181, 182, 183, 184, 196}


def test_the_next_ballot_is_the_least_own_one_of_a_higher_number() -> None:
    for above in (0, next_ballot(0, 3), next_ballot(next_ballot(0, 7), 255)):
        ballot = next_ballot(above, 2)
        assert node_of(ballot) == 2
        assert ballot > above
        assert ballot >> 8 == (above >> 8) + 1


@pytest.mark.parametrize(("me", "members"), [(0, (0, 1, 2)), (256, (1, 2, 256))])
def test_members_are_node_numbers(me: int, members: tuple[int, ...]) -> None:
    with pytest.raises(ValueError):
        PaxosReplica(me, founded(*members), [], random.Random(1), Timing(), eager=False)


def test_nothing_is_not_proposed() -> None:
    cluster = LogCluster(PaxosReplica, nodes=(1,))
    cluster.elect()
    with pytest.raises(ValueError):
        cluster.propose(1, b"")


# -- phase 1
def test_phase_1_reads_ten_thousand_open_slots_page_by_page() -> None:
    """P17: n2 holds odd slots under 1.2, n3 all under 1.3, which is higher; n2 is lost between its pages."""
    old, new = next_ballot(0, 2), next_ballot(0, 3)
    cluster = LogCluster(PaxosReplica, timing=Timing(max_batch_bytes=20_000), started=False)
    lower = [Entry(slot, old, b"old") for slot in range(1, 10_001, 2)]
    upper = [Entry(slot, new, b"new") for slot in range(1, 10_001)]
    cluster.members[2].journal.append(msgspec.msgpack.encode(AcceptRecord(old, lower)))
    cluster.members[3].journal.append(msgspec.msgpack.encode(AcceptRecord(new, upper)))
    for node in cluster.nodes:
        cluster.start(node)
    while not any(type(envelope.message) is messages.Promise for envelope in cluster.queue):
        for node in cluster.nodes:
            cluster.tick(node)
        for _ in range(6):
            if cluster.queue:
                cluster.deliver()
    cluster.crash(2)
    cluster.run_until(lambda: cluster.serving(1) or cluster.serving(3))
    leader = cluster.elect()
    assert cluster.members[leader].data == [b"new"] * 10_000


def test_two_who_start_at_once_do_not_duel_for_ever() -> None:
    """P15: the higher ballot wins, or random time-outs part them: a few rounds at most."""
    for seed in range(20):
        cluster = LogCluster(PaxosReplica, seed=seed, eager=None, started=False)
        cluster.eager = 1
        cluster.start(1)
        cluster.eager = 2
        cluster.start(2)
        cluster.start(3)
        cluster.elect()
        cluster.run(60)
        assert len(cluster.leaders()) == 1
        assert cluster[cluster.leaders()[0]].epoch >> 8 <= 3


def test_a_chosen_prefix_shortens_phase_1_after_all_nodes_restart() -> None:
    cluster = LogCluster(PaxosReplica)
    cluster.elect()
    for number in range(200):
        cluster.propose(1, b"v%d" % number)
        cluster.deliver_all()
    for node in cluster.nodes:
        cluster.crash(node)
    for node in cluster.nodes:
        cluster.start(node)
        assert cluster[node].chosen_slot >= 200 - CHOSEN_UNWRITTEN


# -- the journal
def test_what_is_chosen_makes_no_sync_of_its_own_while_little_is_unwritten() -> None:
    cluster = LogCluster(PaxosReplica)
    cluster.elect()
    cluster.propose(1, b"v")
    cluster.run(50)
    for member in cluster.members.values():
        assert not any(set(map(type, effects.records)) == {ChosenRecord} for effects in member.drains)


def test_what_is_chosen_is_written_once_a_heartbeat_when_much_is_unwritten() -> None:
    cluster = LogCluster(PaxosReplica)
    cluster.elect()
    cluster.propose_many(1, [b"v%d" % number for number in range(2 * CHOSEN_UNWRITTEN)])
    cluster.run(10)
    for node in cluster.nodes:
        alone = [effects for effects in cluster.members[node].drains if [*map(type, effects.records)] == [ChosenRecord]]
        assert len(alone) == 1


def test_the_records_rebuild_an_acceptor_exactly() -> None:
    for seed in range(10):
        cluster = LogCluster(PaxosReplica, seed=seed)
        for turn in range(4):
            leader = cluster.elect()
            cluster.propose_many(leader, [b"%d.%d" % (turn, number) for number in range(5)])
            for _ in range(cluster.rng.randrange(12)):
                if cluster.queue:
                    cluster.deliver(cluster.rng.randrange(len(cluster.queue)))
            for node in cluster.nodes:
                core = cluster[node]
                assert isinstance(core, PaxosReplica)
                live, again = core._acceptor, Acceptor(records_of(cluster, node), 1 << 20)
                assert (again.promised, again.last_slot, again.entries) == (live.promised, live.last_slot, live.entries)
                assert again.chosen <= live.chosen
                assert {slot: ballot for slot, ballot in again.ballots.items() if slot > live.chosen} == live.ballots
            cluster.crash(leader, noticed=True)
            cluster.start(leader)


def test_a_learnt_entry_covers_what_was_accepted_there_before() -> None:
    acceptor = Acceptor(
        [AcceptRecord(257, [Entry(1, 257, b"a"), Entry(2, 257, b"b")]), LearntRecord([Entry(1, 513, b"c")])], 1000
    )
    assert acceptor.chosen == 1
    assert [entry.data for entry in acceptor.entries.values()] == [b"c", b"b"]
    assert acceptor.page(1)[0][1].ballot == 257


def test_what_was_appended_is_written_before_what_is_learnt_in_its_place() -> None:
    """A deposed leader's entry that no drain took yet must not cover the chosen one when the journal is read."""
    acceptor = Acceptor([], 1000)
    acceptor.promise(257)
    acceptor.append(Entry(1, 257, b"own"))
    acceptor.learn([Entry(1, 514, b"chosen")])
    acceptor.write_records(0)
    again = Acceptor(acceptor.outbox.records, 1000)
    assert again.entries[1].data == b"chosen"
    assert again.chosen == 1


def test_a_group_of_one_leads_only_when_its_own_promise_is_durable() -> None:
    cluster = LogCluster(PaxosReplica, nodes=(1,), started=False)
    cluster.hold_disk(1)
    cluster.start(1)
    cluster.run(10)
    assert not cluster[1].leads
    cluster.release_disk(1)
    assert cluster.serving(1)


# -- members
def test_who_was_removed_and_leads_asks_a_voter_to_take_over() -> None:
    """Seed 40259 of ring one: two who were removed, and were not told, led in turn for a moment each, and each time the
    only voter began to wait anew."""
    cluster = LogCluster(PaxosReplica, nodes=(1, 2))
    cluster.elect()
    cluster[1].change(without(cluster[1].configuration.members, 2), cluster[1].epoch)
    cluster.pump(1)
    cluster.run_until(lambda: cluster[1].is_settled)
    cluster.run(3)
    cluster.eager = None
    cluster.restart(1)
    for _ in range(2 * cluster.timing.election_max):
        cluster.tick(2)  # n1's clock stands still: it does not stand of itself
        cluster.deliver_all()
    assert cluster.serving(1)
    assert not cluster[1].handed_over, "nobody wished it"


# -- flow
def test_a_peer_that_answers_nothing_is_sent_no_more_than_the_bound() -> None:
    timing = Timing(max_batch_bytes=1_000, max_inflight_bytes=5_000)
    cluster = LogCluster(PaxosReplica, timing=timing)
    cluster.elect()
    cluster.cut = {(3, 1)}
    for _ in range(100):
        cluster.propose(1, b"x" * 176)
        cluster.deliver_all()
    sent = Counter(entry.slot for effects in cluster.members[1].drains for to, message in effects.sends
                   if to == 3 and type(message) is Accept for entry in message.entries)  # fmt: skip
    assert 20 <= len(sent) <= 35
    assert len(cluster.members[2].data) >= 99


def test_an_accept_that_is_lost_among_others_is_sent_again_under_load() -> None:
    cluster = LogCluster(PaxosReplica, nodes=(1, 2))
    cluster.elect()
    for number in range(40):
        cluster.propose(1, b"v%d" % number)
        if number == 3:
            cluster.queue.clear()
        cluster.run()
    cluster.run(3)
    assert len(cluster.members[1].data) == 40


def test_many_proposals_of_one_turn_cost_one_record_and_one_message_object() -> None:
    cluster = LogCluster(PaxosReplica)
    cluster.elect()
    cluster.run(3)
    cluster.propose_many(1, [b"v%d" % number for number in range(100)])
    effects = cluster.members[1].drains[-1]
    assert [type(record) for record in effects.records] == [AcceptRecord, ChosenRecord]
    (_, first), (_, second) = effects.sends
    assert first is second
