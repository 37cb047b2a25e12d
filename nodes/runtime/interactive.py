"""The interactive transactions that this gateway holds open for their clients (DESIGN.md §5, Executing).

What a client asks in one may come to any node: it is passed on to the one whose gateway minted the id. There one thing
is done after the other; the last answer is kept, for a client that numbers what it asks and lost it.

As in PostgreSQL, a statement that fails leaves nothing, and then nothing more is run until the client goes back to a
savepoint, or rolls back. A transaction that its client left (`interactive_idle_ms`), or that grew old
(`interactive_lives_ms`), is rolled back. How one ended is remembered for a while, for the client that comes late.

One that only read has no record but here: that it is committed is told of it for as long as this is remembered.

*Invariants*: whatever is told of a transaction that was not committed, it never happens, but for OutcomeUnknown. After
a fence was told here no commit of what only read is told, nor the other way round.
*Left out*: definitions of tables, client keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from nodes import ids
from nodes.core.replicated_log import TICK_MS
from nodes.core.txn.messages import Held, InDoubt, Refused
from nodes.errors import (
    DID_NOT_HAPPEN,
    HAPPENED,
    UNKNOWN,
    BadRequest,
    Conflict,
    NotFound,
    StoreError,
    TransactionAborted,
    Unavailable,
)
from nodes.requests import ABORTED, ACTIVE, COMMITTED, Begun, Reply
from nodes.runtime.execution import HOME
from nodes.runtime.messages import CHANGED_NOTHING, GatewayTells
from nodes.runtime.open_transaction import End, OpenTransaction
from nodes.runtime.questions import deadline_after
from nodes.runtime.relays import Relays
from nodes.wire.protocol import COMMIT, ROLLBACK, Within

if TYPE_CHECKING:
    from nodes.runtime.gateway import Gateway

MAX_OPEN = 1_000
ENDS_KEPT = 1_000
BEGIN_MS = 10_000

Answer = Callable[[End], None]


class Interactive:
    """Of one gateway; `then` is called once with what is told, a StoreError or what the verb gives."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.open: dict[bytes, OpenTransaction] = {}
        self.relays = Relays(gateway.surroundings, self.within)
        self._ends: dict[bytes, Reply | StoreError] = {}  # of those that were open, oldest first

    # -- what clients ask

    def begin(self, age: bytes, then: Callable[[Begun | StoreError], None]) -> None:
        gateway = self.gateway

        def begun() -> None:
            if len(self.open) >= MAX_OPEN:
                words = f"holds {MAX_OPEN} interactive transactions, as many as it may; nothing happened"
                then(Unavailable(f"{ids.node_name(gateway.surroundings.node)} {words}"))
                return
            txn = gateway.mint(HOME)
            around = gateway.surroundings
            self.open[txn] = OpenTransaction(gateway, txn, age or ids.age_of(txn), lambda end: self._ended(txn, end))
            constants = around.constants
            then(Begun(ids.to_text(txn), constants.interactive_idle_ms, constants.interactive_lives_ms))

        gateway.when_fresh(deadline_after(gateway.surroundings.now, BEGIN_MS), then, begun)

    def within(self, message: Within, then: Answer) -> None:
        around = self.gateway.surroundings
        try:
            txn = ids.from_text(message.id)
        except ValueError as error:
            then(NotFound(f"no such transaction: {error}"))
            return
        if not ids.belongs_to(txn, around.cluster_id):
            then(NotFound("no such transaction: the id was minted by another cluster"))
        elif ids.node_of(txn) != around.node:
            self.relays.ask(ids.node_of(txn), message, then)
        elif txn in self.open:
            self._within(self.open[txn], message, then)
        else:
            then(self._told_late(txn, message.verb))

    def _within(self, open_: OpenTransaction, message: Within, then: Answer) -> None:
        if message.seq and message.seq == open_.seq and message.verb == open_.verb:
            open_.again(then)
        elif message.seq and message.seq <= open_.seq:
            then(BadRequest(f"what is asked is numbered in order: {message.seq} does not come after {open_.seq}"))
        elif open_.is_busy and not (message.verb == ROLLBACK and open_.may_roll_back):
            words = "something else is under way in the transaction: one thing after the other; this was not done"
            then(Conflict(words, sqlstate="55006", retryable=False))
        else:
            open_.do(message, then)

    def _told_late(self, txn: bytes, verb: int) -> End:
        """Of one that is not open: how it ended, if that is still known. To end it once more changes nothing."""
        end = self._ends.get(txn)
        if isinstance(end, Reply):
            words = "the transaction is committed: it is not open any more"
            return end if verb == COMMIT else self._not_open(txn, words, HAPPENED)
        if isinstance(end, StoreError):
            return [] if verb == ROLLBACK and end.info.outcome == DID_NOT_HAPPEN else end
        return self._not_open(txn, "no such transaction is open: it ended, or its node was started again", UNKNOWN)

    def _not_open(self, txn: bytes, words: str, outcome: str) -> StoreError:
        words = f"{words}; its fate tells the rest"
        return TransactionAborted(words, sqlstate="25P01", outcome=outcome, transaction=ids.to_text(txn))

    def _ended(self, txn: bytes, end: Reply | StoreError) -> None:
        del self.open[txn]
        self._ends[txn] = end
        if len(self._ends) > ENDS_KEPT:
            del self._ends[next(iter(self._ends))]

    def on_fenced(self, txn: bytes) -> None:
        """It is to be aborted for good. What is committing already is for its home to stop, unless it only read."""
        open_ = self.open.get(txn)
        if open_ is not None and open_.may_roll_back:
            open_.end_fenced()

    def word_of(self, txn: bytes) -> GatewayTells | None:
        """What is known here of a transaction that was open here, with number 0; None: nothing."""
        if txn in self.open:
            return GatewayTells(0, ACTIVE, f"it is open at {ids.node_name(self.gateway.surroundings.node)}")
        end = self._ends.get(txn)
        if isinstance(end, StoreError) and end.info.outcome == DID_NOT_HAPPEN:
            return GatewayTells(0, ABORTED, end.info.message)
        if isinstance(end, Reply) and not end.commit_ts:
            return GatewayTells(0, COMMITTED, CHANGED_NOTHING)
        return None

    # -- what shards say

    def on_held(self, sender: int, message: Held) -> None:
        if (open_ := self.open.get(message.txn)) is not None:
            open_.session.on_held(sender, message)

    def on_refused(self, sender: int, message: Refused) -> None:
        if (open_ := self.open.get(message.txn)) is not None:
            open_.session.on_refused(sender, message)

    def on_in_doubt(self, message: InDoubt) -> bool:
        """False: nothing is known of it here."""
        open_ = self.open.get(message.txn)
        if open_ is not None:
            open_.session.on_in_doubt(message)
        return open_ is not None

    # -- time

    def tick(self) -> None:
        around = self.gateway.surroundings
        idle_ticks = around.constants.interactive_idle_ms // TICK_MS
        age_ticks = around.constants.interactive_lives_ms // TICK_MS
        for open_ in list(self.open.values()):
            open_.session.tick()
            if open_.may_roll_back and around.now - open_.begun_at >= age_ticks:
                open_.expire(f"it was open for {age_ticks * TICK_MS // 1000} s, as long as one may be")
            elif not open_.is_busy and not open_.is_over and around.now - open_.used_at >= idle_ticks:
                open_.expire(f"nothing was asked in it for {idle_ticks * TICK_MS // 1000} s")
        self.relays.tick()
