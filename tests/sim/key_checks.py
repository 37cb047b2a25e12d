"""What must be true of all that is told under client keys, while their records are kept and when they end.

*Invariants checked*: of all requests under a key one is committed at most, until a record that is kept for as long as
was promised has ended; a repeat is told of that one, as it was told itself; who began after it had been told is not
told that nothing happened, unless the answer names a time before which it does not hold; after a fence nothing is
committed, for as long as was promised to the last one who heard of it.
"""

from __future__ import annotations

from itertools import pairwise

from nodes import ids
from nodes.core.oracle import at_ms
from nodes.errors import DID_NOT_HAPPEN, StoreError
from nodes.requests import ABORTED, COMMITTED, EXPIRED, Fate, Reply
from tests.sim.keyed import Family, Question
from tests.sim.operations import Operation
from tests.sim.truth import Truth, demand

KEYS = "16 client keys"


def check(truth: Truth, families: list[Family], kept_ms: int) -> None:
    for family in families:
        _FamilyCheck(truth, family, at_ms(kept_ms)).run()


class _FamilyCheck:
    def __init__(self, truth: Truth, family: Family, kept: int) -> None:
        self.truth, self.family, self.kept = truth, family, kept
        # All commits under the key, oldest first, and whose they are.
        self.commits = sorted(
            (truth.committed[txn], txn, operation)
            for operation in family.operations
            for txn in operation.txns
            if txn in truth.committed
        )  # fmt: skip

    def run(self) -> None:
        for (earlier, _, _), (later, _, _) in pairwise(self.commits):
            self._demand(later - earlier >= self.kept, "is committed twice while its record is kept")
        for operation in self.family.operations:
            self._check_operation(operation)
        for question in self.family.questions:
            self._check_question(question)

    def _demand(self, holds: bool, words: str) -> None:
        demand(holds, KEYS, f"{self.family.key} {words}")

    def _told_before(self, moment: int) -> list[int]:
        """The commits that somebody had been told of at that time."""
        return [ts for ts, _, owner in self.commits if isinstance(owner.told, Reply) and owner.told_at < moment]

    # -- requests

    def _check_operation(self, operation: Operation) -> None:
        told = operation.told
        if isinstance(told, Reply):
            self._check_reply(operation, told)
        elif isinstance(told, StoreError) and told.info.outcome == DID_NOT_HAPPEN:
            self._check_refusal(operation, told)

    def _check_reply(self, operation: Operation, told: Reply) -> None:
        name = f"operation {operation.number}"
        owners = [owner for ts, txn, owner in self.commits if (ids.to_text(txn), ts) == (told.id, told.commit_ts)]
        self._demand(len(owners) == 1, f"{name} was told of {told.id}, which the log does not know")
        (owner,) = owners
        self._demand(told.repeated == (operation is not owner), f"{name}: who is the first, who a repeat?")
        self._demand(operation.steps == owner.steps, f"{name}: another request was taken for a repeat")
        if told.repeated and isinstance(owner.told, Reply) and not told.results_lost:
            self._demand(told.results == owner.told.results, f"{name}: a repeat was told other results")

    def _check_refusal(self, operation: Operation, told: StoreError) -> None:
        name = f"operation {operation.number} heard {told.info.code}"
        if told.info.code == "key_reused":
            others = [owner for _, _, owner in self.commits if owner.steps != operation.steps]
            self._demand(bool(others), f"{name}, and there is no other request")
            return
        if told.info.code == "aborted" and "under this key" in str(told):
            self._demand(
                any(each.fence for each in self.family.questions), f"{name}: it is fenced, and nobody did that"
            )
        known_since = int(told.info.detail.get("known_since", self._forgotten()))
        missed = [ts for ts in self._told_before(operation.begun_at) if ts > known_since]
        self._demand(not missed, f"{name} (since {known_since}) after the commits {missed} had been told")

    def _forgotten(self) -> int:
        return self.truth.forgotten.get(ids.key_home(ids.key_of(self.family.key), 3), 0)

    # -- fates and fences

    def _check_question(self, question: Question) -> None:
        told = question.told
        if isinstance(told, Fate):
            self._check_fate(question, told)
        elif told is not None and told.info.code == "not_found":
            self._demand(not question.fence, "was fenced, and is said to be unknown")
            self._check_unknown(question, int(told.info.detail["known_since"]))
        elif told is not None:
            self._demand(told.info.retryable, f"was asked for, and the answer is {told.info}")

    def _check_fate(self, question: Question, fate: Fate) -> None:
        if fate.state == COMMITTED:
            known = [(ids.to_text(txn), ts) for ts, txn, _ in self.commits]
            self._demand((fate.transaction, fate.commit_ts) in known, f"is said to be committed as {fate.transaction}")
        elif fate.state == EXPIRED:
            self._demand(0 < question.since <= fate.known_since, "is said to be expired without a reason")
        else:
            self._demand(fate.state == ABORTED, f"is said to be {fate.state}")
            self._check_fenced(question)

    def _check_fenced(self, question: Question) -> None:
        self._demand(any(each.fence for each in self.family.questions), "is said to be fenced, and nobody did")
        missed = [ts for ts in self._told_before(question.asked_at) if ts > self._forgotten()]
        self._demand(not missed, f"is said to be fenced after the commits {missed} had been told")
        missed = self._told_before(question.asked_at) if question.since else []
        self._demand(not missed, f"is said to be fenced, and never committed since {question.since}: {missed} was told")
        if question.fence:
            until = question.newest + self.kept
            broken = [ts for ts, _, _ in self.commits if question.newest < ts < until]
            self._demand(not broken, f"was fenced after {question.newest}, and committed at {broken}")

    def _check_unknown(self, question: Question, known_since: int) -> None:
        self._demand(not 0 < question.since <= known_since, "is said to be unknown, although it may be forgotten")
        missed = [ts for ts in self._told_before(question.asked_at) if ts > known_since]
        self._demand(not missed, f"is said to be unknown since {known_since} after the commits {missed} had been told")
