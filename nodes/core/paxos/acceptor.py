"""The acceptor: what this replica has promised and what it has accepted, per slot.

It decides whether a ballot is taken. Accepting promises too (P06), and an equal ballot is taken (P07). The slots up
to `chosen` hold chosen entries, which nothing overwrites; their ballots are forgotten, for they outrank every other.

Below `first_slot` the entries are gone: the store has them.

*Invariants*: the promised ballot never falls; everything it changes is in a record of the same drain; built from its
records it is the same again (but for the last of `chosen`, which is only a hint); nothing is trimmed that is not
chosen, and nothing accepted below it. Paxos Made Simple 2.2.
"""

from __future__ import annotations

from collections.abc import Iterator

from nodes.core.membership import MARK, Joined
from nodes.core.paxos.ballots import CHOSEN
from nodes.core.paxos.messages import (
    AcceptRecord,
    ChosenRecord,
    LearntRecord,
    PromiseRecord,
    Proposal,
    Record,
    Trimmed,
)
from nodes.core.paxos.outbox import Outbox
from nodes.core.replicated_log import START, Entry, Point
from nodes.errors import Corrupt

ENTRY_OVERHEAD = 24  # what an entry costs in a message beside its data, roughly, in bytes


class Acceptor:
    """`promised`, the entries held, and the prefix of them that is `chosen`."""

    __slots__ = (
        "_fresh",
        "_journalled_chosen",
        "_max_bytes",
        "ballots",
        "base_epoch",
        "chosen",
        "entries",
        "first_slot",
        "joined",
        "last_slot",
        "outbox",
        "promised",
    )

    def __init__(self, records: list[Record], max_batch_bytes: int, applied: Point = START) -> None:
        trimmed = next((record for record in reversed(records) if isinstance(record, Trimmed)), Trimmed(*START))
        self.promised = 0
        self.joined: Joined | None = None
        self.first_slot = trimmed.slot + 1
        self.base_epoch = trimmed.epoch  # the newest epoch among what is gone
        self.last_slot = self.chosen = trimmed.slot
        self.entries: dict[int, Entry] = {}
        self.ballots: dict[int, int] = {}  # of the slots above `chosen`
        self._fresh: list[Entry] = []  # appended as leader since the last drain
        self._max_bytes = max_batch_bytes
        for record in records:
            self._replay(record)
        if applied.slot < trimmed.slot:
            words = f"the journal has let go of everything up to slot {trimmed.slot}"
            raise Corrupt(f"the store has applied slot {applied.slot} only, but {words}")
        self.outbox = Outbox(self.promised)
        if applied.slot > self.chosen:  # whatever is held up to there, the store knows better
            self.install(applied)
        self._journalled_chosen = self.chosen

    # -- promises and acceptances
    def promise(self, ballot: int) -> None:
        assert ballot > self.promised, "a promise must rise"
        self._write_fresh()
        self.promised = ballot
        self.outbox.records.append(PromiseRecord(ballot))

    def accept(self, ballot: int, entries: list[Entry]) -> None:
        """Accept consecutive entries under a ballot that is not below the promised one."""
        assert ballot >= self.promised, "accepting below the promise"
        self._write_fresh()
        new = [entry for entry in entries if entry.slot > self.chosen and self.ballots.get(entry.slot) != ballot]
        if new:
            self._hold(ballot, new)
            self.outbox.touch(new[0].slot)
            self.outbox.records.append(AcceptRecord(ballot, new))
        elif ballot > self.promised:
            self.promise(ballot)
        self.promised = ballot

    def append(self, entry: Entry) -> None:
        """As leader: accept the next entry under the promised, own ballot; its record is written at the drain."""
        slot = entry.slot
        assert self.chosen < slot <= self.last_slot + 1, "an entry out of its place"
        self.entries[slot] = entry
        self.ballots[slot] = self.promised
        self.last_slot = max(slot, self.last_slot)
        self._fresh.append(entry)
        self.outbox.touch(slot)

    # -- what is chosen
    def learn_accepted(self, ballot: int, chosen: int) -> None:
        """The leader of `ballot` knows `chosen` slots to be chosen: so is what was accepted here under its ballot.

        That members changed is known for good, by a record, before it counts here: those of before may be gone then."""
        slot, changed = self.chosen + 1, 0
        while slot <= chosen and self.ballots.get(slot) == ballot:
            if self.entries[slot].data.startswith(MARK):
                changed = changed or slot
            del self.ballots[slot]
            slot += 1
        self.chosen = slot - 1
        if changed:
            self.outbox.touch(changed)
            self._write_fresh()
            self._write_chosen()

    def learn(self, entries: list[Entry]) -> None:
        """Entries known to be chosen, of consecutive slots; those that do not join the known prefix are left."""
        new = [entry for entry in entries if entry.slot > self.chosen]
        if not new or new[0].slot != self.chosen + 1:
            return
        self._write_fresh()
        self._hold_chosen(new)
        self.outbox.touch(new[0].slot)
        self.outbox.records.append(LearntRecord(new))
        self._journalled_chosen = self.chosen

    # -- what is gone
    def trim(self, slot: int) -> None:
        """Let go of the entries up to `slot`, which the store holds durably."""
        assert self.first_slot <= slot <= self.chosen, "only what is held and chosen is trimmed"
        self.base_epoch = max(self.base_epoch, *(self.entries[each].epoch for each in range(self.first_slot, slot + 1)))
        self._begin_behind(slot)

    def install(self, applied: Point) -> None:
        """The store came from another replica: all up to there is chosen. What is accepted behind it stays so."""
        self.base_epoch = max(self.base_epoch, applied.epoch)
        for slot in range(self.chosen + 1, applied.slot + 1):
            self.ballots.pop(slot, None)
        self.chosen = max(self.chosen, applied.slot)
        self.last_slot = max(self.last_slot, self.chosen)
        self._begin_behind(applied.slot)

    def _begin_behind(self, slot: int) -> None:
        for each in range(self.first_slot, slot + 1):
            self.entries.pop(each, None)
        self.first_slot = slot + 1
        self._write_fresh()
        self.outbox.records.append(Trimmed(slot, self.base_epoch))

    def state_records(self, entries: bool) -> list[Record]:
        """See ReplicatedLog."""
        records: list[Record] = [self.joined] if self.joined is not None else []
        records += [PromiseRecord(self.promised), Trimmed(self.first_slot - 1, self.base_epoch)]
        chosen = [self.entries[slot] for slot in range(self.first_slot, self.chosen + 1)]
        if entries and chosen:
            records.append(LearntRecord(chosen))
        if entries:
            records += [AcceptRecord(self.ballots[slot], [self.entries[slot]]) for slot in sorted(self.ballots)]
        return [*records, ChosenRecord(self.chosen)]

    # -- what is told
    def proposals(self, from_slot: int) -> Iterator[Proposal]:
        """What is held from `from_slot` on, in slot order."""
        for slot in range(max(from_slot, self.first_slot), self.last_slot + 1):
            if slot in self.entries:
                yield Proposal(CHOSEN if slot <= self.chosen else self.ballots[slot], self.entries[slot])

    def page(self, from_slot: int) -> tuple[list[Proposal], int]:
        """What is held from `from_slot` on, at most a batch of bytes; and the slot to go on from, 0 at the end."""
        page: list[Proposal] = []
        size = 0
        for proposal in self.proposals(from_slot):
            size += len(proposal.entry.data) + ENTRY_OVERHEAD
            if page and size > self._max_bytes:
                return page, proposal.entry.slot
            page.append(proposal)
        return page, 0

    def batch(self, first: int, last: int) -> list[Entry]:
        """The entries of `first`..`last`, all of which are held, as many as fit in a message, at least one."""
        batch: list[Entry] = []
        size = 0
        for slot in range(first, last + 1):
            entry = self.entries[slot]
            size += len(entry.data) + ENTRY_OVERHEAD
            if batch and size > self._max_bytes:
                break
            batch.append(entry)
        return batch

    # -- the drain
    def write_records(self, behind: int) -> None:
        """Complete the records: what was appended, and, if any go out or it is more than `behind`, what is chosen."""
        self._write_fresh()
        if self.chosen > self._journalled_chosen + (0 if self.outbox.records else behind):
            self._write_chosen()

    def _write_chosen(self) -> None:
        self.outbox.records.append(ChosenRecord(self.chosen))
        self._journalled_chosen = self.chosen

    def chosen_unwritten(self) -> int:
        """So many slots are known as chosen, but not yet in the journal."""
        return self.chosen - self._journalled_chosen

    def has_fresh(self) -> bool:
        return bool(self._fresh)

    # -- inside
    def _write_fresh(self) -> None:
        """What was appended is written under the ballot it was appended under, before another can be promised."""
        fresh, self._fresh = self._fresh, []
        while fresh:
            taken = self._fit(fresh)
            self.outbox.records.append(AcceptRecord(self.promised, fresh[:taken]))
            fresh = fresh[taken:]

    def _fit(self, entries: list[Entry]) -> int:
        size = 0
        for count, entry in enumerate(entries):
            size += len(entry.data) + ENTRY_OVERHEAD
            if count and size > self._max_bytes:
                return count
        return len(entries)

    def _hold(self, ballot: int, entries: list[Entry]) -> None:
        for entry in entries:
            self.entries[entry.slot] = entry
            self.ballots[entry.slot] = ballot
        self.last_slot = max(self.last_slot, entries[-1].slot)

    def _hold_chosen(self, entries: list[Entry]) -> None:
        for entry in entries:
            self.entries[entry.slot] = entry
        self._raise_chosen(entries[-1].slot)
        self.last_slot = max(self.last_slot, self.chosen)

    def _raise_chosen(self, up_to: int) -> None:
        for slot in range(self.chosen + 1, up_to + 1):
            assert slot in self.entries, "a chosen slot without an entry"
            self.ballots.pop(slot, None)
        self.chosen = max(self.chosen, up_to)

    def _replay(self, record: Record) -> None:
        if isinstance(record, PromiseRecord):
            self.promised = max(self.promised, record.ballot)
        elif isinstance(record, AcceptRecord):
            self.promised = max(self.promised, record.ballot)
            if held := self._untrimmed(record.entries):
                assert held[0].slot > self.chosen, "an acceptance over what is chosen"
                self._hold(record.ballot, held)
        elif isinstance(record, LearntRecord):
            if held := self._untrimmed(record.entries):
                self._hold_chosen(held)
        elif isinstance(record, ChosenRecord):
            self._raise_chosen(record.up_to)
        elif isinstance(record, Joined):
            self.joined = record

    def _untrimmed(self, entries: list[Entry]) -> list[Entry]:
        return entries if entries[0].slot >= self.first_slot else [e for e in entries if e.slot >= self.first_slot]
