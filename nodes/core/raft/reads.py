"""Read index: proving, in batches, that this replica still leads.

All tokens asked for between two drains wait for one *round*, which begins at that drain: a heartbeat with the round's
number. When a majority has answered that round or a later one, this replica led when the round began, so everything
that was acknowledged before lies at or below the commit index of that moment (and the leader's own first entry).

*Invariants*: a token is confirmed only by a round that began after it was asked for; rounds are counted within one
term and answers carry the term; a token is told once. *Left out*: leases. The dissertation, section 6.4.
"""

from __future__ import annotations

from collections import deque


class ReadRounds:
    """The rounds of one leader in one term."""

    __slots__ = ("round", "_asked", "_running")

    def __init__(self) -> None:
        self.round = 0
        self._asked: list[int] = []
        self._running: deque[tuple[int, int, list[int]]] = deque()  # (round, read index, tokens)

    @property
    def has_asked(self) -> bool:
        return bool(self._asked)

    @property
    def is_running(self) -> bool:
        return bool(self._running)

    def ask(self, token: int) -> None:
        self._asked.append(token)

    def begin(self, read_slot: int) -> None:
        """One round for all that was asked; its tokens also wait until `read_slot` is delivered here."""
        self.round += 1
        self._running.append((self.round, read_slot, self._asked))
        self._asked = []

    def is_ready(self, answered_round: int, delivered_slot: int) -> bool:
        """Would `confirmed` return anything?"""
        if not self._running:
            return False
        number, read_slot, _ = self._running[0]
        return number <= answered_round and read_slot <= delivered_slot

    def confirmed(self, answered_round: int, delivered_slot: int) -> list[int]:
        """The tokens of the rounds that a majority has answered, once their read index is delivered."""
        tokens: list[int] = []
        while self.is_ready(answered_round, delivered_slot):
            tokens += self._running.popleft()[2]
        return tokens

    def all_tokens(self) -> list[int]:
        """Every token that still waits, oldest first: what fails when the leadership ends."""
        waiting = [token for _, _, tokens in self._running for token in tokens]
        return waiting + self._asked
