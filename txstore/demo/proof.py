"""The proof at the end: what the ledger says, what the accounts have and what the clients were told must agree.

Everything is read on one snapshot; the judgement is a pure function.

*Judged*: all money is there; each balance is what it was plus its ledger entries; each acknowledged transfer is in the
ledger, just as it was asked for; each that did not happen is not; unknown ones agree with their fate; the ledger holds
nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from nodes.client import Cluster
from nodes.errors import DID_NOT_HAPPEN, HAPPENED, UNKNOWN
from nodes.requests import Request, Statement
from txstore.demo.bank import START, Transfer, windows
from txstore.demo.traffic import Told

WINDOW_ROWS = 5_000


class Books(NamedTuple):
    """The bank on one snapshot: account -> balance, and the rows of the ledger."""

    balances: dict[int, int]
    ledger: list[Transfer]
    ts: int


@dataclass
class Claim:
    """One thing that must hold: in words, with what contradicts it."""

    words: str
    against: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.against


def read(cluster: Cluster, accounts: int, last_number: int) -> Books:
    """All of it at one timestamp. Raises StoreError; RuntimeError if rows lie outside of what was read."""
    account_parts = list(windows(accounts, WINDOW_ROWS))
    ledger_parts = list(windows(last_number, WINDOW_ROWS))
    listed = [
        Statement("SELECT COUNT(*) FROM demo_accounts"),
        Statement("SELECT COUNT(*) FROM demo_ledger"),
        *(
            Statement("SELECT id, balance FROM demo_accounts WHERE id >= $1 AND id < $2", list(part))
            for part in account_parts
        ),
        *(
            Statement("SELECT id, source, target, amount FROM demo_ledger WHERE id >= $1 AND id < $2", list(part))
            for part in ledger_parts
        ),
    ]
    reply = cluster.submit(Request(listed, 60_000, True))
    pages = [result.rows for result in reply.results]
    balances = {id: balance for page in pages[2 : 2 + len(account_parts)] for id, balance in page}
    ledger = [Transfer(*row) for page in pages[2 + len(account_parts) :] for row in page]
    if [pages[0][0][0], pages[1][0][0]] != [len(balances), len(ledger)]:
        raise RuntimeError("the demo's tables hold rows that this run did not write: does another program use them?")
    return Books(balances, ledger, reply.ts)


def judge(books: Books, accounts: int, told: list[Told], settled: int) -> list[Claim]:
    """Every claim, whether it holds or not. `settled`: of how many `told` the outcome was learnt afterwards."""
    entries = {entry.number: entry for entry in books.ledger}
    by_outcome = {outcome: [each for each in told if each.outcome == outcome] for outcome in (HAPPENED, DID_NOT_HAPPEN)}
    total, wanted = sum(books.balances.values()), accounts * START
    return [
        Claim(
            f"the money is all there: {total:,} on {len(books.balances):,} accounts",
            [] if (total, len(books.balances)) == (wanted, accounts) else [f"{wanted:,} on {accounts:,} there were"],
        ),
        Claim("each balance is what it was plus its ledger entries", _wrong_balances(books, accounts)),
        Claim(
            f"each of {len(by_outcome[HAPPENED]):,} acknowledged transfers is in the ledger, as it was asked for",
            _missing(entries, by_outcome[HAPPENED]),
        ),
        Claim(
            f"none of {len(by_outcome[DID_NOT_HAPPEN]):,} that did not happen is in the ledger",
            [
                f"{each.transfer} ({each.code})"
                for each in by_outcome[DID_NOT_HAPPEN]
                if each.transfer.number in entries
            ],
        ),
        Claim("the ledger holds nothing that was not asked for", _unasked(books.ledger, told)),
        Claim(
            f"all {settled:,} whose answer was lost agree with their fate, asked for by key",
            [f"{each.transfer} ({each.key})" for each in told if each.outcome == UNKNOWN],
        ),
    ]


def _wrong_balances(books: Books, accounts: int) -> list[str]:
    expected = Counter(dict.fromkeys(range(1, accounts + 1), START))
    for entry in books.ledger:
        expected[entry.source] -= entry.amount
        expected[entry.target] += entry.amount
    return [
        f"account {account} has {books.balances.get(account)}, its entries make {expected[account]}"
        for account in sorted(expected.keys() | books.balances.keys())
        if books.balances.get(account) != expected[account]
    ]


def _missing(entries: dict[int, Transfer], acknowledged: Iterable[Told]) -> list[str]:
    return [
        f"{each.transfer} ({each.key}), the ledger has {entries.get(each.transfer.number)}"
        for each in acknowledged
        if entries.get(each.transfer.number) != each.transfer
    ]


def _unasked(ledger: list[Transfer], told: list[Told]) -> list[str]:
    asked = {each.transfer for each in told}
    return [str(entry) for entry in ledger if entry not in asked]
