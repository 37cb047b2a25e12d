"""What a leader knows of one follower's log, and what it has sent ahead of that knowledge.

A follower is *probed* while the leader does not know where the logs agree: one message at a time, each asking about
another place. Once a place is known it is *replicated* to: messages follow one another without waiting for answers,
`next_slot` runs ahead of `match_slot`, as far as the bytes in flight allow.

*Invariants*: `match_slot` never goes back; `match_slot < next_slot`; what is in flight is what was sent above
`match_slot` since the last probe; who needs a store is probed without entries. The paper, sections 5.3 and 7.
"""

from __future__ import annotations

from collections import deque


class Progress:
    """One follower as its leader sees it. Slots, bytes, and ticks of the leader's own count."""

    __slots__ = ("match_slot", "next_slot", "needs_store", "probing", "waits", "inflight_bytes", "_inflight",
                 "sent_at", "heard_at", "round")  # fmt: skip

    def __init__(self, next_slot: int, now: int) -> None:
        self.match_slot = 0
        self.next_slot = next_slot
        self.needs_store = False  # Its log ends before ours begins.
        self.probing = True
        self.waits = False  # The probe is out; its answer, or the tick, decides what is asked next.
        self.inflight_bytes = 0
        self._inflight: deque[tuple[int, int]] = deque()  # (last slot, bytes) of each message not yet acknowledged
        self.sent_at = now  # When anything was last sent that wants an acknowledgement, or one last came.
        self.heard_at = now
        self.round = 0  # The last read round that it answered.

    @property
    def is_behind(self) -> bool:
        """Was something sent whose receipt is not known?"""
        return self.waits if self.probing else self.match_slot + 1 < self.next_slot

    def room(self, most_bytes: int) -> int:
        """How many of at most `most_bytes` in flight are free."""
        return most_bytes - self.inflight_bytes

    def sent(self, last_slot: int, size: int, now: int) -> None:
        """A message that ends at `last_slot` left."""
        self.sent_at = now
        if self.probing:
            self.waits = True
            return
        assert last_slot >= self.next_slot, "the pipeline never sends a slot twice"
        self.next_slot = last_slot + 1
        self.inflight_bytes += size
        self._inflight.append((last_slot, size))

    def acknowledged(self, slot: int, now: int) -> bool:
        """The follower has everything up to `slot`. Is that news?"""
        if self.probing:
            self._replicate(slot)
        self.needs_store = False
        self.sent_at = now
        while self._inflight and self._inflight[0][0] <= slot:
            self.inflight_bytes -= self._inflight.popleft()[1]
        if slot <= self.match_slot:
            return False
        self.match_slot = slot
        self.next_slot = max(self.next_slot, slot + 1)
        return True

    def is_stale_refusal(self, prev_slot: int) -> bool:
        """Does a refusal of `prev_slot` tell of a place that is no longer asked about?"""
        if self.probing:
            return not self.waits or prev_slot != self.next_slot - 1
        return not self.match_slot < prev_slot < self.next_slot

    def probe(self, next_slot: int) -> None:
        """Nothing of what is in flight can be relied on: ask again, at `next_slot`."""
        self.probing = True
        self.waits = False
        self.next_slot = max(self.match_slot + 1, next_slot)
        self.inflight_bytes = 0
        self._inflight.clear()

    def wait_for_store(self) -> None:
        """Its log ends before ours begins: whether it has a store by now is asked every now and then."""
        self.needs_store = self.waits = True

    def _replicate(self, slot: int) -> None:
        self.probing = False
        self.waits = False
        self.next_slot = max(self.match_slot, slot) + 1
