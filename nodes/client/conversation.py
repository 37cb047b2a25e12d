"""What is asked within one interactive transaction, one thing after the other, until it is answered (DESIGN.md §5).

Any node takes it and hands it on to the one that holds the transaction, which is turned to first: its number stands in
the id. What is numbered is asked again, at another node too, when its answer was lost or a node does not take it: a
repeat of the last number is answered as it was. But only for PATIENCE_S: a holder that is not reached by then is given
up, for what it held is probably gone. A rollback may be repeated anyway, and has no number.

*Invariants*: a number is used for one thing alone; once it is not known whether a thing was done, nothing but a
rollback is asked.
*Left out*: what the end of a transaction means to its caller (interactive.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic

from nodes import ids
from nodes.client.admission import NodeDown
from nodes.client.exchange import Answer, Lost, NotSent
from nodes.client.health import Candidates
from nodes.client.pool import Pool
from nodes.client.questions import ANSWER_MARGIN_S, Question, milliseconds
from nodes.client.surroundings import Deadline, Pauses
from nodes.errors import BadRequest, StoreError, Unavailable
from nodes.requests import Statement
from nodes.wire.protocol import COMMIT, ROLLBACK, Failed, FromClient, Within

PATIENCE_S = 2.0


class Conversation:
    """With whoever holds the transaction `id`. `was_lost`: an answer to what was asked last was lost, so that it may
    have been done, whatever was heard later."""

    def __init__(self, pool: Pool, id: str, is_numbered: bool) -> None:
        self.was_lost = False
        self._pool = pool
        self._id = id
        self._holder = ids.node_of(ids.from_text(id))
        self._is_numbered = is_numbered
        self._seq = 0
        self._is_open = False  # something is under way, or it is not known whether it was done

    async def ask(
        self, verb: int, answer: type[Answer], until: Deadline, statements: Sequence[Statement] = (), name: str = ""
    ) -> Answer:
        """Raises what the node said, and Unavailable if nobody said anything. A call that is cancelled leaves open
        whether it was done."""
        if self._is_open and verb != ROLLBACK:
            raise BadRequest("something else is under way in this transaction, or its answer was lost: roll it back")
        if until.left() <= 0:
            raise Unavailable("no time is left; nothing was asked")
        seq = self._seq + 1 if self._is_numbered and verb != ROLLBACK else 0

        def question(number: int, ms: int) -> Within:
            return Within(number, self._id, verb, seq, list(statements), name, ms)

        self._is_open, self.was_lost = True, False
        asking = _Asking(self._pool, question, answer, until, seq > 0 or verb == ROLLBACK, verb == COMMIT)
        try:
            found = await asking.run(self._holder)
        except StoreError:
            self._is_open = asking.is_doubtful
            raise
        finally:
            self.was_lost = asking.was_lost
        self._is_open, self._seq = asking.is_doubtful, seq or self._seq
        if isinstance(found, Failed):
            raise StoreError.of(found.error)
        return found


class _Asking(Generic[Answer]):
    """One thing that is asked, until it is answered; used once. `is_settled`: who asks has a better way to learn what
    became of it than to wait for a node that is silent. `is_doubtful`: it may have been done."""

    def __init__(
        self,
        pool: Pool,
        question: Question,
        answer: type[Answer],
        until: Deadline,
        is_repeatable: bool,
        is_settled: bool,
    ) -> None:
        self.was_lost = self.is_doubtful = False
        self._pool = pool
        self._question = question
        self._answer = answer
        self._until = until
        self._is_repeatable = is_repeatable
        self._gives_up = is_repeatable or is_settled
        self._reasons: list[str] = []

    async def run(self, holder: int) -> Answer | Failed:
        pauses, is_limited = Pauses(self._pool.surroundings), False
        while True:
            candidates = self._pool.candidates(holder) if holder else self._pool.gateways()
            self._reasons = []
            while candidates:
                found = await self._put(candidates)
                if found is not None:
                    return found
                if not is_limited:
                    is_limited = True
                    self._until = Deadline(self._pool.surroundings, min(self._until.left(), PATIENCE_S))
            if not await pauses.pause(self._until.left()):
                raise Unavailable(f"the transaction's node is not reached: {'; '.join(self._reasons)}")

    async def _put(self, candidates: Candidates) -> Answer | Failed | None:
        """To the next node; None if it may be put to another one."""
        until = self._until

        def question(number: int) -> FromClient:
            left = until.left()
            return self._question(number, milliseconds(left - min(ANSWER_MARGIN_S, left / 5)))

        try:
            found, _ = await self._pool.ask(
                candidates, question, self._answer, until, until, lambda named: self._gives_up
            )
        except (NodeDown, NotSent) as error:
            self._reasons.append(str(error))
            return None
        except Lost as lost:
            self.was_lost = self.is_doubtful = True
            self._reasons.append(str(lost))
            if not self._is_repeatable:
                words = "it may have been done in the open transaction or not, nothing is committed: roll it back"
                raise Unavailable(f"the answer was lost: {lost}; {words}", retryable=False) from lost
            return None
        if not isinstance(found, Failed) or found.error.code != Unavailable.code or "age" in found.error.detail:
            self.is_doubtful = False
            return found
        self.is_doubtful = True
        self._reasons.append(found.error.message)
        return None if self._is_repeatable else found
