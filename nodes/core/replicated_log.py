"""The one interface of a replicated log; Raft (`raft/`) and Multi-Paxos (`paxos/`) stand behind it.

A core is a pure state machine: it is told what happened (`receive`, `tick`, `on_durable`, `on_peer_lost`), is asked
for something (`propose`, `confirm`), and `drain()` returns everything that should be done since the last drain. It
reads no clock, opens nothing, logs nothing; randomness comes from the `rng` given at construction. It is built from
its saved records: recovery is construction. `receive` of any well-formed message in any state is legal.

What the log promises, whichever protocol (DESIGN.md §2):

* `entries` come in slot order from 1, without gaps, on every replica the same; each only when it is chosen *and*
  durable in this replica's own journal.
* `propose(data, epoch)` is refused (`NotLeader`) unless this replica leads in exactly `epoch`. It promises nothing:
  only the applied entry does.
* No entry of an older epoch comes with its data after one of a newer: an entry that stands behind a newer epoch's is
  delivered with `data == b""` (nothing). A leader's own first entry is `Entry(slot, epoch, b"")`; it comes behind all
  that was recovered. Until it is delivered the leader must not be served from (`leads` may be true before that).
* `confirm(token)`: the token comes back in `reads` as (token, True) after a quorum round *begun after the call*
  proved that this replica was still the leader in its epoch, or as (token, False) as soon as that is not to be had.
* What the replica's store has applied is given at construction, and delivery begins behind it. `compact` lets go of
  entries that the store holds durably; who is too far behind for what a leader still has is in its `laggards`, gets a
  copy of the store, and is told by `install`.
* Members change one voter at a time, by entries of the log (nodes/core/membership.py), which are delivered as any
  others are. `change` is refused until an entry of the own epoch, and the last change, are chosen.
* Records are durable before what promises them is sent: `sends` may leave at once, `promises` only when the records
  of the same drain are durable; the own vote or acknowledgement counts only after `on_durable(mark)`.

A tick is TICK_MS of time. Times in ticks are in `Timing`.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from nodes.core.membership import Configuration, Members

TICK_MS = 50


class Entry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One log entry: `epoch` is the one it was first proposed in; `data` b"" is nothing (a no-op)."""

    slot: int
    epoch: int
    data: bytes


class Point(NamedTuple):
    """A place in a log: a chosen slot, and the newest epoch among the entries up to it. (0, 0): before the first."""

    slot: int
    epoch: int


START = Point(0, 0)


@dataclass(slots=True, frozen=True)
class Timing:
    """In ticks. An election time-out is drawn uniformly from [election_min, election_max] each time it is armed."""

    heartbeat: int = 2
    election_min: int = 16
    election_max: int = 32
    retransmit: int = 6
    max_batch_bytes: int = 1 << 20  # most entry bytes in one append/accept message; always at least one entry
    max_inflight_bytes: int = 8 << 20  # most unacknowledged entry bytes per peer

    def is_beat(self, tick: int) -> bool:
        """Groups that a node began with beat in the same tick, so that what they have to say leaves in one message."""
        return tick % self.heartbeat == 0


NEAR_ENTRIES = 100  # who lacks no more than that can take a leadership over at once


class NotLeader(Exception):
    """The replica does not lead in the epoch named; `leader` is its best guess (node number) or None."""

    def __init__(self, leader: int | None) -> None:
        super().__init__(f"not the leader; perhaps n{leader}" if leader else "not the leader; none is known")
        self.leader = leader


class LogEffects(msgspec.Struct):
    """What `drain` returns. `mark` is 0 when there are no records, else a number that rises with each such drain."""

    records: list[Any] = []  # Structs of the core's Record union, to be journalled in order
    mark: int = 0
    sends: list[tuple[int, Any]] = []  # (node, message): promise nothing, leave now
    promises: list[tuple[int, Any]] = []  # leave when the records of this drain are durable
    entries: list[Entry] = []  # to be applied, in order
    reads: list[tuple[int, bool]] = []  # (token, confirmed)


