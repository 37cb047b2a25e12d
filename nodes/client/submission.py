"""One request until its outcome is known or its time is up: attempts, their loss, their retry (DESIGN.md §5, Retries).

Every attempt is named, so the gateway makes exactly one under an id that is told before it begins. An attempt that
certainly did not happen and may succeed later is made again, at another node if need be, with the age of the first.
An attempt whose answer was lost is fenced at another node: afterwards it is committed (the reply then lacks its
results) or will never be, and may be made again. A node that falls silent is left for another one, if the attempt was
named or only reads; of an unnamed one that writes nobody could say anything, so it is waited for.

A request with an idempotency key is simply made again when its answer was lost, for it happens at most once: the answer
then comes with its results. Attempts that are still open when the time is up, or when a retry cannot help, are fenced.

The time is divided: a gateway has to answer before a reserve at the end (a fifth, at most RESERVE_S), which is kept
for the fence. Between attempts lies a random pause, doubled each time. None is made again in less than LEAST_ATTEMPT_S:
it would hardly be answered, and what the one before was told says more.

*Invariants*: without a key no attempt is begun while an earlier one may still commit; "did not happen" is raised only
if that is certain of every attempt.
"""

from __future__ import annotations

import re

from msgspec.structs import replace

from nodes import ids
from nodes.client.admission import NodeDown
from nodes.client.exchange import Lost, NotSent
from nodes.client.pool import Pool
from nodes.client.questions import ANSWER_MARGIN_S, committed_at, milliseconds
from nodes.client.surroundings import Deadline, Pauses
from nodes.errors import DID_NOT_HAPPEN, UNKNOWN, KeyReused, OutcomeUnknown, StoreError, Unavailable
from nodes.requests import COMMITTED, Reply, Request
from nodes.wire.protocol import Call, Done, Failed

RESERVE_S = 1.0
_FOR = re.compile(r"\bfor\b", re.IGNORECASE)  # FOR UPDATE, or something else: the node knows
RESERVE_SHARE = 0.2
LEAST_ATTEMPT_S = 0.25


class Submission:
    """Runs one request; used once."""

    def __init__(self, pool: Pool, request: Request) -> None:
        self._pool = pool
        self._request = request
        self._read_only = _is_read_only(request)
        seconds = request.timeout_ms / 1000
        reserve = reserve_of(seconds)
        self._deadline = Deadline(pool.surroundings, seconds)
        self._begin_by = self._deadline.earlier(reserve)
        self._answer_by = self._deadline.earlier(reserve - min(reserve / 2, ANSWER_MARGIN_S))
        self._attempts = 0
        self._age = ""
        self._open: list[str] = []  # attempts under the key whose answers were lost; "": one whose id was not heard

    async def run(self) -> Reply:
        """The reply; or the last error when the time is up or a retry cannot help."""
        pauses = Pauses(self._pool.surroundings)
        while True:
            try:
                return await self._attempt()
            except StoreError as error:
                self._age = self._age or str(error.info.detail.get("age", ""))
                may_retry = error.info.retryable and error.info.outcome == DID_NOT_HAPPEN
                if not may_retry or not await pauses.pause(self._begin_by.left() - LEAST_ATTEMPT_S):
                    return await self._ended(error)

    async def _attempt(self) -> Reply:
        """One attempt, at the first node that takes it."""
        # What may be old is answered by any node's replicas as well: the nodes take turns.
        candidates = self._pool.candidates() if self._request.max_staleness_ms else self._pool.gateways()
        reasons = []
        while candidates:
            try:
                answer, named = await self._pool.ask(
                    candidates, self._call, Done, self._begin_by, self._answer_by, self._gives_up
                )
            except (NodeDown, NotSent) as error:
                reasons.append(str(error))
                continue
            except Lost as lost:
                self._attempts += 1
                return await self._after_loss(lost)
            self._attempts += 1
            return await self._judged(answer, named)
        raise Unavailable(f"no node takes the request: {'; '.join(reasons)}")

    def _call(self, number: int) -> Call:
        left_ms = milliseconds(self._begin_by.left())
        request = replace(self._request, timeout_ms=left_ms, read_only=self._read_only)
        return Call(number, request, True, self._age)

    def _gives_up(self, named: str) -> bool:
        return bool(named or self._read_only or self._request.key)

    async def _judged(self, answer: Done | Failed, named: str) -> Reply:
        """What the gateway said. Where it does not know the outcome, the home is asked."""
        if isinstance(answer, Done):
            return self._own(answer.reply)
        error = StoreError.of(answer.error)
        if error.info.outcome == UNKNOWN and self._request.key:
            raise self._left_open(named, str(error))
        if error.info.outcome == UNKNOWN and (error.info.transaction or named):
            return await self._resolved(error.info.transaction or named, str(error))
        raise error

    def _own(self, reply: Reply) -> Reply:
        """With the attempts of this call; a repeat only if it was not this call that it repeats."""
        reply.attempts += self._attempts - 1
        reply.repeated = reply.repeated and reply.id not in self._open
        return reply

    async def _after_loss(self, lost: Lost) -> Reply:
        if self._request.key and (lost.id or not lost.ended):
            raise self._left_open(lost.id, str(lost))
        if self._read_only:
            raise Unavailable(f"the answer of a read was lost: {lost}") from lost
        if lost.id:
            return await self._resolved(lost.id, str(lost))
        if lost.ended:
            raise Unavailable(f"the node was lost before the attempt began: {lost}") from lost
        raise OutcomeUnknown(f"{lost}; the id of an attempt was not heard") from lost

    def _left_open(self, id: str, why: str) -> Unavailable:
        self._open.append(id)
        return Unavailable(f"{why}; the request may be made again under its key", transaction=self._request.key)

    async def _ended(self, error: StoreError) -> Reply:
        """The last error, if it holds for the attempts too that are still open under the key."""
        if isinstance(error, KeyReused):  # a key that belongs to another request lets none of them commit
            raise error
        if "" in self._open:
            words = f"{error}; of an earlier attempt under this key no answer came: make the request again, or fence it"
            raise OutcomeUnknown(words, transaction=self._request.key, retryable=True) from error
        for id in reversed(self._open):
            try:
                return await self._resolved(id, str(error))
            except Unavailable:
                continue  # it will never commit
        raise error

    async def _resolved(self, id: str, why: str) -> Reply:
        """Fence the attempt: its reply without results if it is committed, Unavailable if it never will be."""
        self._age = self._age or age_of(id)
        commit_ts = await committed_at(self._pool, id, why, self._deadline.left())
        ts = max(commit_ts, self._request.session_token)
        return Reply(id, COMMITTED, commit_ts, self._attempts, [], [], ts, results_lost=True)


def reserve_of(seconds: float) -> float:
    """The end of a time that is kept for settling."""
    return min(RESERVE_S, seconds * RESERVE_SHARE)


def _is_read_only(request: Request) -> bool | None:
    """As the request says; if it says nothing and has SELECTs alone, it reads: a lost one may be made again. The
    gateway is told so too, and would refuse one that writes; so nothing is said of a SELECT that may lock rows."""
    if request.read_only is None and all(_only_reads(each.sql) for each in request.statements):
        return True
    return request.read_only


def _only_reads(sql: str) -> bool:
    return sql[:6].lower() == "select" and _FOR.search(sql) is None


def age_of(id: str) -> str:
    """The age that an attempt gives to those after it; "" for what is no id (a faulty node named it)."""
    try:
        return ids.age_of(ids.from_text(id)).hex()
    except ValueError:
        return ""
