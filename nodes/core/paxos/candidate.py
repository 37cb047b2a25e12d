"""The candidate: first a question that promises nothing (pre-vote), then phase 1 over all slots not known as chosen.

`Preparing` decides which value each open slot must keep: that of the highest ballot among a majority of *complete*
answers (P04, P17). Answers come in pages; an acceptor that has promised accepts nothing below, so its pages fit
together whenever they are read. *Invariants*: an answer to another attempt or ballot is never counted (P12); an
acceptor counts once (P13); a slot that nobody holds gets nothing, so the log has no gaps (P16); whoever hears of a
trimmed slot that it asked for leads not, for its value is to be had with a copy of a store alone.
Paxos Made Simple 3.
"""

from __future__ import annotations

from collections.abc import Iterable

from nodes.core.paxos.ballots import CHOSEN
from nodes.core.paxos.messages import Ask, Message, Prepare, Promise, Proposal
from nodes.core.replicated_log import Entry


class Asking:
    """The question of one attempt; `granted` by these nodes so far."""

    __slots__ = ("_chosen", "_others", "attempt", "granted")

    def __init__(self, attempt: int, chosen: int, others: tuple[int, ...]) -> None:
        self.attempt = attempt
        self._chosen = chosen
        self.granted: set[int] = set()
        self._others = others

    def unanswered(self) -> list[tuple[int, Message]]:
        return [(node, Ask(self.attempt, self._chosen)) for node in self._others if node not in self.granted]


class Preparing:
    """Phase 1 under `ballot`, over the slots from `from_slot` on."""

    __slots__ = ("_found", "_next_slot", "ballot", "from_slot")

    def __init__(self, ballot: int, from_slot: int, others: tuple[int, ...]) -> None:
        self.ballot = ballot
        self.from_slot = from_slot
        self._next_slot = dict.fromkeys(others, from_slot)  # 0: the answer is complete
        self._found: dict[int, list[Proposal]] = {node: [] for node in others}

    def unanswered(self) -> list[tuple[int, Message]]:
        return [(node, Prepare(self.ballot, slot)) for node, slot in self._next_slot.items() if slot]

    def take_page(self, sender: int, page: Promise) -> bool:
        """Is it the page that was waited for? Then it is kept."""
        if page.from_slot != self._next_slot[sender] or 0 < page.next_slot <= page.from_slot:
            return False
        self._found[sender].extend(page.proposals)
        self._next_slot[sender] = page.next_slot
        return True

    def complete_answers(self) -> int:
        return sum(slot == 0 for slot in self._next_slot.values())

    def recovered(self, own: Iterable[Proposal], chosen: int) -> tuple[list[Entry], list[Entry]]:
        """The entries above `chosen`, in slot order without gaps: those known to be chosen, and those to propose."""
        best: dict[int, Proposal] = {}
        complete = [self._found[node] for node, slot in self._next_slot.items() if slot == 0]
        for answer in (own, *complete):
            for proposal in answer:
                slot = proposal.entry.slot
                if slot > chosen and (slot not in best or best[slot].ballot < proposal.ballot):
                    best[slot] = proposal
        first = chosen + 1
        while first in best and best[first].ballot == CHOSEN:
            first += 1
        # An acceptor may have learnt more between two of its pages: what is chosen above that is proposed as it is.
        return [best[slot].entry for slot in range(chosen + 1, first)], [
            best[slot].entry if slot in best else Entry(slot, 0, b"") for slot in range(first, max(best, default=0) + 1)
        ]
