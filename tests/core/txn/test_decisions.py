"""The state of a home against a dumb twin, which never flushes, restarts or removes: at every moment, in every order,
both know the same of every id and every key."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nodes import ids
from nodes.core.membership import Configuration, Members, encode_members
from nodes.core.replicated_log import Entry
from nodes.core.txn.decisions import FLUSH_TICKS, CoordinatorState
from nodes.core.txn.entries import DecideTxn, DoneTxns, FenceKey, ForgetDecisions, Reserve, encode
from nodes.core.txn.messages import KeyBinding, KeyRecord
from nodes.storage.sqlite_decisions import SqliteDecisions

TIMES = range(1, 12)
TXNS = [ids.mint(time, 1, 1, counter, "c1", b"cluster") for time in TIMES for counter in range(2)]
KEYS = [b"a" * 16, b"b" * 16]

bindings = st.none() | st.builds(KeyBinding, st.sampled_from(KEYS), st.just(b"d"), st.just(b"r"))
commits = st.builds(DecideTxn, st.sampled_from(TXNS), st.just(True), st.integers(1, 30), st.just(["s1"]), st.just(""),
                    bindings)  # fmt: skip
aborts = st.builds(DecideTxn, st.sampled_from(TXNS), st.just(False), st.just(0), st.just([]), st.just("in doubt"))
fences = st.builds(FenceKey, st.sampled_from(KEYS), st.integers(1, 30), st.integers(0, 12))
entries = commits | aborts | fences | st.builds(DoneTxns, st.lists(st.sampled_from(TXNS), max_size=4)) | st.builds(
    ForgetDecisions, st.integers(0, 12)) | st.builds(Reserve, st.integers(0, 99))  # fmt: skip
moves = st.lists(entries | st.sampled_from(["flush", "tick", "crash", "close"]), max_size=60)


class Twin:
    """The same, by hand: dictionaries, and the mark is looked at when something is asked."""

    def __init__(self) -> None:
        self.decisions: dict[bytes, DecideTxn] = {}
        self.keys: dict[bytes, KeyRecord] = {}
        self.undone: set[bytes] = set()
        self.reserved = self.forgotten = 0

    def key(self, key: bytes) -> KeyRecord | None:
        record = self.keys.get(key)
        return record if record is not None and record.date > self.forgotten else None

    def decision(self, txn: bytes) -> DecideTxn | None:
        return self.decisions.get(txn)

    def apply(self, entry: object) -> None:
        if isinstance(entry, DecideTxn):
            if entry.txn not in self.decisions and ids.time_of(entry.txn) > self.forgotten:
                self._decide(entry)
        elif isinstance(entry, DoneTxns):
            self.undone -= set(entry.txns)
        elif isinstance(entry, FenceKey):
            self._fence(entry)
        elif isinstance(entry, ForgetDecisions):
            self.forgotten = max(self.forgotten, entry.until)
        elif isinstance(entry, Reserve):
            self.reserved = max(self.reserved, entry.until)

    def _decide(self, entry: DecideTxn) -> None:
        binding = entry.binding if entry.commit else None
        refused = binding is not None and self.key(binding.key) is not None
        self.decisions[entry.txn] = DecideTxn(
            entry.txn, entry.commit and not refused, 0 if refused else entry.commit_ts, [], ""
        )
        if entry.commit and not refused:
            self.undone.add(entry.txn)
            if binding is not None:
                self.keys[binding.key] = KeyRecord(
                    entry.txn, entry.commit_ts, entry.commit_ts, binding.digest, binding.result
                )

    def _fence(self, entry: FenceKey) -> None:
        known = self.key(entry.key)
        if 0 < entry.since <= self.forgotten:
            return
        if known is None or not known.txn:
            self.keys[entry.key] = KeyRecord(b"", 0, max(known.date, entry.date) if known else entry.date)


class Home:
    """A state over a store, and its log, of which a restart delivers again what the store had not."""

    def __init__(self) -> None:
        self.store = SqliteDecisions(None)
        self.state = CoordinatorState(self.store)
        self.log: list[Entry] = []
        self.now = 0

    def append(self, decoded: object) -> None:
        self.log.append(Entry(len(self.log) + 1, 1, encode(decoded)))
        self.state.apply(self.log[-1])

    def tick(self) -> None:
        self.now += FLUSH_TICKS
        self.state.tick(self.now)

    def restart(self) -> None:
        self.state = CoordinatorState(self.store)
        for entry in self.log[self.store.applied :]:
            self.state.apply(entry)


def must_agree(home: Home, twin: Twin) -> None:
    state = home.state
    assert (state.marks.reserved, state.marks.forgotten) == (twin.reserved, twin.forgotten)
    assert set(state.undone) == twin.undone
    for key in KEYS:
        assert state.key(key) == twin.key(key)
    for txn in TXNS:
        known, expected = state.decision(txn), twin.decision(txn)
        if known is None or expected is None:  # one that is forgotten may be removed, and no other
            assert known is None
            assert expected is None or state.is_expired(txn)
        else:
            assert (known.commit, known.commit_ts) == (expected.commit, expected.commit_ts)


@settings(max_examples=300, deadline=None)
@given(moves)
def test_flushes_restarts_and_removals_change_nothing_that_is_known(steps: list[object]) -> None:
    home, twin = Home(), Twin()
    for step in steps:
        if step == "flush":
            home.state.flush()
        elif step == "tick":
            home.tick()
        elif step == "close":
            home.state.flush()
            home.restart()
        elif step == "crash":
            home.restart()
        elif is_legal(step, twin):
            home.append(step)
            twin.apply(step)
        must_agree(home, twin)


def is_legal(step: object, twin: Twin) -> bool:
    """No leader proposes a mark that passes a commit that is not done."""
    if not isinstance(step, ForgetDecisions):
        return True
    return all(ids.time_of(txn) > step.until for txn in twin.undone)


def test_members_are_in_the_store_when_it_is_flushed() -> None:
    """Who takes the store over, or starts on it, must know them: the log may have let go of the entry."""
    store = SqliteDecisions(None)
    state = CoordinatorState(store)
    members = Members((1, 2, 4), former=(3,))
    state.apply(Entry(1, 1, encode_members(members)))
    assert store.configuration is None
    state.flush()
    assert store.configuration == Configuration(1, members)
