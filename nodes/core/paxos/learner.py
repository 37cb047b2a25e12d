"""The learner: hands out what is chosen, in order, and fetches what is missing.

It decides when an entry is delivered: chosen, durable here, and everything before it delivered (P14). An entry that
stands behind one of a newer epoch is delivered as nothing, so that a leader's own first entry ends all older epochs
(DESIGN.md §2). Holes are asked for from the leader, one page at a time. Paxos Made Simple 3.

It also knows the members as of what was handed out.

*Invariants*: slots are delivered once, without gaps; the epoch of what is delivered with data never falls.
"""

from __future__ import annotations

from nodes.core.membership import MARK, Configuration, decode_members, newer
from nodes.core.paxos.acceptor import Acceptor
from nodes.core.replicated_log import Entry, Point


class Learner:
    """`delivered` slots are handed out; `epoch` is the newest among them."""

    __slots__ = ("_acceptor", "_ask_again_at", "_retransmit", "configuration", "delivered", "epoch")

    def __init__(self, acceptor: Acceptor, retransmit_ticks: int, applied: Point, configuration: Configuration) -> None:
        self._acceptor = acceptor
        self._retransmit = retransmit_ticks
        self._ask_again_at = 0
        self.delivered = applied.slot
        self.epoch = applied.epoch
        self.configuration = configuration

    def deliverable(self) -> int:
        """The last slot that may be delivered now."""
        return min(self._acceptor.chosen, self._acceptor.outbox.durable_slot())

    def has_more(self) -> bool:
        return self.delivered < self._acceptor.chosen and self.delivered < self.deliverable()

    def deliver(self) -> list[Entry]:
        if not self.has_more():
            return []
        last = self.deliverable()
        held, epoch = self._acceptor.entries, self.epoch
        entries = []
        for slot in range(self.delivered + 1, last + 1):
            entry = held[slot]
            if entry.epoch >= epoch:
                epoch = entry.epoch
            elif entry.data:
                entry = Entry(slot, entry.epoch, b"")
            if entry.data.startswith(MARK):
                self.configuration = newer(self.configuration, Configuration(slot, decode_members(entry.data)))
            entries.append(entry)
        assert epoch >= self.epoch, "the epoch of what is delivered fell"
        self.delivered, self.epoch = last, epoch
        return entries

    def install(self, applied: Point, known: Configuration | None) -> None:
        """The store has everything up to there."""
        self.delivered, self.epoch = applied
        if known is not None:
            self.configuration = newer(self.configuration, known)

    def configurations(self, above: list[Entry]) -> list[Configuration]:
        """The members that count for the slot behind what is chosen; and behind these every change that is among the
        entries `above`, of consecutive slots, and would take effect."""
        held = [self._acceptor.entries[slot] for slot in range(self.delivered + 1, self._acceptor.chosen + 1)]
        found, epoch = [self.configuration], self.epoch
        for entry in (*held, *above):
            if entry.epoch < epoch:
                continue  # applied as nothing
            epoch = entry.epoch
            if entry.data.startswith(MARK) and entry.slot > found[-1].slot:
                if entry.slot <= self._acceptor.chosen:
                    found.clear()
                found.append(Configuration(entry.slot, decode_members(entry.data)))
        return found

    def should_ask(self, chosen: int, now_ticks: int) -> bool:
        """`chosen` slots are chosen: is something missing here that has not just been asked for?"""
        if self._acceptor.chosen >= chosen or now_ticks < self._ask_again_at:
            return False
        self._ask_again_at = now_ticks + self._retransmit
        return True

    def on_chosen(self, entries: list[Entry]) -> None:
        """An answer came; the next page may be asked for at once."""
        self._acceptor.learn(entries)
        self._ask_again_at = 0
