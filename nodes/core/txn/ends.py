"""Ends of prepared transactions that a shard leader was told, and has not applied yet.

Nobody waits for an end but who wants what it holds. So while an entry of another transaction is to come here, the end
goes along with the next one, in one message and one sync; alone it would cost as much as a prepare. It is proposed at
once when none is to come or somebody waits, and at the next tick in any case.

*Invariant*: what waits here is known elsewhere, and a leadership that ends may lose it: a commit is told again by its
home until the end is acknowledged, and whoever leads next asks about what it finds prepared (`recovery.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

from nodes.core.host import Host
from nodes.core.txn.entries import EndTxn, encode
from nodes.core.txn.shard_state import ShardState
from nodes.core.txn.states import APPENDED, ASKING, LOCKING, Active

_BRING_ENTRIES = (LOCKING, ASKING, APPENDED)  # most of them, and soon


class Ends:
    """Of one time of leadership. `active`: those that the leader executes, and has not prepared."""

    def __init__(self, state: ShardState, host: Host, active: Mapping[bytes, Active]) -> None:
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
        if is_awaited:
            self.propose()
        else:
            self.look()

    def look(self) -> None:
        """Propose those that wait, unless there is something to wait for."""
        if self._waiting and not self._is_entry_to_come():
            self.propose()

    def on_applied(self, txn: bytes) -> None:
        self._told.discard(txn)

    def propose(self, *entries: bytes) -> None:
        """All that wait, now, and these behind them."""
        waiting, self._waiting = self._waiting, []
        for data in (*map(encode, waiting), *entries):
            self._host.propose(data)

    def _is_entry_to_come(self) -> bool:
        if len(self._state.prepared) > len(self._told):
            return True
        return any(each.state in _BRING_ENTRIES for each in self._active.values())
