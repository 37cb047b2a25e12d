"""What the home's leader answers of client keys (`Idempotency-Key`): to whom they belong, and their fences.

    gateway ── AskKey ─> read index ─> KeyKnown
    gateway ── AskKey(fence) ─> read index ─> oracle value ─> FenceKey in the log ─> KeyKnown

The entries themselves, and what a commit does with its key, are in nodes/core/txn/decisions.py.

*Invariants*: nothing is told of a key but after a read index begun when it was asked, or after the entry that made it
true. A fence is dated by an oracle value drawn for it here, when it is proposed; one that stands is dated anew, for
whoever hears of it relies on it from then on. DESIGN.md §5, client keys.
"""

from __future__ import annotations

from nodes.core.host import GATEWAY, Host
from nodes.core.txn.decisions import CoordinatorState
from nodes.core.txn.entries import FenceKey, encode
from nodes.core.txn.messages import AskKey, KeyKnown, KeyRecord


class ClientKeys:
    """One time of leadership."""

    def __init__(self, state: CoordinatorState, host: Host) -> None:
        self._state = state
        self._host = host
        self._fences: dict[bytes, list[AskKey]] = {}  # who waits for an entry
        self._being_bound: dict[bytes, bytes] = {}  # id -> its key, while it is decided
        self._is_over = False

    def end(self) -> None:
        """The leadership is over: answers of the log and the oracle come too late."""
        self._is_over = True

    # -- commits

    def on_decide(self, txn: bytes, key: bytes) -> None:
        self._being_bound[txn] = key

    def taker(self, txn: bytes) -> KeyRecord | None:
        """To what the key belongs under which `txn` was not committed."""
        key = self._being_bound.get(txn)
        return self._state.key(key) if key is not None else None

    def on_answered(self, txn: bytes) -> None:
        self._being_bound.pop(txn, None)

    # -- questions

    def on_ask(self, message: AskKey) -> None:
        def then(confirmed: bool) -> None:
            if not confirmed or self._is_over:
                refuse_key(self._host, message)
            elif message.fence and self._may_fence(message):
                self._fence(message)
            else:
                self._tell(message)

        self._host.confirm(then)

    def _may_fence(self, message: AskKey) -> bool:
        """Unless it is bound, or it may have been, as the asker names a time from before it was first sent."""
        known = self._state.key(message.key)
        return (known is None or not known.txn) and not self._state.is_before_mark(message.since)

    def _fence(self, message: AskKey) -> None:
        def propose(date: int) -> None:
            if self._is_over:
                refuse_key(self._host, message)
            else:
                self._fences.setdefault(message.key, []).append(message)
                self._host.propose(encode(FenceKey(message.key, date, message.since)))

        self._host.timestamp(propose)

    def on_fenced(self, entry: FenceKey) -> None:
        """It is applied. Where the mark has passed its date already it is asked for once more."""
        for message in self._fences.pop(entry.key, ()):
            if self._state.key(entry.key) is None and self._may_fence(message):
                self._fence(message)
            else:
                self._tell(message)

    def _tell(self, message: AskKey) -> None:
        answer = KeyKnown(message.number, self._state.key(message.key), self._state.marks.forgotten)
        self._host.send(message.gateway, GATEWAY, answer)


def refuse_key(host: Host, message: AskKey) -> None:
    """This replica does not lead the home."""
    host.send(message.gateway, GATEWAY, KeyKnown(message.number, None, 0, leads=False, leader=host.leader))