class ReplicatedLog(ABC):
    """One replica of one log. `me` is a node number."""

    @abstractmethod
    def __init__(
        self,
        me: int,
        known: Configuration,
        records: list[Any],
        rng: random.Random,
        timing: Timing,
        eager: bool,
        applied: Point = START,
    ) -> None:
        """Build from the journal's records of this group, oldest first ([] for a new one), and from what the store has
        applied, durably: it is made so before. `known`: the members as the store has them, or as the group was founded.

        `eager`: this is the preferred leader: its first election time-out is 1 to 3 ticks (pre-vote still applies).
        Corrupt if the records cannot be what one replica wrote, or the store lacks what the journal has let go of.
        """

    # -- what happened
    @abstractmethod
    def tick(self, clock_ms: int) -> None:
        """One tick has passed. `clock_ms` is this node's wall clock, only ever reported, never decided by."""

    @abstractmethod
    def receive(self, sender: int, message: Any) -> None: ...

    @abstractmethod
    def on_durable(self, mark: int) -> None:
        """All records up to this mark are durable."""

    @abstractmethod
    def on_peer_lost(self, peer: int) -> None:
        """The connection to `peer` broke: a hint that shortens the wait for an election, never more."""

    # -- what is asked
    @abstractmethod
    def propose(self, data: bytes, epoch: int) -> int:
        """Append; returns the slot it was given. NotLeader unless this replica leads in `epoch`. data != b""."""

    @abstractmethod
    def confirm(self, token: int) -> None:
        """Ask for a read index; all that are asked between two drains share one quorum round."""

    @abstractmethod
    def change(self, members: Members, epoch: int) -> int:
        """Propose other members; the slot. NotLeader as above; ChangeRefused, with nothing appended, for what is no
        safe step, or too early."""

    @abstractmethod
    def transfer(self, to: int | None = None) -> None:
        """Hand the leadership to `to` (or the most caught-up peer); nothing happens if this replica does not lead."""

    @abstractmethod
    def decline(self, sender: int) -> None:
        """The leader `sender` asks this replica to take its place (a message that `receive` was not given), in vain: so
        it need not wait for that."""

    @abstractmethod
    def compact(self, slot: int) -> None:
        """Let go of the entries up to `slot`: they are delivered, and the store holds them durably."""

    @abstractmethod
    def install(self, applied: Point, epoch: int, known: Configuration | None = None) -> None:
        """The store was replaced, durably, by that of the leader of `epoch`; `known` as above. Delivery goes on behind
        `applied`, which lies above what was delivered. What is held above it and fits on it stays. Not while this
        replica leads."""

    @abstractmethod
    def drain(self) -> LogEffects:
        """All of it; nothing is left to drain then."""

    # -- what is seen
    @property
    @abstractmethod
    def leads(self) -> bool: ...

    @property
    @abstractmethod
    def configuration(self) -> Configuration:
        """The members that count here: the newest that this protocol lets count."""

    @property
    @abstractmethod
    def is_settled(self) -> bool:
        """Does this leader know that a majority of these members will never again count by those of before? Who was
        removed is needed no more then. False for who does not lead."""

    @property
    @abstractmethod
    def handed_over(self) -> bool:
        """Was the leadership of this replica, or the last one that it stood for, handed over by another leader?"""

    @abstractmethod
    def is_heard(self, peer: int) -> bool:
        """Has this leader heard of `peer` within the least election time-out? False if this replica does not lead."""

    @abstractmethod
    def is_near(self, peer: int) -> bool:
        """Is it heard, and known to hold the log but for NEAR_ENTRIES? A new leader does not know that yet."""

    @property
    @abstractmethod
    def epoch(self) -> int:
        """The Raft term or Paxos ballot (as one integer) this replica is in; rises, never falls, also over restarts."""

    @property
    @abstractmethod
    def leader(self) -> int | None:
        """Best knowledge of who leads."""

    @property
    @abstractmethod
    def chosen_slot(self) -> int:
        """The last slot known here to be chosen, with all before it."""

    @property
    @abstractmethod
    def last_slot(self) -> int:
        """The last slot this replica has an entry at."""

    @property
    @abstractmethod
    def highest_slot(self) -> int:
        """No record that this replica ever wrote names a higher one, of entries that were cut since neither."""

    @abstractmethod
    def held_bytes(self) -> int:
        """The data of all entries that are held. Looks at each."""

    @property
    @abstractmethod
    def first_slot(self) -> int:
        """The first slot whose entry is still held, or would be."""

    @abstractmethod
    def laggards(self) -> list[int]:
        """Peers that need what this leader has let go of. [] for who does not lead."""

    @abstractmethod
    def state_records(self, entries: bool) -> list[Any]:
        """What must be in the journal when all its older records are gone: everything but the entries, or with them.
        To be journalled behind the records of all drains before; nothing may be left to drain."""

    @property
    @abstractmethod
    def majority_clock_ms(self) -> int:
        """The largest wall time that a majority of the members, this one included, is known to have reached."""

    @abstractmethod
    def progress(self) -> dict[int, int]:
        """For a leader: member -> last slot known to be durable there. {} otherwise. For the status page."""

    @abstractmethod
    def needs_drain(self) -> bool:
        """Is there anything that `drain` would return?"""
