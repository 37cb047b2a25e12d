"""What a replica's records in the journal say, together: recovery is construction.

*Invariants*: whatever one replica wrote, in order, can be read; anything else is Corrupt. The paper, figure 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nodes.core.membership import Configuration, Joined
from nodes.core.raft.log import RaftLog
from nodes.core.raft.messages import NOBODY, Compacted, HardState, LogSuffix
from nodes.core.replicated_log import START, Point
from nodes.errors import Corrupt


@dataclass(slots=True)
class Saved:
    """The log, the hard state, and how the replica began if not with the founding."""

    log: RaftLog
    term: int = 0
    vote: int = NOBODY
    joined: Joined | None = None


def read(records: list[Any], known: Configuration) -> Saved:
    """`known`: the members as the store has them."""
    saved = Saved(RaftLog(_base_of(records), known=known))
    for record in records:
        if isinstance(record, LogSuffix):  # nearly all are
            saved.log.replay(record)
        elif isinstance(record, HardState):
            if record.term < saved.term:
                raise Corrupt(f"term {record.term} after term {saved.term}")
            saved.term, saved.vote = record.term, record.vote
        elif isinstance(record, Compacted):
            if record.emptied:
                saved.log.truncate(saved.log.first_slot)
        elif isinstance(record, Joined):
            saved.joined = record
            saved.log.know(record.configuration)
        else:
            raise Corrupt(f"a {type(record).__name__} is no record of a Raft replica")
    saved.log.check()
    if saved.log.last_epoch > saved.term:
        raise Corrupt(f"an entry of term {saved.log.last_epoch} in a journal of term {saved.term}")
    return saved


def _base_of(records: list[Any]) -> Point:
    """Where the log begins: the newest word of the journal on it."""
    compacted = next((record for record in reversed(records) if isinstance(record, Compacted)), None)
    return Point(compacted.slot, compacted.epoch) if compacted else START
