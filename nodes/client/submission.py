"""One request until its outcome is known or its time is up: attempts, their loss, their retry (DESIGN.md §5, Retries).

Every attempt is named, so the gateway makes exactly one under an id that is told before it begins. An attempt that
certainly did not happen and may succeed later is made again, at another node if need be, with the age of the first.
An attempt whose answer was lost is fenced at another node: afterwards it is committed (the reply then lacks its
results) or will never be, and may be made again.

The time is divided: a gateway has to answer before a reserve at the end (a fifth, at most RESERVE_S), which is kept
for the fence. Between attempts lies a random pause, doubled each time.

*Invariants*: no attempt is begun while an earlier one may still commit; "did not happen" is raised only if that is
certain of every attempt.
"""

from __future__ import annotations

from nodes import ids
from nodes.client.exchange import Answer, Lost, NotSent, Waits
from nodes.client.pool import NodeDown, Pool
from nodes.client.questions import ANSWER_MARGIN_S, Deadline, Pauses, ask_fate, exchange_over, milliseconds
from nodes.errors import DID_NOT_HAPPEN, UNKNOWN, OutcomeUnknown, StoreError, Unavailable
from nodes.requests import ABORTED, COMMITTED, Reply, Request
from nodes.wire.protocol import Call, Done, Failed

RESERVE_S = 1.0
RESERVE_SHARE = 0.2
SILENCE_S = 1.0


class Submission:
    """Runs one request; used once."""

    def __init__(self, pool: Pool, request: Request) -> None:
        self._pool = pool
        self._request = request
        self._read_only = _is_read_only(request)
        seconds = request.timeout_ms / 1000
        self._reserve = min(RESERVE_S, seconds * RESERVE_SHARE)
        self._deadline = Deadline(pool, seconds)
        self._attempts = 0
        self._age = ""

    def run(self) -> Reply:
        """The reply; or the last error when the time is up or a retry cannot help."""
        pauses = Pauses(self._pool)
        while True:
            try:
                return self._attempt()
            except StoreError as error:
                self._age = self._age or str(error.info.detail.get("age", ""))
                may_retry = error.info.retryable and error.info.outcome == DID_NOT_HAPPEN
                if not may_retry or not pauses.pause(self._deadline.left() - self._reserve):
                    raise

    def _attempt(self) -> Reply:
        """One attempt, at the first node that takes it."""
        reasons = []
        for node in self._pool.order():
            try:
                channel = self._pool.lend(node, self._deadline.left() - self._reserve)
                answer, named = exchange_over(self._pool, node, channel, self._call(), self._patience(node))
            except (NodeDown, NotSent) as error:
                reasons.append(str(error))
                continue
            except Lost as lost:
                self._attempts += 1
                return self._after_loss(lost)
            self._attempts += 1
            return self._judged(answer, named)
        raise Unavailable(f"no node takes the request: {'; '.join(reasons)}")

    def _call(self) -> Call:
        left = milliseconds(self._deadline.left() - self._reserve)
        request = Request(self._request.statements, left, self._read_only)
        return Call(self._pool.next_number(), request, True, self._age)

    def _patience(self, node: int) -> Waits:
        """Waits for an attempt's answer, a little into the reserve. A node that names no attempt within SILENCE_S is
        suspect, and a request that only reads then goes elsewhere."""
        started = self._deadline.left()
        kept = self._reserve - min(self._reserve / 2, ANSWER_MARGIN_S)

        def wait(named: str) -> float | None:
            left = self._deadline.left() - kept
            patience = SILENCE_S - (started - self._deadline.left())
            if not named and patience > 0:
                return min(left, patience) if left > 0 else None
            if not named:
                self._pool.suspect(node)
            return left if left > 0 and (named or not self._read_only) else None

        return wait

    def _judged(self, answer: Answer, named: str) -> Reply:
        """What the gateway said. Where it does not know the outcome, the home is asked."""
        if isinstance(answer, Done):
            answer.reply.attempts += self._attempts - 1
            return answer.reply
        assert isinstance(answer, Failed), "exchange takes no other answer"
        error = StoreError.of(answer.error)
        if error.info.outcome == UNKNOWN and (error.info.transaction or named):
            return self._resolved(error.info.transaction or named, str(error))
        raise error

    def _after_loss(self, lost: Lost) -> Reply:
        if self._read_only:
            raise Unavailable(f"the answer of a read was lost: {lost}") from lost
        if lost.id:
            return self._resolved(lost.id, str(lost))
        if lost.ended:
            raise Unavailable(f"the node was lost before the attempt began: {lost}") from lost
        raise OutcomeUnknown(f"{lost}; the id of an attempt was not heard") from lost

    def _resolved(self, id: str, why: str) -> Reply:
        """Fence the attempt: its reply without results if it is committed, Unavailable if it never will be."""
        self._age = self._age or _age_of(id)
        try:
            fate = ask_fate(self._pool, id, True, self._deadline.left())
        except StoreError as error:
            raise OutcomeUnknown(f"{why}; its fate could not be learnt: {error}", transaction=id) from error
        if fate.state == COMMITTED:
            return Reply(id, COMMITTED, fate.commit_ts, self._attempts, [], [], results_lost=True)
        if fate.state == ABORTED:
            raise Unavailable(f"{why}; the attempt did not happen", transaction=id)
        raise OutcomeUnknown(f"{why}; its fate is {fate.state}", transaction=id)


def _is_read_only(request: Request) -> bool | None:
    """As the request says; if it says nothing and has SELECTs alone, it reads: a lost one may be made again. The
    gateway is told so too, and would refuse one that writes."""
    if request.read_only is None and all(each.sql[:6].lower() == "select" for each in request.statements):
        return True
    return request.read_only


def _age_of(id: str) -> str:
    """The age that an attempt gives to those after it; "" for what is no id (a faulty node named it)."""
    try:
        return ids.age_of(ids.from_text(id)).hex()
    except ValueError:
        return ""
