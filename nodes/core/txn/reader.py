"""A replica reads its own store at a timestamp, and tells the gateway (DESIGN.md §5, snapshot reads, follower reads).

The leader reads when `snapshots.py` says that it may. Any replica reads at a timestamp that is *closed* as of a slot of
its log, once it has applied that slot: the leader of then has said that all that ever commits at or below the timestamp
is in the log up to there.

*Invariants*: a table is read by the definition that held at the timestamp; another one is refused, and so is what lies
below the horizon (`SnapshotTooOld`), never answered with rows missing.
"""

from __future__ import annotations

from typing import Any

from nodes.core.host import GATEWAY, Host
from nodes.core.txn.messages import BEHIND, FAILED, STALE, SnapshotRead, SnapshotRefused, SnapshotRows
from nodes.core.txn.shard_state import ShardState
from nodes.errors import ErrorInfo, SnapshotTooOld, StoreError
from nodes.sql.schema import ShardRows


class Reader:
    """One for each replica, whether it leads or not."""

    def __init__(self, state: ShardState, host: Host) -> None:
        self.state = state
        self.host = host

    def read_closed(self, message: SnapshotRead) -> None:
        """At a timestamp that is closed as of `message.slot`."""
        if self.state.applied < message.slot:
            self.refuse(message, BEHIND)
        else:
            self.read(message)

    def read(self, message: SnapshotRead) -> None:
        self.state.flush()
        engine = self.state.engine
        for fragment in message.fragments:
            for table, version in fragment.tables:
                try:
                    is_right = engine.check_version(table, version, message.ts)
                except SnapshotTooOld as error:
                    self._answer(message, None, error)
                    return
                if not is_right:
                    known = engine.table(table)
                    self.refuse(message, STALE, version=0 if known is None else known.version)
                    return

        def job() -> list[ShardRows]:
            return [engine.read(fragment, message.ts) for fragment in message.fragments]

        self.host.read(job, lambda rows, error: self._answer(message, rows, error))

    def _answer(self, message: SnapshotRead, rows: Any, error: BaseException | None) -> None:
        answer: SnapshotRows | SnapshotRefused
        if error is None:
            answer = SnapshotRows(message.number, self.host.group, rows)
        else:
            info = error.info if isinstance(error, StoreError) else ErrorInfo("internal", str(error), "XX000")
            answer = SnapshotRefused(message.number, self.host.group, FAILED, error=info)
        self.host.send(message.gateway, GATEWAY, answer)

    def refuse(self, message: SnapshotRead, cause: int, version: int = 0) -> None:
        refusal = SnapshotRefused(message.number, self.host.group, cause, leader=self.host.leader, version=version)
        self.host.send(message.gateway, GATEWAY, refusal)
