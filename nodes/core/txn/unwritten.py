"""What a shard's replica has applied since its store was written last: it is in memory and in the log.

*Invariant*: a statement that touches rows by full keys alone, none of them in `rows`, finds in the store what it would
find if all this were written. For its planned locks name every row that it looks at, and the nodes above those
(nodes/sql/binding.py), and who changed a row held X on it, or on a node above it.
"""

from __future__ import annotations

from collections.abc import Sequence

from nodes.core.engine import Engine
from nodes.core.locks import Node, X
from nodes.core.membership import Configuration
from nodes.sql.schema import Ddl, Fragment, Image

MOST_IMAGES = 1_000


class Unwritten:
    """One local transaction's worth; `prepared` and `outcomes` are encoded, `ended` had been written as prepared."""

    __slots__ = ("_changes", "_has_ddl", "_images", "ended", "members", "moves_marks", "outcomes", "prepared", "rows")

    def __init__(self) -> None:
        self.prepared: dict[bytes, bytes] = {}
        self.ended: list[bytes] = []
        self.outcomes: dict[bytes, tuple[bytes, bool]] = {}  # and whether this shard is the home
        self.members: Configuration | None = None
        self.rows: set[Node] = set()
        self._has_ddl = self.moves_marks = False
        self._changes: list[tuple[Ddl | None, Sequence[Image], int]] = []
        self._images = 0

    def change(
        self, ddl: Ddl | None, images: Sequence[Image], locks: Sequence[tuple[int, bytes, int]], commit_ts: int
    ) -> None:
        """A commit, that held these locks."""
        self._changes.append((ddl, images, commit_ts))
        self._images += len(images)
        self.rows.update([(table, key) for table, key, mode in locks if mode == X])
        self._has_ddl |= ddl is not None

    @property
    def is_urgent(self) -> bool:
        """Which tables there are is the engine's to know; many rows would hold up the loop."""
        return self._has_ddl or self._images >= MOST_IMAGES

    def concerns(self, fragments: Sequence[Fragment]) -> bool:
        """May any of this be among what these look at?"""
        rows = self.rows
        for fragment in fragments if rows else ():
            if not fragment.point or fragment.rows is not None:
                return True
            for lock in fragment.locks:
                if (lock.table, lock.key) in rows:
                    return True
        return False

    def write(self, engine: Engine) -> None:
        """Between `begin` and `commit`."""
        engine.drop_prepared(self.ended)
        engine.put_prepared(self.prepared.items())
        for ddl, images, commit_ts in self._changes:
            if ddl is not None:
                engine.define(ddl, commit_ts)
            if images:
                engine.install(images, commit_ts)
        for at_home in (False, True):
            records = [(txn, record) for txn, (record, home) in self.outcomes.items() if home == at_home]
            engine.put_outcomes(records, at_home)
        if self.members is not None:
            engine.set_members(*self.members)
