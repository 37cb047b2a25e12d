"""Golden scripts: files that read as transcripts of the protocol, one behaviour a file.

A script is text with commands, each on a line of its own after `> `; the lines that follow are what it printed. All
other lines directly at the top, or after a blank line, starting with `#`, are comments. `play` runs the commands and
returns the script with what they print now, so a script holds if playing it changes nothing.

    > nodes 3                       three new nodes n1 n2 n3 (first of all)
    > log n2 term=5 vote=n1 1 1 4   n2 restarts from a journal: entries of terms 1 1 4 in slots 1 2 3
    > campaign n1                   its election time-out passes (drawn by lot otherwise)
    > lost n2 n1                    n2 is told that its connection to n1 broke
    > tick n1 [3] | tick all [3]    ticks, and nothing else
    > run [3]                       ticks for all, then settle, each time; prints what changed of roles and terms
    > settle [n1 n2]                drain, sync, deliver until nothing moves (among these); prints nothing
    > trace [n1 n2]                 the same; prints each message as it arrives, but for heartbeats
    > drain n1 | sync n1 [1]        one drain; the disk takes all batches, or so many
    > deliver n1 n2 [1] | drop ...  what is on the link from n1 to n2, all of it or so much
    > send n1 n2 append term=3 prev=2/1 entries=3/2,4/3 commit=2       a message made by hand, handed over at once
    > cut n1 | cut n1 n2 | heal     cut off altogether; the one direction; everything
    > crash n1 | restart n1         what was not synced is gone; back from the disk
    > store n1 | compact n1 4       what was applied is durable in the store; the log lets go up to slot 4
    > install n3 4 n1 | laggards n1 n3 takes over n1's store as of slot 4; who needs one
    > propose n1 x y | confirm n1 7 | transfer n1 [n2]
    > show [n1 ..] | log n1         where they stand
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from nodes.core.raft import messages
from nodes.core.raft.messages import Heartbeat, HeartbeatReply
from nodes.core.raft.replica import RaftReplica
from nodes.core.replicated_log import Entry, NotLeader
from nodes.ids import node_name
from tests.core.raft.cluster import Cluster, Node


def play(script: str) -> str:
    """The script as it would read if what its commands print now were written down."""
    stage = Stage()
    lines: list[str] = []
    printed = False
    for line in script.splitlines():
        if line.startswith("> "):
            lines += [line, *stage.do(line[2:])]
            printed = True
        elif not line or line.startswith("#"):
            lines.append(line)
            printed = False
        else:
            assert printed, f"neither a command nor a comment: {line}"
    return "\n".join(lines) + "\n"


def show_entry(entry: Entry) -> str:
    data = f":{entry.data.decode()}" if entry.data else ""
    return f"{entry.slot}/{entry.epoch}{data}"


def show_entries(entries: Iterable[Entry]) -> str:
    return ",".join(map(show_entry, entries)) or "none"


def show_message(message: Any) -> str:
    """`Append term=2 prev=3/1 entries=4/2:x commit=3`"""
    fields = {name: getattr(message, name) for name in message.__struct_fields__}
    if "prev_slot" in fields and "prev_epoch" in fields:
        fields["prev"] = f"{fields.pop('prev_slot')}/{fields.pop('prev_epoch')}"
    for name in ("last", "hint"):
        if f"{name}_slot" in fields:
            fields[name] = f"{fields.pop(f'{name}_slot')}/{fields.pop(f'{name}_epoch')}"
    if "entries" in fields:
        fields["entries"] = show_entries(fields.pop("entries"))
    for name in ("granted", "transfer"):
        if name in fields:
            fields[name] = "yes" if fields[name] else "no"
    fields.pop("clock_ms", None)
    if "vote" in fields:
        fields["vote"] = show_node(fields["vote"] or None)
    words = " ".join(f"{name}={value}" for name, value in fields.items())
    return f"{type(message).__name__} {words}"


def show_node(node: int | None) -> str:
    return node_name(node) if node else "none"


def show_state(node: Node) -> str:
    replica = node.replica
    role = type(replica.role).__name__.lower() if node.is_up else "down"
    return (
        f"{node_name(node.name)} {role} term={replica.term} vote={show_node(replica.vote)}"
        f" leader={show_node(replica.leader)} last={replica.last_slot} durable={replica.log.durable_slot}"
        f" commit={replica.commit_index} applied={replica.delivered_slot}"
    )


def parse_node(word: str) -> int:
    assert word[0] == "n", f"a node is written n1, not {word}"
    return int(word[1:])


def parse_entries(words: str) -> list[Entry]:
    entries = []
    for word in words.split(",") if words != "none" else []:
        place, _, data = word.partition(":")
        slot, epoch = map(int, place.split("/"))
        entries.append(Entry(slot, epoch, data.encode()))
    return entries


def parse_message(kind: str, words: list[str]) -> Any:
    """The inverse of `show_message`; the name of the message may be in lower case."""
    fields: dict[str, Any] = {}
    for word in words:
        name, value = word.split("=")
        if name in ("prev", "last", "hint"):
            slot, epoch = value.split("/")
            fields |= {f"{name}_slot": int(slot), f"{name}_epoch": int(epoch)}
        elif name == "entries":
            fields[name] = parse_entries(value)
        elif name in ("granted", "transfer"):
            fields[name] = value == "yes"
        else:
            fields[name] = int(value)
    types = {name.lower(): found for name, found in vars(messages).items() if isinstance(found, type)}
    return types[kind.lower()](**fields)


class Stage:
    """The cluster of one script."""

    def __init__(self) -> None:
        self.cluster = Cluster(1)

    def do(self, command: str) -> list[str]:
        """Run one command; the lines it prints."""
        name, *words = command.split()
        action: Callable[[list[str]], list[str] | None] = getattr(self, f"do_{name}")
        return action(words) or []

    def names(self, words: list[str]) -> list[int]:
        return list(self.cluster.members) if words in ([], ["all"]) else [parse_node(word) for word in words]

    def do_nodes(self, words: list[str]) -> None:
        eager = parse_node(words[2]) if words[1:2] == ["eager"] else 0
        self.cluster = Cluster(int(words[0]), eager=eager)

    def do_log(self, words: list[str]) -> list[str]:
        node = self.cluster.nodes[parse_node(words[0])]
        if len(words) == 1:
            return [show_entries(node.replica.log.between(node.replica.first_slot, node.replica.last_slot))]
        given = dict(word.split("=") for word in words[1:] if "=" in word)
        epochs = [int(word) for word in words[1:] if "=" not in word]
        vote = parse_node(given["vote"]) if "vote" in given else 0
        records: list[Any] = [messages.HardState(int(given.get("term", epochs[-1] if epochs else 0)), vote)]
        if epochs:
            records.append(messages.LogSuffix([Entry(slot, epoch, b"") for slot, epoch in enumerate(epochs, 1)]))
        node.disk.write(records)
        self.cluster.restart(node.name)
        return []

    def do_campaign(self, words: list[str]) -> None:
        for name in self.names(words):
            replica = self.cluster.nodes[name].replica
            replica.election_at = replica.now
            self.cluster.tick(name)

    def do_lost(self, words: list[str]) -> None:
        self.replica(words[0]).on_peer_lost(parse_node(words[1]))

    def do_tick(self, words: list[str]) -> None:
        for _ in range(int(words[1]) if len(words) > 1 else 1):
            for name in self.names(words[:1]):
                self.cluster.tick(name)

    def do_run(self, words: list[str]) -> list[str]:
        lines: list[str] = []
        for _ in range(int(words[0]) if words else 1):
            before = self.positions()
            self.cluster.run(1)
            after = self.positions()
            lines += [now for was, now in zip(before, after, strict=True) if was != now]
        return lines

    def positions(self) -> list[str]:
        return [" ".join(show_state(node).split()[:3]) for node in self.cluster.nodes.values()]

    def do_settle(self, words: list[str]) -> None:
        self.cluster.settle(self.names(words))

    def do_trace(self, words: list[str]) -> list[str]:
        return [
            f"{node_name(sender)} -> {node_name(receiver)} {show_message(message)}"
            for sender, receiver, message in self.cluster.settle(self.names(words))
            if not isinstance(message, Heartbeat | HeartbeatReply)
        ]

    def do_drain(self, words: list[str]) -> list[str]:
        effects = self.cluster.drain(parse_node(words[0]))
        lines = [f"record {show_message(record)}" for record in effects.records]
        lines += [f"send to {node_name(to)}: {show_message(message)}" for to, message in effects.sends]
        lines += [f"promise to {node_name(to)}: {show_message(message)}" for to, message in effects.promises]
        if effects.entries:
            lines.append(f"apply {show_entries(effects.entries)}")
        return lines + [show_read(*read) for read in effects.reads]

    def do_sync(self, words: list[str]) -> None:
        self.cluster.sync(parse_node(words[0]), int(words[1]) if len(words) > 1 else 1 << 30)

    def do_deliver(self, words: list[str]) -> list[str]:
        link = parse_node(words[0]), parse_node(words[1])
        count = int(words[2]) if len(words) > 2 else len(self.cluster.links.get(link, ()))
        return [f"{words[0]} -> {words[1]} {show_message(self.cluster.deliver(*link))}" for _ in range(count)]

    def do_drop(self, words: list[str]) -> None:
        messages_there = self.cluster.links[parse_node(words[0]), parse_node(words[1])]
        for _ in range(int(words[2]) if len(words) > 2 else len(messages_there)):
            messages_there.popleft()

    def do_send(self, words: list[str]) -> None:
        message = parse_message(words[2], words[3:])
        self.cluster.invariants.has_stage_messages = True
        self.cluster.hand(parse_node(words[0]), parse_node(words[1]), message)

    def do_cut(self, words: list[str]) -> None:
        cut = self.cluster.cut
        if len(words) == 2:
            cut[parse_node(words[0]), parse_node(words[1])] = True
            return
        lost = parse_node(words[0])
        for peer in self.cluster.members:
            cut[lost, peer] = cut[peer, lost] = True

    def do_heal(self, words: list[str]) -> None:
        self.cluster.cut.clear()

    def do_crash(self, words: list[str]) -> None:
        for name in self.names(words):
            self.cluster.crash(name)

    def do_restart(self, words: list[str]) -> None:
        for name in self.names(words):
            self.cluster.restart(name)

    def do_store(self, words: list[str]) -> None:
        for name in self.names(words):
            self.cluster.store(name)

    def do_compact(self, words: list[str]) -> None:
        node = self.cluster.nodes[parse_node(words[0])]
        assert int(words[1]) <= node.stored, "the store must be durable first"
        node.replica.compact(int(words[1]))

    def do_install(self, words: list[str]) -> list[str]:
        taken = self.cluster.install(parse_node(words[0]), int(words[1]), self.replica(words[2]).epoch)
        return [] if taken else [f"{words[0]} has as much"]

    def do_laggards(self, words: list[str]) -> list[str]:
        return [" ".join(map(node_name, self.replica(words[0]).laggards())) or "none"]

    def do_propose(self, words: list[str]) -> list[str]:
        try:
            slots = [self.cluster.propose(parse_node(words[0]), word.encode()) for word in words[1:]]
        except NotLeader as error:
            return [f"refused: {error}"]
        return [f"slot {slot}" for slot in slots]

    def do_confirm(self, words: list[str]) -> None:
        for token in words[1:]:
            self.cluster.confirm(parse_node(words[0]), int(token))

    def do_transfer(self, words: list[str]) -> None:
        self.replica(words[0]).transfer(parse_node(words[1]) if len(words) > 1 else None)

    def do_reads(self, words: list[str]) -> list[str]:
        return [show_read(*read) for read in self.cluster.nodes[parse_node(words[0])].reads]

    def do_show(self, words: list[str]) -> list[str]:
        return [show_state(self.cluster.nodes[name]) for name in self.names(words)]

    def replica(self, word: str) -> RaftReplica:
        return self.cluster.nodes[parse_node(word)].replica


def show_read(token: int, confirmed: bool) -> str:
    return f"read {token} {'confirmed' if confirmed else 'failed'}"
