"""The language of the golden scripts in `tests/scripts/paxos/`: commands (`> ...`) and, below each, what came of it.

    > cluster 1 2 3                                the members; nothing runs yet
    > disk n1 AcceptRecord ballot=1.1 entries=1@1.1=v1      a record that is durable before the start
    > start [n1 ...]                               build the replicas (all, if none is named) from their disks
    > elect n1 [with n2 ...]                       n1's time-out ends; messages flow among the named nodes only
    > ask n1                                       n1's time-out ends, nothing is delivered
    > propose n1 v1 [v2 ...] | confirm n1 7 | tick n1 [5] | transfer n1 n2 | lost n2 n1
    > deliver [n1->n2] [Type]                      all such messages, and what comes of them, in order
    > one / last / again / drop [n1->n2] [Type]    one: the first such; last: the newest; again: and it stays; drop: all
    > inject n1->n2 Accept ballot=3.1 chosen=0 entries=1@3.1=v1       a message from nowhere
    > hold n1 | sync n1 | crash n1 | show n1       a disk that waits; its sync; loses what was not durable
    > store n1 | compact n1 4 | copy n1->n3        what it applied is durable; the log lets go; n3 takes over the store

A ballot is number.node, an entry slot@epoch=data, a proposal ballot>entry. `->` leaves at once, `=>` with the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from nodes.core.paxos import messages
from nodes.core.paxos.ballots import CHOSEN, ballot_of, node_of
from nodes.core.paxos.messages import Proposal
from nodes.core.paxos.replica import PaxosReplica
from nodes.core.replicated_log import Entry, LogEffects, NotLeader, Timing
from tests.contract.log_cluster import Envelope, LogCluster

BALLOTS = ("ballot", "promised")
HIDDEN = ("attempt", "clock_ms")  # chance and time


def show_ballot(ballot: int) -> str:
    if ballot == CHOSEN:
        return "chosen"
    return f"{ballot >> 8}.{node_of(ballot)}" if ballot else "0"


def read_ballot(text: str) -> int:
    number, _, node = text.partition(".")
    return ballot_of(int(number), int(node or 0))


def show_entry(entry: Entry) -> str:
    return f"{entry.slot}@{show_ballot(entry.epoch)}={entry.data.decode()}"


def read_entry(text: str) -> Entry:
    place, _, data = text.partition("=")
    slot, _, epoch = place.partition("@")
    return Entry(int(slot), read_ballot(epoch), data.encode())


def show_value(name: str, value: Any) -> str:
    if name in BALLOTS:
        return show_ballot(value)
    if name == "entries":
        return ",".join(map(show_entry, value)) or "-"
    if name == "proposals":
        return ",".join(f"{show_ballot(each.ballot)}>{show_entry(each.entry)}" for each in value) or "-"
    return str(value)


def show(message: Any) -> str:
    fields = [name for name in message.__struct_fields__ if name not in HIDDEN]
    fields = [name for name in fields if name != "trimmed" or message.trimmed]
    shown = [f"{name}={show_value(name, getattr(message, name))}" for name in fields]
    return " ".join([type(message).__name__, *shown])


def read(words: list[str]) -> Any:
    """The inverse of `show`."""
    values: dict[str, Any] = {}
    for word in words[1:]:
        name, _, text = word.partition("=")
        parts = [part for part in text.split(",") if part != "-"]
        if name in BALLOTS:
            values[name] = read_ballot(text)
        elif name == "entries":
            values[name] = [read_entry(part) for part in parts]
        elif name == "proposals":
            pairs = [part.partition(">") for part in parts]
            values[name] = [Proposal(read_ballot(ballot), read_entry(entry)) for ballot, _, entry in pairs]
        else:
            values[name] = int(text)
    return getattr(messages, words[0])(**values)


class Transcript:
    """Runs one script; `lines` is what came of the last command."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.cluster: LogCluster

    def run(self, script: str) -> str:
        """The script with its output as it is now."""
        out: list[str] = []
        for line in script.splitlines():
            if line.startswith("> "):
                self.lines = []
                words = line[2:].split()
                command: Callable[..., None] = getattr(self, "do_" + words[0])
                command(*words[1:])
                out += [line, *self.lines, ""]
            elif line.startswith("#"):
                out.append(line)
        return "\n".join(out).rstrip() + "\n"

    # -- making
    def do_cluster(self, *members: str) -> None:
        nodes = tuple(map(int, members))
        self.cluster = LogCluster(PaxosReplica, nodes, timing=Timing(max_batch_bytes=80), eager=None, started=False)
        self.cluster.watch = self.on_effects

    def do_disk(self, node: str, *record: str) -> None:
        self.cluster.members[number(node)].journal.append(msgspec.msgpack.encode(read(list(record))))

    def do_start(self, *nodes: str) -> None:
        for node in [number(each) for each in nodes] or self.cluster.nodes:
            self.cluster.start(node)

    def do_crash(self, node: str) -> None:
        self.cluster.crash(number(node))
        self.cluster.members[number(node)].disk_holds = False

    def do_hold(self, node: str) -> None:
        self.cluster.hold_disk(number(node))

    def do_sync(self, node: str) -> None:
        self.cluster.release_disk(number(node))

    # -- the store
    def do_store(self, node: str) -> None:
        self.cluster.store(number(node))

    def do_compact(self, node: str, slot: str) -> None:
        self.cluster.compact(number(node), int(slot))

    def do_copy(self, between: str) -> None:
        sender, to = map(number, between.split("->"))
        taken = self.cluster.install(to, self.cluster.copy(sender))
        self.lines.append(f"n{to} {'takes over the store of' if taken else 'needs no store of'} n{sender}")

    def do_laggards(self, node: str) -> None:
        names = [f"n{peer}" for peer in self.cluster[number(node)].laggards()]
        self.lines.append(f"{node} has laggards {' '.join(names)}" if names else f"{node} has no laggards")

    # -- asking
    def do_propose(self, node: str, *values: str) -> None:
        try:
            self.cluster.propose_many(number(node), [value.encode() for value in values])
        except NotLeader as refusal:
            self.lines.append(f"{node} refuses: {refusal}")

    def do_confirm(self, node: str, *tokens: str) -> None:
        self.cluster.confirm(number(node), *map(int, tokens))

    def do_transfer(self, node: str, to: str) -> None:
        self.cluster[number(node)].transfer(number(to))
        self.cluster.pump(number(node))

    def do_lost(self, node: str, peer: str) -> None:
        self.cluster[number(node)].on_peer_lost(number(peer))
        self.cluster.pump(number(node))

    # -- time
    def do_tick(self, node: str, count: str = "1") -> None:
        for _ in range(int(count)):
            self.cluster.tick(number(node))

    def do_ask(self, node: str) -> None:
        before = len(self.lines)
        for _ in range(Timing().election_max):
            if len(self.lines) > before:
                return
            self.do_tick(node)

    def do_elect(self, node: str, *others: str) -> None:
        self.do_ask(node)
        among = {number(each) for each in (node, *others) if each != "with"}
        while waiting := [each for each in self.cluster.queue if {each.sender, each.to} <= among]:
            self.cluster.deliver(self.cluster.queue.index(waiting[0]))
        self.cluster.queue.clear()

    # -- the network
    def matching(self, *words: str) -> list[Envelope]:
        ways = [tuple(map(number, word.split("->"))) for word in words if "->" in word]
        types = [word for word in words if "->" not in word]
        return [
            each
            for each in self.cluster.queue
            if (not ways or (each.sender, each.to) in ways) and (not types or type(each.message).__name__ in types)
        ]

    def hand_over(self, envelope: Envelope) -> None:
        index = next(index for index, each in enumerate(self.cluster.queue) if each is envelope)
        self.cluster.deliver(index)

    def do_deliver(self, *words: str) -> None:
        while waiting := self.matching(*words):
            self.hand_over(waiting[0])

    def do_one(self, *words: str) -> None:
        self.hand_over(self.matching(*words)[0])

    def do_last(self, *words: str) -> None:
        self.hand_over(self.matching(*words)[-1])

    def do_again(self, *words: str) -> None:
        envelope = self.matching(*words)[0]
        self.cluster.queue.append(Envelope(envelope.sender, envelope.to, envelope.message))
        self.hand_over(envelope)

    def do_drop(self, *words: str) -> None:
        for envelope in self.matching(*words):
            self.cluster.queue = [each for each in self.cluster.queue if each is not envelope]
            self.lines.append(f"lost: {way(envelope)} {show(envelope.message)}")

    def do_inject(self, between: str, *message: str) -> None:
        sender, to = map(number, between.split("->"))
        self.cluster.queue.append(Envelope(sender, to, read(list(message))))
        self.cluster.deliver(-1)

    # -- what is told
    def do_show(self, node: str) -> None:
        core = self.cluster[number(node)]
        role = "leads" if core.leads else f"follows n{core.leader}" if core.leader else "has no leader"
        self.lines.append(
            f"{node} {role}, epoch {show_ballot(core.epoch)}, chosen {core.chosen_slot} of {core.last_slot}"
        )

    def on_effects(self, node: int, effects: LogEffects) -> None:
        self.lines += [f"n{node} writes {show(record)}" for record in effects.records]
        self.lines += [f"n{node} -> n{to} {show(message)}" for to, message in effects.sends]
        self.lines += [f"n{node} => n{to} {show(message)}" for to, message in effects.promises]
        self.lines += [f"n{node} applies {show_entry(entry)}" for entry in effects.entries]
        self.lines += [f"n{node} read {token} {'confirmed' if good else 'refused'}" for token, good in effects.reads]


def number(node: str) -> int:
    return int(node.removeprefix("n"))


def way(envelope: Envelope) -> str:
    return f"n{envelope.sender}->n{envelope.to}"
