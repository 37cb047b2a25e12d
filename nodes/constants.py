"""The constants of the store that a configuration may set (DESIGN.md §8); docs/operations.md has the table.

They reach the state machines as `host.constants`. All nodes of a cluster should have the same: nothing is wrong when
they differ, but what is kept for how long then depends on who leads.
"""

from __future__ import annotations

import msgspec

MAX_CHUNK_BYTES = 8 << 20  # four of them are under way at once, each in a frame of its own


class Constants(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Times in milliseconds of oracle time, sizes in entries and bytes."""

    history_kept_ms: int = 600_000  # superseded versions, for snapshots of the past
    outcomes_kept_ms: int = 3_600_000  # outcomes and keys at their home
    txn_age_max_ms: int = 300_000  # a transaction's id is known at each of its shards for so long
    interactive_idle_ms: int = 30_000  # an interactive transaction in which nothing is asked for so long is rolled back
    watermark_every_ms: int = 10_000  # at least so much lies between two moves of a group's watermarks
    compact_entries: int = 5_000  # a log that holds so many applied entries is compacted
    compact_bytes: int = 4 << 20  # or so many bytes of them
    kept_entries: int = 1_000  # of which so many stay for replicas that are a little behind
    light_bytes: int = 50_000  # a log that holds less is written anew to let journal segments go
    segment_bytes: int = 4 << 20  # of the journal
    journal_segments: int = 8  # so many complete ones may lie there before every log is compacted to let them go
    chunk_bytes: int = 256 << 10  # of a store on its way to a replica that the log cannot help any more
    rebalance_after_ms: int = 5_000  # the preferred leader of a group gets it back when it is near again for so long

    @property
    def interactive_lives_ms(self) -> int:
        """So old may an interactive transaction become: its home is not to have forgotten its time at the end."""
        return min(self.txn_age_max_ms, self.outcomes_kept_ms // 2)

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.chunk_bytes > MAX_CHUNK_BYTES:
            raise ValueError(f"chunk_bytes must not be above {MAX_CHUNK_BYTES}, not {self.chunk_bytes}")
        if self.txn_age_max_ms > self.outcomes_kept_ms:
            raise ValueError("outcomes_kept_ms must not be below txn_age_max_ms")
