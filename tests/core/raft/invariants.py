"""What must hold after every step of every Raft test, whatever the network and the disks did (DESIGN.md §9).

It watches a `Cluster` from outside and knows more than any node: everything ever delivered, every leader there was,
what each disk holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nodes.core.raft.messages import Appended, Compacted, HardState, HeartbeatReply, LogSuffix, RequestVote, Vote
from nodes.core.replicated_log import Entry

if TYPE_CHECKING:
    from tests.core.raft.cluster import Cluster, Node


class Disk:
    """The durable records of one node and, beside them, what they amount to: a dumb twin of the replica's own log."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.term, self.vote = 0, 0
        self.log: list[Entry] = []

    def write(self, records: list[Any]) -> None:
        for record in records:
            self.records.append(record)
            if isinstance(record, HardState):
                assert record.term >= self.term, "a journal's terms never fall"
                assert record.term > self.term or self.vote in (0, record.vote), "one vote a term"
                self.term, self.vote = record.term, record.vote
            elif isinstance(record, Compacted):
                del self.log[record.slot if record.emptied else len(self.log) :]
            else:
                assert isinstance(record, LogSuffix)
                self.log = [*self.log[: record.entries[0].slot - 1], *record.entries]
                assert [entry.slot for entry in self.log] == list(range(1, len(self.log) + 1))

    def take_over(self, store: list[Entry]) -> None:
        """A store holds durably what the log held, whatever else stood there."""
        follows = self.log[: len(store)] == store
        self.log = self.log if follows else [*store, *self.log[len(store) :]]


class Invariants:
    """The judge of one history."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.chosen: list[Entry] = []  # As delivered anywhere, in slot order.
        self.leaders: dict[int, int] = {}  # term -> node
        self.terms: dict[int, int] = {}  # node -> highest term seen there since it was built
        self.commits: dict[int, int] = {}
        self.has_stage_messages = False  # Did the test speak for nodes that are not there?
        self.known_chosen = 0  # The highest commit index any node ever had.
        self.asked: dict[int, int] = {}  # token -> known_chosen when it was asked for

    def on_restart(self, node: Node) -> None:
        assert node.replica.epoch >= node.disk.term, "a restart keeps the term"
        self.terms[node.name] = node.disk.term
        self.commits[node.name] = node.stored

    def on_step(self, node: Node) -> None:
        """After anything happened to one node."""
        replica = node.replica
        assert replica.epoch >= self.terms.get(node.name, 0), "terms rise"
        assert replica.chosen_slot >= self.commits.get(node.name, 0), "the commit index rises"
        assert replica.chosen_slot <= replica.last_slot
        self.terms[node.name], self.commits[node.name] = replica.epoch, replica.chosen_slot
        self.known_chosen = max(self.known_chosen, replica.chosen_slot)
        if replica.leads and replica.epoch not in self.leaders:
            self._on_new_leader(node)
        if replica.leads:
            assert self.leaders[replica.epoch] == node.name, "a term has one leader"

    def _on_new_leader(self, node: Node) -> None:
        self.leaders[node.replica.epoch] = node.name
        log = node.replica.log
        assert log.last_slot >= len(self.chosen), "a leader has every chosen entry"
        held = self.chosen[log.first_slot - 1 :]
        assert log.between(log.first_slot, len(self.chosen)) == held, "a leader has every chosen entry"

    def on_delivered(self, node: Node, entries: list[Entry]) -> None:
        for entry in entries:
            assert entry.slot == len(node.delivered) + 1, "entries come in slot order without gaps"
            assert node.disk.log[entry.slot - 1] == entry, "what is delivered is durable here"
            if entry.slot <= len(self.chosen):
                assert self.chosen[entry.slot - 1] == entry, "no two replicas deliver different entries at a slot"
            else:
                assert not self.chosen or self.chosen[-1].epoch <= entry.epoch, "no older epoch after a newer one"
                self._check_majority(entry)
                self.chosen.append(entry)
            node.delivered.append(entry)

    def _check_majority(self, entry: Entry) -> None:
        holders = [peer for peer in self.cluster.nodes.values() if entry in peer.disk.log]
        is_on_majority = len(holders) * 2 > len(self.cluster.nodes)
        assert is_on_majority or self.has_stage_messages, "what is chosen is durable on a majority"

    def on_asked(self, token: int) -> None:
        self.asked[token] = self.known_chosen

    def on_read(self, node: Node, token: int, confirmed: bool) -> None:
        known = self.asked.pop(token)
        if confirmed:
            assert len(node.delivered) >= known, "a confirmed read sees all that was chosen before it was asked for"

    def on_sent(self, node: Node, to: int, message: Any) -> None:
        """A message is about to leave: is what it promises on the disk?"""
        disk = node.disk
        match message:
            case Vote(term, True):
                assert disk.term > term or (disk.term, disk.vote) == (term, to), "a vote is durable before it is sent"
            case RequestVote(term):
                assert disk.term > term or (disk.term, disk.vote) == (term, node.name), "as is the own vote"
            case Appended(term, slot) if disk.term == term and node.replica.epoch == term:
                assert len(disk.log) >= slot, "an acknowledged entry is durable"
            case Appended(term) | HeartbeatReply(term):
                assert disk.term >= term, "who answers in a term will not forget it"
