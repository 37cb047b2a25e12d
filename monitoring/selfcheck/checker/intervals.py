"""Who was over before who began: as few pairs as say it all.

Of pairs that follow from others (a before b, b before c) only those others are given. So there are no more for each
transaction than others were under way at once, however long the history is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from monitoring.selfcheck.checker.graph import PROCESS, REALTIME, Edge
from monitoring.selfcheck.checker.history import DID_NOT_HAPPEN, HAPPENED, Transaction


def one_after_the_other(history: Iterable[Transaction]) -> Iterator[tuple[Transaction, Transaction]]:
    """The transitive reduction of "ended before the other began". Who did not happen stands nowhere; whose outcome is
    unknown may happen at any later time, so nobody comes behind it."""
    some = [txn for txn in history if txn.outcome != DID_NOT_HAPPEN]
    events = [(txn.begun, False, place) for place, txn in enumerate(some)]
    events += [(txn.ended, True, place) for place, txn in enumerate(some) if txn.outcome == HAPPENED]
    latest: dict[int, None] = {}  # those over, but for whom another one that is over came between
    before: dict[int, list[int]] = {}
    for _, is_end, place in sorted(events):
        if not is_end:
            before[place] = list(latest)
            yield from ((some[earlier], some[place]) for earlier in latest)
            continue
        for earlier in before.pop(place):
            latest.pop(earlier, None)
        latest[place] = None


def edges(history: list[Transaction]) -> Iterator[Edge]:
    """Real time, and of each process what it did one after the other."""
    for one, other in one_after_the_other(history):
        yield Edge(REALTIME, one, other, "{} was answered before {} was asked for", ())
    last: dict[object, Transaction] = {}
    for txn in sorted(history, key=lambda txn: txn.begun):
        before = last.get(txn.process)
        if txn.outcome == DID_NOT_HAPPEN:
            continue
        if before is not None and before.ended <= txn.begun:
            yield Edge(PROCESS, before, txn, "{} and then {} was asked for by the same client", ())
        if txn.outcome == HAPPENED:
            last[txn.process] = txn
