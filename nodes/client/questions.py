"""Questions that may be asked any number of times: the fate of an id, a fence, the state of the cluster.

Each is put to one node after the other until one answers other than "later", within a deadline that is given as a
number of seconds. A fence may be repeated: the second finds what the first made.
"""

from __future__ import annotations

from collections.abc import Callable

from nodes.client.admission import NodeDown
from nodes.client.exchange import Answer, Lost, NotSent
from nodes.client.pool import Pool
from nodes.client.surroundings import Deadline, Pauses
from nodes.errors import OutcomeUnknown, StoreError, Unavailable
from nodes.requests import ABORTED, COMMITTED, Fate
from nodes.wire.protocol import AskFate, Failed, FateIs, FromClient

ANSWER_MARGIN_S = 0.1

Question = Callable[[int, int], FromClient]
"""Makes the message from its number and the milliseconds that are left for its answer."""


async def ask(pool: Pool, question: Question, answer: type[Answer], seconds: float) -> Answer:
    """The first answer of that type. Raises what the node said, Unavailable if none said anything in time."""
    deadline, pauses = Deadline(pool.surroundings, seconds), Pauses(pool.surroundings)
    while True:
        try:
            return await _ask_each(pool, question, answer, deadline)
        except StoreError as error:
            if not error.info.retryable or not await pauses.pause(deadline.left()):
                raise


async def _ask_each(pool: Pool, question: Question, answer: type[Answer], deadline: Deadline) -> Answer:
    """The first answer in the pool's order. Each node has half of the time that is left; it is told a little less, so
    that its own "not in time" still arrives."""
    reasons, candidates = [], pool.candidates()
    while candidates:
        until = deadline.earlier(deadline.left() / 2)
        margin = min(ANSWER_MARGIN_S, until.left() / 5)
        try:
            reply, _ = await pool.ask(
                candidates,
                lambda number: question(number, milliseconds(until.left() - margin)),  # noqa: B023 (called before)
                answer,
                until,
                until,
                lambda named: True,
            )
        except (NodeDown, NotSent, Lost) as error:
            reasons.append(str(error))
            continue
        if isinstance(reply, Failed):
            raise StoreError.of(reply.error)
        return reply
    raise Unavailable(f"no node answers: {'; '.join(reasons)}")


async def ask_fate(pool: Pool, id: str, fence: bool, seconds: float, since: int = 0) -> Fate:
    """The fate of an id or a key, after fencing it if `fence`. OutcomeUnknown if no node could tell it, whatever the
    reason: "did not happen" would be taken for the fate. A fence that was not confirmed may stand."""
    try:
        return (await ask(pool, lambda number, ms: AskFate(number, id, fence, ms, since), FateIs, seconds)).fate
    except Unavailable as error:
        words = "the fence was not confirmed" if fence else "the fate could not be learnt; ask again"
        raise OutcomeUnknown(f"{words}: {error}", transaction=id, retryable=True) from error


async def committed_at(pool: Pool, id: str, why: str, seconds: float) -> int:
    """Fence an attempt whose answer was lost: when it was committed; Unavailable if it never will be, OutcomeUnknown if
    that could not be learnt. `why`: what happened to the answer."""
    try:
        fate = await ask_fate(pool, id, True, seconds)
    except StoreError as error:
        raise OutcomeUnknown(f"{why}; its fate could not be learnt: {error}", transaction=id) from error
    if fate.state == COMMITTED:
        return fate.commit_ts
    if fate.state == ABORTED:
        raise Unavailable(f"{why}; the attempt did not happen", transaction=id)
    raise OutcomeUnknown(f"{why}; its fate is {fate.state}", transaction=id)


def milliseconds(seconds: float) -> int:
    """For the wire: at least 1."""
    return max(1, int(seconds * 1000))
