"""The gateway: what any node does for a client (DESIGN.md §5, executing and retries).

It plans the statements, mints an id for every attempt, drives the attempts (nodes/runtime/execution.py) and hands
each message to the attempt, read or question it belongs to.

*Invariants*: no id is minted before an oracle value was drawn, and none whose time may be so old that the groups are
about to forget it: after a long rest a fresh value is waited for. "No such table" and its like are told only after a
read index on `s0`, and the catalog here has caught up with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from nodes import ids
from nodes.core.host import GATEWAY
from nodes.core.oracle import at_ms
from nodes.core.replicated_log import TICK_MS
from nodes.core.txn.attempt import Attempt
from nodes.core.txn.messages import (
    TOO_LATE,
    Decided,
    Deciding,
    Finished,
    Held,
    InDoubt,
    NotHome,
    Refused,
    Voted,
    Wound,
)
from nodes.errors import BadRequest, NotSupported, StoreError, TooLarge, Unavailable
from nodes.requests import ACTIVE, MOST_STALENESS_MS, UNDECIDED, Reply, Request
from nodes.runtime.catalog import Catalog
from nodes.runtime.execution import Execution
from nodes.runtime.inquiries import ANSWERS, Inquiries
from nodes.runtime.interactive import Interactive
from nodes.runtime.messages import AskGateway, GatewayTells, Relay, Relayed
from nodes.runtime.questions import MAX_TIMEOUT_MS, deadline_after
from nodes.runtime.reads import Reads
from nodes.runtime.surroundings import Surroundings
from nodes.sql.plan import Plan, PlanCache, is_well_formed

MAX_STATEMENTS = 1_000
MAX_LIVE = 4_096
DRAW_AGAIN_TICKS = 20
ENDS_KEPT = 1_000


class Waiting(NamedTuple):
    """Something that `group` has to tell is waited for; `fail` is called at the deadline."""

    deadline: int
    fail: Callable[[StoreError], None]
    group: str


class Gateway:
    """`surroundings` is the node; `catalog` what it knows of tables."""

    def __init__(self, surroundings: Surroundings, catalog: Catalog) -> None:
        self.surroundings = surroundings
        self.catalog = catalog
        self.plans = PlanCache()
        self.attempts: dict[bytes, Attempt] = {}
        self.ends: dict[bytes, tuple[str, str]] = {}  # of attempts, oldest first: state, why; no log need know of it
        self.reads = Reads(surroundings, self._number, lambda: self.heard, self.hear)
        self.inquiries = Inquiries(surroundings, catalog, self._number)
        self.heard = 0
        self._drawn_at = 0  # the tick in which the newest value that was drawn here was asked for
        self._draws_at = 0  # and that of the newest question
        self._counter = 0
        self._numbers = 0
        self._waiting: dict[int, Waiting] = {}
        self._stale: list[Execution] = []
        self.interactive = Interactive(self)
        self._handlers: dict[type, Callable[[int, Any], None]] = {
            Voted: lambda sender, message: self._to_attempt(message, "on_voted"),
            Finished: self._on_finished,
            Held: lambda sender, message: self.interactive.on_held(sender, message),
            Relay: lambda sender, message: self.interactive.relays.on_relay(message),
            Relayed: lambda sender, message: self.interactive.relays.on_relayed(message),
            Refused: self._on_refused,
            Decided: self._on_decided,
            NotHome: self._on_not_home,
            Wound: lambda sender, message: self._to_attempt(message, "on_wound"),
            InDoubt: self._on_in_doubt,
            AskGateway: self._on_ask_gateway,
            **self.reads.handlers,
            **dict.fromkeys(ANSWERS, self.inquiries.receive),
        }

    # -- what clients ask

    def submit(
        self,
        request: Request,
        named: bool,
        age: bytes,
        on_named: Callable[[str], None],
        on_end: Callable[[Reply | StoreError], None],
    ) -> None:
        """`on_end` is called once, with a Reply or a StoreError; never raises for what a client sent."""
        try:
            deadline = deadline_after(self.surroundings.now, request.timeout_ms)
            execution = Execution(self, request, deadline, named, age, on_named, on_end)
        except StoreError as error:
            on_end(error)
            return
        try:
            self.check(request)
        except StoreError as error:
            execution.fail(error)
        else:
            self._begin(execution)

    def _begin(self, execution: Execution) -> None:
        """What may be old mints no id, and needs no oracle. A token above all that was heard needs a fresh value."""
        request = execution.request
        is_heard = self.heard >= request.session_token
        if is_heard and request.max_staleness_ms:
            self._plan(execution)
        else:
            when = self.when_heard if is_heard else self.when_fresh
            when(execution.deadline, execution.fail, lambda: self._plan(execution))

    def check(self, request: Request) -> None:
        if not request.statements:
            raise BadRequest("a request needs at least one statement", sqlstate="42601")
        if len(request.statements) > MAX_STATEMENTS:
            raise TooLarge(f"{len(request.statements)} statements; at most {MAX_STATEMENTS} are allowed: split it")
        if not 1 <= request.timeout_ms <= MAX_TIMEOUT_MS:
            raise BadRequest(f"timeout_ms must lie between 1 and {MAX_TIMEOUT_MS}")
        if not 0 <= request.max_staleness_ms <= MOST_STALENESS_MS:
            raise BadRequest(f"max_staleness_ms must lie between 1 and {MOST_STALENESS_MS}, or be left out")
        if request.session_token < 0:
            raise BadRequest("session_token must be that of a reply")
        if len(self.attempts) + len(self.reads.running) >= MAX_LIVE:
            raise Unavailable(f"n{self.surroundings.node} has too many requests under way; nothing happened")

    # -- planning

    def when_heard(self, deadline: int, fail: Callable[[StoreError], None], then: Callable[[], None]) -> None:
        """Ids are dated by oracle time: the first request of a node waits for a value, and so does the first after a
        rest so long that an id of the time before it might be refused, or be forgotten before it is decided."""
        now, may_wait = self.surroundings.now, self.surroundings.constants.txn_age_max_ms // (2 * TICK_MS)
        if self.heard and now - self._drawn_at < may_wait:
            if now - self._draws_at >= DRAW_AGAIN_TICKS:
                self._draw(lambda: None)
            then()
        else:
            self.when_fresh(deadline, fail, then)

    def when_fresh(self, deadline: int, fail: Callable[[StoreError], None], then: Callable[[], None]) -> None:
        """An id that is minted then is as old as can be told."""
        self._draw(self._wait(deadline, fail, "c1", then))

    def _wait(
        self, deadline: int, fail: Callable[[StoreError], None], group: str, then: Callable[[], None]
    ) -> Callable[[], None]:
        """To be called when it has come; until the deadline."""
        number = self._number()
        self._waiting[number] = Waiting(deadline, fail, group)

        def come() -> None:
            if self._waiting.pop(number, None) is not None:
                then()

        return come

    def _draw(self, then: Callable[[], None]) -> None:
        self._draws_at = asked_at = self.surroundings.now

        def drawn(ts: int) -> None:
            self.hear(ts)
            self._drawn_at = max(self._drawn_at, asked_at)
            then()

        self.surroundings.timestamp(drawn)

    def _plan(self, execution: Execution, is_confirmed: bool = False) -> None:
        try:
            execution.run(self.plans_of(execution.request))
        except StoreError as error:
            if is_confirmed or not self.may_be_stale(execution.request, error):
                execution.fail(error)
            else:
                self._confirm(execution)

    def may_be_stale(self, request: Request, error: StoreError) -> bool:
        """A catalog that is behind can be wrong about everything but the form of a statement."""
        number = error.info.statement
        return 0 <= number < len(request.statements) and is_well_formed(request.statements[number].sql)

    def plans_of(self, request: Request) -> list[Plan]:
        plans = []
        for number, statement in enumerate(request.statements):
            try:
                plans.append(self.plans.get(statement.sql, self.catalog))
            except StoreError as error:
                error.info.statement = number
                raise
            if len(request.statements) > 1 and plans[-1].kind == "ddl":
                words = "a DDL statement must be the only statement of its transaction"
                raise NotSupported(words, sqlstate="25001", statement=number)
        if request.read_only and not all(plan.reads_only for plan in plans):
            raise BadRequest("the transaction is read only, and a statement writes or locks rows", sqlstate="25006")
        return plans

    def _confirm(self, execution: Execution) -> None:
        self.confirm_catalog(execution.deadline, execution.fail, lambda: self._plan(execution, is_confirmed=True))

    def confirm_catalog(self, deadline: int, fail: Callable[[StoreError], None], then: Callable[[], None]) -> None:
        """`then` when this node's catalog has the version that is the newest now."""

        def asked(version: int | None, error: StoreError | None) -> None:
            if error is not None or version is None:
                fail(error or Unavailable("the catalog could not be asked"))
            else:
                self.plan_at(version, deadline, fail, then)

        self.inquiries.ask_catalog(deadline, asked)

    def plan_anew(
        self, version: int, deadline: int, fail: Callable[[StoreError], None], then: Callable[[], None]
    ) -> None:
        """A shard that was asked has that version; if that is none that this node's catalog lacks, `s0` tells."""
        if version > self.catalog.version:
            self.plan_at(version, deadline, fail, then)
        else:
            self.confirm_catalog(deadline, fail, then)

    def plan_at(
        self, version: int, deadline: int, fail: Callable[[StoreError], None], then: Callable[[], None]
    ) -> None:
        """`then` as soon as this node's catalog has that version."""
        self.catalog.when(version, self._wait(deadline, fail, "s0", then))

    def replan(self, execution: Execution, version: int) -> None:
        """A shard refused the versions that a statement was planned with. A shard that is behind is given a tick."""
        if version > self.catalog.version:
            self.plan_at(version, execution.deadline, execution.fail, lambda: self._plan(execution, is_confirmed=True))
        else:
            self._stale.append(execution)

    # -- what executions ask

    def mint(self, home: str) -> bytes:
        self._counter += 1
        around = self.surroundings
        return ids.mint(self.heard, around.node, around.boot, self._counter, home, around.cluster_id)

    def refuse_outdated(self, txn: bytes) -> Refused | None:
        """The oracle leapt, as under a new leader, while it was under way: if its commit were asked for now, its home
        might have forgotten its time already, and could not say that it never was committed."""
        if ids.time_of(txn) >= self.heard - at_ms(self.surroundings.constants.txn_age_max_ms):
            return None
        return Refused(txn, ids.home_of(txn), TOO_LATE)

    def begin_attempt(self, attempt: Attempt) -> None:
        self.attempts[attempt.txn] = attempt
        attempt.start()

    def end_attempt(self, txn: bytes) -> None:
        self.attempts.pop(txn, None)

    def note_end(self, txn: bytes, state: str, why: str) -> None:
        """ABORTED: it did not happen and never will, by what its attempt knows; COMMITTED: it changed nothing. Its
        home need not have a decision."""
        self.ends[txn] = (state, why)
        if len(self.ends) > ENDS_KEPT:
            del self.ends[next(iter(self.ends))]

    def hear(self, ts: int) -> None:
        self.heard = max(self.heard, ts)

    def _number(self) -> int:
        """Names a question; unique over the lives of this node."""
        self._numbers += 1
        return self.surroundings.boot << 40 | self._numbers

    # -- messages and time

    def receive(self, sender: int, message: Any) -> None:
        handler = self._handlers.get(type(message))
        if handler is not None:
            handler(sender, message)

    def tick(self) -> None:
        for attempt in list(self.attempts.values()):
            attempt.tick()
        self.reads.tick()
        self.inquiries.tick()
        stale, self._stale = self._stale, []
        for execution in stale:
            self._confirm(execution)
        self.interactive.tick()
        now = self.surroundings.now
        for number in [number for number, waiting in self._waiting.items() if waiting.deadline <= now]:
            waiting = self._waiting.pop(number)
            what = f"no {'timestamp' if waiting.group == 'c1' else 'fresh catalog'} by the deadline"
            waiting.fail(Unavailable(f"{what}: {self.surroundings.silence_of(waiting.group)}; nothing happened"))

    def _to_attempt(self, message: Any, handler: str) -> None:
        attempt = self.attempts.get(message.txn)
        if attempt is not None:
            getattr(attempt, handler)(message)

    def _on_finished(self, sender: int, message: Finished) -> None:
        self.hear(message.commit_ts)
        self._to_attempt(message, "on_finished")

    def _on_decided(self, sender: int, message: Decided) -> None:
        self.hear(message.commit_ts)
        self._to_attempt(message, "on_decided")

    def _on_refused(self, sender: int, message: Refused) -> None:
        self.surroundings.on_hint(message.shard, sender, message.leader)
        self.hear(message.seen_ts)
        self.interactive.on_refused(sender, message)
        self._to_attempt(message, "on_refused")

    def _on_not_home(self, sender: int, message: NotHome) -> None:
        self.surroundings.on_hint(message.group, sender, message.leader)
        self._to_attempt(message, "on_not_home")

    def _on_in_doubt(self, sender: int, message: InDoubt) -> None:
        attempt = self.attempts.get(message.txn)
        if attempt is not None:
            attempt.on_in_doubt(message)
        elif not self.interactive.on_in_doubt(message):
            self.surroundings.send(message.node, message.shard, Deciding(message.txn, message.shard, False))

    def _on_ask_gateway(self, sender: int, message: AskGateway) -> None:
        if message.fenced:
            self.interactive.on_fenced(message.txn)
        says = self._word_of(message.txn)
        says.number = message.number
        self.surroundings.send(message.node, GATEWAY, says)

    def _word_of(self, txn: bytes) -> GatewayTells:
        """With number 0."""
        here = ids.node_name(self.surroundings.node)
        if (says := self.interactive.word_of(txn)) is not None:
            return says
        if txn in self.attempts:
            return GatewayTells(0, ACTIVE, f"it is under way at {here}")
        if txn in self.ends:
            return GatewayTells(0, *self.ends[txn])
        return GatewayTells(0, UNDECIDED, f"no decision is known, and {here}, which minted the id, knows nothing more")
