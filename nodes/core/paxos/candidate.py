"""The candidate: first a question that promises nothing (pre-vote), then phase 1 over all slots not known as chosen.

`Preparing` decides which value each open slot must keep: that of the highest ballot among a majority of *complete*
answers (P04, P17). Answers come in pages; an acceptor that has promised accepts nothing below, so its pages fit
together whenever they are read.

*Invariants*: an answer to another attempt or ballot is never counted (P12); an acceptor counts once (P13); every
change of members that is found must be answered for by a majority of the new ones, too, before anybody leads, for
they may have chosen more behind it (DESIGN.md §2); a slot that nobody holds gets nothing, so the log has no gaps (P16);
whoever hears of a trimmed slot that it asked for leads not, for its value is to be had with a copy of a store alone.
Paxos Made Simple 3.
"""

from __future__ import annotations

from collections.abc import Iterable

from nodes.core.membership import Members
from nodes.core.paxos.ballots import CHOSEN
from nodes.core.paxos.messages import Ask, Message, Prepare, Promise, Proposal
from nodes.core.replicated_log import Entry


class Asking:
    """The question of one attempt; `granted` by these nodes so far."""

    __slots__ = ("_chosen", "_members", "attempt", "granted")

    def __init__(self, attempt: int, chosen: int, me: int, members: Members) -> None:
        self.attempt = attempt
        self._chosen = chosen
        self.granted = {me}
        self._members = members

    def unanswered(self) -> list[tuple[int, Message]]:
        ask = Ask(self.attempt, self._chosen)
        return [(node, ask) for node in self._members.voters if node not in self.granted]

    def is_granted(self) -> bool:
        return len(self.granted.intersection(self._members.voters)) >= self._members.quorum


class Preparing:
    """Phase 1 under `ballot`, over the slots from `from_slot` on."""

    __slots__ = ("_found", "_next_slot", "ballot", "from_slot")

    def __init__(self, ballot: int, from_slot: int, me: int) -> None:
        self.ballot = ballot
        self.from_slot = from_slot
        self._next_slot = {me: 0}  # node -> what it is to tell next; 0: the answer is complete
        self._found: dict[int, list[Proposal]] = {}

    def ask(self, members: Members) -> list[tuple[int, Message]]:
        """The questions to those of the voters that were not asked yet."""
        new = [node for node in members.voters if node not in self._next_slot]
        self._next_slot.update(dict.fromkeys(new, self.from_slot))
        self._found.update({node: [] for node in new})
        return [(node, Prepare(self.ballot, self.from_slot)) for node in new]

    def unanswered(self) -> list[tuple[int, Message]]:
        return [(node, Prepare(self.ballot, slot)) for node, slot in self._next_slot.items() if slot]

    def take_page(self, sender: int, page: Promise) -> bool:
        """Is it the page that was waited for? Then it is kept."""
        if page.from_slot != self._next_slot.get(sender) or 0 < page.next_slot <= page.from_slot:
            return False
        self._found[sender].extend(page.proposals)
        self._next_slot[sender] = page.next_slot
        return True

    def is_answered(self, members: Members) -> bool:
        """By a majority of them, completely?"""
        return sum(self._next_slot.get(node) == 0 for node in members.voters) >= members.quorum

    def recovered(self, own: Iterable[Proposal], chosen: int) -> tuple[list[Entry], list[Entry]]:
        """The entries above `chosen`, in slot order without gaps: those known to be chosen, and those to propose."""
        best: dict[int, Proposal] = {}
        complete = [found for node, found in self._found.items() if self._next_slot[node] == 0]
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
