"""Questions that may be asked any number of times: the fate of an id, a fence, the state of the cluster.

Each is put to one node after the other until one answers other than "later", within a deadline that is given as a
number of seconds. A fence may be repeated: the second finds what the first made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nodes.client.exchange import Answer, Channel, Lost, NotSent, Waits, exchange, once
from nodes.client.pool import NodeDown, Pool
from nodes.errors import BadRequest, OutcomeUnknown, StoreError, TooLarge, Unavailable
from nodes.requests import Fate
from nodes.wire.protocol import AskFate, AskStatus, Failed, FateIs, FromClient, StatusIs

FIRST_PAUSE_S = 0.005
LONGEST_PAUSE_S = 0.25
ANSWER_MARGIN_S = 0.1


class Deadline:
    """A time by which something is over, `seconds` from now."""

    def __init__(self, pool: Pool, seconds: float) -> None:
        self._now = pool.surroundings.now
        self._at = self._now() + seconds

    def left(self) -> float:
        return self._at - self._now()


class Pauses:
    """The pauses between tries: random, each up to twice as long as the one before."""

    def __init__(self, pool: Pool) -> None:
        self._surroundings = pool.surroundings
        self._most = FIRST_PAUSE_S

    def pause(self, left: float) -> bool:
        """Sleep; False, without sleeping, if the pause would use up the time that is `left`."""
        seconds = self._most * (0.5 + self._surroundings.chance() / 2)
        self._most = min(self._most * 2, LONGEST_PAUSE_S)
        if seconds >= left:
            return False
        self._surroundings.sleep(seconds)
        return True


def ask(pool: Pool, question: Callable[[float], FromClient], seconds: float) -> Answer:
    """Ask what may be asked any number of times, at one node after the other until one answers other than "later".

    `question` makes the message for the seconds that are left. Raises what the node said, Unavailable if none did."""
    deadline, pauses = Deadline(pool, seconds), Pauses(pool)
    while True:
        try:
            return _ask_each(pool, question, deadline)
        except StoreError as error:
            if not error.info.retryable or not pauses.pause(deadline.left()):
                raise


def _ask_each(pool: Pool, question: Callable[[float], FromClient], deadline: Deadline) -> Answer:
    """The first answer in the pool's order; each node has half of the time that is left."""
    reasons = []
    for node in pool.order():
        seconds = deadline.left() / 2
        try:
            channel = pool.lend(node, seconds)
            answer, _ = exchange_over(pool, node, channel, question(seconds), once(seconds + ANSWER_MARGIN_S))
        except (NodeDown, NotSent, Lost) as error:
            reasons.append(str(error))
            continue
        if isinstance(answer, Failed):
            raise StoreError.of(answer.error)
        return answer
    raise Unavailable(f"no node answers: {'; '.join(reasons)}")


def exchange_over(pool: Pool, node: int, channel: Channel, question: FromClient, waits: Waits) -> tuple[Answer, str]:
    """`exchange` over a lent connection, which then goes back to the pool or, after whatever failure, is closed."""
    try:
        answer = exchange(channel, question, waits)
    except (BadRequest, TooLarge):
        pool.give_back(node, channel)
        raise
    except BaseException:
        pool.discard(node, channel)
        raise
    pool.give_back(node, channel)
    return answer


def ask_fate(pool: Pool, id: str, fence: bool, seconds: float) -> Fate:
    """The fate of an id, after fencing it if `fence`. A fence that no node confirmed may stand: OutcomeUnknown."""

    def question(left: float) -> AskFate:
        return AskFate(pool.next_number(), id, fence, milliseconds(left))

    try:
        answer = ask(pool, question, seconds)
    except Unavailable as error:
        if not fence:
            raise
        raise OutcomeUnknown(f"the fence was not confirmed: {error}", transaction=id) from error
    assert isinstance(answer, FateIs), "exchange takes no other answer"
    return answer.fate


def ask_status(pool: Pool, wide: bool, seconds: float) -> dict[str, Any]:
    """What a node knows of the cluster."""
    answer = ask(pool, lambda left: AskStatus(pool.next_number(), wide), seconds)
    assert isinstance(answer, StatusIs), "exchange takes no other answer"
    return answer.status


def milliseconds(seconds: float) -> int:
    """For the wire: at least 1."""
    return max(1, int(seconds * 1000))
