"""Which segments of a journal go, after a restart too."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from nodes.constants import Constants
from nodes.core.paxos.messages import AcceptRecord, ChosenRecord, LearntRecord, PromiseRecord, Trimmed
from nodes.core.raft.messages import Compacted, HardState, LogSuffix
from nodes.core.replicated_log import Entry
from nodes.runtime.compaction import LIGHT_ENTRIES, LOOK_TICKS, URGED_LOOKS, Compaction, read_records
from nodes.runtime.messages import Anew, Boundaries, Boundary, decode_record, encode_record

BUSY, IDLE = 1, 2


class Driver:
    """What a Compaction asks of its driver: two groups, and a journal that is in its sixth segment."""

    def __init__(self, first: dict[int, int], last: dict[int, int], bytes_each: int = 100) -> None:
        self.now = 0
        self.constants = Constants()
        self.journal = SimpleNamespace(segment=6, release=self._release)
        self.placement = SimpleNamespace(records=list)
        self.groups = {code: _group(code, first[code], last[code], bytes_each) for code in (BUSY, IDLE)}
        self.released: list[int] = []
        self.kept: list[bytes] = []

    def _release(self, first: int) -> None:
        self.released.append(first)

    def keep(self, record: bytes) -> None:
        self.kept.append(record)

    def wake(self) -> None:
        pass

    def read(self, job: Any, then: Any) -> None:
        then(job(), None)


def _group(code: int, first: int, last: int, bytes_each: int) -> Any:
    def state_records(entries: bool) -> list[Any]:
        return [bytes(bytes_each) for _ in range(first, last + 1)] if entries else []

    log = SimpleNamespace(
        first_slot=first, last_slot=last, highest_slot=last, state_records=state_records, progress=dict,
        held_bytes=lambda: bytes_each * (last - first + 1),
    )  # fmt: skip
    return SimpleNamespace(
        code=code, stopped="", log=log, applied_slot=last, synced_slot=last, sync_begun_at=0, applied_at=0,
        grown_bytes=0,
        transfer=SimpleNamespace(oldest_slot=lambda: None), store=SimpleNamespace(sync=lambda: last),
        flush=lambda: None,
    )  # fmt: skip


def look(driver: Driver, boundaries: list[Boundary]) -> Compaction:
    compaction = Compaction(driver, [], boundaries)  # type: ignore[arg-type]
    driver.now += LOOK_TICKS
    compaction.tick()
    if compaction.records():
        compaction.on_durable()
    return compaction


def test_what_the_last_life_knew_of_segments_counts() -> None:
    """The busy log has let go of what lies in the first four, not of all that it had at the restart."""
    driver = Driver({BUSY: 4_000, IDLE: 10}, {BUSY: 5_000, IDLE: 9})
    known = [Boundary(segment, {BUSY: 1_000 * (segment - 1), IDLE: 9}) for segment in (2, 3, 4, 5)]
    look(driver, known)
    assert driver.released == [4]
    noted = decode_record(driver.kept[0])[1]
    assert isinstance(noted, Boundaries)
    assert [boundary.segment for boundary in noted.known] == [2, 3, 4, 5, 6]
    assert noted.known[-1].slots == {BUSY: 5_000, IDLE: 9}


def test_without_that_nothing_goes_yet() -> None:
    driver = Driver({BUSY: 4_000, IDLE: 10}, {BUSY: 5_000, IDLE: 9})
    look(driver, [])
    assert driver.released == []


def test_a_few_small_entries_hold_nothing_up_and_are_written_anew() -> None:
    driver = Driver({BUSY: 4_000, IDLE: 1}, {BUSY: 5_000, IDLE: 40})
    compaction = Compaction(driver, [], [Boundary(2, {BUSY: 1_000, IDLE: 40})])  # type: ignore[arg-type]
    driver.now += LOOK_TICKS
    compaction.tick()
    written = [decode for decode in compaction.records() if len(decode) > 100]
    assert len(written) == 40
    compaction.on_durable()
    assert driver.released == [2]


def test_many_entries_or_large_ones_are_waited_for() -> None:
    many = Driver({BUSY: 4_000, IDLE: 1}, {BUSY: 5_000, IDLE: LIGHT_ENTRIES + 1})
    large = Driver({BUSY: 4_000, IDLE: 1}, {BUSY: 5_000, IDLE: 40}, bytes_each=100_000)
    for driver in (many, large):
        look(driver, [Boundary(2, {BUSY: 1_000, IDLE: 40})])
        assert driver.released == []


def test_a_segment_holds_what_was_cut_of_a_log_before_it_was_looked_at() -> None:
    """A suffix of entries reached into the sixth segment and was cut to 5,000 before the look; the log goes on."""
    driver = Driver({BUSY: 5_001, IDLE: 10}, {BUSY: 5_200, IDLE: 9})
    driver.groups[BUSY].log.highest_slot = 5_400
    compaction = look(driver, [])
    assert driver.released == []
    noted = decode_record(driver.kept[0])[1]
    assert noted.known == [Boundary(6, {BUSY: 5_400, IDLE: 9})]
    driver.groups[BUSY].log.first_slot = 5_401
    driver.now += LOOK_TICKS
    compaction.tick()
    assert compaction.records()


def test_a_log_that_is_kept_for_a_copy_of_its_store_is_not_written_anew_meanwhile() -> None:
    driver = Driver({BUSY: 1, IDLE: 10}, {BUSY: 5_000, IDLE: 9})
    driver.groups[BUSY].stopped = "it cannot apply, so it cannot let go"
    driver.groups[BUSY].transfer.oldest_slot = lambda: 1
    known = [Boundary(segment, {BUSY: segment, IDLE: 9}) for segment in range(2, 20)]
    compaction = Compaction(driver, [], known)  # type: ignore[arg-type]
    for _ in range(3 * URGED_LOOKS):
        driver.now += LOOK_TICKS
        compaction.tick()
        assert not compaction.records()
    driver.groups[BUSY].transfer.oldest_slot = lambda: None
    for _ in range(2 * URGED_LOOKS):
        driver.now += LOOK_TICKS
        compaction.tick()
        if compaction.records():
            compaction.on_durable()
    assert driver.released


def test_under_load_a_log_lets_go_of_what_the_oldest_segment_needs() -> None:
    """The store is always some entries behind what is applied, and the journal is long: what it holds durably goes."""
    driver = Driver({BUSY: 1_000, IDLE: 10}, {BUSY: 5_000, IDLE: 9})
    cut: list[int] = []
    driver.groups[BUSY].compact = cut.append
    driver.groups[BUSY].synced_slot = 4_990
    driver.read = lambda job, then: None  # type: ignore[method-assign]  # a sync is under way
    look(driver, [Boundary(segment, {BUSY: 1_000 + 100 * segment, IDLE: 9}) for segment in range(2, 12)])
    assert cut == [4_990]


def entries(first: int, last: int) -> list[Entry]:
    return [Entry(slot, 1, b"x") for slot in range(first, last + 1)]


def test_of_a_log_that_was_written_anew_nothing_older_counts() -> None:
    """Its older records lie behind a segment that is gone, and do not join what is written anew."""
    raft = [HardState(1, 1), Compacted(5, 1), LogSuffix(entries(6, 12))]
    paxos = [PromiseRecord(1), Trimmed(5, 1), LearntRecord(entries(6, 12)), ChosenRecord(12)]
    journal = [(BUSY, LogSuffix(entries(11, 12))), (IDLE, AcceptRecord(1, entries(11, 12))), (IDLE, ChosenRecord(11))]
    journal += [(BUSY, Anew()), *((BUSY, record) for record in raft)]
    journal += [(IDLE, Anew()), *((IDLE, record) for record in paxos), (BUSY, HardState(2, 3))]
    assert read_records(map(encode_record, journal)) == {BUSY: [*raft, HardState(2, 3)], IDLE: paxos}
