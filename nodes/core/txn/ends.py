"""Ends of prepared transactions that a shard leader was told, and has not applied yet.

Nobody waits for an end but who wants what it holds. So while others are in flight here, whose entries are to come, it
goes along with the next of them, in one message and one sync; alone it would cost as much as a prepare. It is proposed
at once when nobody else is in flight or somebody waits, and at the next tick in any case.

*Invariant*: what waits here was told by the home, and is told again by it until the end is acknowledged; a leadership
that ends may lose it.
"""

from __future__ import annotations

from collections.abc import Sized

from nodes.core.host import Host
from nodes.core.txn.entries import EndTxn, encode
from nodes.core.txn.shard_state import ShardState


class Ends:
    """Of one time of leadership. `active`: those that the leader executes, and has not prepared."""

    def __init__(self, state: ShardState, host: Host, active: Sized) -> None:
        self._state = state
        self._host = host
        self._active = active
        self._told: set[bytes] = set()  # not applied yet
        self._waiting: list[EndTxn] = []  # not proposed yet

    def add(self, txn: bytes, commit: bool, commit_ts: int, is_awaited: bool) -> None:
        """The outcome of one that is prepared here. It may be told more than once."""
        if txn in self._told:
            return
        self._told.add(txn)
        self._waiting.append(EndTxn(txn, commit, commit_ts))
        in_flight = len(self._active) + len(self._state.prepared) - len(self._told)
        if is_awaited or in_flight <= 0:
            self.propose()

    def on_applied(self, txn: bytes) -> None:
        self._told.discard(txn)

    def propose(self) -> None:
        """All that wait, now."""
        waiting, self._waiting = self._waiting, []
        for end in waiting:
            self._host.propose(encode(end))
