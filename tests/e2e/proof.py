"""The judgement over the bank: transfers as the clients saw them, against one snapshot of accounts and ledger.

*Invariants judged*: what was acknowledged stands in the ledger; what was refused does not; what had no answer agrees
with its fate; the ledger holds nothing else, and of each transfer exactly what was asked; each balance is what it
was plus its ledger entries; no two transfers share a commit timestamp.

*Left out*: where the snapshot comes from (`kill.py`), and that it is not an old one (the readers of `clients.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

COMMITTED, REFUSED, UNKNOWN, ABORTED, UNNAMED = "committed", "refused", "unknown", "aborted", "unnamed"


class Transfer(NamedTuple):
    """One transfer as its client saw it. Times are seconds of the machine's monotonic clock.

    `answer`: COMMITTED, REFUSED (certainly did not happen) or UNKNOWN; then `fate` is COMMITTED or ABORTED as was
    told by id, or UNNAMED where no id came back to ask by. `asked`: "fate" or "fence", by which it was learnt.
    """

    number: int
    via: str
    source: int
    target: int
    amount: int
    shards: tuple[int, ...]
    begun: float
    ended: float
    answer: str
    fate: str
    transaction: str = ""
    commit_ts: int = 0
    asked: str = ""
    why: str = ""

    @property
    def happened(self) -> bool | None:
        """None: nobody can say (only without an id)."""
        told = self.fate if self.answer == UNKNOWN else self.answer
        return None if told == UNNAMED else told == COMMITTED


class Entry(NamedTuple):
    """A row of the ledger."""

    number: int
    source: int
    target: int
    amount: int


def judge(
    before: dict[int, int], after: dict[int, int], ledger: Iterable[Entry], transfers: Iterable[Transfer]
) -> list[str]:
    """Every violation, in words; [] when all holds. `before` and `after`: account -> balance."""
    entries = list(ledger)
    by_number = {transfer.number: transfer for transfer in transfers}
    return [
        *_wrong_entries(entries, by_number),
        *_missing_entries({entry.number for entry in entries}, by_number),
        *_wrong_balances(before, after, entries),
        *_shared_timestamps(by_number.values()),
    ]


def _wrong_entries(entries: list[Entry], transfers: dict[int, Transfer]) -> list[str]:
    """Entries that nobody asked for, that differ from what was asked, or that certainly did not happen."""
    found = []
    for number, count in Counter(entry.number for entry in entries).items():
        if count > 1:
            found.append(f"ledger entry {number} stands there {count} times")
    for entry in entries:
        transfer = transfers.get(entry.number)
        if transfer is None:
            found.append(f"ledger entry {entry.number} belongs to no transfer")
        elif (transfer.source, transfer.target, transfer.amount) != entry[1:]:
            found.append(f"ledger entry {entry} is not what was asked: {transfer}")
        elif transfer.happened is False:
            found.append(f"it did not happen by its answer, but stands in the ledger: {transfer}")
    return found


def _missing_entries(numbers: set[int], transfers: dict[int, Transfer]) -> list[str]:
    lost = [transfer for number, transfer in transfers.items() if transfer.happened and number not in numbers]
    return [f"it happened by its answer, but is not in the ledger: {transfer}" for transfer in lost]


def _wrong_balances(before: dict[int, int], after: dict[int, int], entries: list[Entry]) -> list[str]:
    expected = Counter(before)
    for entry in entries:
        expected[entry.source] -= entry.amount
        expected[entry.target] += entry.amount
    accounts = sorted(before.keys() | after.keys() | expected.keys())
    return [
        f"account {account} has {after.get(account)}, its ledger entries make {expected[account]}"
        for account in accounts
        if after.get(account) != expected[account]
    ]


def _shared_timestamps(transfers: Iterable[Transfer]) -> list[str]:
    counted = Counter(transfer.commit_ts for transfer in transfers if transfer.commit_ts)
    return [f"commit timestamp {ts} was given {count} times" for ts, count in counted.items() if count > 1]
