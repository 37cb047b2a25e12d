"""A filter before a store of ids: which ones can be in it.

Nearly every id that is looked up is new, and newer than nearly all that the store holds. So the filter keeps the newest
ids and, of all others, only how far they reach.

*Invariants*: an id that was in the store at construction or was added since is never denied. One that is not denied
may be missing all the same (an apply that was rolled back, an id that was forgotten).
"""

from __future__ import annotations

KEPT = 4_096


class RememberedIds:
    """`newest`: no id that the store holds is greater; b"" if it holds none."""

    __slots__ = ("_kept", "_reach")

    def __init__(self, newest: bytes) -> None:
        self._reach = newest
        self._kept: set[bytes] = set()

    def add(self, txn: bytes) -> None:
        if txn > self._reach:
            self._kept.add(txn)
            if len(self._kept) > KEPT:
                self._reach = max(self._kept)
                self._kept.clear()

    def __contains__(self, txn: bytes) -> bool:
        """False: it is certainly not in the store."""
        return txn <= self._reach or txn in self._kept
