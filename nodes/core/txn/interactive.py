"""The steps of interactive transactions at a shard leader (DESIGN.md §5, Executing).

    gateway                          shard leader
      │ Execute(HOLD, 1, term 0) ──>   locks, evaluates; keeps the images in memory
      │ <────────────── Held(1, term)
      │ Execute(HOLD, 2, keep 1) ──>   evaluates on the images as of step 1
      │ <────────────── Held(2)
      │ Execute(PREPARE, 3, keep 2) >  PrepareTxn in its log, as of any other participant
      │ <────────────── Voted
      │
      │ Execute(CONFIRM, 3, keep 2) >  or, if it wrote on no shard: a read index, and then the locks go
      │ <────────────── Finished

A step names the one whose images it goes on from, so a failed statement, and a savepoint that is gone back to, leave
nothing; locks stay. A repeat of the last step is answered as it was.

*Invariants*: only the first step opens. The later ones name what its answer named (`term`): for with another leader, or
another opening by the same one, a late copy of the first step for one, went locks and images. Errors are told when a
read index confirms the leadership. Until it is prepared this shard may end it: for an older one that waits, or when its
gateway knows nothing of it, or is silent.

*Why one that only read may end without an entry*: let T be the moment at which its gateway, with an answer to every
statement from every shard, sends the first CONFIRM. Each shard answers that only by the very opening, of one time of
leadership, that answered all its steps there: the message names it by its term, and whatever ends an opening (a wound,
a time-out, `unlead`) takes it out of this leader's memory, with its locks. A majority answers the round that begins
when the CONFIRM comes, at T or later; who leads next needs a vote out of that majority, given afterwards. So from its
first evaluation until T nobody but this leader granted a lock or got an entry chosen at the shard, and it kept these
locks. That is so at every shard: at T all locks stand together, and all that was read is what is committed. T is its
place in the order: who conflicts with it ended here before the lock was granted, so drew its commit_ts before T, or
gets its own lock after T and draws later. Who was answered before this one began drew before T; who begins after its
answer draws after T. So the shard that is confirmed first releases at once: what is done there next comes behind T. All
copies of CONFIRM leave at T or later, so a repeat is answered from memory as the first was. Where that memory is gone
it is refused, and the gateway gives the transaction up, which it may: it has told nobody anything, and nothing is to be
undone. Its home is not asked, and may have been fenced: who fences goes to the gateway first
(nodes/runtime/inquiries.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nodes.core.replicated_log import TICK_MS
from nodes.core.txn import steps
from nodes.core.txn.messages import (
    CONFIRM,
    ENDED,
    HOLD,
    STALE,
    Deciding,
    Execute,
    Finished,
    Held,
    InDoubt,
    Refused,
)
from nodes.core.txn.states import CONFIRMING, HOLDING, LOCKING, Active
from nodes.errors import ErrorInfo

if TYPE_CHECKING:
    from nodes.core.txn.participant import Participant

ASK_TICKS = 20  # a gateway of which nothing was heard for so long is asked whether it knows of the transaction
SILENT_TICKS = 100  # and if nothing is heard for so long, it is ended
MARGIN_TICKS = 40  # a gateway ends who rests for too long before a shard does


class Interactive:
    """The part of `participant`, and like it of one time of leadership."""

    def __init__(self, participant: Participant) -> None:
        self._openings = participant.state.epoch << 32
        self._participant = participant
        self._host = participant.host

    def next_term(self) -> int:
        """Unlike every other opening's, here and at other leaders."""
        self._openings += 1
        return self._openings

    @property
    def is_any_open(self) -> bool:
        return any(each.term for each in self._participant.active.values())

    def on_step(self, message: Execute) -> None:
        participant = self._participant
        active = participant.active.get(message.txn)
        if active is None:
            self._open(message)
        elif message.number <= active.number:
            if message.number == active.number and active.held is not None:
                participant.send(active.gateway, active.held)
        elif message.term != active.term or (message.keep and message.keep not in active.kept):
            participant.drop(active, self._gone(message.txn))
            participant.run()
        elif active.state == HOLDING:
            self._go_on(active, message)

    def _open(self, message: Execute) -> None:
        if self._participant.answer_from_record(message):
            return
        if message.number == 1 and message.finish == HOLD:
            self._participant.open(message)
        else:
            self._participant.send(message.gateway, self._gone(message.txn))

    def _gone(self, txn: bytes) -> Refused:
        return self._ended(txn, f"what it held at {self._host.group} is gone, with the leader of that time")

    def _go_on(self, active: Active, message: Execute) -> None:
        active.begin(message, self._host.now)
        if active.finish == HOLD:
            active.move(LOCKING)
            self._participant.begin(active)
        elif active.finish == CONFIRM:
            self._confirm(active)
        else:
            active.rows, active.images = [], list(active.earlier)
            self._participant.finish(active)

    # -- the end of a step

    def done(self, active: Active) -> None:
        active.kept[active.number] = active.images
        self._hold(active, Held(active.txn, self._host.group, active.number, active.term, active.rows))

    def failed(self, active: Active, refusal: Refused) -> None:
        """It left nothing. Locks held, a read index of the same term: only then is that true."""
        active.move(CONFIRMING)
        version = refusal.version if refusal.cause == STALE else -1
        answer = Held(active.txn, self._host.group, active.number, active.term, [], refusal.error, version)

        def then(confirmed: bool) -> None:
            participant = self._participant
            if not confirmed or participant.active.get(active.txn) is not active:
                return
            if active.told is False or active.refusal is not None:
                participant.drop(active, active.refusal or self._ended(active.txn, "aborted by its gateway"))
            else:
                self._hold(active, answer)
            participant.run()

        self._host.confirm(then)

    def _hold(self, active: Active, answer: Held) -> None:
        active.move(HOLDING)
        self._participant.ends.look()
        active.held = answer
        active.seen_ts = self._participant.state.largest_ts
        active.asked = self._host.now
        self._renew(active)
        self._participant.send(active.gateway, answer)

    def _renew(self, active: Active) -> None:
        """Its gateway is there, and looks itself for how long its client rests."""
        active.since = self._host.now
        active.deadline = self._host.now + self._host.constants.interactive_idle_ms // TICK_MS + MARGIN_TICKS

    # -- the end of one that only read

    def _confirm(self, active: Active) -> None:
        """`seen_ts` is as of its last step: what was applied since it need not have seen."""
        if active.earlier:
            words = f"it wrote at {self._host.group}, and was to end there as one that only read"
            self._participant.drop(active, self._ended(active.txn, words))
            self._participant.run()
            return
        active.move(CONFIRMING)
        answer = Finished(active.txn, self._host.group, 0, [], active.seen_ts)

        def then(confirmed: bool) -> None:
            participant = self._participant
            if confirmed and participant.active.get(active.txn) is active:
                self._host.note(steps.RELEASED, active.txn)
                participant.remember(answer)
                participant.leave(active, answer)
                participant.run()

        self._host.confirm(then)

    # -- is it still wanted?

    def on_deciding(self, message: Deciding) -> None:
        active = self._participant.active.get(message.txn)
        if active is None or active.state != HOLDING:
            return
        if message.known:
            self._renew(active)
        else:
            self._participant.drop(active, self._ended(message.txn, "its gateway knows nothing of it"))
            self._participant.run()

    def tick(self) -> None:
        now = self._host.now
        for active in [each for each in self._participant.active.values() if each.state == HOLDING]:
            if now - active.since >= SILENT_TICKS:
                self._participant.drop(active, self._ended(active.txn, "its gateway does not answer"))
            elif now - max(active.asked, active.since) >= ASK_TICKS:
                active.asked = now
                self._participant.send(active.gateway, InDoubt(active.txn, self._host.group, self._host.node))

    def _ended(self, txn: bytes, words: str) -> Refused:
        return Refused(txn, self._host.group, ENDED, error=ErrorInfo("aborted", words, "40001"))
