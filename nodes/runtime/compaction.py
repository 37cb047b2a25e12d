"""What a node lets go of: log entries that its stores hold durably, and journal segments that nobody needs.

A log is compacted when it has grown long, when it has come to rest, or when the journal needs it. First the store is
made durable (in a thread, one at a time on a node), then the log lets go, but for some entries that a replica that is a
little behind may ask for; a leader keeps more for one that is further behind, within bounds. A segment of the journal
goes when every log has let go of all that lies in it and the small rest (terms, promises, where logs begin) is written
anew behind it. A log with few small entries need not let go: they are written anew, too. So are those of a log that
cannot let go, because it cannot apply. What lies up to which segment is itself in the journal, for the next life.

*Invariants*: an entry leaves log and journal only when the store that applied it has confirmed a slot at or past it;
what replaces a segment's records is durable before the segment is released. DESIGN.md §3.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from nodes.runtime.messages import NODE_CODE, Anew, Boundaries, Boundary, decode_record, encode_record

if TYPE_CHECKING:
    from nodes.runtime.driver import Driver
    from nodes.runtime.group import Group

LOOK_TICKS = 20
REST_TICKS = 200  # a log that has not grown for so long is compacted whatever its length
REST_ENTRIES = 50
LAGGARD_FACTOR = 3  # so many times the usual length a leader's log may reach for a replica that is behind
COPY_FACTOR = 30  # and for one that is being sent a store, which needs what follows on it
URGED_LOOKS = 10  # so many looks a log is given to let go before its entries are written anew
LIGHT_ENTRIES = 100  # so few entries are written anew at once, if they are small


class Compaction:
    """One node's; `tick` each tick, `records` in each turn after the logs are drained. `boundaries` are those that its
    last life knew: without them nothing would go before the logs have let go of all that they had at its end."""

    def __init__(self, driver: Driver, own_records: list[bytes], boundaries: list[Boundary]) -> None:
        self.driver = driver
        self.released = 0  # segments
        self._own_records = own_records  # the node's, which every journal must hold
        self._boundaries = boundaries
        self._seen_segment = driver.journal.segment
        self._is_syncing = False
        self._writing: Boundary | None = None  # its records are to be written in this turn
        self._is_written = False
        self._looks = 0  # at the oldest boundary, since the journal is long
        if self._seen_segment > (boundaries[-1].segment if boundaries else 1):
            self._note_boundary()

    def tick(self) -> None:
        if self.driver.now % LOOK_TICKS:
            return
        if self.driver.journal.segment != self._seen_segment:
            self._note_boundary()
        self._choose_segments()
        self._look()

    # -- logs

    def _look(self) -> None:
        """Compact what can be compacted, and make the store durable that has waited longest for it."""
        waiting = [group for group in self.driver.groups.values() if not group.stopped and not self._compacts(group)]
        if waiting and not self._is_syncing:
            self._sync(min(waiting, key=lambda group: group.sync_begun_at))

    def _compacts(self, group: Group) -> bool:
        """False: its log should let go of what its store does not hold durably yet."""
        held = group.applied_slot - group.log.first_slot + 1
        kept = self._kept(group, held)
        if kept is None:
            return True
        slot = min(group.applied_slot - kept, self._slowest(group, held))
        if slot < group.log.first_slot:
            return True
        if group.synced_slot >= slot:
            group.compact(slot)
            group.grown_bytes = 0
            self.driver.wake()
        return group.synced_slot >= slot

    def _kept(self, group: Group, held: int) -> int | None:
        """How many applied entries the log should keep; None: it is fine as it is."""
        constants = self.driver.constants
        if self._is_urged(group):
            # As much as the segment needs goes, or all that is durable: under load a store is always a little behind.
            return max(0, group.applied_slot - max(group.synced_slot, self._boundaries[0].slots[group.code]))
        if held >= constants.compact_entries:
            return constants.kept_entries
        if group.grown_bytes >= constants.compact_bytes:
            return min(constants.kept_entries, held // 4)
        if held > 2 * REST_ENTRIES and self.driver.now - group.applied_at >= REST_TICKS:
            return REST_ENTRIES
        return None

    def _slowest(self, group: Group, held: int) -> int:
        """A leader keeps what its slowest replica still lacks, unless that has become too much."""
        usual = self.driver.constants.compact_entries
        if (copied := self._copied(group)) is not None:
            return copied
        if self._is_urged(group) or held >= LAGGARD_FACTOR * usual:
            return group.applied_slot
        return min(group.log.progress().values(), default=group.applied_slot)

    def _copied(self, group: Group) -> int | None:
        """The slot of a store that a replica is being sent, while the log is kept from there on for it."""
        held = group.applied_slot - group.log.first_slot + 1
        return group.transfer.oldest_slot() if held < COPY_FACTOR * self.driver.constants.compact_entries else None

    def _sync(self, group: Group) -> None:
        group.flush()
        if group.stopped:
            return
        self._is_syncing = True
        group.sync_begun_at = self.driver.now
        store = group.store

        def synced(slot: int | None, error: BaseException | None) -> None:
            self._is_syncing = False
            if error is not None:
                self.driver.log.error("the store of %s could not be made durable: %s", group.group, error)
            elif store is group.store and not group.stopped:
                group.synced_slot = max(group.synced_slot, slot or 0)
            if slot:
                self._look()

        self.driver.read(store.sync, synced)

    # -- segments

    def _note_boundary(self) -> None:
        self._seen_segment = self.driver.journal.segment
        slots = {code: group.log.highest_slot for code, group in self.driver.groups.items()}
        self._boundaries.append(Boundary(self._seen_segment, slots))
        self.driver.keep(_record_of(self._boundaries))

    def _needs(self, group: Group, boundary: Boundary) -> bool:
        return group.log.first_slot <= boundary.slots.get(group.code, 0)

    def _is_urged(self, group: Group) -> bool:
        """The journal has become long, and this log needs its oldest segments."""
        return self._is_long() and self._needs(group, self._boundaries[0])

    def _is_long(self) -> bool:
        return len(self._boundaries) > self.driver.constants.journal_segments

    def _choose_segments(self) -> None:
        if self._writing is not None:
            return
        groups = self.driver.groups.values()
        heavy = [group for group in groups if not self._is_light(group)] if self._boundaries else []
        free = [b for b in self._boundaries if not any(self._needs(group, b) for group in heavy)]
        if free:
            self._writing = free[-1]
        elif self._is_long() and all(self._copied(group) is None for group in heavy):
            self._looks += 1
            if self._looks > URGED_LOOKS:
                self._writing = self._boundaries[0]
        if self._writing is not None:
            self._is_written = False
            self.driver.wake()

    def _is_light(self, group: Group) -> bool:
        """So little is in its log that it is sooner written anew than waited for."""
        is_short = group.log.last_slot - group.log.first_slot < LIGHT_ENTRIES
        return is_short and group.log.held_bytes() < self.driver.constants.light_bytes

    def records(self) -> list[bytes]:
        """What must be journalled now, with nothing left to drain; `on_durable` when it is."""
        if self._writing is None or self._is_written:
            return []
        self._is_written = True
        found = [*self._own_records, _record_of(self._after(self._writing))]
        found += self.driver.placement.records()
        for code, group in self.driver.groups.items():
            is_anew = self._needs(group, self._writing)
            records: list[Any] = group.log.state_records(entries=is_anew)
            if is_anew:
                records.insert(0, Anew())
            found += [encode_record((code, record)) for record in records]
        return found

    def on_durable(self) -> None:
        boundary, self._writing = self._writing, None
        assert boundary is not None, "nobody else writes states"
        self._boundaries, self._looks = self._after(boundary), 0
        self.driver.journal.release(boundary.segment)
        self.released = boundary.segment - 1

    def _after(self, boundary: Boundary) -> list[Boundary]:
        return [each for each in self._boundaries if each.segment > boundary.segment]


def read_records(journal: Iterable[bytes]) -> dict[int, list[Any]]:
    """Code -> what the journal says of it, oldest first; of a log that was written anew, all from there on."""
    found: dict[int, list[Any]] = {}
    for data in journal:
        code, record = decode_record(data)
        if type(record) is Anew:
            found[code] = []
        else:
            found.setdefault(code, []).append(record)
    return found


def _record_of(boundaries: list[Boundary]) -> bytes:
    return encode_record((NODE_CODE, Boundaries(boundaries)))
